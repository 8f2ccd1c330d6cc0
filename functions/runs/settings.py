"""What the template tells the functions of this part, besides the settings of all."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Self

from groundcrew.settings import required


@dataclass(frozen=True, slots=True)
class RunSettings:
    """For those that ask Airflow. ``in_vpc``: the functions are in a VPC, so they may reach private web servers;
    ``follow_machine`` is the ARN of the state machine, empty for the function that is a part of it.
    """

    locks_table: str
    in_vpc: bool
    follow_machine: str

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Read the variables ``GROUNDCREW_*``.

        Raises:
            PermanentError: variables are missing; all of them are named.
        """
        values = required(env, "GROUNDCREW_LOCKS_TABLE", "GROUNDCREW_IN_VPC")
        return cls(
            locks_table=values["GROUNDCREW_LOCKS_TABLE"],
            in_vpc=values["GROUNDCREW_IN_VPC"] == "true",
            follow_machine=env.get("GROUNDCREW_FOLLOW_MACHINE", ""),
        )


@cache
def run_settings() -> RunSettings:
    """The settings of this function, read at first use."""
    return RunSettings.from_env(os.environ)


@cache
def orders_url() -> str:
    """The queue that the router puts orders on, read at first use.

    Raises:
        PermanentError: the variable is missing.
    """
    return required(os.environ, "GROUNDCREW_RUNS_QUEUE")["GROUNDCREW_RUNS_QUEUE"]
