"""The outside engine: metadata of an Airflow 3 environment, read through its REST API by a state machine's function.

The machine calls again and again until it is told ``done``; what it keeps between two calls is all there is::

    asked   {"export_id", "environment": {"account", "region", "name"}, "airflow_version",
             "tables": {"<table>": {"from": ISO | null, "until": ISO | null}}, "progress": null}
    answer  the same with {"progress": {...}, "done": false | true}

An answer goes back as the next question. A call that fails has changed nothing: asked once more, it reads on from where
the last one ended, and writes its parts again. With ``done``, ``receipt.json`` is written: that is the extract.

A list that the Airflow role may not read (403) is left out, and the others are read: audit logs are Admin's since
Airflow 2.8.2 (https://github.com/apache/airflow/pull/37501). ``left_out`` of the answer names its tables. Only an
export of which nothing can be read fails.

``outside_columns.is_said``, ``columns`` and ``key`` tell what can be asked for, and what comes. A window's end is moved
into the past if it is too near (``SETTLED``); the receipt has the window that was read.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from exports.outside_columns import columns, is_said
from exports.outside_pace import Pace
from exports.outside_parts import Put, Table, Writer
from exports.outside_routes import ROUTES, Route
from exports.outside_walk import Lane, Step, Walk, halved
from groundcrew.environment import EnvironmentRef
from groundcrew.errors import AccessDenied, PermanentError, TransientError
from groundcrew.observability import logger

SETTLED = timedelta(seconds=60)
"""How old a window's end must be: what is written has its time before it can be seen, and clocks differ."""

MOST_TROUBLES = 6
"""Failures in a row before it is given up for now, unless a smaller page can still be asked for."""

THROTTLES = frozenset({"AirflowThrottled", "Throttling", "ThrottlingException", "TooManyRequestsException"})

Ask = Callable[[str, Mapping[str, str]], tuple[int, Any]]
"""GETs a path with a query from the environment's Airflow: status and body, or TransientError or AccessDenied."""


@dataclass(frozen=True)
class Window:
    """``since`` <= time < ``until``, each open where it is None."""

    since: datetime | None
    until: datetime | None

    @classmethod
    def of(cls, asked: Mapping[str, Any]) -> Self:
        """Read from JSON."""
        return cls(*(datetime.fromisoformat(asked[name]) if asked.get(name) else None for name in ("from", "until")))


@dataclass(frozen=True)
class Order:
    """What is to be extracted."""

    export_id: str
    environment: EnvironmentRef
    airflow_version: str
    tables: Mapping[str, Window]

    @classmethod
    def of(cls, asked: Mapping[str, Any]) -> Self:
        """Read from JSON.

        Raises:
            PermanentError: ``UnknownTable``: the REST API of this version does not give it.
        """
        version = asked["airflow_version"]
        for name in asked["tables"]:
            if not is_said(name, version):
                raise PermanentError(
                    f"the REST API of Airflow {version} does not give the table {name}",
                    cause="UnknownTable",
                    remedy="See docs/how-it-works.md for what it gives.",
                )
        tables = {name: Window.of(window) for name, window in asked["tables"].items()}
        return cls(asked["export_id"], EnvironmentRef(**asked["environment"]), version, tables)

    @property
    def prefix(self) -> str:
        """Where its parts and its receipt lie in the bucket."""
        ref = self.environment
        return f"extracts/{ref.account}/{ref.region}/{ref.name}/{self.export_id}"

    def routes(self) -> Iterator[Route]:
        """The lists to read."""
        return (route for route in ROUTES if not route.tables.keys().isdisjoint(self.tables))

    def fed_by(self, paths: Collection[str]) -> list[str]:
        """The tables that come from these lists."""
        fed = {name for route in self.routes() if route.path in paths for name in route.tables}
        return sorted(fed & self.tables.keys())

    def window(self, table: str, snapshot_at: datetime) -> dict[str, str | None]:
        """What is read of a table at that moment: the column of its window, and its ends."""
        route = next(route for route in self.routes() if table in route.tables)
        lane = self.lane(route, snapshot_at)
        return {"column": route.time, "from": _iso(lane.since), "until": _iso(lane.until)}

    def lane(self, route: Route, snapshot_at: datetime) -> Lane:
        """How a list is read: the tables that it feeds share one window, the widest of theirs."""
        if route.time is None:
            return Lane(route, self.airflow_version)
        windows = [window for name, window in self.tables.items() if name in route.tables]
        begins = [window.since for window in windows if window.since]
        since = min(begins) if len(begins) == len(windows) else None
        latest = snapshot_at - SETTLED
        until = min(latest, max(window.until or latest for window in windows))
        if since:
            until = max(since, until)  # of a window that is not settled at all nothing is read
        return Lane(route, self.airflow_version, since, until)


