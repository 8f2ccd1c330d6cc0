"""Let one call of a rotation fail, go on as Lambda, SQS and the sweep do, and look: each environment has a token that
opens its repositories, or it was said loudly that it has none; and nobody ever saw half a token.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from unittest import mock

from localcloud.inprocess.aws import Entry
from localcloud.inprocess.faults import Killed, Kind, Rule
from localcloud.model.caller import Caller
from localcloud.model.environment import Environment
from tests.support.stage import HUB, REGION, SPOKE, SPOKE2
from tests.support.tokens.works import HOUR, Works, open_works
from tokens.order import TOGETHER
from tokens.rotate import LAST_TRY
from tokens.startup import SOURCE

OWNER = "444455556666"

Prepare = Callable[[Works], list[Environment]]
Variant = Callable[[], AbstractContextManager[object]]

READS = frozenset({Kind.THROTTLED, Kind.DENIED, Kind.KILLED_BEFORE})
"""A call that only reads fails in three ways: try again, do not, and no more time to say anything."""


# ------------------------------------------------------------------------------------------------------------ scenarios
def first_token(works: Works) -> list[Environment]:
    """Two environments in two accounts, without a token."""
    return [works.environment("one", SPOKE), works.environment("two", SPOKE2)]


def replaced_token(works: Works) -> list[Environment]:
    """Each has a token that lives another three hours."""
    fleet = first_token(works)
    works.work(*(works.observed(one) for one in fleet))
    works.stage.pass_time(9 * HOUR)
    return fleet


def shared_bucket(works: Works) -> list[Environment]:
    """Two environments of one account, and one object for both in the hub's bucket."""
    works.stage.aws.objects.bucket("shared-tokens", HUB, REGION)
    works.bind(bucket={"name": "shared-tokens", "account": HUB, "region": REGION})
    return [works.environment("one"), works.environment("two")]


def requirements_file(works: Works) -> list[Environment]:
    """AWS's own pattern."""
    works.bind(delivery="requirements")
    return [works.environment("one")]


def secret(works: Works) -> list[Environment]:
    """A secret, which holds a token that lives another three hours."""
    arn = works.stage.aws.small.secrets.add(SPOKE, REGION, "groundcrew/tokens/data").arn
    works.bind(delivery="secret", secret=arn)
    fleet = [works.environment("one")]
    works.work(works.observed(fleet[0]))
    works.stage.pass_time(9 * HOUR)
    return fleet


def other_owner(works: Works) -> list[Environment]:
    """A domain in another account."""
    domain = works.domain(OWNER)
    allowed = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{HUB}:root"}, "Resource": "*"}
    actions = ["codeartifact:*", "sts:GetServiceBearerToken"]
    domain.policy = domain.repositories["data"].policy = {"Statement": [{**allowed, "Action": one} for one in actions]}
    works.bind(owner=OWNER)
    return [works.environment("one")]


def startup_script(works: Works) -> list[Environment]:
    """An environment at rest, with a fresh token, whose startup script is to be bound."""
    fleet = [works.environment("one")]
    works.work(works.observed(fleet[0]))
    works.stage.pass_time(HOUR)
    works.bind(startup_script="bind", bind_when="now")
    return fleet


SCENARIOS: tuple[Prepare, ...] = (
    first_token,
    replaced_token,
    shared_bucket,
    requirements_file,
    secret,
    other_owner,
    startup_script,
)


# ---------------------------------------------------------------------------------------------------------------- cases
@dataclass(frozen=True)
class Case:
    """The ``nth`` call of a scenario fails in one way."""

    scenario: Prepare
    kind: Kind
    nth: int
    operation: str

    def __str__(self) -> str:
        return f"{self.scenario.__name__}: call {self.nth} ({self.operation}) {self.kind.value}"


@contextmanager
def opened() -> Iterator[Works]:
    """One place after the other, so that the calls have an order."""
    with mock.patch("groundcrew.places.AT_ONCE", 1), open_works() as works:
        yield works


@cache
def calls(scenario: Prepare) -> tuple[Entry, ...]:
    """The calls of a scenario without a fault."""
    with opened() as works:
        fleet = scenario(works)
        since = len(works.stage.aws.journal)
        play(works, fleet)
        return tuple({entry.attempt.invocation: entry for entry in works.stage.aws.journal[since:]}.values())


def cases(scenario: Prepare, kind: Kind) -> Iterator[Case]:
    """Every call of the scenario, failing in this way."""
    for number, call in enumerate(calls(scenario), 1):
        if call.effect or kind in READS:
            yield Case(scenario, kind, number, call.operation)


