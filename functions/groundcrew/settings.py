"""What the template tells a function through its environment; nobody else reads ``os.environ``."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Self

from groundcrew.errors import PermanentError


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of every function; each is set by ``template.yaml``.

    ``spoke_accounts`` always has the hub's own account in it: it usually owns the VPCs.
    """

    account: str
    region: str
    partition: str
    bus: str
    stack: str
    mode: str
    look_again_seconds: int
    late_after_hours: int
    spoke_accounts: tuple[str, ...]
    spoke_regions: tuple[str, ...]

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Read the variables ``GROUNDCREW_*`` and ``AWS_REGION``.

        Raises:
            PermanentError: variables are missing; all of them are named.
        """
        names = (
            "ACCOUNT",
            "PARTITION",
            "BUS",
            "STACK",
            "MODE",
            "LOOK_AGAIN_SECONDS",
            "LATE_AFTER_HOURS",
            "SPOKE_ACCOUNTS",
            "SPOKE_REGIONS",
        )
        read = required(env, "AWS_REGION", *(f"GROUNDCREW_{name}" for name in names))
        values = {name: read[f"GROUNDCREW_{name}"] for name in names}
        return cls(
            account=values["ACCOUNT"],
            region=read["AWS_REGION"],
            partition=values["PARTITION"],
            bus=values["BUS"],
            stack=values["STACK"],
            mode=values["MODE"],
            look_again_seconds=int(values["LOOK_AGAIN_SECONDS"]),
            late_after_hours=int(values["LATE_AFTER_HOURS"]),
            spoke_accounts=tuple(dict.fromkeys((values["ACCOUNT"], *_list(values["SPOKE_ACCOUNTS"])))),
            spoke_regions=_list(values["SPOKE_REGIONS"]),
        )

    @property
    def stack_tag(self) -> str:
        """The value of the tag ``groundcrew:stack``: it survives a redeployment, so a new stack of that name takes
        over.
        """
        return f"{self.account}/{self.region}/{self.stack}"

    @property
    def acts(self) -> bool:
        """False in ``Mode`` = ``report``: plans are made and announced, nothing is changed."""
        return self.mode == "act"


@dataclass(frozen=True, slots=True)
class MetadataSettings:
    """Of the functions of exports and clean-ups. ``bucket`` is that of the exports; ``machine`` is the ARN of the state
    machine, empty for the functions that are a part of it; ``locks_table`` is empty for those that send no commands.
    ``in_vpc``: they may reach private web servers.
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
            machine=env.get("GROUNDCREW_MACHINE", ""),
            locks_table=env.get("GROUNDCREW_LOCKS_TABLE", ""),
            in_vpc=env.get("GROUNDCREW_IN_VPC") == "true",
        )


def required(env: Mapping[str, str], *names: str) -> dict[str, str]:
    """The values of variables.

    Raises:
        PermanentError: variables are missing or empty; all of them are named.
    """
    missing = sorted(name for name in names if not env.get(name))
    if missing:
        raise PermanentError(f"not set: {', '.join(missing)}", cause="Misconfigured", remedy="Deploy the stack again.")
    return {name: env[name] for name in names}


def _list(value: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in value.split(",") if item.strip())


@cache
def settings() -> Settings:
    """The settings of this function, read at first use."""
    return Settings.from_env(os.environ)


@cache
def metadata_settings() -> MetadataSettings:
    """Those of this function, read at first use."""
    return MetadataSettings.from_env(os.environ)
