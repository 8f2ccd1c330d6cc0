"""What is in verified exports, as an environment's manifests say: one for each export, written when it was verified."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cleanup.outside_plan import Covered
from groundcrew.aws.objects import Bucket
from groundcrew.environment import EnvironmentRef
from groundcrew.errors import PermanentError


@dataclass(frozen=True, slots=True)
class Exported:
    """The newest verified export: when its snapshot was taken; and what all of them cover of each table."""

    at: datetime
    tables: Mapping[str, Covered] = field(default_factory=dict)


def exported(bucket: Bucket, environment: EnvironmentRef) -> Exported | None:
    """What of an environment is exported; None if nothing is.

    Raises:
        PermanentError: a manifest cannot be read.
    """
    manifests = [_read(bucket.get(key)[1], key) for key in bucket.keys(f"manifests/{environment}/")]
    if not manifests:
        return None
    return Exported(max(_at(one) for one in manifests), covered(manifests))


def covered(manifests: Iterable[Mapping[str, Any]]) -> dict[str, Covered]:
    """Of each table, the time until which its rows are exported from the beginning on, without a gap. Pure.

    A table that is exported whole, without a column that says when a row was written, is not among them: its rows
    cannot be told from those that came later.
    """
    found: dict[str, Covered] = {}
    for manifest in sorted(manifests, key=_at):
        for table, said in manifest["tables"].items():
            window = said.get("window") or {}
            column, until = window.get("column"), window.get("until")
            if not column or not until:
                continue
            before = found.get(table)
            since = datetime.fromisoformat(window["from"]) if window.get("from") else None
            joins = before is not None and before.column == column and since is not None and since <= before.until
            if since is None or joins:
                ends = datetime.fromisoformat(until)
                found[table] = Covered(column, max(ends, before.until) if before and joins else ends)
    return found


def _at(manifest: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(manifest["snapshot_at"])


def _read(content: bytes, key: str) -> Mapping[str, Any]:
    try:
        manifest: Mapping[str, Any] = json.loads(content)
        _at(manifest)
        covered([manifest])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PermanentError(
            f"{key} is not the manifest of an export",
            cause="UnreadableManifest",
            remedy="Look at who wrote it; exports write their manifests, and nobody else does.",
        ) from error
    return manifest
