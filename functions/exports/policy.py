"""What an environment has exported, and how often: ``/groundcrew/exports/<name>``, as its schema says."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self

from groundcrew.errors import PermanentError
from groundcrew.events import schema_error
from groundcrew_metadata import declared


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """``tables``: only these, None for all that are not opt-in; ``backfill`` of None has no slices."""

    every: timedelta = timedelta(hours=24)
    tables: tuple[str, ...] | None = None
    opt_in: tuple[str, ...] = ()
    overlap: timedelta = timedelta(minutes=60)
    backfill: timedelta | None = None
    slice: timedelta = timedelta(days=30)
    rate_share: float = 0.5

    @classmethod
    def read(cls, document: Mapping[str, Any], name: str) -> Self:
        """Read the document of the parameter ``name``.

        Raises:
            PermanentError: it is not what the schema says, or names a table that is not declared.
        """
        problem = schema_error(document, "policies/exports.json") or _unknown(document)
        if problem:
            raise PermanentError(
                f"the policy {name} is not valid: {problem}",
                cause="InvalidPolicy",
                remedy=f"Correct the parameter {name}.",
            )
        return cls(
            every=timedelta(hours=document.get("every_hours", 24)),
            tables=tuple(document["tables"]) if "tables" in document else None,
            opt_in=tuple(document.get("opt_in", ())),
            overlap=timedelta(minutes=document.get("overlap_minutes", 60)),
            backfill=timedelta(days=document["backfill_days"]) if document.get("backfill_days") else None,
            slice=timedelta(days=document.get("slice_days", 30)),
            rate_share=document.get("rate_share", 0.5),
        )


def _unknown(document: Mapping[str, Any]) -> str | None:
    named = document.get("tables", [])
    missing = sorted(set(named) - declared.TABLES.keys())
    if missing:
        return f"tables names {', '.join(missing)[:200]}, which is not declared"
    secret = sorted(name for name in named if declared.TABLES[name].opt_in and name not in document.get("opt_in", ()))
    return f"tables names {', '.join(secret)}, which opt_in does not" if secret else None
