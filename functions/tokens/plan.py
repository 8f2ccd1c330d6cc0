"""What is to be done about an environment's token: plain values, each with its reason."""

from dataclasses import dataclass
from typing import Any, assert_never

from groundcrew.environment import Environment
from tokens.binding import Binding
from tokens.token import Delivered


@dataclass(frozen=True, slots=True)
class Target:
    """Where a token is put. Environments that share one share the token there."""

    kind: str  # object, secret or requirements
    account: str
    region: str
    place: str  # a bucket, or a secret's ARN
    key: str = ""

    def __str__(self) -> str:
        """For events and sentences."""
        return f"s3://{self.place}/{self.key}" if self.key else self.place


def target(binding: Binding, environment: Environment) -> Target:
    """Where the environment's token belongs."""
    account, region = environment.ref.account, environment.ref.region
    if binding.secret:
        parts = binding.secret.split(":")
        return Target("secret", parts[4], parts[3], binding.secret)
    if binding.delivery == "requirements":
        key = f"{environment.dags_path}/codeartifact.txt"
        return Target("requirements", account, region, environment.bucket, key)
    if binding.bucket:
        shared = binding.bucket
        return Target("object", shared.account, shared.region, shared.name, f"groundcrew/tokens/{binding.name}.json")
    key = f"groundcrew/tokens/{environment.ref.name}.json"
    return Target("object", account, region, environment.bucket, key)


@dataclass(frozen=True, slots=True)
class Held:
    """What lies at a target: ``delivered`` is None for what is not ours, or says nothing of itself."""

    delivered: Delivered | None
    etag: str = ""
    replaceable: bool = True
    """False: somebody else's, and worth keeping."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known when the decision is made; ``held`` is None if nothing lies there."""

    environment: Environment
    held: Held | None


@dataclass(frozen=True, slots=True)
class Nothing:
    """There is nothing to do."""

    reason: str


@dataclass(frozen=True, slots=True)
class Deliver:
    """A new token is to be put there."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """It cannot be done until somebody acts."""

    cause: str
    reason: str
    remedy: str


Plan = Nothing | Deliver | Refuse


def as_detail(plan: Plan) -> dict[str, Any]:
    """How a plan is announced."""
    match plan:
        case Refuse(cause, reason, remedy):
            return {"action": "refuse", "cause": cause, "reason": reason, "remedy": remedy}
        case Deliver(reason):
            return {"action": "deliver", "reason": reason}
        case Nothing(reason):
            return {"action": "nothing", "reason": reason}
        case _:
            assert_never(plan)
