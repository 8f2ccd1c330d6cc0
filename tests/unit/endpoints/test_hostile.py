"""Whatever is in the queue: one line that names the cause, nothing changed, and the message leaves."""

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from endpoints import sqs_policy
from endpoints.plan import DeleteEndpoints, SetPolicy
from endpoints.removal import plan_removal
from localcloud.model.environment import Environment
from tests.support.endpoints import stories
from tests.support.stage import DEFAULT_POLICY, HUB, REGION, SPOKE, SPOKE2, Stage, open_stage, request, status_event

NOBODYS = "444444444444"
BOMB = '{"a":' * 20_000 + "1" + "}" * 20_000
HUGE = {f"key {number}": "x" * 1_000 for number in range(256)}
NAMES = ["../../grants/222222222222", "data/../other", "dätä", "data\n", "da\x00ta", "\ud800", "*", "-", "x" * 10_000]


def short(value: object) -> str:
    """A test's id."""
    return ascii(value)[:40]


def heard(stage: Stage, event: Any) -> list[dict[str, Any]]:
    """The lines about a message that changes nothing and leaves the queue at its first delivery."""
    stage.lines()
    left = []
    assert stage.changes(lambda: left.append(stage.deliver(event))) == []
    assert left == [True]
    return stage.lines()


def told(stage: Stage, event: Any) -> dict[str, Any]:
    """The one line about such a message."""
    (line,) = heard(stage, event)
    return line


def refused(stage: Stage, event: Any) -> str:
    """The cause in that line; who could not be understood is told by no call at all."""
    line = told(stage, event)
    assert line["message"] == "cannot be done"
    assert line["error"]
    return str(line["cause"])


def asking(environment: Environment, detail: dict[str, Any]) -> dict[str, Any]:
    """A request with a detail that is changed."""
    asked = request(environment)
    return asked | {"detail": asked["detail"] | detail}


@pytest.fixture(scope="module")
def scene() -> Iterator[tuple[Stage, Environment]]:
    """A stage that no test changes, with an environment that needs its endpoints."""
    with open_stage() as stage:
        yield stage, stage.environment(stage.vpc(HUB, SPOKE)[1])


Scene = tuple[Stage, Environment]


# ------------------------------------------------------------------------------------------------------ no event at all
@pytest.mark.parametrize("body", ["", "\x00", "null", "[]", '"x"', "{}", "1" * 10_000, "[" * 100_000, BOMB], ids=short)
def test_what_is_no_event_is_refused(scene: Scene, body: str) -> None:
    assert refused(scene[0], body) == "MalformedEvent"


@pytest.mark.parametrize("detail", [None, [], 7, "not json", '"x"', "[1]", "", BOMB, "[" * 100_000], ids=short)
@pytest.mark.parametrize("make", [status_event, request])
def test_a_detail_that_is_no_object_is_refused(scene: Scene, make: Any, detail: Any) -> None:
    stage, environment = scene
    assert refused(stage, make(environment) | {"detail": detail}) == "MalformedEvent"


@pytest.mark.parametrize("account", ["../endpoints/default", "", "1" * 10_000, None, {}, "\uff11" * 12], ids=short)
def test_an_account_that_is_none_is_refused(scene: Scene, account: Any) -> None:
    stage, environment = scene
    assert refused(stage, request(environment) | {"account": account}) == "MalformedEvent"


# ----------------------------------------------------------------------------------------------- somebody else's things
@pytest.mark.parametrize("change", [{"account": SPOKE2}, {"region": "eu-west-3"}])
def test_an_mwaa_event_about_anothers_arn_is_forged(scene: Scene, change: dict[str, str]) -> None:
    stage, environment = scene
    assert refused(stage, status_event(environment, **change)) == "ForgedEvent"


@pytest.mark.parametrize("change", [{"account": NOBODYS}, {"region": "us-west-2"}])
def test_an_environment_where_no_spoke_is_looked_after(scene: Scene, change: dict[str, str]) -> None:
    stage, environment = scene
    assert refused(stage, status_event(environment, resources=[], **change)) == "NotConfigured"


