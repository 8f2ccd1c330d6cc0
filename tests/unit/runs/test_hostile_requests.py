"""Whatever is asked: exactly the orders asked for, or one clear fact that says why there are none."""

import json
import time
import tracemalloc
from collections.abc import Iterator
from copy import deepcopy
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from groundcrew.environment import EnvironmentRef
from tests.support.figures import Figure
from tests.support.runs.desk import Desk, asking, open_desk
from tests.support.stage import HUB, REGION, SPOKE, SPOKE2

BOMB = '{"a":' * 20_000 + "1" + "}" * 20_000
LINE = '\n{"level":"INFO","message":"acting"}\r\u2028\x85\n\ud800'
DAG_IDS = [
    *(
        "",
        " ",
        "nightly load",
        " nightly",
        "nightly ",
        "nightly\n",
        "\nnightly",
        "a\tb",
        "a\x00b",
        "\ufeffa",
        "a\u00a0b",
    ),
    *("night'ly", '"nightly"', "`id`", "$(id)", "a;b", "a; airflow db reset -y", "a&&b", "a|b", "a>b", "a\\b", "a*"),
    *(
        "--conf",
        "-c",
        "--conf={}",
        "-",
        "--",
        "nightly --conf {}",
        "@file",
        "~",
        ".",
        "..",
        "../variables",
        "a/b",
        "a%2fb",
    ),
    *("nächtlich", "夜", "nightly\ud800", "\u202enightly", "\uff4eightly", "x" * 251, "x" * 100_000, "{{ ds }}", LINE),
    *(None, 7, True, ["nightly"], {"dag_id": "nightly"}),
]
RUN_IDS = [
    *(
        "",
        "a b",
        "a/b",
        "a#b",
        "a\n",
        "é",
        "a'b",
        "a;b",
        "..",
        ".",
        "~",
        "-r",
        "--run-id",
        "+",
        "x" * 251,
        "\x00",
        LINE,
    ),
    *(None, 7, ["a"]),
]
TAGS: list[Any] = [[], "team", {}, {"": "x"}, {"x" * 129: "y"}, {"x": "y" * 257}, {"x": None}, {"x": ["y"]}]


def short(value: object) -> str:
    """A test's id."""
    return ascii(value)[:40]


@pytest.fixture(scope="module")
def scene() -> Iterator[Desk]:
    """A desk that no test changes but by requests."""
    with open_desk() as desk:
        desk.fleet()
        yield desk


def cause(desk: Desk, event: Any) -> str:
    """Why it is rejected, which is said in one fact and one line."""
    desk.stage.lines()
    found = desk.cause(event)
    (line,) = desk.stage.lines()
    assert (line["message"], line["cause"]) == ("cannot be done", found)
    return found


# ------------------------------------------------------------------------------------------------------------ bad input
@pytest.mark.parametrize("conf", [None, [], "{}", "", 7, True, [{"a": 1}], "[" * 1_000], ids=short)
def test_conf_that_is_no_object(scene: Desk, conf: Any) -> None:
    assert cause(scene, asking(["orders"], conf=conf)) == "InvalidRequest"


@pytest.mark.parametrize("size", [100_001, 200_000, 1_000_000])
def test_conf_that_is_too_large(scene: Desk, size: int) -> None:
    assert cause(scene, asking(["orders"], conf={"x": "y" * (size - 8)})) == "InvalidRequest"
    assert cause(scene, asking(["orders"], conf={"y" * size: 1})) == "InvalidRequest"


@pytest.mark.parametrize("depth", [51, 100, 400, 900])
def test_conf_that_is_nested_too_deep(scene: Desk, depth: int) -> None:
    for deep in ('{"a":' * depth + "1" + "}" * depth, '{"a":' + "[" * depth + "]" * depth + "}"):
        text = json.dumps(asking(["orders"], conf={})).replace('"conf": {}', f'"conf": {deep}')
        assert cause(scene, text) in ("InvalidRequest", "MalformedEvent")


@pytest.mark.parametrize("dag_id", DAG_IDS, ids=short)
def test_a_dag_id_that_is_none(scene: Desk, dag_id: Any) -> None:
    assert cause(scene, asking(["orders"], dag_id=dag_id)) == "InvalidRequest"


@pytest.mark.parametrize("dag_id", ["x", "nightly.load-2_b", "_hidden", "7", "x" * 250, "a--conf", "dag.py"], ids=short)
def test_a_dag_id_that_is_one(scene: Desk, dag_id: str) -> None:
    assert scene.deliver(asking(["orders"], dag_id=dag_id)) == []
    assert [order.dag_id for order in scene.orders()] == [dag_id]


