"""Looking at bindings, environments and what they hold; the handlers' eyes."""

from dataclasses import dataclass, field
from datetime import datetime

from groundcrew.aws import parameters
from groundcrew.aws.session import Roles
from groundcrew.environment import Environment, EnvironmentRef
from groundcrew.errors import PermanentError
from groundcrew.settings import Settings
from tokens.binding import Binding
from tokens.causes import explained
from tokens.plan import Held, Plan, Refuse, Seen, Target, target
from tokens.planner import ENDING, decide, hours_left
from tokens.shelf import Shelf

PART = "tokens"


@dataclass(frozen=True, slots=True)
class View:
    """An environment that is bound, and what is to be done about its token."""

    environment: Environment
    target: Target
    held: Held | None
    plan: Plan
    hours_left: float

    @property
    def ref(self) -> EnvironmentRef:
        """Which environment."""
        return self.environment.ref


def bound_to(environment: Environment) -> str | None:
    """The name of the environment's binding, if it has one and can still use it."""
    name = environment.policy_name(PART)
    return None if name in (None, "", "off") or environment.status in ENDING else name


@dataclass(slots=True)
class Bindings:
    """The bindings that one invocation needs, each read once."""

    config: Settings
    _read: dict[str, Binding] = field(default_factory=dict)

    def get(self, name: str) -> Binding:
        """The binding of that name.

        Raises:
            PermanentError: there is none, or it is not valid.
        """
        if name not in self._read:
            document = parameters.document(Binding.parameter(name), self.config.region)
            self._read[name] = Binding.read(name, document, self.config.region)
        return self._read[name]


def view(
    binding: Binding, environment: Environment, roles: Roles, now: datetime, asked_at: datetime | None = None
) -> View:
    """Look at what one environment holds, and decide.

    Raises:
        PermanentError: it cannot be looked at until somebody acts.
        TransientError: not now.
    """
    where = target(binding, environment)
    first = decide(binding, Seen(environment, None), now)
    if isinstance(first, Refuse):
        return View(environment, where, None, first, 0.0)
    try:
        held = Shelf(where, roles).held()
    except PermanentError as error:
        raise explained(error) from error
    return decided(binding, environment, where, held, now, asked_at)


def decided(
    binding: Binding,
    environment: Environment,
    where: Target,
    held: Held | None,
    now: datetime,
    asked_at: datetime | None,
) -> View:
    """The view of an environment, once it is known what it holds."""
    plan = decide(binding, Seen(environment, held), now, asked_at)
    return View(environment, where, held, plan, hours_left(binding, held, now))
