"""What the template tells the functions of this part, besides the settings of all."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Self

from groundcrew.settings import required


@dataclass(frozen=True, slots=True)
class CleanupSettings:
    """``bucket`` is that of the exports; ``machine`` is the ARN of the state machine, empty for the function that is a
    part of it; ``locks_table`` is empty for the one that sends no commands. ``in_vpc``: it may reach private web
    servers.
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
            machine=env.get("GROUNDCREW_CLEANUP_MACHINE", ""),
            locks_table=env.get("GROUNDCREW_LOCKS_TABLE", ""),
            in_vpc=env.get("GROUNDCREW_IN_VPC") == "true",
        )


@cache
def cleanup_settings() -> CleanupSettings:
    """The settings of this function, read at first use."""
    return CleanupSettings.from_env(os.environ)