@pytest.mark.parametrize("run_id", RUN_IDS, ids=short)
def test_a_run_id_that_airflow_does_not_allow(scene: Desk, run_id: Any) -> None:
    assert cause(scene, asking(["orders"], run_id=run_id)) == "InvalidRequest"


@pytest.mark.parametrize("run_id", ["manual__2026-11-18T12:00:00+00:00", "x" * 250, "a~b"], ids=short)
def test_a_run_id_that_airflow_allows(scene: Desk, run_id: str) -> None:
    assert scene.deliver(asking(["orders"], run_id=run_id)) == []
    assert [order.run_id for order in scene.orders()] == [run_id]


@pytest.mark.parametrize(
    "detail",
    [
        *({"request_id": text} for text in ("", "a b", "x" * 201, "a/b", LINE, None, 7)),
        *({"if_paused": text} for text in ("", "REJECT", "delete", None, True, ["queue"])),
        *({"expires_in": number} for number in (0, 59, 43_201, -1, 1e300, 60.5, "600", None, True)),
        *({"wait": text} for text in ("true", 1, None)),
        *({"logical_date": text} for text in ("now", "2026-11-18", 1_795_000_000, None)),
        {"more": 1},
        {LINE: 1},
        {"x" * 250_000: 1},
    ],
    ids=short,
)
def test_what_a_request_cannot_say(scene: Desk, detail: dict[str, Any]) -> None:
    assert cause(scene, asking(["orders"], **detail)) == "InvalidRequest"


@pytest.mark.parametrize(
    "environments",
    [
        *(None, "orders", 7, [], [None], [7], [[]], [{}], ["orders"] * 101, [""], ["1orders"], ["orders/../lab"]),
        *(["orders\n"], ["örders"], ["x" * 81], [LINE], ["*"], ["arn:aws:s3:::bucket"], ["arn:"], ["arn:aws"]),
        [f"arn:aws:airflow:{REGION}:{SPOKE}:environment/orders/x"],
        [f"arn:aws:airflow:{REGION}:{SPOKE}:role/orders/Admin"],
        [{"account": SPOKE, "region": REGION, "name": "orders", "role": "Admin"}],
        [{"account": int(SPOKE), "region": REGION, "name": "orders"}],
        *({"accounts": value} for value in ("*", ["*"], [int(SPOKE)], [None], [LINE], [HUB] * 1_001)),
        *({"tags": tags} for tags in TAGS),
        *({"tags": {"x": "y"}, "all": value} for value in (False, None, "true", 1)),
    ],
    ids=short,
)
def test_environments_that_are_none(scene: Desk, environments: Any) -> None:
    assert cause(scene, asking(environments, HUB)) == "InvalidRequest"


def test_what_is_missing(scene: Desk) -> None:
    for key in ("environments", "dag_id"):
        event = asking(["orders"])
        del event["detail"][key]
        assert cause(scene, event) == "InvalidRequest"


@pytest.mark.parametrize("body", ["", "\x00", "null", "[]", '"x"', "{}", "1" * 10_000, "[" * 100_000, BOMB], ids=short)
def test_what_is_no_event_is_rejected_too(scene: Desk, body: str) -> None:
    detail = scene.refused(body)
    assert (detail["cause"], detail["correlation_id"], "sender" in detail) == ("MalformedEvent", "message-0", False)


@pytest.mark.parametrize("account", ["", "../x", None, {}, "\uff11" * 12, "1" * 10_000], ids=short)
def test_a_sender_that_is_none(scene: Desk, account: Any) -> None:
    assert cause(scene, asking(["orders"]) | {"account": account}) == "MalformedEvent"


def test_a_line_cannot_be_forged(scene: Desk) -> None:
    event = asking(["orders"], note=LINE.replace("\ud800", ""), conf={LINE.replace("\ud800", ""): 1}, request_id="1")
    scene.stage.lines()
    assert scene.deliver(event | {"id": LINE}) == []
    assert (len(scene.orders()), scene.stage.lines()) == (1, [])
    assert cause(scene, event | {"id": LINE, "source": LINE, "detail-type": LINE}) == "UnknownEvent"
    assert cause(scene, asking(["orders"]) | {"id": LINE * 1_000}) == "InvalidRequest"


