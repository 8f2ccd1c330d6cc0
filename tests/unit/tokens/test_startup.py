"""The startup script: bound where the binding says so, once for each change, and never in place of somebody's own."""

from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import pytest

from localcloud.inprocess.faults import Kind
from localcloud.model.caller import Caller
from localcloud.model.environment import Environment
from tests.support.stage import REGION, SPOKE, status_event
from tests.support.tokens.works import HOUR, Works
from tokens.bind import Script
from tokens.startup import in_window

UPDATE = "UpdateEnvironment"
BOUND = "Startup Script Bound"


def script_of(works: Works, environment: Environment) -> str | None:
    content = works.bucket(environment).content(f"groundcrew/startup/{environment.name}.sh")
    return content.decode() if content is not None else None


def updates(works: Works) -> int:
    return sum(1 for call in works.stage.aws.journal if call.operation == f"airflow:{UPDATE}" and call.effect)


def ready(works: Works, environment: Environment) -> None:
    """It is AVAILABLE, and has a token."""
    works.work(status_event(environment))
    works.stage.pass_time(1800)
    assert environment.status == "AVAILABLE"


def customer_updates(works: Works, environment: Environment, **changes: Any) -> None:
    works.stage.aws.mwaa.update(Caller(SPOKE, REGION), {"Name": environment.name, **changes})
    works.stage.pass_time(1800)


@pytest.fixture
def bound(works: Works) -> Environment:
    works.bind(startup_script="bind", bind_when="now")
    environment = works.environment()
    ready(works, environment)
    works.work(works.observed(environment))
    works.stage.pass_time(1800)
    assert environment.status == "AVAILABLE"
    return environment


def test_an_environment_without_a_script_gets_one_when_it_is_at_rest_and_has_a_token(works: Works) -> None:
    works.bind(startup_script="bind", bind_when="now", fallback=True, on_missing="continue")
    environment = works.environment()
    works.work(status_event(environment))
    assert script_of(works, environment) is None  # CREATING
    works.stage.pass_time(1800)
    works.work(works.observed(environment))
    text = script_of(works, environment)
    assert text is not None
    line = text.splitlines()[0]
    assert line.startswith("GROUNDCREW_SETTINGS='{")
    for said in ('"key": "groundcrew/tokens/data.json"', '"on_missing": "continue"', '"domain": "packages"'):
        assert said in line
    (fact,) = works.facts(BOUND)
    assert environment.setting("StartupScriptS3Path") == "groundcrew/startup/data.sh"
    assert environment.setting("StartupScriptS3ObjectVersion") == fact["version"]
    assert (environment.status, fact["reason"]) == ("UPDATING", "there is no startup script")


def test_what_is_bound_is_left_alone(works: Works, bound: Environment) -> None:
    for _ in range(2):
        works.work(works.observed(bound), status_event(bound, "AVAILABLE"))
        works.stage.pass_time(HOUR)
    assert (updates(works), len(works.facts(BOUND))) == (1, 1)


def test_a_change_is_bound_anew(works: Works, bound: Environment) -> None:
    first = bound.setting("StartupScriptS3ObjectVersion")
    works.bind(startup_script="bind", bind_when="now", on_missing="continue")
    works.work(works.observed(bound))
    assert bound.setting("StartupScriptS3ObjectVersion") != first
    assert works.facts(BOUND)[-1]["reason"] == "the startup script has changed"


def test_nothing_is_bound_by_default(works: Works) -> None:
    environment = works.environment()
    ready(works, environment)
    works.work(works.observed(environment))
    assert (updates(works), script_of(works, environment)) == (0, None)


def test_somebodys_own_script_is_never_replaced(works: Works) -> None:
    works.bind(startup_script="bind", bind_when="now")
    environment = works.environment()
    ready(works, environment)
    customer_updates(works, environment, StartupScriptS3Path="startup.sh", StartupScriptS3ObjectVersion="v1")
    works.work(works.observed(environment))
    assert environment.setting("StartupScriptS3Path") == "startup.sh"
    assert (updates(works), script_of(works, environment)) == (0, None)
    assert works.failures() == [("data", "ForeignScript")]


@pytest.mark.parametrize("undone", [{"StartupScriptS3Path": None}, {"StartupScriptS3ObjectVersion": "older"}])
def test_what_was_undone_is_said_and_bound_again_only_if_somebody_asks(
    works: Works, bound: Environment, undone: dict[str, Any]
) -> None:
    customer_updates(works, bound, **undone)
    works.work(works.observed(bound))
    assert (updates(works), works.failures()) == (1, [("data", "BindingUndone")])
    works.work(works.request(bound, force=True))
    assert (updates(works), bound.setting("StartupScriptS3Path")) == (2, key_of(bound))