@dataclass
class Progress:
    """How far an export is."""

    snapshot_at: datetime
    walks: dict[str, Walk]
    tables: dict[str, Table]
    forbidden: list[str] = field(default_factory=list)
    """Paths of the lists that the role may not read."""

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> Self:
        """Read from JSON."""
        return cls(
            datetime.fromisoformat(kept["snapshot_at"]),
            {path: Walk.of(walk) for path, walk in kept["walks"].items()},
            {name: Table(**table) for name, table in kept["tables"].items()},
            list(kept.get("forbidden") or ()),
        )

    @classmethod
    def begun(cls, order: Order, now: datetime) -> Self:
        """Nothing is read yet."""
        walks = {route.path: Walk.begun(route, order.lane(route, now).since) for route in order.routes()}
        return cls(now, walks, {name: Table() for name in order.tables})

    def record(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "snapshot_at": self.snapshot_at.isoformat(),
            "walks": {path: asdict(walk) for path, walk in self.walks.items()},
            "tables": {name: table.record() for name, table in self.tables.items()},
            "forbidden": self.forbidden,
        }


class Forbidden(Exception):
    """The Airflow role may not read a list; the message says which."""


class Engine:
    """Reads on, as long as there is time."""

    def __init__(self, order: Order, ask: Ask, put: Put, pace: Pace, has_time: Callable[[], bool]) -> None:
        self._order = order
        self._ask = ask
        self._put = put
        self._pace = pace
        self._has_time = has_time
        self._pages = 0  # that have been read in this call

    def run(self, progress: Progress) -> bool:
        """Whether all is read, and the receipt written; ``progress`` goes along.

        Raises:
            PermanentError: Airflow refuses, cannot show an entry, or ignores what this engine relies on.
            TransientError: Airflow is in trouble, and not a page was read.
        """
        for route in self._order.routes():
            if route.path in progress.forbidden:
                continue
            try:
                self._read(route, progress)
            except Forbidden as error:
                logger.warning("left out", path=route.path, error=str(error))
                progress.forbidden.append(route.path)
                self._require_one(progress, str(error))
                continue
            except TransientError as error:
                if not self._pages:
                    raise
                logger.warning("read on later", cause=error.cause, error=error.what, path=route.path)
                return False
            if progress.walks[route.path].step is not Step.DONE:
                return False
        receipt = self._receipt(progress)
        self._put(f"{self._order.prefix}/receipt.json", json.dumps(receipt).encode())
        return True

    def _require_one(self, progress: Progress, refused: str) -> None:
        """An export of nothing is none."""
        if all(route.path in progress.forbidden for route in self._order.routes()):
            raise AccessDenied(
                refused,
                cause="Denied",
                remedy="Give the Airflow role User of the environment the permission to read that, or ask for others.",
            )

    def _read(self, route: Route, progress: Progress) -> None:
        """Read a list to its end, or as far as there is time; whatever happens, what was read is written."""
        lane = self._order.lane(route, progress.snapshot_at)
        walk = progress.walks[route.path]
        wanted = [name for name in route.tables if name in progress.tables]
        writers = self._writers(wanted, progress)
        try:
            while walk.step is not Step.DONE and self._has_time():
                before = walk
                walk, entries = self._step(lane, walk)
                if walk.attempt > before.attempt:
                    for name in wanted:
                        progress.tables[name] = Table(progress.tables[name].number)
                    writers = self._writers(wanted, progress)
                for name in wanted:
                    writers[name].take([row for entry in entries for row in route.tables[name](entry)])
        finally:
            for writer in writers.values():
                writer.end(whole=walk.step is Step.DONE)
            progress.walks[route.path] = walk
        logger.info("read", path=route.path, step=walk.step, rows=walk.rows, attempt=walk.attempt)

    def _writers(self, names: list[str], progress: Progress) -> dict[str, Writer]:
        order = self._order
        return {
            name: Writer(name, order.airflow_version, order.prefix, progress.tables[name], self._put) for name in names
        }

    def _step(self, lane: Lane, walk: Walk) -> tuple[Walk, Any]:
        while True:
            self._pace.wait()
            try:
                body = self._answer(lane.route.path, lane.question(walk))
            except TransientError as error:
                self._pace.trouble()
                smaller = None if error.cause in THROTTLES else halved(walk)
                if (smaller is None and self._pace.troubles >= MOST_TROUBLES) or not self._has_time():
                    if walk.step is Step.READ and walk.size == 1:
                        self._blame(lane, walk, error)
                    raise
                walk = smaller or walk
                continue
            self._pace.success()
            self._pages += walk.step is Step.READ
            return lane.answered(walk, body)

    def _blame(self, lane: Lane, walk: Walk, error: TransientError) -> None:
        """Whether Airflow is in trouble, or one entry that it cannot show; raises what the latter means."""
        self._pace.wait()
        try:
            self._answer(lane.route.path, lane.question(replace(walk, step=Step.RECOUNT)))
        except TransientError:
            return
        raise PermanentError(
            f"Airflow cannot show an entry of {lane.route.path}: after {walk.rows} entries, {error.what}",
            cause="BrokenEntry",
            remedy="Find its traceback in the web server's log, then correct or delete the row it names.",
        ) from error

    def _answer(self, path: str, query: Mapping[str, str]) -> Mapping[str, Any]:
        status, body = self._ask(path, query)
        if status < 400 and isinstance(body, Mapping):
            return body
        what = f"reading {path} of {self._order.environment}: Airflow answered {status}"
        if status == 429 or status >= 500:
            raise TransientError(what, cause="AirflowThrottled" if status == 429 else "AirflowBroken")
        if status == 403:
            raise Forbidden(what)
        if status == 401:
            raise AccessDenied(what, cause="Denied", remedy="Let the role groundcrew-airflow of the spoke read that.")
        raise PermanentError(what, cause="Refused", remedy="Look into the logs of the environment's web server.")

    def _receipt(self, progress: Progress) -> dict[str, Any]:
        order = self._order
        said: dict[str, Any] = {}
        for route in order.routes():
            for name in route.tables if route.path not in progress.forbidden else ():
                if name in progress.tables:
                    table = progress.tables[name]
                    names = [column.name for column in columns(name, order.airflow_version)]
                    said[name] = {
                        "columns": names,
                        "window": order.window(name, progress.snapshot_at),
                        "rows": table.rows,
                        "parts": table.parts,
                        "undecoded": {},
                    }
        return {
            "export_id": order.export_id,
            "engine": "outside",
            "airflow_version": order.airflow_version,
            "environment": asdict(order.environment),
            "snapshot_at": _iso(progress.snapshot_at),
            "tables": said,
        }


def extract(
    asked: Mapping[str, Any], ask: Ask, put: Put, pace: Pace, has_time: Callable[[], bool], now: datetime
) -> dict[str, Any]:
    """One call: what is asked, and how far it is now."""
    order = Order.of(asked)
    kept = asked.get("progress")
    progress = Progress.of(kept) if kept else Progress.begun(order, now)
    done = Engine(order, ask, put, pace, has_time).run(progress)
    return {**asked, "progress": progress.record(), "done": done, "left_out": order.fed_by(progress.forbidden)}


def _iso(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat() if moment else None
