"""(binding, environment, what lies in its bucket, now) → whether its startup script is to be bound. Pure.

Binding restarts the environment for 10 to 30 minutes (guide L5784 and following), so it is done only where the binding
says so, in the environment's maintenance window, only for a change, and once for each: what undoes it, a failed update
or another tool, has the last word until a request asks again.
"""

import json
import shlex
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from groundcrew.environment import Environment, EnvironmentRef
from tokens.binding import Binding
from tokens.plan import Nothing, Refuse, Target
from tokens.plan import as_detail as token_plan_as_detail

SOURCE = Path(__file__).resolve().parents[1] / "shipped_startup/tokens.sh"
"""What the build copies from ``layers/airflow/startup``."""

READY = frozenset({"AVAILABLE", "UPDATE_FAILED"})
"""Statuses from which an environment is updated."""

DAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")

WINDOW = timedelta(hours=2)
"""How long after its start a maintenance window is used; a sweep comes every 15 minutes."""


@dataclass(frozen=True, slots=True)
class Lying:
    """The script that lies in the bucket: its text, version and ETag, and when it was put there."""

    content: bytes
    version: str
    modified: datetime
    etag: str


@dataclass(frozen=True, slots=True)
class Bind:
    """The environment is to be updated; ``upload``: the script has to be put into its bucket first."""

    reason: str
    upload: bool


Plan = Nothing | Bind | Refuse


def key(environment: EnvironmentRef) -> str:
    """Of the script in the environment's bucket, which may be that of other environments, too."""
    return f"groundcrew/startup/{environment.name}.sh"


def rendered(binding: Binding, environment: Environment, where: Target) -> bytes:
    """The script with the line of settings in front of it (``layers/airflow/startup/README.md``)."""
    fallback = {
        "domain": binding.domain,
        "owner": binding.owner,
        "region": binding.region,
        "repositories": list(binding.repositories),
        "index": binding.index,
    }
    settings = {
        "object": {"bucket": where.place, "key": where.key},
        "on_missing": binding.on_missing,
        "private_web_server": environment.webserver_access_mode == "PRIVATE_ONLY",
        "fallback": fallback if binding.fallback else None,
        "then": None,
    }
    line = f"GROUNDCREW_SETTINGS={shlex.quote(json.dumps(settings, sort_keys=True))}\n"
    return line.encode() + SOURCE.read_bytes()


def decide(
    environment: Environment,
    binding: Binding,
    wanted: bytes,
    lying: Lying | None,
    now: datetime,
    *,
    forced: bool = False,
) -> Plan:
    """The plan for one environment; ``forced``: a request asks for it, though it was undone, and at any time."""
    mine = key(environment.ref)
    bound = environment.startup_script
    if bound not in (None, mine):
        return Refuse(
            "ForeignScript",
            f"the environment has a startup script of its own, {bound[:200]}",
            f"Let it source {mine}, and the binding say startup_script: keep (layers/airflow/startup/README.md).",
        )
    there = lying if lying and lying.content == wanted else None
    if there and bound and environment.startup_script_version == there.version:
        return Nothing("the startup script is bound")
    if environment.status not in READY:
        return Nothing(f"the startup script can be bound when the environment is at rest: it is {environment.status}")
    if there and environment.updated_at and environment.updated_at >= there.modified and not forced:
        return Refuse(
            "BindingUndone",
            "the environment was updated after this startup script came, and does not have it",
            "See why that update failed, or who sets the script back; then send Token Rotation Requested with force.",
        )
    if binding.bind_when == "maintenance-window" and not forced and not in_window(environment.maintenance_window, now):
        window = environment.maintenance_window or "which MWAA does not name"
        return Nothing(f"the startup script waits for the environment's weekly maintenance window, {window}")
    return Bind("there is no startup script" if not bound else "the startup script has changed", upload=there is None)


def in_window(start: str, now: datetime) -> bool:
    """Whether ``now`` is in the ``WINDOW`` that begins at ``start``, in UTC, such as ``SUN:03:30``.

    A start that cannot be read is never now (botocore ``mwaa``, ``WeeklyMaintenanceWindowStart``).
    """
    try:
        day, hour, minute = start.split(":")
        begins = timedelta(days=DAYS.index(day), hours=int(hour), minutes=int(minute))
    except ValueError:
        return False
    here = now.astimezone(UTC)
    since_monday = timedelta(days=here.weekday(), hours=here.hour, minutes=here.minute, seconds=here.second)
    return (since_monday - begins) % timedelta(weeks=1) < WINDOW


def as_detail(plan: Plan) -> dict[str, Any]:
    """How a plan is announced."""
    return {"action": "bind", "reason": plan.reason} if isinstance(plan, Bind) else token_plan_as_detail(plan)
