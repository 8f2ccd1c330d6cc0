"""What verified exports say of themselves: manifests in the bucket of exports, and what they cover without a gap.

The newest manifest of an environment is all the state that there is: it carries on what those before it covered.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from groundcrew.aws.objects import Bucket
from groundcrew.environment import EnvironmentRef
from groundcrew.errors import PermanentError


@dataclass(frozen=True, slots=True)
class Covered:
    """Every row of a table whose ``column`` is before ``until`` is in verified exports."""

    column: str
    until: datetime

    def as_json(self) -> dict[str, str]:
        """As manifests and a clean-up's order have it."""
        return {"column": self.column, "until": self.until.isoformat()}


RECENT = timedelta(days=7)
"""Where the newest manifest is looked for first, not among those of years."""

Coverage = Mapping[str, Covered]
"""By table; tables that are exported whole, each time, are not in it."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """A verified export: when its snapshot was taken, and what is covered since the first."""

    export_id: str
    at: datetime
    covered: Coverage = field(default_factory=dict)
    left_out: frozenset[str] = frozenset()
    """Tables that Airflow did not let the export read, the last time each was tried."""

    @classmethod
    def read(cls, content: bytes, key: str) -> Self:
        """Read one.

        Raises:
            PermanentError: it is no manifest of a verified export.
        """
        try:
            said = json.loads(content)
            if said["verified"] is not True:
                raise ValueError("not verified")
            covered = {
                str(table): Covered(str(one["column"]), _moment(one["until"])) for table, one in said["covered"].items()
            }
            left_out = frozenset(str(table) for table in said.get("left_out") or ())
            return cls(str(said["export_id"]), _moment(said["snapshot_at"]), covered, left_out)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise PermanentError(
                f"{key} is not the manifest of a verified export",
                cause="UnreadableManifest",
                remedy="Look at who wrote it; exports write their manifests, and nobody else does.",
            ) from error


def folder(environment: EnvironmentRef) -> str:
    """Where an environment's manifests are."""
    return f"manifests/{environment}/"


def key(environment: EnvironmentRef, export_id: str) -> str:
    """Where one manifest is."""
    return f"{folder(environment)}{export_id}.json"


def newest(bucket: Bucket, environment: EnvironmentRef, made_at: datetime | None, now: datetime) -> Manifest | None:
    """The newest one of an environment, None without any: ids sort by time.

    Args:
        bucket: of exports.
        environment: whose.
        made_at: when the environment was made, if that is known. What was ordered before is of another one that had
            its name, and of another database: this one's rows are not in it.
        now: so that the last days are looked through first, and calls stay as few as they are (``RECENT``).

    Raises:
        PermanentError: it cannot be read.
    """
    first = _first(environment, made_at) if made_at else ""
    recent = max(first, _first(environment, now - RECENT))
    for after in dict.fromkeys((recent, first)):
        if keys := bucket.keys(folder(environment), after):
            _, content = bucket.get(max(keys))
            return Manifest.read(content, max(keys))
    return None


def _first(environment: EnvironmentRef, at: datetime) -> str:
    """No manifest of what is ordered from then on has a key before this one."""
    return f"{folder(environment)}{at.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def extended(covered: Coverage, windows: Mapping[str, Mapping[str, Any]]) -> dict[str, Covered]:
    """What is covered once these windows are, too; a window that begins after what is covered leaves a gap. Pure."""
    found = dict(covered)
    for table, window in windows.items():
        if not window["column"] or not window["until"]:
            continue
        new = Covered(window["column"], _moment(window["until"]))
        old = found.get(table)
        since = _moment(window["from"]) if window["from"] else None
        # Of another column nothing can be carried on.
        known = old if old and old.column == new.column else None
        if since is None or (known and since <= known.until):
            found[table] = Covered(new.column, max(new.until, known.until) if known else new.until)
        elif old and not known:
            del found[table]
    return found


def left_out(last: Manifest | None, read: Collection[str], now: Collection[str]) -> list[str]:
    """The tables that are left out once an export has ``read`` these, and left out those of ``now``. Pure."""
    before = last.left_out if last else frozenset()
    return sorted((before - set(read)) | set(now))


def _moment(text: Any) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("no time zone")
    return found