def test_an_account_cannot_ask_for_another_accounts_environment(scene: Scene) -> None:
    stage, environment = scene
    assert refused(stage, request(environment, SPOKE2)) == "RequestDenied"


def test_an_account_cannot_pass_for_the_sweep(scene: Scene) -> None:
    stage, environment = scene
    fact = request(environment, SPOKE) | {"source": "groundcrew", "detail-type": "Environment Observed"}
    fact["detail"]["status"] = "DELETED"
    assert refused(stage, fact) == "RequestDenied"


@pytest.mark.parametrize(
    "grant",
    [
        '{"environments": ["[2]*"], "requests": ["Endpoint Reconcile Requested"]}',
        '{"environments": ["(2+)+$"], "requests": ["Endpoint Reconcile Requested"]}',
        '{"environments": "*", "requests": "*"}',
        '{"environments": [], "requests": []}',
        '{"environments": [["*"]], "requests": [null]}',
        "[" * 4_000,
        '"*"',
        "NaN",
    ],
)
def test_a_grant_that_is_not_valid_grants_nothing(stage: Stage, grant: str) -> None:
    stage.aws.parameters[f"/groundcrew/grants/{SPOKE2}"] = grant
    environment = stage.environment(stage.vpc(HUB, SPOKE)[1])
    assert refused(stage, request(environment, SPOKE2)) == "InvalidPolicy"


# ----------------------------------------------------------------------------------------------------- impossible names
@pytest.mark.parametrize("name", [*NAMES, ""], ids=short)
def test_a_name_that_is_none_of_mwaas_is_refused(scene: Scene, name: str) -> None:
    stage, environment = scene
    assert refused(stage, status_event(environment, resources=[], detail={"name": name})) == "InvalidEnvironment"
    asked = request(environment)
    asked["detail"]["environment"]["name"] = name
    assert refused(stage, asked) == "InvalidRequest"


@pytest.mark.parametrize("name", NAMES, ids=short)
def test_a_resource_with_such_a_name_is_refused(scene: Scene, name: str) -> None:
    stage, environment = scene
    arn = f"arn:aws:airflow:{REGION}:{SPOKE}:environment/{name}"
    assert refused(stage, status_event(environment, resources=[arn])) == "InvalidEnvironment"


@pytest.mark.parametrize("name", [["data"], {"S": "data"}, 7, True])
def test_a_name_that_is_no_text_is_none(scene: Scene, name: Any) -> None:
    stage, environment = scene
    assert refused(stage, status_event(environment, resources=[], detail={"name": name})) == "InvalidEnvironment"


# -------------------------------------------------------------------------------------------------- unexpected contents
@pytest.mark.parametrize(
    ("source", "detail_type"),
    [
        ("aws.airflow-serverless", "MWAA Serverless Workflow Run Status Change"),
        ("aws.airflow", "MWAA Something Else"),
        ("aws.airflow\n", "MWAA Environment Status Change"),
        ("groundcrew.request", "Environment Observed"),
        ("groundcrew.request", "MWAA Environment Status Change"),
        ("groundcrew", "Endpoints Ready"),
        ("", ""),
        ("x" * 10_000, "../policies/grants"),
    ],
    ids=short,
)
def test_an_event_about_something_else_is_refused(scene: Scene, source: str, detail_type: str) -> None:
    stage, environment = scene
    event = status_event(environment) | {"source": source, "detail-type": detail_type}
    assert refused(stage, event) == "UnknownEvent"


@pytest.mark.parametrize(
    "detail",
    [
        HUGE,
        {"x" * 250_000: 1},
        {"request_id": "x" * 10_000},
        {"request_id": ""},
        {"request_id": ["x"]},
        {"dry_run": "no"},
        {"leftovers": [HUB]},
        {"environment": None},
        {"environment": [SPOKE, REGION, "data"]},
        {"environment": {"account": SPOKE, "region": REGION, "name": "data", "role": "admin"}},
        {"environment": {"account": 222222222222, "region": REGION, "name": "data"}},
        {"environment": {"account": SPOKE, "region": f"{REGION}\n", "name": "data"}},
        {"environment": json.loads('{"a":' * 150 + "1" + "}" * 150)},
    ],
    ids=short,
)
def test_a_request_that_says_more_or_otherwise_than_its_schema_is_refused(scene: Scene, detail: Any) -> None:
    stage, environment = scene
    assert refused(stage, asking(environment, detail)) == "InvalidRequest"


