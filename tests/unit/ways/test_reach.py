"""Which way in is taken, and how it shows that there is none."""

from dataclasses import dataclass, field
from typing import Any, Literal, cast

import pytest

from groundcrew.aws.cli import StillRunning
from groundcrew.aws.locks import Locks
from groundcrew.aws.session import Roles
from groundcrew.errors import AccessDenied, GroundcrewError, PermanentError, TransientError
from groundcrew.ways.reach import Reach
from groundcrew.ways.seen import Way, WayClosed
from tests.support.runs.stories import environment

NO_WAY = TransientError("no way to the web server", cause="NoWay")
NO_ANSWER = TransientError("no answer", cause="NoAnswer")
SILENT = StillRunning("no answer", cause="NoAnswer")
REFUSED = WayClosed("not for this role", cause="RestDenied")
TOO_LONG = WayClosed("the path has 70 characters", cause="PathTooLong")
TOO_OLD = WayClosed("Update your environment to use InvokeRestApi", cause="VersionTooOld")
DENIED = AccessDenied("CreateCliToken is denied", cause="AccessDeniedException")
PUBLIC = ["PUBLIC_ONLY", "PUBLIC_AND_PRIVATE"]


@dataclass
class Fake:
    """A way that answers, or raises."""

    name: Literal["rest", "cli"]
    fails: GroundcrewError | None = None
    asked: int = 0


@dataclass
class Ways:
    rest: Fake = field(default_factory=lambda: Fake("rest"))
    cli: Fake = field(default_factory=lambda: Fake("cli"))


def reaching(ways: Ways, access: str, *, in_vpc: bool = False) -> Reach:
    about = environment(webserver_access_mode=access)
    reach = Reach(Roles("aws", "us-east-1", "test"), about, Locks("locks", "us-east-1"), in_vpc=in_vpc)
    reach._ways = cast("tuple[Way, ...]", (ways.rest, ways.cli))
    return reach


def question(way: Any) -> str:
    way.asked += 1
    if way.fails:
        raise way.fails
    return f"from {way.name}"


def ask(ways: Ways, access: str = "PUBLIC_ONLY", *, in_vpc: bool = False) -> tuple[str, str]:
    """Which way answers a question, and what it answers."""
    return reaching(ways, access, in_vpc=in_vpc).ask(question)


def failure(ways: Ways, access: str = "PUBLIC_ONLY", *, in_vpc: bool = False) -> GroundcrewError:
    with pytest.raises(GroundcrewError) as caught:
        ask(ways, access, in_vpc=in_vpc)
    return caught.value


def unreachable(error: GroundcrewError) -> bool:
    if error.cause != "Unreachable":
        return False
    assert isinstance(error, PermanentError)
    assert "VpcSubnetIds" in error.remedy
    return True


def test_rest_is_asked_first_and_alone() -> None:
    ways = Ways()
    assert ask(ways) == ("from rest", "rest")
    assert ways.cli.asked == 0


@pytest.mark.parametrize("closed", [REFUSED, TOO_LONG, TOO_OLD])
@pytest.mark.parametrize("access", PUBLIC)
def test_what_rest_does_not_serve_goes_by_command_line(closed: WayClosed, access: str) -> None:
    assert ask(Ways(Fake("rest", closed)), access) == ("from cli", "cli")


@pytest.mark.parametrize("error", [NO_ANSWER, DENIED, PermanentError("422", cause="BadConf")])
def test_no_other_trouble_opens_the_second_way(error: GroundcrewError) -> None:
    ways = Ways(Fake("rest", error))
    assert failure(ways) is error
    assert ways.cli.asked == 0


@pytest.mark.parametrize("error", [NO_WAY, SILENT, DENIED])
@pytest.mark.parametrize("access", PUBLIC)
def test_trouble_on_the_second_way_is_told_as_it_is(error: GroundcrewError, access: str) -> None:
    assert failure(Ways(Fake("rest", TOO_LONG), Fake("cli", error)), access) is error


# -------------------------------------------------------------------------------------------------- private web servers
@pytest.mark.parametrize("error", [REFUSED, NO_ANSWER])
def test_a_private_web_server_that_rest_does_not_reach(error: GroundcrewError) -> None:
    ways = Ways(Fake("rest", error))
    assert unreachable(failure(ways, "PRIVATE_ONLY"))
    assert ways.cli.asked == 0


@pytest.mark.parametrize("error", [NO_WAY, SILENT])
def test_a_private_web_server_that_the_command_line_does_not_reach(error: GroundcrewError) -> None:
    assert unreachable(failure(Ways(Fake("rest", TOO_LONG), Fake("cli", error)), "PRIVATE_ONLY"))


def test_a_private_web_server_in_another_vpc() -> None:
    assert unreachable(failure(Ways(Fake("rest", REFUSED), Fake("cli", NO_WAY)), "PRIVATE_ONLY", in_vpc=True))


@pytest.mark.parametrize("error", [NO_ANSWER, DENIED])
def test_from_within_its_vpc_trouble_is_trouble(error: GroundcrewError) -> None:
    assert failure(Ways(Fake("rest", error)), "PRIVATE_ONLY", in_vpc=True) is error


def test_from_within_its_vpc_the_command_line_serves_too() -> None:
    assert ask(Ways(Fake("rest", REFUSED)), "PRIVATE_ONLY", in_vpc=True) == ("from cli", "cli")


@pytest.mark.parametrize("error", [DENIED, PermanentError("422", cause="BadConf")])
def test_a_private_web_server_that_answers_is_reached(error: GroundcrewError) -> None:
    assert failure(Ways(Fake("rest", error)), "PRIVATE_ONLY") is error


def test_a_private_web_server_that_has_answered_is_not_out_of_reach_later() -> None:
    """What it did not answer may have taken effect: that is tried again, not rejected."""
    ways = Ways()
    reach = reaching(ways, "PRIVATE_ONLY")
    assert reach.ask(question) == ("from rest", "rest")
    ways.rest.fails = NO_ANSWER
    with pytest.raises(TransientError) as caught:
        reach.ask(question)
    assert caught.value is NO_ANSWER
