"""An Amazon MWAA environment: how it is named, and what ``GetEnvironment`` says of it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from groundcrew.errors import PermanentError

ACCOUNT = re.compile(r"[0-9]{12}")
REGION = re.compile(r"[a-z]{2,8}(-[a-z]+)+-[0-9]{1,2}")
NAME = re.compile(r"[a-zA-Z][0-9a-zA-Z\-_]{0,79}")
"""``EnvironmentName`` of the MWAA API (botocore service model ``mwaa``)."""

TAG_PREFIX = "groundcrew:"


@dataclass(frozen=True, slots=True, order=True)
class EnvironmentRef:
    """Where an environment lives and what it is called."""

    account: str
    region: str
    name: str

    def __post_init__(self) -> None:
        """Refuse what cannot be an environment, so that no other code has to."""
        if not (ACCOUNT.fullmatch(self.account) and REGION.fullmatch(self.region) and NAME.fullmatch(self.name)):
            raise PermanentError(
                f"{self.account[:20]!r}, {self.region[:40]!r}, {self.name[:90]!r} do not name an MWAA environment",
                cause="InvalidEnvironment",
                remedy="Name the account (12 digits), the Region, the name (a letter, then letters, digits, -, _).",
            )

    @classmethod
    def from_arn(cls, arn: str) -> Self:
        """Read ``arn:<partition>:airflow:<region>:<account>:environment/<name>``.

        Raises:
            PermanentError: it is not the ARN of an environment.
        """
        parts = arn.split(":", 5)
        if len(parts) != 6 or parts[2] != "airflow" or not parts[5].startswith("environment/"):
            raise PermanentError(f"{arn[:200]!r} is not the ARN of an MWAA environment", cause="InvalidEnvironment")
        return cls(account=parts[4], region=parts[3], name=parts[5].removeprefix("environment/"))

    def arn(self, partition: str) -> str:
        """The environment's ARN in a partition (``aws``, ``aws-cn``, ``aws-us-gov``)."""
        return f"arn:{partition}:airflow:{self.region}:{self.account}:environment/{self.name}"

    def as_detail(self) -> dict[str, str]:
        """How events name an environment."""
        return {"account": self.account, "region": self.region, "name": self.name}

    def __str__(self) -> str:
        """Account, Region and name, for logs and sentences."""
        return f"{self.account}/{self.region}/{self.name}"


@dataclass(frozen=True, slots=True)
class Environment:
    """The part of ``GetEnvironment`` that Groundcrew reads; configuration options are never kept, they may hold
    secrets.
    """

    ref: EnvironmentRef
    arn: str
    status: str
    created_at: datetime | None = None
    updated_at: datetime | None = None
    airflow_version: str = ""
    endpoint_management: str = "SERVICE"
    webserver_access_mode: str = "PUBLIC_ONLY"
    subnet_ids: tuple[str, ...] = ()
    security_group_ids: tuple[str, ...] = ()
    database_service: str | None = None
    webserver_service: str | None = None
    queue_arn: str | None = None
    bucket: str = ""
    dags_path: str = "dags"
    kms_key: str | None = None
    execution_role: str = ""
    startup_script: str | None = None
    startup_script_version: str | None = None
    maintenance_window: str = ""
    """When its weekly maintenance starts, in UTC: ``SUN:03:30``."""
    tags: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_api(cls, ref: EnvironmentRef, answer: Mapping[str, Any]) -> Self:
        """Read the ``Environment`` structure of ``GetEnvironment``; every field may be missing (guide L7860, botocore
        ``mwaa``).
        """
        network = answer.get("NetworkConfiguration") or {}
        tags = answer.get("Tags") or {}
        return cls(
            ref=ref,
            arn=answer["Arn"],
            status=answer.get("Status") or "",
            created_at=answer.get("CreatedAt"),
            updated_at=(answer.get("LastUpdate") or {}).get("CreatedAt"),
            airflow_version=answer.get("AirflowVersion") or "",
            endpoint_management=answer.get("EndpointManagement") or "SERVICE",
            webserver_access_mode=answer.get("WebserverAccessMode") or "PUBLIC_ONLY",
            subnet_ids=tuple(sorted(network.get("SubnetIds") or ())),
            security_group_ids=tuple(sorted(network.get("SecurityGroupIds") or ())),
            database_service=answer.get("DatabaseVpcEndpointService") or None,
            webserver_service=answer.get("WebserverVpcEndpointService") or None,
            queue_arn=answer.get("CeleryExecutorQueue") or None,
            bucket=(answer.get("SourceBucketArn") or "").rpartition(":")[2],
            dags_path=(answer.get("DagS3Path") or "dags").strip("/"),
            kms_key=answer.get("KmsKey") or None,
            execution_role=answer.get("ExecutionRoleArn") or "",
            startup_script=answer.get("StartupScriptS3Path") or None,
            startup_script_version=answer.get("StartupScriptS3ObjectVersion") or None,
            maintenance_window=answer.get("WeeklyMaintenanceWindowStart") or "",
            tags={key: value for key, value in tags.items() if key.startswith(TAG_PREFIX)},
        )

    def pending_for(self, now: datetime) -> float | None:
        """Seconds that it has been PENDING at most, or None if it is not.

        MWAA does not say since when; it is after the environment was created or its last update was started, by
        minutes.
        """
        if self.status != "PENDING":
            return None
        moments = [moment for moment in (self.created_at, self.updated_at) if moment is not None]
        return max(0.0, (now - max(moments)).total_seconds()) if moments else 0.0

    def policy_name(self, part: str) -> str | None:
        """What the tag ``groundcrew:<part>`` says: a policy's name or ``off``; None without the tag."""
        return self.tags.get(TAG_PREFIX + part)