@pytest.mark.parametrize("status", ["CREATE_FAILED", "UNAVAILABLE", "UPDATING", "MAINTENANCE"])
def test_only_an_environment_at_rest_is_updated(works: Works, status: str) -> None:
    works.bind(startup_script="bind", bind_when="now")
    environment = works.environment()
    ready(works, environment)
    environment.status = status
    works.work(works.observed(environment))
    assert (updates(works), script_of(works, environment)) == (0, None)


def test_an_environment_whose_update_failed_may_be_updated(works: Works) -> None:
    works.bind(startup_script="bind", bind_when="now")
    environment = works.environment()
    ready(works, environment)
    environment.status = "UPDATE_FAILED"
    works.work(works.observed(environment))
    assert updates(works) == 1


def test_nothing_is_bound_where_there_is_no_token(works: Works) -> None:
    works.bind(startup_script="bind", bind_when="now")
    environment = works.environment()
    works.stage.pass_time(1800)
    works.look(works.observed(environment))
    assert updates(works) == 0


def test_the_spoke_must_allow_it(works: Works) -> None:
    works.bind(startup_script="bind", bind_when="now")
    environment = works.environment()
    ready(works, environment)
    works.stage.aws.faults.add(Kind.DENIED, f"airflow:{UPDATE}", nth=None)
    works.work(works.observed(environment))
    (fact,) = works.facts("Token Rotation Failed")
    assert "BindsStartupScripts" in fact["remedy"]


def test_a_spoke_that_does_not_allow_it_gets_its_tokens_all_the_same(works: Works) -> None:
    works.bind(startup_script="bind", bind_when="now")
    environment = works.environment()
    ready(works, environment)
    works.bucket(environment).keys.clear()
    works.work(works.observed(environment))
    works.stage.pass_time(5 * HOUR)
    works.stage.aws.faults.add(
        Kind.DENIED, "s3:ListObjectVersions", nth=None, where=lambda call: "startup" in str(call.params.get("Prefix"))
    )
    minted = works.minted()
    works.work(works.observed(environment))
    assert works.minted() == minted + 1
    assert "BindsStartupScripts" in works.facts("Token Rotation Failed")[-1]["remedy"]


def test_two_messages_at_once_bind_it_once(works: Works) -> None:
    works.bind(startup_script="bind", bind_when="now")
    environment = works.environment()
    works.work(status_event(environment))
    works.stage.pass_time(1800)
    put = Script._put

    def late(script: Script) -> None:
        """Another function has put and bound it between this one's look and its own."""
        with mock.patch.object(Script, "_put", put):
            works.look(works.observed(environment))
        put(script)

    with mock.patch.object(Script, "_put", late):
        works.look(works.observed(environment))
    works.stage.pass_time(1800)
    works.look(works.observed(environment))
    assert (updates(works), len(works.bucket(environment).keys[key_of(environment)])) == (1, 1)
    assert works.failures() == []


@pytest.mark.parametrize("kind", [Kind.TIMED_OUT_AFTER, Kind.RESET_BEFORE, Kind.THROTTLED, Kind.SERVER_ERROR])
def test_whatever_is_lost_it_is_bound_once(works: Works, kind: Kind) -> None:
    works.bind(startup_script="bind", bind_when="now")
    environment = works.environment()
    ready(works, environment)
    works.stage.aws.faults.add(kind, f"airflow:{UPDATE}")
    event = works.observed(environment)
    if not works.look(event):
        assert works.look(event, received=2)
    works.stage.pass_time(1800)
    works.look(works.observed(environment))
    assert updates(works) == 1
    assert environment.setting("StartupScriptS3Path") == key_of(environment)
    assert works.failures() == []


def test_a_dry_run_says_so(works: Works) -> None:
    works.bind(startup_script="bind", bind_when="now")
    environment = works.environment()
    ready(works, environment)
    works.work(works.request(environment, dry_run=True))
    (plan,) = works.facts("Token Rotation Planned")
    assert plan["startup_script"] == {"action": "bind", "reason": "there is no startup script"}
    assert (updates(works), script_of(works, environment)) == (0, None)


