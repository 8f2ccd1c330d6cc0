"""What a run is ordered to clean. Anybody who may start DAGs can start this one, with any conf.

So the conf only names an order and its digest, and the order is a file that the hub ships beside the DAG: whoever may
write there writes DAGs anyway, and the environment's role needs no permission to read it. It is run once, by the run
that bears its name, in the environment that it is for, until its time is up.

    conf: {"cleanup_id": "20261127T043000Z-0a1b2c3d", "sha256": "..."}
    orders/20261127T043000Z-0a1b2c3d.json:
    {"cleanup_id": "...", "place": {...}, "mode": "delete", "policy": {...}, "seconds": 1800,
     "covered": {"log": {"column": "dttm", "until": "..."}}, "until": "2026-11-27T06:00:00+00:00"}
"""

import hashlib
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from groundcrew_metadata.place import Place, PlaceError

FOLDER = Path(__file__).resolve().parents[1] / "orders"
LARGEST_BYTES = 1_000_000
LONGEST_SECONDS = 86_400
SYNCED_WITHIN = 120.0
"""Seconds that a worker may lag behind the hub, which has waited, too (MWAA copies the folder every 30 seconds)."""

_PATTERNS = {"cleanup_id": r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}", "sha256": r"[0-9a-f]{64}"}
_MEMBERS = {"cleanup_id", "place", "mode", "policy", "covered", "seconds", "until"}


class OrderError(ValueError):
    """Nothing is deleted: the message says why, without a value of the conf or of the order."""


@dataclass(frozen=True)
class Ask:
    """The order that a run is to carry out."""

    cleanup_id: str
    sha256: str

    @classmethod
    def of(cls, conf: object, run_id: str, attempt: int) -> Self:
        """What a run asks for; raises ``OrderError``. A run's id is given once, so an order is carried out once."""
        if not isinstance(conf, dict) or set(conf) != set(_PATTERNS):
            raise OrderError("the conf is not an object of cleanup_id and sha256")
        for name, pattern in _PATTERNS.items():
            if not isinstance(conf[name], str) or not re.fullmatch(pattern, conf[name]):
                raise OrderError(f"{name} is not what it should be in the conf")
        if run_id != f"groundcrew__{conf['cleanup_id']}":
            raise OrderError("this order is another run's")
        if attempt != 1:
            raise OrderError("this run was tried before: ask for another clean-up")
        return cls(**conf)

    def shipped(self, folder: Path = FOLDER, patience: float = SYNCED_WITHIN) -> bytes:
        """The order with this digest, as soon as it is there; raises ``OrderError``."""
        deadline = time.monotonic() + patience
        while True:
            content = _read(folder / f"{self.cleanup_id}.json")
            if hashlib.sha256(content).hexdigest() == self.sha256:
                return content
            if time.monotonic() >= deadline:
                raise OrderError("no order of that id and digest lies here")
            time.sleep(1)


@dataclass(frozen=True)
class Order:
    """A clean-up. ``seconds``: what is left of its time."""

    cleanup_id: str
    place: Place
    deletes: bool
    policy: Mapping[str, Any]
    covered: Mapping[str, Mapping[str, str]]
    seconds: float

    @classmethod
    def of(cls, content: bytes, ask: Ask, here: str, now: datetime) -> Self:
        """What an order says; raises ``OrderError``. ``here``: the name of this environment."""
        try:
            said = json.loads(content)
        except (ValueError, RecursionError):
            raise OrderError("the order is not JSON") from None
        if not isinstance(said, dict) or set(said) != _MEMBERS:
            raise OrderError(f"the order has other members than {', '.join(sorted(_MEMBERS))}")
        if said["cleanup_id"] != ask.cleanup_id:
            raise OrderError("the order has another id")
        try:
            place = Place.read(said["place"])
        except PlaceError as error:
            raise OrderError(f"the order's place: {error}") from None
        if place.environment != here:  # two environments may share a bucket and its DAG folder
            raise OrderError("the order is another environment's")
        if said["mode"] not in ("report", "delete"):
            raise OrderError("the order's mode is neither report nor delete")
        if not isinstance(said["policy"], dict):
            raise OrderError("the order's policy is not an object")
        return cls(
            ask.cleanup_id, place, said["mode"] == "delete", said["policy"], _covered(said["covered"]), _left(said, now)
        )

    @property
    def report_key(self) -> str:
        """Where the report goes: this environment's own folder, whatever the order says."""
        return f"{self.place.prefix(self.cleanup_id)}/cleanup.json"


def _read(file: Path) -> bytes:
    """Nothing, as long as it is not there."""
    try:
        with file.open("rb") as opened:
            content = opened.read(LARGEST_BYTES + 1)
    except OSError:
        return b""
    if len(content) > LARGEST_BYTES:
        raise OrderError("the order is too large to be one")
    return content


def _covered(said: object) -> dict[str, Mapping[str, str]]:
    if not isinstance(said, dict):
        raise OrderError("what is covered is not an object")
    for one in said.values():
        if not isinstance(one, dict) or set(one) != {"column", "until"} or not isinstance(one["column"], str):
            raise OrderError("what is covered of a table is not an object of column and until")
        _moment(one["until"])
    return said


def _left(said: Mapping[str, Any], now: datetime) -> float:
    seconds = said["seconds"]
    if not isinstance(seconds, int) or isinstance(seconds, bool) or not 1 <= seconds <= LONGEST_SECONDS:
        raise OrderError("the order's seconds are not between 1 and a day's")
    left = (_moment(said["until"]) - now).total_seconds()
    if left <= 0:
        raise OrderError("the order's time is up")
    return min(seconds, left)


def _moment(said: object) -> datetime:
    try:
        moment = datetime.fromisoformat(said) if isinstance(said, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise OrderError("the order has a time that is none, or has no time zone")
    return moment