def play(works: Works, fleet: list[Environment]) -> None:
    """A sweep sees the fleet; whoever dies in between is started anew by the message that stayed."""
    seen = [works.observed(one) for one in fleet]
    for one in seen:
        _until_done(lambda received, one=one: works.look(one, received=received))  # type: ignore[misc]
    for order in works.orders():
        works.stage.pass_time(TOGETHER)
        if not _until_done(lambda received, body=order["MessageBody"]: works.receive(body, received)):  # type: ignore[misc]
            works.dead.append(order["MessageBody"])


def _until_done(work: Callable[[int], bool]) -> bool:
    for received in range(1, LAST_TRY + 1):
        try:
            if work(received):
                return True
        except Killed:
            continue
    return False


def problems(case: Case, variant: Variant = nullcontext) -> list[str]:
    """What is not as it should be in one case; ``variant`` breaks the product for a negative control."""
    with opened() as works:
        fleet = case.scenario(works)
        said = len(works.rotated())
        rule = Rule(case.kind, nth=case.nth)
        works.stage.aws.faults.rules.insert(0, rule)
        with variant():
            play(works, fleet)
        found = [] if rule.fired else ["the fault did not fire"]
        named = {name for name, _ in works.failures()}
        # A dead letter is an alarm, and so is what stands for a whole account.
        loud = {one.name for one in fleet if works.dead or named & {None, one.name}}
        quiet = [one for one in fleet if one.name not in loud]
        found += [f"{one.name} has no token, and nobody said so" for one in quiet if not opens(works, one)]
        works.stage.pass_time(15 * 60)
        with variant():
            play(works, fleet)
        works.stage.pass_time(7.5 * HOUR)
        found += [f"{one.name} has no token for hours after the next sweep" for one in fleet if not opens(works, one)]
        found += torn(works)
        if case.scenario is startup_script:
            found += [problem for one in fleet for problem in unbound(works, one)]
        else:
            told = set(works.rotated()[said:])
            found += [f"{one.name}'s new token was never announced" for one in quiet if one.name not in told]
        return [f"{case}: {problem}" for problem in found]


# ------------------------------------------------------------------------------------------------------------- verdicts
def tokens_in(content: bytes) -> list[str]:
    """The tokens that an object or a requirements file holds."""
    if content.startswith(b"{"):
        return [json.loads(content)["token"]]
    return [line.split("aws:", 1)[1].split("@", 1)[0] for line in content.decode().splitlines()]


def unbound(works: Works, environment: Environment) -> list[str]:
    """What is wrong with its startup script: it is the whole one, and the environment was restarted for it once."""
    aws, key = works.stage.aws, environment.setting("StartupScriptS3Path")
    said = ("BindingUndone" in {cause for _, cause in works.failures()}) or bool(works.dead)
    updates = sum(1 for call in aws.journal if call.operation == "airflow:UpdateEnvironment" and call.effect)
    found = [] if updates == 1 else [f"{environment.name} was restarted {updates} times"]
    if key is None:
        return [] if said else [f"{environment.name} has no startup script, and nobody said so"]
    version = environment.setting("StartupScriptS3ObjectVersion")
    texts = [one.content or b"" for one in works.bucket(environment).keys[key] if one.id == version]
    whole = len(texts) == 1 and texts[0].endswith(SOURCE.read_bytes())
    return found if whole else [*found, f"{environment.name} has a startup script that is none of ours"]


def opens(works: Works, environment: Environment) -> bool:
    """Whether what the environment reads opens its repository now."""
    binding = json.loads(works.stage.aws.parameters["/groundcrew/tokens/data"])
    owner = binding["owner"]
    if arn := binding.get("secret"):
        value = works.stage.aws.small.secrets.call("GetSecretValue", Caller(SPOKE, REGION), {"SecretId": arn})
        return works.opened(json.loads(value["SecretString"])["token"]) == 200
    for bucket in works.stage.aws.objects.buckets.values():
        for key in bucket.keys:
            mine = bucket.owner == environment.caller.account and environment.name in f"{bucket.name}/{key}"
            if (mine or bucket.name == "shared-tokens") and (content := bucket.content(key)):
                return [works.opened(token, owner=owner) for token in tokens_in(content)] == [200]
    return False


def torn(works: Works) -> list[str]:
    """Versions that were ever visible and are no whole token."""
    found = []
    for bucket in works.stage.aws.objects.buckets.values():
        for key, versions in bucket.keys.items():
            if key.endswith(".sh"):
                continue
            for version in versions:
                try:
                    whole = version.content is None or len(tokens_in(version.content)) == 1
                except (ValueError, KeyError, IndexError):
                    whole = False
                if not whole:
                    found.append(f"{bucket.name}/{key} holds half a token")
    return found
