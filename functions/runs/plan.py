"""What is to be done about an order: plain values, each with its reason."""

from dataclasses import dataclass
from enum import Enum
from typing import Literal

from groundcrew.environment import Environment
from groundcrew.ways.seen import Dag, Run


class Unseen(Enum):
    """Nobody has looked yet."""

    UNSEEN = "unseen"


UNSEEN = Unseen.UNSEEN


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known so far about an order, None being "there is none"; the planner asks for more."""

    environment: Environment
    policy_allows: bool = True
    dag: Dag | Unseen | None = UNSEEN
    run: Run | Unseen | None = UNSEEN  # with the order's run id
    twin: Run | Unseen | None = UNSEEN  # with the order's logical date
    import_errors: tuple[str, ...] | Unseen = UNSEEN
    refused: bool = False  # a start was tried, and Airflow says that it has such a run
    failure: "Reject | None" = None  # what Airflow, or the road to it, has against a start


@dataclass(frozen=True, slots=True)
class Look:
    """More must be seen first. ``or_else``: what to do if that is refused, or cannot be seen in the ``last`` look."""

    what: Literal["dag", "run", "twin", "import_errors"]
    reason: str
    or_else: "Reject | None" = None
    last: bool = False


@dataclass(frozen=True, slots=True)
class Begin:
    """Start the run."""

    reason: str
    unpause: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing can be done yet."""

    reason: str
    seconds: int


@dataclass(frozen=True, slots=True)
class Confirm:
    """The run is there already, and is the one that was asked for."""

    reason: str
    run: Run


@dataclass(frozen=True, slots=True)
class Reject:
    """It will not be done."""

    cause: str
    reason: str
    remedy: str


Plan = Look | Begin | Wait | Confirm | Reject