@pytest.mark.parametrize(
    "detail",
    [
        HUGE,
        {"status": "EXPLODED"},
        {"status": ["DELETED"]},
        {"leftovers": 7},
        {"leftovers": ["../x"]},
        {"request_id": "x" * 10_000},
        {"request_id": {"a": "b"}},
    ],
    ids=short,
)
def test_the_detail_of_mwaas_event_decides_nothing(stage: Stage, detail: Any) -> None:
    environment = stage.running(stage.vpc(HUB, SPOKE)[1])
    event = status_event(environment)
    event["detail"] |= detail
    line = told(stage, event)
    assert (line["message"], line["actions"], line["correlation_id"]) == ("planned", 0, "status-1")


@pytest.mark.parametrize("time", [None, 7, "", "yesterday", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_the_time_of_an_event_may_be_anything(stage: Stage, time: Any) -> None:
    environment = stage.environment(stage.vpc(HUB, SPOKE)[1], tags={"groundcrew:endpoints": "off"})
    assert told(stage, status_event(environment, time=time))["message"] == "planned"


def test_a_line_cannot_be_forged(scene: Scene) -> None:
    stage, environment = scene
    line = '\n{"level":"INFO","message":"acting"}\r\u2028\x85\n\ud800'
    asked = request(environment) | {"detail-type": line, "source": line, "id": line}
    assert refused(stage, asked) == "UnknownEvent"
    for detail in ({line: 1}, {"environment": {line: 1}}, {"request_id": line, "dry_run": line}):
        assert refused(stage, asking(environment, detail)) == "InvalidRequest"
    assert told(stage, request(environment, request_id=line, dry_run=True))["correlation_id"] == line


@pytest.mark.parametrize("source", ["groundcrew", "groundcrew.request"])
def test_a_forged_observation_deletes_nothing(stage: Stage, source: str) -> None:
    """Whoever may speak in the hub's name: the worker acts on what the APIs say."""
    environment = stage.running(stage.vpc(HUB, SPOKE)[1])
    before = stage.ours()
    detail: dict[str, Any] = (
        {"status": "DELETED", "leftovers": [HUB, SPOKE2, NOBODYS]} if source == "groundcrew" else {}
    )
    kind = "Environment Observed" if source == "groundcrew" else "Endpoint Reconcile Requested"
    event = asking(environment, detail) | {"source": source, "detail-type": kind, "account": HUB}
    assert stage.changes(lambda: stage.work(event)) == []
    assert stage.ours() == before != []
    assert not [call for call in stage.aws.calls("sts:AssumeRole") if NOBODYS in call.attempt.params["RoleArn"]]


# ------------------------------------------------------------------------------------------------------ tags, documents
@pytest.mark.parametrize("name", ["../grants/222222222222", "*", "a\nb", "x" * 256, "défaut", "\ud800"])
def test_a_tag_cannot_name_another_parameter(stage: Stage, name: str) -> None:
    environment = stage.environment(stage.vpc(HUB, SPOKE)[1], tags={"groundcrew:endpoints": name})
    assert refused(stage, status_event(environment)) == "InvalidPolicy"
    assert stage.aws.calls("ssm:*") == []


@pytest.mark.parametrize(
    "document",
    [
        "",
        "{",
        "null",
        "7",
        '{"admit": ["all-traffic"]}',
        '{"admit": null}',
        json.dumps({"x" * 8_000: 1}),
        "[" * 8_000,
        '{"a":' * 2_000 + "1" + "}" * 2_000,
    ],
    ids=short,
)
def test_a_document_that_is_no_policy_stops_the_job(stage: Stage, document: str) -> None:
    environment = stage.environment(stage.vpc(HUB, SPOKE)[1])
    stage.aws.parameters[DEFAULT_POLICY] = document
    assert refused(stage, status_event(environment)) == "InvalidPolicy"


def test_a_tag_cannot_withdraw_another_environments_queue() -> None:
    """The endpoint of an environment that is gone is tagged with the queue of one that lives in the same VPC."""
    living, queue = stories.ARN.replace("data", "other"), stories.QUEUE + "-other"
    tags = stories.OWNER.tags(living, "database") | {"groundcrew:queue": queue}
    others = stories.endpoint(id="vpce-other", tags=tags)
    forged = stories.endpoint(tags=stories.MINE | {"groundcrew:queue": queue})
    sqs = stories.managed(sqs_policy.statement(stories.OWNER.stack_tag, [stories.QUEUE, queue]))
    plan = plan_removal(stories.REF, stories.site(forged, others, sqs), stories.OWNER, "the environment is gone")
    assert stories.every(plan, SetPolicy) == []
    assert [action.ids for action in stories.every(plan, DeleteEndpoints)] == [(forged.id,)]


# -------------------------------------------------------------------------------------------------------- anything else
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([HUB, SPOKE, REGION, "data"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)
ENVELOPE = ["id", "source", "detail-type", "account", "region", "time", "resources", "detail"]
DETAIL = ["environment", "name", "Name", "status", "Status", "leftovers", "request_id", "tags", "dry_run"]
KINDS = st.sampled_from(["status", "request", "observed"])


def sample(kind: str, environment: Environment) -> dict[str, Any]:
    """A valid event of each kind that the worker knows."""
    if kind == "status":
        return deepcopy(status_event(environment))
    event = deepcopy(request(environment))
    if kind == "observed":
        event |= {"source": "groundcrew", "detail-type": "Environment Observed", "account": HUB}
        event["detail"]["status"] = "AVAILABLE"
    return event


def deliver_and_judge(stage: Stage, event: Any) -> None:
    """It is worked on, with a plan for each account that it matters to, or it is refused with one line."""
    first, *more = heard(stage, event)
    if first["message"] == "cannot be done":
        assert (bool(first["cause"] and first["error"]), more) == (True, [])
    else:
        assert {line["message"] for line in (first, *more)} == {"planned"}


def test_any_json_as_a_message(stage: Stage) -> None:
    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(ANYTHING)
    def check(body: Any) -> None:
        assert refused(stage, json.dumps(body)) == "MalformedEvent"

    check()


def test_any_json_anywhere_in_an_event(stage: Stage) -> None:
    environment = stage.running(stage.vpc(HUB, SPOKE)[1])

    @settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        KINDS,
        st.dictionaries(st.sampled_from(ENVELOPE), ANYTHING, max_size=2),
        st.dictionaries(st.sampled_from(DETAIL), ANYTHING, max_size=2) | ANYTHING,
        st.sets(st.sampled_from(ENVELOPE), max_size=1),
        st.booleans(),
    )
    def check(kind: str, envelope: dict[str, Any], detail: Any, missing: set[str], as_text: bool) -> None:
        event = sample(kind, environment)
        event["detail"] = event["detail"] | detail if isinstance(detail, dict) else detail
        event |= envelope
        if as_text:
            event["detail"] = json.dumps(event["detail"])
        deliver_and_judge(stage, {key: value for key, value in event.items() if key not in missing})

    check()


def test_nested_as_deep_as_it_may_be(stage: Stage) -> None:
    """Between what can be read and what can be worked on no depth is in nobody's care."""
    environment = stage.running(stage.vpc(HUB, SPOKE)[1])
    for depth in range(100, 1_100, 100):
        deep = '{"a":' * depth + "1" + "}" * depth
        for kind in ("status", "request", "observed"):
            text = json.dumps(sample(kind, environment))
            for where in ('"id": ', '"name": ', '"time": ', '"region": ', '"status": ', '"environment": '):
                deliver_and_judge(stage, text.replace(where, f'"extra": 1, {where}{deep}, "was": ', 1))