def test_bad_requests_stop_no_good_ones(scene: Desk) -> None:
    bad = [asking(["orders"], dag_id=dag_id) for dag_id in DAG_IDS[:9]]
    assert scene.deliver(*bad[:5], asking(["orders"]), *bad[5:]) == []
    assert len(scene.ordered()) == 1
    assert len(scene.facts()) == 9


# -------------------------------------------------------------------------------------------------------- anything else
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from([HUB, SPOKE, REGION, "orders"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)
ENVELOPE = ["id", "source", "detail-type", "account", "region", "time", "resources", "detail"]
NAMED = st.sampled_from(
    [
        *("orders", "billing", f"arn:aws:airflow:{REGION}:{SPOKE}:environment/orders"),
        {"account": SPOKE2, "region": REGION, "name": "lab"},
        {"account": SPOKE, "region": "eu-west-3", "name": "orders"},
    ]
)
SELECTORS = st.fixed_dictionaries(
    {},
    optional={
        "accounts": st.lists(st.sampled_from([HUB, SPOKE, SPOKE2, "444444444444"]), max_size=3),
        "regions": st.lists(st.sampled_from([REGION, "eu-west-3"]), max_size=2),
        "tags": st.dictionaries(st.sampled_from(["team", "tier"]), st.sampled_from(["orders", "gold"])),
        "all": st.booleans(),
    },
)
DETAIL: dict[str, st.SearchStrategy[Any]] = {
    "environments": st.lists(NAMED | ANYTHING, max_size=3) | st.lists(NAMED, min_size=1, max_size=4) | SELECTORS,
    "dag_id": st.from_regex(r"[\w.-]{1,250}", fullmatch=True),
    "conf": st.dictionaries(st.text(max_size=9), ANYTHING, max_size=3),
    "run_id": st.from_regex(r"[A-Za-z0-9_.~:+-]+", fullmatch=True),
    "request_id": st.from_regex(r"[A-Za-z0-9_.~:+-]+", fullmatch=True),
    "logical_date": st.datetimes(timezones=st.timezones() | st.none()).map(lambda moment: moment.isoformat()),
    "note": st.text(max_size=20),
    "if_paused": st.sampled_from(["reject", "unpause", "queue"]),
    "expires_in": st.integers(0, 50_000),
    "wait": st.booleans(),
    "more": st.none(),
}
DETAILS = st.lists(st.sampled_from(sorted(DETAIL)), max_size=3).flatmap(
    lambda keys: st.fixed_dictionaries({key: DETAIL[key] | ANYTHING for key in keys})
)
FLEET = {
    EnvironmentRef(HUB, REGION, "tools"): {"team": "platform"},
    EnvironmentRef(SPOKE, REGION, "orders"): {"team": "orders", "tier": "gold"},
    EnvironmentRef(SPOKE, REGION, "billing"): {"team": "billing", "tier": "gold"},
    EnvironmentRef(SPOKE2, REGION, "orders"): {"team": "orders"},
    EnvironmentRef(SPOKE2, REGION, "lab"): {},
}


def meant(event: dict[str, Any]) -> set[EnvironmentRef]:
    """What a valid request asks for, worked out in another way."""
    asked = event["detail"]["environments"]
    if isinstance(asked, dict):
        return {
            ref
            for ref, tags in FLEET.items()
            if ref.account in asked.get("accounts", [ref.account])
            and ref.region in asked.get("regions", [ref.region])
            and asked.get("tags", {}).items() <= tags.items()
        }
    return {
        EnvironmentRef(**named)
        if isinstance(named, dict)
        else EnvironmentRef.from_arn(named)
        if ":" in named
        else EnvironmentRef(event["account"], event["region"], named)
        for named in asked
    }


def judge(desk: Desk, event: Any) -> None:
    """Nothing stays in the queue. Nothing is ordered that was not asked for; what is not ordered is explained."""
    assert desk.deliver(event) == []
    desk.stage.lines()
    orders, facts = desk.orders(), desk.facts()
    assert {kind for kind, _ in facts} <= {"DAG Run Rejected", "Request Denied"}
    if not orders:
        assert facts
        return
    detail = event["detail"] if isinstance(event["detail"], dict) else json.loads(event["detail"])
    event |= {"detail": detail}
    explained = {EnvironmentRef(**fact["environment"]) for _, fact in facts if "environment" in fact}
    ordered = [order.environment for order in orders]
    assert len(set(ordered)) == len(ordered)
    assert set(ordered) <= meant(event)
    assert explained.isdisjoint(ordered)
    if not any("environment" not in fact for _, fact in facts):
        assert explained | set(ordered) == meant(event)
    for order in orders:
        assert event["account"] in (HUB, order.environment.account)
        said = {
            key: getattr(order, key) for key in ("dag_id", "conf", "run_id", "request_id", "note", "if_paused", "wait")
        }
        assert said == {"conf": {}, "note": "", "if_paused": "reject", "wait": False} | {
            "request_id": detail.get("request_id", event["id"]),
            "run_id": f"groundcrew__{detail.get('request_id', event['id'])}",
        } | {key: detail[key] for key in said if key in detail}


@pytest.mark.parametrize("sender", [HUB, SPOKE])
def test_any_detail(scene: Desk, sender: str) -> None:
    seen = {"orders": 0, "facts": 0}

    @settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(DETAILS | ANYTHING)
    def check(detail: Any) -> None:
        event = asking(["orders"], sender)
        event["detail"] = event["detail"] | detail if isinstance(detail, dict) else detail
        before = len(scene.stage.aws.calls("sqs:SendMessageBatch"))
        judge(scene, event)
        seen["orders" if len(scene.stage.aws.calls("sqs:SendMessageBatch")) > before else "facts"] += 1

    check()
    assert min(seen.values()) > 20


def test_any_json_anywhere_in_an_event(scene: Desk) -> None:
    @settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        st.dictionaries(st.sampled_from(ENVELOPE), ANYTHING, max_size=2),
        DETAILS | ANYTHING,
        st.sets(st.sampled_from(ENVELOPE), max_size=1),
        st.booleans(),
    )
    def check(envelope: dict[str, Any], detail: Any, missing: set[str], as_text: bool) -> None:
        event = deepcopy(asking(["orders"], HUB))
        event["detail"] = event["detail"] | detail if isinstance(detail, dict) else detail
        event |= envelope
        if as_text:
            event["detail"] = json.dumps(event["detail"])
        judge(scene, {key: value for key, value in event.items() if key not in missing})

    check()


