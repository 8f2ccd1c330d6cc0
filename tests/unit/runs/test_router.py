"""The router, from a request to its orders and facts: one order for each environment, or one fact that says why not."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest

from groundcrew.aws import airflow
from localcloud.inprocess.faults import Attempt, Kind
from localcloud.model.errors import AwsError
from tests.support.runs.desk import ORDERS, TIME, Desk, asking, open_desk
from tests.support.stage import HUB, REGION, SETTINGS, SPOKE, SPOKE2

MINE = f"{SPOKE}/{REGION}/orders"
ALL = [
    f"{HUB}/{REGION}/tools",
    f"{SPOKE}/{REGION}/billing",
    MINE,
    f"{SPOKE2}/{REGION}/lab",
    f"{SPOKE2}/{REGION}/orders",
]


def grant(desk: Desk, account: str, *environments: str, request: str = "DAG Run Requested") -> None:
    document = {"environments": environments, "requests": [request]}
    desk.stage.aws.parameters[f"/groundcrew/grants/{account}"] = json.dumps(document)


def about(name: str, account: str = SPOKE) -> dict[str, str]:
    return {"account": account, "region": REGION, "name": name}


def of(account: str) -> Callable[[Attempt], bool]:
    return lambda attempt: attempt.account == account


def role_of(account: str) -> Callable[[Attempt], bool]:
    return lambda attempt: f":{account}:" in attempt.params["RoleArn"]


# --------------------------------------------------------------------------------------------------------------- orders
def test_each_environment_gets_one_order(desk: Desk) -> None:
    assert desk.deliver(asking(["orders", "billing", "orders"], conf={"a": 1}, wait=True)) == []
    first, second = desk.orders()
    assert (str(first.environment), first.conf, first.wait) == (MINE, {"a": 1}, True)
    assert replace(second, environment=first.environment) == first
    assert desk.facts() == []


def test_an_order_is_a_message_that_says_where_it_comes_from(desk: Desk) -> None:
    desk.deliver(asking(["orders"], HUB) | {"id": "event-1", "region": "eu-west-3"}, asking(["orders"]))
    body = json.loads(desk.stage.aws.small.messages[-1]["MessageBody"])
    assert {key: body[key] for key in ("id", "source", "detail-type", "account", "region", "time")} == {
        "id": "request-1",
        "source": "groundcrew",
        "detail-type": "DAG Run Ordered",
        "account": SPOKE,
        "region": REGION,
        "time": TIME.replace("Z", "+00:00"),
    }


def test_named_environments_cost_one_call(desk: Desk) -> None:
    """Whether an environment exists is seen by the worker, who looks anyway."""
    calls = desk.stage.calls(lambda: desk.deliver(asking([f"orders-{number}" for number in range(10)])))
    assert [call.operation for call in calls] == ["sqs:SendMessageBatch"]
    assert desk.stage.aws.calls("ssm:*") == []


@pytest.mark.parametrize(("number", "batches"), [(1, 1), (10, 1), (11, 2), (100, 10)])
def test_orders_go_in_batches_of_ten(desk: Desk, number: int, batches: int) -> None:
    desk.deliver(asking([f"orders-{n}" for n in range(number)]))
    assert len(desk.stage.aws.calls("sqs:SendMessageBatch")) == batches
    assert len(set(desk.ordered())) == number


def test_large_orders_go_in_smaller_batches(desk: Desk) -> None:
    assert desk.deliver(asking([f"orders-{n}" for n in range(10)], conf={"x": "y" * 90_000})) == []
    assert len(desk.stage.aws.calls("sqs:SendMessageBatch")) == 5
    assert len(desk.ordered()) == 10


def test_the_same_event_again_is_the_same_order(desk: Desk) -> None:
    desk.deliver(asking(["orders"]), asking(["orders"]))
    first, second = desk.orders()
    assert first == second


# ------------------------------------------------------------------------------------------------------------ selectors
@pytest.mark.parametrize(
    ("selector", "meant"),
    [
        ({"all": True}, ALL),
        ({"accounts": [SPOKE]}, [f"{SPOKE}/{REGION}/billing", MINE]),
        ({"accounts": [SPOKE, SPOKE2], "tags": {"team": "orders"}}, [MINE, f"{SPOKE2}/{REGION}/orders"]),
        ({"tags": {"team": "orders", "tier": "gold"}}, [MINE]),
        ({"tags": {"tier": "gold"}, "regions": [REGION]}, [f"{SPOKE}/{REGION}/billing", MINE]),
    ],
)
def test_a_selector_means_what_matches_it(desk: Desk, selector: dict[str, Any], meant: list[str]) -> None:
    assert desk.deliver(asking(selector, HUB)) == []
    assert (desk.ordered(), desk.facts()) == (meant, [])


def test_only_what_is_needed_is_looked_at(desk: Desk) -> None:
    def operations(selector: dict[str, Any]) -> list[str]:
        calls = desk.stage.calls(lambda: desk.deliver(asking(selector, HUB)))
        return sorted(call.operation.split(":")[1] for call in calls if call.operation.startswith("airflow:"))

    assert operations({"accounts": [SPOKE]}) == ["ListEnvironments"]
    assert operations({"all": True}) == ["ListEnvironments"] * 3
    assert operations({"accounts": [SPOKE], "tags": {"x": "y"}}) == ["GetEnvironment"] * 2 + ["ListEnvironments"]


def test_a_batch_looks_once(desk: Desk) -> None:
    asked = [asking({"tags": {"team": "orders"}}, HUB, request_id=str(number)) for number in range(10)]
    calls = desk.stage.calls(lambda: desk.deliver(*asked))
    assert sum(call.operation.startswith("airflow:") for call in calls) == 3 + 5
    assert len(desk.ordered()) == 20


def test_all_pages_and_all_regions() -> None:
    with open_desk(replace(SETTINGS, spoke_regions=(REGION, "eu-west-3"))) as desk:
        for number in range(30):
            desk.environment(SPOKE, f"data-{number:02}", team="a")
        desk.environment(SPOKE, "data", "eu-west-3", team="a")
        desk.deliver(asking({"tags": {"team": "a"}}, HUB))
        assert len(desk.ordered()) == 31
        desk.deliver(asking({"regions": ["eu-west-3"]}, HUB))
        assert desk.ordered() == [f"{SPOKE}/eu-west-3/data"]


def test_tags_are_neither_announced_nor_logged(desk: Desk) -> None:
    desk.environment(SPOKE, "private", secret="hunter2")
    desk.deliver(asking({"tags": {"secret": "hunter2"}}, HUB), asking({"tags": {"secret": "hunter3"}}, HUB))
    assert desk.ordered() == [f"{SPOKE}/{REGION}/private"]
    desk.stage.sweep()
    assert "hunter" not in desk.stage.log.getvalue() + str(desk.stage.aws.events)


@pytest.mark.parametrize(
    ("selector", "cause"),
    [
        ({}, "EmptySelector"),
        ({"accounts": [HUB, SPOKE, SPOKE2]}, "SelectsEverything"),
        ({"regions": [REGION]}, "SelectsEverything"),
        ({"tags": {"team": "nobody"}}, "NothingSelected"),
        ({"accounts": ["444444444444"]}, "NotConfigured"),
        ({"regions": ["eu-west-3"], "tags": {"team": "orders"}}, "NotConfigured"),
        ({"all": False}, "InvalidRequest"),
        ({"all": 1}, "InvalidRequest"),
        ({"tags": {}}, "InvalidRequest"),
        ({"accounts": []}, "InvalidRequest"),
        ({"tags": {"team": ["orders"]}}, "InvalidRequest"),
        ({"names": ["orders"]}, "InvalidRequest"),
    ],
)
def test_a_selector_that_cannot_be_meant(desk: Desk, selector: dict[str, Any], cause: str) -> None:
    assert desk.cause(asking(selector, HUB)) == cause


def test_an_account_that_is_not_looked_after_stops_no_other(desk: Desk) -> None:
    desk.deliver(asking({"accounts": [SPOKE, "444444444444"]}, HUB))
    assert len(desk.ordered()) == 2
    ((kind, detail),) = desk.facts()
    assert (kind, detail["cause"]) == ("DAG Run Rejected", "NotConfigured")
    assert "444444444444" in detail["evidence"]


# ---------------------------------------------------------------------------------------------------------- who may ask
@pytest.mark.parametrize("sender", [SPOKE, HUB])
def test_the_environments_account_and_the_hub_may_ask(desk: Desk, sender: str) -> None:
    desk.deliver(asking([about("orders")], sender))
    assert desk.ordered() == [MINE]


def test_others_may_not(desk: Desk) -> None:
    desk.deliver(asking([about("orders"), "lab"], SPOKE2))
    assert desk.ordered() == [f"{SPOKE2}/{REGION}/lab"]
    ((kind, detail),) = desk.facts()
    assert (kind, detail["sender"], detail["environment"]) == ("Request Denied", SPOKE2, about("orders"))
    assert desk.stage.log.getvalue().count('"cause":"RequestDenied"') == 1


def test_a_grant_lets_others_ask_for_what_it_names(desk: Desk) -> None:
    grant(desk, SPOKE2, f"{SPOKE}/*/orders")
    desk.deliver(asking([about("orders"), about("billing")], SPOKE2))
    assert desk.ordered() == [MINE]
    ((kind, detail),) = desk.facts()
    assert (kind, detail["environment"]) == ("Request Denied", about("billing"))


def test_a_grant_for_something_else_is_none(desk: Desk) -> None:
    grant(desk, SPOKE2, "*", request="Endpoint Reconcile Requested")
    assert desk.refused(asking([about("orders")], SPOKE2), "Request Denied")["environment"] == about("orders")


def test_a_selector_selects_what_its_sender_may_ask_for(desk: Desk) -> None:
    grant(desk, SPOKE2, f"{SPOKE}/*/orders")
    desk.deliver(asking({"tags": {"tier": "gold"}}, SPOKE2))
    assert desk.ordered() == [MINE]
    assert [(kind, detail["environment"]["name"]) for kind, detail in desk.facts()] == [("Request Denied", "billing")]


def test_nobody_has_a_fleet_searched_that_is_not_theirs(desk: Desk) -> None:
    calls = desk.stage.calls(lambda: desk.deliver(asking({"all": True}, SPOKE)))
    assert [call.attempt.account for call in calls if call.operation.startswith("airflow:")] == [SPOKE]
    assert desk.ordered() == [f"{SPOKE}/{REGION}/billing", MINE]
    ((kind, detail),) = desk.facts()
    assert (kind, "environment" in detail, detail["sender"]) == ("Request Denied", False, SPOKE)
    desk.deliver(asking({"accounts": [SPOKE], "tags": {"team": "orders"}}, SPOKE))
    assert (desk.ordered(), desk.facts()) == ([MINE], [])


def test_a_grant_that_is_not_valid_stops_loudly(desk: Desk) -> None:
    for document in ("nonsense", '{"environments": "*"}'):
        desk.stage.aws.parameters[f"/groundcrew/grants/{SPOKE2}"] = document
        assert desk.cause(asking([about("orders")], SPOKE2)) == "InvalidPolicy"


def test_a_batch_reads_a_grant_once(desk: Desk) -> None:
    grant(desk, SPOKE2, "*")
    desk.deliver(*[asking([about("orders"), about("billing")], SPOKE2)] * 5)
    assert (len(desk.ordered()), len(desk.stage.aws.calls("ssm:*"))) == (10, 1)


@pytest.mark.parametrize("change", [{"account": "444444444444"}, {"region": "eu-west-3"}])
def test_an_environment_that_is_not_looked_after(desk: Desk, change: dict[str, str]) -> None:
    environment = about("orders") | change
    detail = desk.refused(asking([environment], HUB))
    assert (detail["cause"], detail["environment"], detail["run_id"]) == (
        "NotConfigured",
        environment,
        "groundcrew__request-1",
    )


@pytest.mark.parametrize(
    ("source", "detail_type"),
    [
        ("groundcrew", "DAG Run Requested"),
        ("groundcrew", "DAG Run Ordered"),
        ("groundcrew.airflow", "DAG Run State Change"),
        ("groundcrew.request", "Endpoint Reconcile Requested"),
        ("aws.airflow", "MWAA Environment Status Change"),
    ],
)
def test_other_events_are_no_requests(desk: Desk, source: str, detail_type: str) -> None:
    event = asking(["orders"], HUB) | {"source": source, "detail-type": detail_type}
    assert desk.cause(event) == "UnknownEvent"


# ---------------------------------------------------------------------------------------------------------- report mode
def test_in_report_mode_orders_are_announced_and_not_sent() -> None:
    with open_desk(replace(SETTINGS, mode="report")) as desk:
        desk.fleet()
        desk.deliver(asking(["orders"], request_id="ticket-1"), asking({"tags": {"team": "nobody"}}, HUB))
        assert desk.stage.aws.calls("sqs:*") == []
        (planned, detail), (rejected, _) = desk.facts()
        assert (planned, rejected) == ("DAG Run Planned", "DAG Run Rejected")
        assert detail == {
            "environment": about("orders"),
            "dag_id": "nightly",
            "run_id": "groundcrew__ticket-1",
            "request_id": "ticket-1",
            "correlation_id": "request-1",
        }


# ------------------------------------------------------------------------------------------------- what does not answer
@pytest.mark.parametrize("operation", ["airflow:ListEnvironments", "airflow:GetEnvironment"])
def test_a_place_that_does_not_answer_now_stops_no_other_and_brings_the_request_back(
    desk: Desk, operation: str
) -> None:
    event = asking({"tags": {"team": "orders"}}, HUB)
    rule = desk.stage.aws.faults.add(Kind.THROTTLED, operation, nth=None, where=of(SPOKE2))
    assert desk.deliver(event) == ["message-0"]
    assert rule.fired
    assert desk.ordered() == [MINE]
    desk.stage.aws.faults.rules.remove(rule)
    assert desk.deliver(event) == []
    assert desk.ordered() == [MINE, f"{SPOKE2}/{REGION}/orders"]
    assert desk.facts() == []


def test_refusals_are_said_when_there_is_nothing_left_to_try_again(desk: Desk) -> None:
    event = asking({"tags": {"team": "orders"}}, SPOKE)
    rule = desk.stage.aws.faults.add(Kind.SERVER_ERROR, "airflow:ListEnvironments", nth=None)
    assert desk.deliver(event) == ["message-0"]
    assert (desk.ordered(), desk.facts()) == ([], [])
    desk.stage.aws.faults.rules.remove(rule)
    assert desk.deliver(event) == []
    assert desk.ordered() == [MINE]
    assert [kind for kind, _ in desk.facts()] == ["Request Denied"]


def test_a_request_comes_back_until_it_expires(desk: Desk) -> None:
    """A Region without MWAA never answers: then the rest is said, and the message is done."""
    long_ago = "2026-01-01T00:00:00Z"
    event = asking({"tags": {"team": "orders"}}, HUB) | {"time": long_ago}
    rule = desk.stage.aws.faults.add(Kind.SERVER_ERROR, "airflow:ListEnvironments", nth=None, where=of(SPOKE2))
    assert desk.deliver(event) == []
    assert rule.fired
    assert desk.ordered() == [MINE]
    [(kind, detail)] = desk.facts()
    assert (kind, detail["cause"]) == ("DAG Run Rejected", "Expired")
    assert SPOKE2 in detail["evidence"]


def test_a_place_without_the_role_stops_no_other_and_is_announced(desk: Desk) -> None:
    desk.stage.aws.faults.add(Kind.DENIED, "sts:AssumeRole", nth=None, where=role_of(SPOKE2))
    assert desk.deliver(asking({"tags": {"team": "orders"}}, HUB)) == []
    assert desk.ordered() == [MINE]
    ((kind, detail),) = desk.facts()
    assert (kind, detail["cause"]) == ("DAG Run Rejected", "SpokeRoleUnavailable")
    assert f"account {SPOKE2}" in detail["evidence"]


def test_an_environment_that_may_not_be_read_is_announced(desk: Desk) -> None:
    def lab(attempt: Attempt) -> bool:
        return attempt.params.get("Name") == "lab"

    desk.stage.aws.faults.add(Kind.DENIED, "airflow:GetEnvironment", nth=None, where=lab)
    assert desk.deliver(asking({"tags": {"team": "orders"}}, HUB)) == []
    assert len(desk.ordered()) == 2
    ((_, detail),) = desk.facts()
    assert (detail["cause"], detail["environment"]) == ("AccessDeniedException", about("lab", SPOKE2))


def test_an_environment_deleted_between_list_and_look_is_none(desk: Desk) -> None:
    names = desk.stage.aws.mwaa.names
    with mock.patch.object(
        desk.stage.aws.mwaa, "names", lambda *args: {"Environments": [*names(*args)["Environments"], "ghost"]}
    ):
        assert desk.deliver(asking({"tags": {"team": "orders"}}, HUB)) == []
    assert (len(desk.ordered()), desk.facts()) == (2, [])


@pytest.mark.parametrize("kind", [Kind.THROTTLED, Kind.SERVER_ERROR, Kind.DENIED, Kind.RESET_BEFORE], ids=str)
@pytest.mark.parametrize("operation", ["sqs:SendMessageBatch", "events:PutEvents", "ssm:GetParameter"])
def test_nothing_is_lost_by_a_trouble_of_our_own(desk: Desk, operation: str, kind: Kind) -> None:
    """A missing permission too: the request becomes a dead letter that can be redriven."""
    event = asking([about("orders"), "lab"], SPOKE2)
    rule = desk.stage.aws.faults.add(kind, operation, nth=None)
    assert desk.deliver(event) == ["message-0"]
    assert rule.fired
    desk.stage.aws.faults.rules.remove(rule)
    desk.orders()
    assert desk.deliver(event) == []
    assert desk.ordered() == [f"{SPOKE2}/{REGION}/lab"]
    assert [kind for kind, _ in desk.facts()] == ["Request Denied"]


def test_a_queue_that_is_gone_loses_nothing(desk: Desk) -> None:
    gone = AwsError("AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist.")
    with mock.patch.object(desk.stage.aws.small, "_send_batch", side_effect=gone):
        assert desk.deliver(asking(["orders"])) == ["message-0"]


def test_a_message_of_a_batch_that_is_not_taken_brings_the_request_back(desk: Desk) -> None:
    def partly(_url: str, entries: list[dict[str, Any]]) -> dict[str, Any]:
        failed = {"Id": entries[0]["Id"], "SenderFault": False, "Code": "InternalError", "Message": "sorry"}
        return {"Successful": [], "Failed": [failed]}

    with mock.patch.object(desk.stage.aws.small, "_send_batch", partly):
        assert desk.deliver(asking(["orders"]), "nonsense") == ["message-0"]
    assert "1 messages were not taken by groundcrew-runs: InternalError" in desk.stage.log.getvalue()


def test_a_mistake_of_ours_keeps_the_request(desk: Desk) -> None:
    with mock.patch.object(airflow, "list_environments", side_effect=KeyError("Environments")):
        assert desk.deliver(asking({"all": True}, HUB), asking(["orders"])) == ["message-0"]
    assert desk.ordered() == [MINE]


def test_orders_go_to_the_queue_of_the_settings(desk: Desk) -> None:
    desk.deliver(asking(["orders"]))
    assert {message["QueueUrl"] for message in desk.stage.aws.small.messages} == {ORDERS}
