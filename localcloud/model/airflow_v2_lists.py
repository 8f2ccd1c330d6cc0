"""The lists of Airflow 3.x that can be read from end to end, with what differs between its versions.

Recorded on 3.0.6 and 3.3.1; ``localcloud/tests/airflow/test_double_lists.py`` compares. A filter that a list or a
version does not know is ignored, and so is a cursor. 3.0 does not limit a page's size, and lists the jobs that run.
"""

import base64
import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from localcloud.model import airflow_v2_checks as checks
from localcloud.model.airflow_state import Listed

RUNS = "/dags/~/dagRuns"
_UPDATED = {"updated_at_gte": "gte", "updated_at_lte": "lte", "updated_at_gt": "gt", "updated_at_lt": "lt"}
_STAMPED = {name.replace("updated_at", "timestamp"): comparison for name, comparison in _UPDATED.items()}


@dataclass(frozen=True)
class _List:
    member: str
    filters: Mapping[str, str]  # query parameter -> comparison with the time
    sortable: tuple[str, ...] = ("id",)  # those that are compared; there are more
    has_cursor: bool = False


LISTS = {
    RUNS: _List("dag_runs", _UPDATED, has_cursor=True),
    "/dags/~/dagRuns/~/taskInstances": _List("task_instances", _UPDATED, has_cursor=True),
    "/eventLogs": _List("event_logs", {"before": "lt", "after": "gt"}, ("id", "when", "dttm")),
    "/assets/events": _List("asset_events", _STAMPED, ("timestamp",)),
    "/jobs": _List("jobs", {}),
    "/assets": _List("assets", {}),
    "/pools": _List("pools", {}),
}


def answer(version: str, path: str, entries: Sequence[Listed], query: Mapping[str, Any]) -> dict[str, Any]:
    """One page of a list; ``Problem`` for what is refused."""
    listed = LISTS[path]
    release = tuple(map(int, version.split(".")))
    offset, limit = checks.page(query, most=None if release < (3, 1) else checks.MOST)
    order = str(query.get("order_by", listed.sortable[0]))
    if order.lstrip("-") not in listed.sortable:
        detail = f"Ordering with '{order.lstrip('-')}' is disallowed or the attribute does not exist on the model"
        raise checks.Problem(400, detail)
    if path == "/jobs" and release < (3, 1):
        entries = [entry for entry in entries if entry.shown["state"] == "running"]
    found = [entry for entry in entries if _meets(entry, listed, release, query)]
    found.sort(key=lambda entry: _place(entry, order), reverse=order.startswith("-"))
    pages = listed.has_cursor and release >= (3, 3)
    if pages and "cursor" in query:
        return _by_cursor(listed, found, str(query["cursor"]), limit)
    more: dict[str, Any] = {"next_cursor": None, "previous_cursor": None} if pages else {}
    shown = [entry.shown for entry in found[offset : offset + limit]]
    return {listed.member: shown, "total_entries": len(found), **more}


def _place(entry: Listed, order: str) -> Any:
    """Where it sorts; ties by id."""
    if order.lstrip("-") == "id":
        return (entry.id,)
    return (entry.time is None, entry.time, entry.id) if entry.time else (True, entry.id)


def _meets(entry: Listed, listed: _List, release: tuple[int, ...], query: Mapping[str, Any]) -> bool:
    for name, comparison in listed.filters.items():
        known = not name.endswith(("_gt", "_lt")) or release >= (3, 1)
        if name not in query or not known:
            continue
        value = dt.datetime.fromisoformat(str(query[name]))
        if entry.time is None:
            return False
        held = {
            "gte": entry.time >= value,
            "gt": entry.time > value,
            "lte": entry.time <= value,
            "lt": entry.time < value,
        }
        if not held[comparison]:
            return False
    return True


def _by_cursor(listed: _List, found: Sequence[Listed], cursor: str, limit: int) -> dict[str, Any]:
    """Behind the entry that the cursor names, by its place only: it need not be there any more."""
    if cursor:
        last = json.loads(base64.urlsafe_b64decode(cursor))
        found = [entry for entry in found if entry.id > last]
    page = found[:limit]
    following = None
    if len(found) > limit and page:
        following = base64.urlsafe_b64encode(json.dumps(page[-1].id).encode()).decode()
    return {
        listed.member: [entry.shown for entry in page],
        "total_entries": None,
        "next_cursor": following,
        "previous_cursor": "~" if cursor and page else None,
    }
