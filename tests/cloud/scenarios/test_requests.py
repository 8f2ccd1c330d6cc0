"""Who may ask for what, and what comes of it."""

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localcloud.installation import HUB, REGION
from tests.cloud.scenarios.deployed import OTHER, SPOKE, Deployed

ROOT = Path(__file__).resolve().parents[3]
SAMPLE = json.loads((ROOT / "events/endpoint-reconcile-requested.json").read_text())


@pytest.mark.parametrize("sender", [SPOKE, HUB])
def test_its_own_account_and_the_hub_may_ask(groundcrew: Deployed, sender: str) -> None:
    with groundcrew.switched(mwaa_event_delivery="drop"):
        environment = groundcrew.environment(SPOKE)
        groundcrew.until_status(environment, "PENDING")
        groundcrew.request(environment, sender)
        groundcrew.until_right(environment)


def test_another_account_is_denied_until_there_is_a_grant(groundcrew: Deployed) -> None:
    with groundcrew.switched(mwaa_event_delivery="drop"):
        environment = groundcrew.environment(SPOKE)
        groundcrew.until_status(environment, "PENDING")
        groundcrew.request(environment, OTHER)
        denied = groundcrew.until_fact("Request Denied", environment)["detail"]
        assert (denied["sender"], denied["request"]) == (OTHER, "Endpoint Reconcile Requested")
        groundcrew.until_idle()
        assert environment.endpoints() == []
        assert groundcrew.calls(environment) == []
        grant = {"requests": ["Endpoint Reconcile Requested"], "environments": [f"{SPOKE}/*"]}
        ssm = groundcrew.aws.client("ssm", HUB)
        ssm.put_parameter(Name=f"/groundcrew/grants/{OTHER}", Type="String", Value=json.dumps(grant))
        try:
            groundcrew.request(environment, OTHER)
            groundcrew.until_right(environment)
        finally:
            ssm.delete_parameter(Name=f"/groundcrew/grants/{OTHER}")


def test_a_dry_run_announces_the_plan_and_changes_nothing(groundcrew: Deployed) -> None:
    with groundcrew.switched(mwaa_event_delivery="drop"):
        environment = groundcrew.environment(SPOKE)
        groundcrew.until_status(environment, "PENDING")
        since = groundcrew.cloud.next_call()
        groundcrew.request(environment, dry_run=True)
        (plan,) = groundcrew.until_fact("Endpoints Planned", environment)["detail"]["plans"]
        groundcrew.until_idle()
    assert [action["action"] for action in plan["actions"]] == ["CreateGroup", "Admit", *["CreateEndpoint"] * 2]
    assert all(action["reason"] for action in plan["actions"])
    assert environment.endpoints() == environment.groups() == []
    assert groundcrew.cloud.calls(since, role="groundcrew-network") == []


def test_invoked_with_the_sample_the_function_answers_with_the_plan(groundcrew: Deployed) -> None:
    sample: dict[str, Any] = SAMPLE["detail"]["environment"]
    with groundcrew.switched(mwaa_event_delivery="drop"):
        environment = groundcrew.environment(sample["account"], name=sample["name"])
        assert environment.ref == sample
        groundcrew.until_status(environment, "PENDING")
        answer = groundcrew.invoke("endpoints", SAMPLE)
    assert answer["status"] == "PENDING"
    (plan,) = answer["plans"]
    assert plan["account"] == HUB
    assert [action["action"] for action in plan["actions"]] == ["CreateGroup", "Admit", *["CreateEndpoint"] * 2]
    assert environment.endpoints() == []


@pytest.mark.parametrize(
    "detail",
    [
        {},
        {"environment": "orders"},
        {"environment": {"account": SPOKE, "region": REGION, "name": "../x"}},
        {"environment": {"account": SPOKE, "region": REGION, "name": "orders"}, "force": True},
    ],
)
def test_a_malformed_request_leads_to_one_line_and_no_dead_letter(groundcrew: Deployed, detail: Any) -> None:
    since, refused = groundcrew.cloud.next_call(), groundcrew.logged("cannot be done")
    groundcrew.put(SPOKE, "groundcrew.request", "Endpoint Reconcile Requested", detail)
    groundcrew.until(lambda: groundcrew.logged("cannot be done") > refused, "the line")
    groundcrew.until_idle()
    assert groundcrew.logged("cannot be done") == refused + 1
    assert groundcrew.cloud.calls(since, role="groundcrew-(observer|network)") == []


def put_fact(client: Any, bus: str) -> str:
    """What becomes of an attempt to announce something in Groundcrew's name."""
    detail = json.dumps({"environment": {"account": SPOKE, "region": REGION, "name": "orders"}, "status": "DELETED"})
    entry = {"Source": "groundcrew", "DetailType": "Environment Observed", "Detail": detail, "EventBusName": bus}
    try:
        answer = client.put_events(Entries=[entry])
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return str(answer["Entries"][0].get("ErrorCode", ""))


def test_facts_cannot_be_forged(groundcrew: Deployed) -> None:
    bus = f"arn:aws:events:{REGION}:{HUB}:event-bus/groundcrew"
    root = groundcrew.aws.client("events", SPOKE)
    forwarder = groundcrew.aws.as_role("events", f"arn:aws:iam::{SPOKE}:role/groundcrew/groundcrew-forward-{REGION}")
    heard = len(groundcrew.facts("Environment Observed"))
    assert put_fact(root, bus)  # not through the forwarding rule
    assert put_fact(forwarder, bus)  # through its role, but with this source
    assert put_fact(root, "default") == ""  # on its own bus it may; nobody forwards it
    groundcrew.until_idle()
    groundcrew.cloud.advance(5)
    assert len(groundcrew.facts("Environment Observed")) == heard
    assert groundcrew.cloud.failures() == []
