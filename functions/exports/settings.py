"""What the template tells the functions of this part, besides the settings of all."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Self

from groundcrew.settings import required


@dataclass(frozen=True, slots=True)
class ExportSettings:
    """``bucket`` is that of the exports; ``machine`` is the ARN of the state machine, for the function that starts it;
    ``locks_table`` and ``in_vpc`` are for the one that asks Airflow.
    """

    bucket: str
    machine: str
    locks_table: str
    in_vpc: bool

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Read the variables ``GROUNDCREW_*``.

        Raises:
            PermanentError: the bucket is missing.
        """
        return cls(
            bucket=required(env, "GROUNDCREW_EXPORTS_BUCKET")["GROUNDCREW_EXPORTS_BUCKET"],
            machine=env.get("GROUNDCREW_EXPORTS_MACHINE", ""),
            locks_table=env.get("GROUNDCREW_LOCKS_TABLE", ""),
            in_vpc=env.get("GROUNDCREW_IN_VPC") == "true",
        )


@cache
def export_settings() -> ExportSettings:
    """The settings of this function, read at first use."""
    return ExportSettings.from_env(os.environ)
