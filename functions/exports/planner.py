"""(newest manifest, policy, environment, request, now) → what to export, or why nothing. Pure."""

from collections.abc import Collection
from datetime import datetime
from typing import Literal

from exports.ask import Ask
from exports.outside_columns import is_said
from exports.outside_routes import time_of
from exports.plan import Export, Nothing, Plan, Refuse, Wait, Window
from exports.policy import Policy
from groundcrew.environment import Environment
from groundcrew.manifests import Coverage, Manifest
from groundcrew_metadata import declared
from groundcrew_metadata.declaration import Table, release

READY = frozenset({"AVAILABLE", "UPDATE_FAILED"})
"""Statuses in which Airflow can be asked (botocore ``mwaa`` ``EnvironmentStatus``)."""

OLDEST = (2, 7, 2)
"""The oldest Airflow whose tables are declared."""

LOOK_SECONDS = 300
"""Between two looks at an environment that is not ready."""


def decide(environment: Environment, policy: Policy, last: Manifest | None, ask: Ask | None, now: datetime) -> Plan:
    """What to do. Without ``ask``, the environment's schedule asks."""
    if ask is None and last and not overdue(policy, environment, last, now):
        return Nothing(f"the last verified export is of {last.at.isoformat()}")
    if environment.status not in READY:
        reason = f"the environment is {environment.status}"
        return Wait(LOOK_SECONDS, reason) if ask else Nothing(reason)
    version = environment.airflow_version
    if (problem := _unsupported(version)) is not None:
        return problem
    if ask and (problem := _unasked(ask, version, policy, now)):
        return problem
    tables = _tables(policy, version, ask.tables if ask else None)
    if not tables:
        return Refuse("NothingToExport", f"Airflow {version} has none of these tables", "Name others in the policy.")
    covered = last.covered if last else {}
    window = ask.window if ask else None
    windows = {table.name: window if window and table.time else _next(table, covered, policy, now) for table in tables}
    return Export(engine(version), windows, _reason(ask, last, policy, environment))


def engine(version: str) -> Literal["inside", "outside"]:
    """Airflow 2 lets its tasks read the database, Airflow 3 has to be asked."""
    return "inside" if version.startswith("2.") else "outside"


def overdue(policy: Policy, environment: Environment, last: Manifest, now: datetime) -> bool:
    """Whether an export is due by the schedule: what is covered is too old, or a slice is still missing."""
    return now - watermark(policy, environment, last) >= policy.every


def watermark(policy: Policy, environment: Environment, last: Manifest) -> datetime:
    """Up to when all is covered that goes on being: what this policy or version does not export by that column (any
    more) stays in the manifests for ever, and never moves. Nor does what Airflow does not let it read.
    """
    version = environment.airflow_version
    tables = [] if _unsupported(version) else _tables(policy, version, None)
    read = [table for table in tables if table.name not in last.left_out]
    known = {table.name: (last.covered.get(table.name), _time(table, version)) for table in read}
    return min([last.at, *(one.until for one, time in known.values() if one and one.column == time)])


def lag(policy: Policy, environment: Environment, last: Manifest | None, now: datetime) -> float:
    """How old what is covered is, in schedules: 1 is due, 2 is too late. A new environment's age counts."""
    began = watermark(policy, environment, last) if last else environment.created_at
    return (now - began) / policy.every if began else 0.0


def available(table: Table, version: str) -> bool:
    """Whether the engine of a version has a table."""
    return table.exists(version) if engine(version) == "inside" else is_said(table.name, version)


def _time(table: Table, version: str) -> str | None:
    """The column of its windows: Airflow 3 lists some tables only whole."""
    return table.time if engine(version) == "inside" else time_of(table.name)


def _unsupported(version: str) -> Refuse | None:
    try:
        number = release(version)
    except ValueError:
        number = ()
    if number >= OLDEST:
        return None
    return Refuse("UnsupportedVersion", f"the tables of Airflow {version[:20]} are not declared", "Upgrade it.")


def _unasked(ask: Ask, version: str, policy: Policy, now: datetime) -> Refuse | None:
    """What is wrong with a request."""
    unknown = sorted(set(ask.tables or ()) - declared.TABLES.keys())
    if unknown:
        named = ", ".join(unknown)[:200]
        return Refuse("UnknownTable", f"{named} is not declared", "Name tables of docs/how-it-works.md.")
    held = sorted(name for name in ask.tables or () if declared.TABLES[name].opt_in and name not in policy.opt_in)
    if held:
        named = ", ".join(held)
        return Refuse("NotOptedIn", f"{named} is only exported by opt-in", "Name it in opt_in of the policy.")
    absent = sorted(name for name in ask.tables or () if not available(declared.TABLES[name], version))
    if absent:
        named = ", ".join(absent)
        return Refuse("NoSuchTable", f"Airflow {version} does not give {named}", "Ask for what it gives.")
    if not ask.window:
        return None
    since, until = ask.window.since, ask.window.until
    if since and until and since >= until:
        return Refuse("ReversedWindow", "the window ends before it begins", "Let it begin before it ends.")
    if (until and until > now) or (since and since >= now):
        return Refuse("FutureWindow", "the window reaches into the future", "Let it end in the past.")
    return None


def _tables(policy: Policy, version: str, asked: Collection[str] | None) -> list[Table]:
    """In declared order."""
    wanted = asked if asked is not None else policy.tables
    return [
        table
        for name, table in declared.TABLES.items()
        if available(table, version)
        and (not table.opt_in or name in policy.opt_in)
        and (wanted is None or name in wanted or (asked is None and name in policy.opt_in))
    ]


def _next(table: Table, covered: Coverage, policy: Policy, now: datetime) -> Window:
    """From what is covered, with an overlap, for a slice at most."""
    if table.time is None:
        return Window()
    known = covered.get(table.name)
    if known and known.column == table.time:
        since = min(known.until, now) - policy.overlap
        return Window(since, min(now, known.until + policy.slice))
    if policy.backfill is None:
        return Window(None, now)
    return Window(None, now - policy.backfill)


def _reason(ask: Ask | None, last: Manifest | None, policy: Policy, environment: Environment) -> str:
    if ask:
        return ask.reason
    if last is None:
        return "there is no verified export yet"
    return f"what is covered ends at {watermark(policy, environment, last).isoformat()}, due after {policy.every}"
