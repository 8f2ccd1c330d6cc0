"""Where this environment's exports go: ``place.json`` beside the DAG, which Groundcrew ships with it.

It is not in the run's conf, because whoever may start a DAG here could then have the metadata sent anywhere that the
environment's role can write.

    {"bucket": "groundcrew-exports-111111111111-us-east-1", "owner": "111111111111", "account": "222222222222",
     "region": "us-east-1", "environment": "orders", "opt_in": ["xcom"]}
"""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

FILE = Path(__file__).resolve().parents[1] / "place.json"

_PATTERNS = {
    "bucket": r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]",
    "owner": r"[0-9]{12}",
    "account": r"[0-9]{12}",
    "region": r"[a-z0-9-]{1,30}",
    "environment": r"[a-zA-Z][0-9a-zA-Z_-]{0,79}",
}


class PlaceError(ValueError):
    """``place.json`` is missing, is not what Groundcrew ships, or is another environment's."""


@dataclass(frozen=True)
class Place:
    """The bucket and the account that owns it, this environment, and the opt-in tables that its policy names."""

    bucket: str
    owner: str
    account: str
    region: str
    environment: str
    opt_in: frozenset[str]

    @classmethod
    def shipped(cls, file: Path = FILE) -> Self:
        """What was shipped; raises ``PlaceError``."""
        try:
            text = file.read_text()
        except OSError as error:
            raise PlaceError(f"{file.name} cannot be read: {type(error).__name__}") from None
        place = cls.of(text)
        here = os.environ.get("AIRFLOW_ENV_NAME", place.environment)
        if here != place.environment:  # two environments may share a bucket and its DAG folder
            raise PlaceError(f"{file.name} is of the environment {place.environment}, and this is {here}")
        return place

    @classmethod
    def of(cls, text: str) -> Self:
        """What a text says; raises ``PlaceError``."""
        try:
            return cls.read(json.loads(text))
        except json.JSONDecodeError:
            raise PlaceError("place.json is not JSON") from None

    @classmethod
    def read(cls, said: object) -> Self:
        """What an object says; raises ``PlaceError``."""
        if not isinstance(said, dict) or set(said) != {*_PATTERNS, "opt_in"}:
            raise PlaceError(f"a place has other members than {', '.join([*_PATTERNS, 'opt_in'])}")
        for name, pattern in _PATTERNS.items():
            if not isinstance(said[name], str) or not re.fullmatch(pattern, said[name]):
                raise PlaceError(f"{name} is not what it should be in a place")
        opt_in = said["opt_in"]
        if not isinstance(opt_in, list) or not all(isinstance(table, str) for table in opt_in):
            raise PlaceError("opt_in is not a list of names in a place")
        return cls(**said | {"opt_in": frozenset(opt_in)})

    def prefix(self, export_id: str) -> str:
        """Where in the bucket the parts and the receipt of an export are."""
        return f"extracts/{self.account}/{self.region}/{self.environment}/{export_id}"
