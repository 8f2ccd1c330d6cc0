"""What is in verified exports, as the newest manifest of an environment says."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from cleanup.outside_plan import Covered
from groundcrew.aws.objects import Bucket
from groundcrew.environment import EnvironmentRef
from groundcrew.errors import PermanentError


@dataclass(frozen=True, slots=True)
class Exported:
    """The newest verified export: when its snapshot was taken, and what of each table is covered without a gap."""

    at: datetime
    tables: Mapping[str, Covered] = field(default_factory=dict)


def exported(bucket: Bucket, environment: EnvironmentRef) -> Exported | None:
    """The newest verified export of an environment; None without one.

    Raises:
        PermanentError: its manifest cannot be read.
    """
    keys = bucket.keys(f"manifests/{environment}/")
    if not keys:
        return None
    _, content = bucket.get(max(keys))
    return read(content, max(keys))


def read(content: bytes, key: str) -> Exported:
    """A manifest."""
    try:
        manifest = json.loads(content)
        tables = {
            table: Covered(said["window"]["column"], datetime.fromisoformat(said["window"]["until"]))
            for table, said in manifest["tables"].items()
            if said.get("window") and said["window"].get("column") and said["window"].get("until")
        }
        return Exported(datetime.fromisoformat(manifest["snapshot_at"]), tables)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PermanentError(
            f"{key} is not the manifest of an export",
            cause="UnreadableManifest",
            remedy="Look at who wrote it; exports write their manifests, and nobody else does.",
        ) from error