def test_any_json_as_a_message(scene: Desk) -> None:
    @settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(ANYTHING)
    def check(body: Any) -> None:
        assert cause(scene, json.dumps(body)) == "MalformedEvent"

    check()


@pytest.mark.parametrize("key", ["id", "detail", "environments", "dag_id", "request_id", "run_id", "conf"])
def test_nested_as_deep_as_it_may_be(scene: Desk, key: str) -> None:
    """Between what can be read and what can be worked on no depth is in nobody's care."""
    text = json.dumps(asking(["orders"], request_id="1", run_id="1", conf={}))
    for depth in range(20, 1_100, 60):
        deep = '{"a":' * depth + "1" + "}" * depth
        for more in (
            f'"{key}": {deep}, "{key}": ',
            f'"{key}": {deep}, "was": ',
        ):  # of a doubled key the last one counts
            assert scene.deliver(text.replace(f'"{key}": ', more, 1)) == []
            assert len(scene.orders()) + len(scene.facts()) == 1


# --------------------------------------------------------------------------------------------------------- many at once
def test_many_requests_cost_little_each(figure: Figure) -> None:
    number = 2_000
    with open_desk() as desk:
        asked = [asking(["orders"], conf={"n": n}, request_id=str(n)) for n in range(number)]
        started = time.process_time()
        for start in range(0, number, 10):
            assert desk.deliver(*asked[start : start + 10]) == []
        spent = time.process_time() - started
        assert [order.request_id for order in desk.orders()] == [str(n) for n in range(number)]
    figure("processor microseconds, router, a request of 2,000 at once", round(spent / number * 1e6))
    assert spent / number < 0.01


def test_the_largest_request_takes_little_memory(desk: Desk, figure: Figure) -> None:
    """100 orders of 100 kB are 10 MB: they are made as they are sent."""
    taken: list[int] = []

    def take(_url: str, entries: list[dict[str, Any]]) -> dict[str, Any]:
        desk.stage.aws.journal.clear()
        taken.append(len(entries))
        return {"Successful": [], "Failed": []}

    event = asking([f"orders-{number}" for number in range(100)], conf={"x": "y" * 99_000})
    with mock.patch.object(desk.stage.aws.small, "_send_batch", take):
        desk.deliver(asking(["orders"]))
        taken.clear()
        tracemalloc.start()
        try:
            assert desk.deliver(event) == []
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert sum(taken) == 100
    figure("kB of memory, router, 100 orders of 100 kB each", peak // 1_000)
    assert peak < 5_000_000
