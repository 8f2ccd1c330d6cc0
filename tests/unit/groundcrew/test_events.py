import json
from datetime import UTC, datetime
from typing import Any

import pytest

from groundcrew.environment import EnvironmentRef
from groundcrew.errors import PermanentError
from groundcrew.events import Envelope, Fact, environment_of, moment, schema, validate

REF = EnvironmentRef("222222222222", "us-east-1", "data")
ABOUT = {"account": "222222222222", "region": "us-east-1", "name": "data"}


def event(detail: Any, **more: Any) -> dict[str, Any]:
    return {
        "id": "1",
        "source": "aws.airflow",
        "detail-type": "MWAA Environment Status Change",
        "account": "222222222222",
        "region": "us-east-1",
        "time": "2026-11-22T12:00:00Z",
        "resources": [],
        "detail": detail,
    } | more


def read(detail: Any, **more: Any) -> Envelope:
    return Envelope.read(event(detail, **more))


def request(detail: Any, detail_type: str = "Endpoint Reconcile Requested", **more: Any) -> Envelope:
    return read(detail, **{"source": "groundcrew.request", "detail-type": detail_type}, **more)


# --------------------------------------------------------------------------------------------------------- the envelope
def test_a_detail_as_a_string_is_read() -> None:
    assert read(json.dumps({"name": "data"})) == read({"name": "data"})


@pytest.mark.parametrize("resources", [None, []])
def test_resources_may_be_missing(resources: object) -> None:
    assert read({}, resources=resources).resources == ()


@pytest.mark.parametrize("missing", ["id", "source", "detail-type", "account", "region", "detail"])
def test_what_lacks_a_part_is_no_event(missing: str) -> None:
    incomplete = event({})
    del incomplete[missing]
    with pytest.raises(PermanentError) as caught:
        Envelope.read(incomplete)
    assert caught.value.cause == "MalformedEvent"


@pytest.mark.parametrize("body", [None, [], "text", 1, event("not json"), event([]), event("[]"), event(None)])
def test_what_is_no_event_is_refused_in_one_way(body: object) -> None:
    with pytest.raises(PermanentError) as caught:
        Envelope.read(body)
    assert caught.value.cause == "MalformedEvent"


# ----------------------------------------------------------------------------------------------------- MWAA's own event
@pytest.mark.parametrize("key", ["name", "Name", "environmentName"])
def test_mwaa_may_write_the_name_in_either_casing(key: str) -> None:
    assert environment_of(read({key: "data"})) == REF


def test_mwaa_may_name_the_environment_in_the_resources_only() -> None:
    assert environment_of(read({"status": "PENDING"}, resources=[REF.arn("aws-cn")])) == REF


def test_other_resources_are_ignored() -> None:
    assert environment_of(read({"name": "data"}, resources=["arn:aws:s3:::bucket"])) == REF


def test_an_mwaa_event_that_names_nothing_is_refused() -> None:
    with pytest.raises(PermanentError, match="names no environment"):
        environment_of(read({}))


@pytest.mark.parametrize("name", [1, ["data"], {"a": 1}, "../other", "a" * 100_000])
def test_an_mwaa_event_with_an_impossible_name_is_refused(name: object) -> None:
    with pytest.raises(PermanentError) as caught:
        environment_of(read({"name": name}))
    assert (caught.value.cause, len(caught.value.what) < 300) == ("InvalidEnvironment", True)


@pytest.mark.parametrize(
    "resource",
    [
        "arn:aws:airflow:us-east-1:333333333333:environment/data",
        "arn:aws:airflow:eu-west-3:222222222222:environment/data",
        "arn:aws:airflow:us-east-1:222222222222:environment/other",
    ],
)
def test_an_mwaa_event_about_somebody_elses_resource_is_forged(resource: str) -> None:
    with pytest.raises(PermanentError) as caught:
        environment_of(read({"name": "data"}, resources=[resource]))
    assert caught.value.cause == "ForgedEvent"


# ------------------------------------------------------------------------------------------------------- our own events
def test_a_request_names_its_environment() -> None:
    asked = request({"environment": ABOUT, "dry_run": True, "request_id": "ticket-1"}, account="333333333333")
    validate(asked)
    assert environment_of(asked) == REF


@pytest.mark.parametrize("region", ["us-gov-west-1", "us-isob-east-1", "eusc-de-east-1", "ap-southeast-10"])
def test_a_request_may_be_for_any_region(region: str) -> None:
    asked = request({"environment": ABOUT | {"region": region}})
    validate(asked)
    assert environment_of(asked).region == region


@pytest.mark.parametrize(
    "detail",
    [
        {},
        {"environment": ABOUT | {"region": "us-1"}},
        {"environment": ABOUT | {"region": "us-east-100"}},
        {"environment": None},
        {"environment": {}},
        {"environment": ABOUT | {"account": "1"}},
        {"environment": ABOUT | {"name": "a" * 81}},
        {"environment": ABOUT | {"more": "1"}},
        {"environment": ABOUT, "dry_run": "yes"},
        {"environment": ABOUT, "request_id": ""},
        {"environment": ABOUT, "leftovers": ["111111111111"]},
    ],
)
def test_a_request_that_breaks_its_schema_is_refused(detail: dict[str, Any]) -> None:
    with pytest.raises(PermanentError) as caught:
        validate(request(detail))
    assert caught.value.cause == "InvalidRequest"


@pytest.mark.parametrize("detail_type", ["", "Nothing Requested", "../Grants", "policies/endpoints", "x" * 100_000])
def test_an_event_nobody_knows_is_refused(detail_type: str) -> None:
    with pytest.raises(PermanentError) as caught:
        validate(request({"environment": ABOUT}, detail_type))
    assert (caught.value.cause, len(caught.value.what) < 300) == ("UnknownEvent", True)


@pytest.mark.parametrize("detail", [{}, {"environment": "data"}, {"name": "data"}])
def test_an_event_of_ours_without_an_environment_is_refused(detail: dict[str, Any]) -> None:
    """A detail type whose schema asks for none, from a source that must name one."""
    with pytest.raises(PermanentError, match="names no environment"):
        environment_of(request(detail, "MWAA Environment Status Change"))


def test_a_schema_is_read_once() -> None:
    assert schema("endpoints-ready.json") is schema("endpoints-ready.json")


def test_a_fact_names_its_environment_if_it_has_one() -> None:
    assert Fact("Endpoints Ready", REF, {"endpoints": {}}).as_detail() == {"environment": ABOUT, "endpoints": {}}
    assert Fact("Environment Needs Attention", None, {"cause": "x"}).as_detail() == {"cause": "x"}


@pytest.mark.parametrize("text", [None, "", "yesterday", 5])
def test_an_event_without_a_time_is_taken_to_happen_now(text: object) -> None:
    before = datetime.now(UTC)
    assert before <= moment(text) <= datetime.now(UTC)


@pytest.mark.parametrize("text", ["2026-11-22T12:00:00Z", "2026-11-22T12:00:00", "2026-11-22T13:00:00+01:00"])
def test_an_event_says_when_it_happened(text: str) -> None:
    assert moment(text) == datetime(2026, 11, 22, 12, tzinfo=UTC)
