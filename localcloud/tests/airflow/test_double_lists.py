"""The double's lists against the real ones: the same entries, the same questions, and the same answers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from exports.outside_routes import ROUTES, Route
from localcloud.airflow.postgres import query
from localcloud.model.airflow import Airflow
from localcloud.model.airflow_state import Listed
from localcloud.model.airflow_v2_lists import LISTS, RUNS
from localcloud.testing.airflows import live
from localcloud.testing.api_server import Served, serving
from localcloud.testing.tame import fill_served

pytestmark = pytest.mark.xdist_group("airflow")

ROWS = 130
DOUBLED = [route for route in ROUTES if route.path in LISTS and route.path != RUNS]  # runs: see test_double.py
TIMES = {
    "/dags/~/dagRuns/~/taskInstances": "select id::text as key, updated_at as time from task_instance",
    "/eventLogs": "select id::text as key, dttm as time from log",
    "/assets/events": "select id::text as key, timestamp as time from asset_event",
}
BEGIN, END = "0001-01-02T00:00:00Z", "9999-12-30T00:00:00Z"


@dataclass
class Pair:
    """A real server and a double with the same entries."""

    real: Served
    double: Airflow

    def ask(self, path: str, asked: Mapping[str, str]) -> Any:
        """Both; the double's answer, which is the real one's (cursors apart: they are nobody's to read)."""
        answers = [self.real.get(path, asked), self.double.rest("GET", path, asked, None)]
        assert without_cursors(answers[1]) == without_cursors(answers[0])
        return answers[1][1]

    def walk(self, one: Any, path: str, **asked: str) -> list[list[Any]]:
        """The pages of a list, by its cursors."""
        pages, cursor = [], ""
        while cursor is not None:
            body = one("GET", path, {**asked, "cursor": cursor}, None)[1]
            pages.append(body[LISTS[path].member])
            cursor = body["next_cursor"]
        return pages


def without_cursors(answer: tuple[int, Any]) -> tuple[int, Any]:
    status, body = answer
    if not isinstance(body, dict):
        return answer
    named = {name: bool(body[name]) for name in ("next_cursor", "previous_cursor") if name in body}
    return status, {**body, **named}


@pytest.fixture(scope="module", params=live("3."))
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    with serving(request.param) as real:
        fill_served(real.database, request.param, ROWS)
        double = Airflow(request.param, lambda: 0.0)
        for route in DOUBLED:
            double.state.lists[route.path] = list(entries(real, route))
        yield Pair(real, double)


def entries(real: Served, route: Route) -> Iterator[Listed]:
    """What the real server lists, with the times of its database."""
    times: dict[str, datetime] = {}
    if route.path in TIMES:
        lines = query(real.database, f"select key, extract(epoch from time) * 1000000 from ({TIMES[route.path]}) t")
        for line in lines.splitlines():
            key, _, micros = line.partition("|")
            if micros:
                times[key] = datetime.fromtimestamp(0, UTC) + (datetime.resolution * int(float(micros)))
    for offset in range(0, ROWS, 50):
        asked = {**route.always, "limit": "50", "offset": str(offset), "order_by": route.order}
        for number, shown in enumerate(real.get(route.path, asked)[1][route.entries], start=offset):
            key = str(shown[route.key[0]])
            yield Listed(number if route.path == "/pools" else shown[route.key[0]], shown, times.get(key))


@pytest.mark.parametrize("route", DOUBLED, ids=lambda route: route.path)
def test_pages_counts_and_order(pair: Pair, route: Route) -> None:
    for page in ({}, {"limit": "0"}, {"limit": "5000"}, {"limit": "7", "offset": "100"}, {"offset": "1000"}):
        body = pair.ask(route.path, {**route.always, "order_by": route.order, **page})
        assert body["total_entries"] > ROWS / 3
    pair.ask(route.path, {**route.always, "order_by": "-" + route.order, "limit": "20"})
    pair.ask(route.path, {**route.always, "order_by": "nope"})
    pair.ask(route.path, {**route.always, "limit": "-1"})


@pytest.mark.parametrize("route", DOUBLED, ids=lambda route: route.path)
def test_filters_that_it_does_not_know_are_ignored(pair: Pair, route: Route) -> None:
    known = {route.lower: END, route.upper: BEGIN}
    every = {name: END if name.endswith(("gte", "gt", "after")) else BEGIN for name in filters()}
    for name, impossible in every.items():
        body = pair.ask(route.path, {**route.always, "order_by": route.order, name: impossible, "limit": "3"})
        if name in known:
            assert body["total_entries"] == 0


def filters() -> set[str]:
    return {name for listed in LISTS.values() for name in listed.filters}


@pytest.mark.parametrize("route", [route for route in DOUBLED if route.time], ids=lambda route: route.path)
def test_windows(pair: Pair, route: Route) -> None:
    times = sorted(entry.time for entry in pair.double.state.lists[route.path] if entry.time)
    edge = times[len(times) // 2]
    for asked in (route.after(edge), route.before(edge), {**route.after(times[3]), **route.before(edge)}):
        body = pair.ask(route.path, {**asked, "order_by": route.order, "limit": "100"})
        assert body["total_entries"]


@pytest.mark.parametrize("route", [route for route in DOUBLED if route.cursor_since], ids=lambda route: route.path)
def test_cursors(pair: Pair, route: Route) -> None:
    if not route.has_cursor(pair.double.version):
        assert pair.ask(route.path, {"cursor": "", "order_by": "id"})["total_entries"]
        return
    pages = [pair.walk(one, route.path, limit="30", order_by="id") for one in (pair.real.rest.call, pair.double.rest)]
    assert pages[1] == pages[0]
    assert [len(page) for page in pages[0]] == [30, 30, 30, 30, 10]
    pair.ask(route.path, {"cursor": "", "order_by": "id", "limit": "1"})
    window = route.before(datetime(2026, 1, 1, 1, tzinfo=UTC))
    walks = [
        pair.walk(one, route.path, limit="10", order_by="id", **window)
        for one in (pair.real.rest.call, pair.double.rest)
    ]
    assert walks[1] == walks[0]
