"""The double of Airflow against the real one: the same questions, and the same answers.

Times near now, places of files and what depends on the scheduler's pace are not compared.
"""

import datetime as dt
import json
import re
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from localcloud.airflow.running import RunningAirflow
from localcloud.backend import Backend
from localcloud.model.airflow import Airflow

pytestmark = pytest.mark.xdist_group("airflow")

DAGS: list[dict[str, Any]] = [
    {"dag_id": "echo"},
    {"dag_id": "fails"},
    {"dag_id": "hello"},
    {"dag_id": "paused", "is_paused": True},
]
ANY = "<any>"
# of places, of the machine, of the scheduler's pace
_VOLATILE = {
    "file_token", "fileloc", "filename", "relative_fileloc", "last_parsed_time", "last_parse_duration", "dag_versions",
    "start_date", "end_date", "duration", "last_scheduling_decision", "state", "triggering_user_name", "message",
    "filepath", "error", "stack_trace", "timestamp", "total_entries", "import_error_id",
}  # fmt: skip
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?")


def plain(value: Any, key: str = "") -> Any:
    """An answer without what may differ."""
    if key in _VOLATILE and value is not None and not isinstance(value, bool):
        return ANY
    if key in ("start_date", "end_date", "duration", "last_scheduling_decision"):
        return ANY
    if isinstance(value, dict):
        if str(value.get("type", "")).startswith("datetime_"):  # pydantic knows many ways to be no date
            value = {**value, "msg": ANY, "ctx": ANY}
        return {name: plain(item, name) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return _TIME.sub(_near_now, value) if isinstance(value, str) else value


def _near_now(match: re.Match[str]) -> str:
    try:
        at = dt.datetime.fromisoformat(match[0])
    except ValueError:  # a date that a test made up
        return match[0]
    at = at if at.tzinfo else at.replace(tzinfo=dt.UTC)
    return "<now>" if abs(time.time() - at.timestamp()) < 3600 else match[0]


@dataclass(frozen=True)
class Pair:
    """Both, with a name for runs that no other test has."""

    real: Backend
    double: Airflow
    run: str

    @property
    def old(self) -> bool:
        return self.double.version.startswith("2.")

    def rest(self, method: str, path: str, query: dict[str, Any] | None = None, body: Any = None) -> Any:
        """The same answer of both, compared."""
        real, double = (plain(one.rest(method, path, query or {}, body)) for one in (self.real, self.double))
        if real[0] == 500:
            real, double = real[:1], double[:1]
        assert double == real
        return real

    def start(self, dag_id: str = "paused", **body: Any) -> Any:
        return self.rest("POST", f"/dags/{dag_id}/dagRuns", body=self.asked(**body))

    def asked(self, **body: Any) -> dict[str, Any]:
        """A body with a run id of this test's own, and the key that 3.x wants."""
        null = {} if self.old else {"logical_date": None}
        body = {"dag_run_id": self.run, **null, **body}
        return {key: value for key, value in body.items() if value is not ...}

    def listed(self, **body: Any) -> list[str]:
        """The ids of this test's runs that ``~/dagRuns/list`` shows, in its order."""
        found = []
        for one in (self.real, self.double):
            status, answer = one.rest("POST", "/dags/~/dagRuns/list", {}, body)
            assert status == 200, answer
            ids = [run["dag_run_id"] for run in answer["dag_runs"]]
            found.append([run_id for run_id in ids if run_id.startswith(self.run)])
        assert found[1] == found[0]
        return list(found[0])

    def cli(self, command: str) -> tuple[int, Any]:
        """Exit code, and the rows printed or the last line of the error, the same of both."""
        found = []
        for one in (self.real, self.double):
            code, out, err = one.cli(command)
            lines = out.decode().strip().splitlines() or [""]
            rows = json.loads(lines[-1]) if lines[-1].startswith("[{") else lines[-1]
            found.append(plain([code, "" if code and isinstance(rows, str) else rows, _error(err) if code else ""]))
        assert found[1] == found[0]
        return found[0][0], found[0][1] or found[0][2]


def _error(stderr: bytes) -> str:
    """The line that says what went wrong; of a database error only that it is one."""
    lines = [line for line in stderr.decode().strip().splitlines() if "Warning" not in line and line]
    said = next((line for line in lines if "IntegrityError" in line), lines[-1] if lines else "")
    return said.partition(" duplicate key")[0] if "IntegrityError" in said else said


@pytest.fixture(scope="module")
def doubles() -> dict[str, Airflow]:
    return {}


@pytest.fixture
def pair(airflow: RunningAirflow, doubles: dict[str, Airflow]) -> Pair:
    double = doubles.setdefault(airflow.version, Airflow(airflow.version, time.time, DAGS))
    return Pair(airflow.backend, double, f"double-{uuid.uuid4().hex[:8]}")


# ---------------------------------------------------------------------- DAGs
@pytest.mark.parametrize("dag_id", ["hello", "paused", "no_such_dag", "a b"])
def test_one_dag(pair: Pair, dag_id: str) -> None:
    pair.rest("GET", f"/dags/{dag_id}")


@pytest.mark.parametrize(
    "query",
    [
        {"dag_id_pattern": "ELL"}, {"dag_id_pattern": "no_such"}, {"dag_id_pattern": "h_llo"}, {"dag_id_pattern": "%"},
        {"limit": 1}, {"limit": 1, "offset": 1}, {"limit": -1}, {"limit": "x"}, {"order_by": "-dag_id"},
        {"order_by": "nope"}, {"nope": 1, "limit": 1}, {"paused": "true"}, {"dag_id_pattern": "hello|echo"},
    ],
    ids=str,
)  # fmt: skip
def test_dags(pair: Pair, query: dict[str, Any]) -> None:
    status, _ = pair.rest("GET", "/dags", query)
    if status == 200:
        total = [one.rest("GET", "/dags", query, None)[1]["total_entries"] for one in (pair.real, pair.double)]
        assert total[0] == total[1]


@pytest.mark.parametrize(
    ("body", "query"),
    [
        ({"is_paused": True}, {}), ({"is_paused": "x"}, {}), ({}, {}), ({"nope": 1}, {}),
        ({"is_paused": True}, {"update_mask": "is_paused"}), ({"is_paused": True}, {"update_mask": "nope"}),
    ],
    ids=str,
)  # fmt: skip
def test_pausing(pair: Pair, body: dict[str, Any], query: dict[str, Any]) -> None:
    pair.rest("PATCH", "/dags/paused", query, body)


def test_pausing_what_is_not_there(pair: Pair) -> None:
    pair.rest("PATCH", "/dags/no_such_dag", {}, {"is_paused": True})


def test_import_errors(pair: Pair) -> None:
    pair.double.state.dags["broken"] = type(pair.double.state.dags["hello"])("broken", has_import_errors=True)
    try:
        assert len(pair.rest("GET", "/importErrors")[1]["import_errors"]) == 1
        pair.cli("dags list-import-errors -o json")
    finally:
        del pair.double.state.dags["broken"]


# ---------------------------------------------------------------------- starting runs
BODIES: dict[str, Callable[[Pair], dict[str, Any]]] = {
    "plain": lambda pair: pair.asked(),
    "conf and note": lambda pair: pair.asked(conf={"a": [1, None, {"b": "é"}]}, note="hello"),
    "no conf": lambda pair: pair.asked(conf=None),
    "conf is text": lambda pair: pair.asked(conf="text"),
    "conf is a list": lambda pair: pair.asked(conf=[1]),
    "no note": lambda pair: pair.asked(note=None),
    "empty note": lambda pair: pair.asked(note=""),
    "note is a number": lambda pair: pair.asked(note=5),
    "note too long": lambda pair: pair.asked(note="n" * 1001),
    "no run id": lambda pair: pair.asked(dag_run_id=...),
    "run id null": lambda pair: pair.asked(dag_run_id=None),
    "run id empty": lambda pair: pair.asked(dag_run_id=""),
    "run id a number": lambda pair: pair.asked(dag_run_id=5),
    "run id too long": lambda pair: pair.asked(dag_run_id=pair.run.ljust(251, "x")),
    "run id as long as can be": lambda pair: pair.asked(dag_run_id=pair.run.ljust(250, "x")),
    "run id with every letter": lambda pair: pair.asked(dag_run_id=pair.run + "_.~:+-"),
    "run id with other letters": lambda pair: pair.asked(dag_run_id="a/b c#1"),
    "run id not ASCII": lambda pair: pair.asked(dag_run_id="é"),
    "run id of the scheduler": lambda pair: pair.asked(dag_run_id="scheduled__2026-01-01T00:00:00+00:00"),
    "logical date missing": lambda pair: {"dag_run_id": pair.run},
    "logical date null": lambda pair: {"dag_run_id": pair.run, "logical_date": None},
    "logical date in a zone": lambda pair: pair.asked(logical_date="2026-01-02T03:04:05.6+05:30"),
    "logical date without zone": lambda pair: pair.asked(logical_date="2026-01-02T03:04:05"),
    "logical date is a day": lambda pair: pair.asked(logical_date="2026-01-02"),
    "logical date is a word": lambda pair: pair.asked(logical_date="yesterday"),
    "logical date is impossible": lambda pair: pair.asked(logical_date="2026-13-08T00:00:00Z"),
    "logical date in lower case": lambda pair: pair.asked(logical_date="2026-01-04t00:00:00z"),
    "logical date with a space": lambda pair: pair.asked(logical_date="2026-01-05 00:00:00Z"),
    "execution date": lambda pair: pair.asked(execution_date="2026-01-06T00:00:00Z"),
    "unknown members": lambda pair: pair.asked(nope=1, conf=5),
    "read-only": lambda pair: pair.asked(state="success"),
    "empty": lambda _pair: {},
}


@pytest.mark.parametrize("case", BODIES)
def test_starting_a_run(pair: Pair, case: str) -> None:
    pair.rest("POST", "/dags/paused/dagRuns", body=BODIES[case](pair))


def test_starting_a_run_without_a_body_or_with_a_query(pair: Pair) -> None:
    pair.rest("POST", "/dags/paused/dagRuns")
    pair.rest("POST", "/dags/paused/dagRuns", {"x": 1}, pair.asked())


def test_starting_a_run_of_no_dag(pair: Pair) -> None:
    assert pair.start("no_such_dag")[0] == 404


def test_a_run_id_or_a_logical_date_is_there_already(pair: Pair) -> None:
    at = f"2025-01-01T00:00:00.{uuid.uuid4().int % 10**6:06}+00:00"
    assert pair.start(logical_date=at)[0] == 200
    assert pair.start()[0] == 409
    assert pair.start(dag_run_id=pair.run + "-2", logical_date=at)[0] == 409
    assert pair.start(dag_run_id=pair.run + "-2", logical_date=at.replace("T00", "T01").replace("+00", "+01"))[0] == 409
    assert pair.start("hello", logical_date=at)[0] == 200


def test_runs_without_a_logical_date_do_not_collide(pair: Pair) -> None:
    assert [pair.start(dag_run_id=f"{pair.run}-{number}")[0] for number in range(3)] == [200] * 3


# ---------------------------------------------------------------------- looking at runs
def test_one_run(pair: Pair) -> None:
    pair.start(conf={"a": 1}, logical_date=f"2024-05-01T00:00:00.{uuid.uuid4().int % 10**6:06}+02:00")
    pair.rest("GET", f"/dags/paused/dagRuns/{pair.run}")
    pair.rest("GET", f"/dags/hello/dagRuns/{pair.run}")
    pair.rest("GET", f"/dags/no_such_dag/dagRuns/{pair.run}")


def test_runs_of_a_dag(pair: Pair) -> None:
    pair.rest("GET", "/dags/no_such_dag/dagRuns")
    pair.rest("GET", "/dags/paused/dagRuns", {"limit": -1})
    pair.rest("GET", "/dags/paused/dagRuns", {"order_by": "nope"})


def test_runs_end_as_their_dag_does(pair: Pair) -> None:
    for dag_id, state in (("hello", "success"), ("fails", "failed")):
        pair.double.state.dags[dag_id].state = state
        assert pair.start(dag_id)[0] == 200
        for one in (pair.real, pair.double):
            deadline = time.monotonic() + 60
            while (found := one.rest("GET", f"/dags/{dag_id}/dagRuns/{pair.run}", {}, None)[1]["state"]) in (
                "queued", "running",
            ):  # fmt: skip
                assert time.monotonic() < deadline
                time.sleep(0.1)
            assert found == state


def test_a_run_of_a_paused_dag_or_of_the_future_waits(pair: Pair) -> None:
    pair.start("paused")
    future = {"logical_date": "2126-01-01T00:00:00Z"} if pair.old else {"run_after": "2126-01-01T00:00:00Z"}
    pair.start("hello", dag_run_id=pair.run + "-future", **future)
    pair.start("hello", dag_run_id=pair.run + "-now")
    for one in (pair.real, pair.double):
        deadline = time.monotonic() + 60
        while one.rest("GET", f"/dags/hello/dagRuns/{pair.run}-now", {}, None)[1]["state"] != "success":
            assert time.monotonic() < deadline
            time.sleep(0.1)
        for dag_id, run_id in (("paused", pair.run), ("hello", pair.run + "-future")):
            assert one.rest("GET", f"/dags/{dag_id}/dagRuns/{run_id}", {}, None)[1]["state"] == "queued"


@pytest.mark.parametrize(
    "body",
    [
        {"states": ["nope"]}, {"dag_ids": "paused"}, {"nope": 1}, {"page_limit": 0}, {"page_limit": -1},
        {"page_limit": "x"}, {"page_offset": -1}, {"order_by": "nope"}, {"start_date_gte": "nope"},
        {"dag_ids": ["no_such_dag"]}, {"dag_run_ids": ["x"]}, {"run_after_gte": "2226-01-01T00:00:00Z"},
        {"execution_date_gte": "2226-01-01T00:00:00Z"}, {"logical_date_gte": "2226-01-01T00:00:00Z"},
        {"end_date_gte": "2036-01-01T00:00:00Z"}, {"start_date_lte": "2020-01-01T00:00:00Z", "page_limit": 5000},
        {"updated_at_gte": "2036-01-01T00:00:00Z", "page_limit": 0}, {"fields": ["dag_id"]},
    ],
    ids=str,
)  # fmt: skip
def test_questions_about_many_runs(pair: Pair, body: dict[str, Any]) -> None:
    status, answer = pair.rest("POST", "/dags/~/dagRuns/list", body=body)
    if status == 200:
        assert answer["dag_runs"] == []


def test_no_dag_ids_are_all_dags(pair: Pair) -> None:
    if pair.old:
        assert pair.rest("POST", "/dags/~/dagRuns/list", body={"dag_ids": None})[0] == 400
    else:
        pair.start()
        assert pair.listed(dag_ids=None, page_limit=5000) == [pair.run]


def test_many_runs_in_order(pair: Pair) -> None:
    fraction = uuid.uuid4().int % 10**6
    for number in (2, 0, 1):
        at = f"2023-01-0{number + 1}T00:00:00.{fraction:06}+00:00"
        assert pair.start(dag_run_id=f"{pair.run}-{number}", logical_date=at)[0] == 200
    assert pair.start("hello", dag_run_id=pair.run + "-3")[0] == 200
    ids = [f"{pair.run}-{number}" for number in (2, 0, 1, 3)]
    everything = {"page_limit": 5000}
    assert pair.listed(**everything) == ids
    assert pair.listed(**everything, order_by="-id") == ids[::-1]
    assert pair.listed(**everything, order_by="-dag_run_id") == sorted(ids, reverse=True)
    assert pair.listed(**everything, dag_ids=["paused"]) == ids[:3]
    assert pair.listed(**everything, dag_ids=["paused"], states=["queued"]) == ids[:3]
    name = "execution_date" if pair.old else "logical_date"
    window = {f"{name}_gte": "2023-01-01T00:00:00Z", f"{name}_lte": "2023-01-02T12:00:00Z"}
    assert pair.listed(**everything, **window, order_by=name) == [ids[1], ids[2]]


# ---------------------------------------------------------------------- the command line
def cli_date(pair: Pair) -> str:
    return "-e" if pair.old else "-l"


def test_cli_starts_a_run_once(pair: Pair) -> None:
    command = f'dags trigger paused -r {pair.run} -c \'{{"a": 1, "b": [null, true]}}\' -o json'
    code, rows = pair.cli(command)
    assert (code, rows[0]["dag_run_id"]) == (0, pair.run)
    code, said = pair.cli(command)
    assert code == 1
    assert "DagRunAlreadyExists" in said
    assert pair.listed(page_limit=5000) == [pair.run]


def test_cli_with_a_logical_date(pair: Pair) -> None:
    at = dt.datetime.fromtimestamp(uuid.uuid4().int % 10**9, dt.UTC).isoformat()
    assert pair.cli(f"dags trigger paused -r {pair.run} {cli_date(pair)} {at} -o json")[0] == 0
    code, said = pair.cli(f"dags trigger paused -r {pair.run}-2 {cli_date(pair)} {at} -o json")
    assert code == 1
    assert ("DagRunAlreadyExists" if pair.old else "IntegrityError") in said


@pytest.mark.parametrize(
    "command",
    [
        "dags trigger no_such_dag -o json", "dags trigger paused -r 'a/b c#1' -o json", "dags trigger paused -c nope",
        "dags trigger paused -c '[1]'", "dags trigger paused --nope", "dags trigger",
        "dags trigger paused -e yesterday", "dags trigger paused -l yesterday", "dags list-runs -d no_such_dag -o json",
        "dags list-runs no_such_dag -o json", "dags list-runs -d paused --state nope", "dags unpause hello -o json",
        "dags unpause hello", "dags unpause no_such_dag", "dags unpause no_such_dag -o json", "version",
    ],
)  # fmt: skip
def test_cli_refusals_and_small_answers(pair: Pair, command: str) -> None:
    pair.cli(command)


def test_cli_lists_dags(pair: Pair) -> None:
    pair.cli("dags list -o json")


def test_cli_lists_runs(pair: Pair) -> None:
    at = dt.datetime.fromtimestamp(uuid.uuid4().int % 10**9, dt.UTC).isoformat()
    for number in range(2):
        pair.start(dag_run_id=f"{pair.run}-{number}", **({"logical_date": at} if number else {}))
    which = "-d paused" if pair.old else "paused"
    for more in ("", " --state queued", f" --start-date {at} --end-date {at}"):
        found = []
        for one in (pair.real, pair.double):
            rows = json.loads(one.cli(f"dags list-runs {which}{more} -o json")[1].decode().splitlines()[-1])
            found.append([plain(row) for row in rows if row["run_id"].startswith(pair.run)])
        assert found[1] == found[0]
        assert found[0]


def test_cli_unpauses_and_pauses(pair: Pair) -> None:
    output = "" if pair.double.version.startswith("2.7") else " -o json"
    try:
        pair.cli(f"dags unpause paused{output}")
        assert pair.rest("GET", "/dags/paused")[1]["is_paused"] is False
    finally:
        pair.cli(f"dags pause paused{output}")
    assert pair.rest("GET", "/dags/paused")[1]["is_paused"] is True