def key_of(environment: Environment) -> str:
    return f"groundcrew/startup/{environment.name}.sh"


# ---------------------------------------------------------------------------------------------- when it is restarted
def until_window(works: Works, environment: Environment, start: str) -> None:
    """The environment's maintenance window is this one, and an hour of it has passed."""
    environment.settings["WeeklyMaintenanceWindowStart"] = start
    now = datetime.fromtimestamp(works.stage.aws.clock.now(), UTC)
    hours = next(hours for hours in range(7 * 24) if in_window(start, now + timedelta(hours=hours)))
    works.stage.pass_time(hours * HOUR)


def outside_window(works: Works) -> str:
    """The start of a window that comes in half a week."""
    later = datetime.fromtimestamp(works.stage.aws.clock.now(), UTC) + timedelta(days=3.5)
    return later.strftime("%a:%H:00").upper()


def test_a_script_waits_for_the_maintenance_window(works: Works) -> None:
    works.bind(startup_script="bind")
    environment = works.environment()
    ready(works, environment)
    start = environment.settings["WeeklyMaintenanceWindowStart"] = outside_window(works)
    works.work(works.observed(environment))
    assert (updates(works), script_of(works, environment)) == (0, None)
    works.work(works.request(environment, dry_run=True))
    waits = f"the startup script waits for the environment's weekly maintenance window, {start}"
    assert works.facts("Token Rotation Planned")[-1]["startup_script"] == {"action": "nothing", "reason": waits}
    until_window(works, environment, start)
    works.work(works.observed(environment))  # its token has expired: a new one comes first
    works.work(works.observed(environment))
    assert (updates(works), environment.status) == (1, "UPDATING")


def test_a_request_with_force_does_not_wait(works: Works) -> None:
    works.bind(startup_script="bind")
    environment = works.environment()
    ready(works, environment)
    environment.settings["WeeklyMaintenanceWindowStart"] = outside_window(works)
    works.work(works.request(environment, force=True))
    assert updates(works) == 1


@pytest.mark.parametrize(
    ("start", "now", "open_"),
    [
        ("SUN:03:30", "2026-11-29T03:30:00+00:00", True),  # a Sunday
        ("SUN:03:30", "2026-11-29T05:29:59+00:00", True),
        ("SUN:03:30", "2026-11-29T05:30:00+00:00", False),
        ("SUN:03:30", "2026-11-29T03:29:59+00:00", False),
        ("SUN:03:30", "2026-11-28T03:30:00+00:00", False),
        ("SUN:23:00", "2026-11-30T00:30:00+00:00", True),  # past the end of the week
        ("MON:00:00", "2026-11-30T02:00:00+02:00", True),  # in UTC
        ("", "2026-11-30T00:30:00+00:00", False),
        ("DAILY:23:00", "2026-11-29T23:00:00+00:00", False),
        ("SUN:3", "2026-11-29T03:30:00+00:00", False),
    ],
)
def test_a_window_is_two_hours_a_week(start: str, now: str, open_: bool) -> None:
    assert in_window(start, datetime.fromisoformat(now)) is open_


@pytest.mark.parametrize(("replacement", "state"), [("graceful", "success"), ("forced", "failed")])
def test_running_tasks_end_unless_the_binding_says_otherwise(works: Works, replacement: str, state: str) -> None:
    works.bind(startup_script="bind", bind_when="now", worker_replacement=replacement)
    environment = works.environment(version="2.10.3")
    ready(works, environment)
    airflow = works.stage.aws.airflow(environment, [{"dag_id": "long", "seconds": 2 * HOUR}])
    airflow.rest("POST", "/dags/long/dagRuns", {}, {"dag_run_id": "one"})
    airflow.runs()
    works.work(works.observed(environment))
    assert updates(works) == 1
    works.stage.pass_time(3 * HOUR)
    assert [run.state for run in airflow.runs()] == [state]


def test_a_spoke_without_the_binder_is_told_how_to_allow_it(works: Works) -> None:
    works.bind(startup_script="bind", bind_when="now")
    environment = works.environment()
    ready(works, environment)
    binder = f"groundcrew-binder-{REGION}"
    works.stage.aws.faults.add(
        Kind.DENIED, "sts:AssumeRole", nth=None, where=lambda call: binder in str(call.params.get("RoleArn"))
    )
    works.work(works.observed(environment))
    (fact,) = works.facts("Token Rotation Failed")
    assert "BindsStartupScripts=true" in fact["remedy"]
    assert updates(works) == 0
