"""Clients, made at first use: of the function's own role, and of the roles in the spokes.

botocore is used instead of boto3 on top of it: the calls are the same, and importing boto3 costs another 100 ms at
every cold start (it loads s3transfer).
"""

from dataclasses import dataclass, field
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any

import botocore.session
from botocore.config import Config

from groundcrew.aws.errors import translated
from groundcrew.aws.models import Models
from groundcrew.errors import AccessDenied

if TYPE_CHECKING:
    from types_boto3_sts import STSClient
    from types_boto3_sts.type_defs import CredentialsTypeDef

# The slowest answer is that of an environment's REST API, for which MWAA allows 10 seconds.
CONFIG = Config(connect_timeout=3, read_timeout=12, retries={"mode": "standard", "total_max_attempts": 3})


_making = Lock()
"""Held while a client is made: sessions are not thread-safe, and each thread would read the same service model."""


@cache
def _session() -> botocore.session.Session:
    """One session for all clients: it keeps the service models, which are the dear part of a client."""
    session = botocore.session.Session()
    session.register_component("data_loader", Models())
    return session


def ca_bundle() -> str | None:
    """Whom clients trust, if not the usual certificate authorities (``AWS_CA_BUNDLE``)."""
    bundle: str | None = _session().get_config_variable("ca_bundle")
    return bundle


def own_client(service: str, region: str) -> Any:
    """A client with the function's own role, kept as long as the function's process lives."""
    with _making:
        return _own_client(service, region)


@cache
def _own_client(service: str, region: str) -> Any:
    return _session().create_client(service, region_name=region, config=CONFIG)


@dataclass(frozen=True, slots=True, order=True)
class Role:
    """A role of a spoke stack: ``observer``, ``network``, ``airflow``, ``binder``, ``courier``, ``shipper``."""

    kind: str
    account: str
    region: str

    def arn(self, partition: str) -> str:
        """The role's ARN; its name ends in the Region, for roles are global."""
        return f"arn:{partition}:iam::{self.account}:role/groundcrew/groundcrew-{self.kind}-{self.region}"

    def __str__(self) -> str:
        """For sentences."""
        return f"groundcrew-{self.kind}-{self.region} in account {self.account}"


@dataclass(slots=True)
class Roles:
    """The spoke roles one invocation takes on; nothing is kept beyond it, so no credentials expire."""

    partition: str
    home_region: str
    session_name: str
    _credentials: dict[Role, "CredentialsTypeDef"] = field(default_factory=dict)
    _clients: dict[tuple[Role, str], Any] = field(default_factory=dict)

    def client(self, service: str, role: Role) -> Any:
        """A client that acts as ``role`` in the role's account and Region.

        Raises:
            AccessDenied: the role is missing there or does not trust this function.
            TransientError: STS did not answer.
        """
        if (role, service) not in self._clients:
            self._clients[role, service] = _with_keys(service, role.region, self._assume(role))
        return self._clients[role, service]

    def _assume(self, role: Role) -> "CredentialsTypeDef":
        if role not in self._credentials:
            sts: STSClient = own_client("sts", self.home_region)
            try:
                with translated(f"sts:AssumeRole of {role}"):
                    answer = sts.assume_role(RoleArn=role.arn(self.partition), RoleSessionName=self.session_name)
            except AccessDenied as error:
                raise AccessDenied(
                    error.what,
                    cause="SpokeRoleUnavailable",
                    remedy=f"Deploy spoke/template.yaml in account {role.account}, Region {role.region}, for this hub.",
                ) from error
            self._credentials[role] = answer["Credentials"]
        return self._credentials[role]


def narrowed_client(service: str, region: str, role_arn: str, session_name: str, policy: str, home_region: str) -> Any:
    """A client that acts as a role of the hub with no more rights than ``policy`` (JSON) leaves of the role's.

    Raises:
        AccessDenied: the role does not trust this function.
        TransientError: STS did not answer.
    """
    sts: STSClient = own_client("sts", home_region)
    with translated(f"sts:AssumeRole of {role_arn}"):
        answer = sts.assume_role(RoleArn=role_arn, RoleSessionName=session_name, Policy=policy)
    return _with_keys(service, region, answer["Credentials"])


def _with_keys(service: str, region: str, keys: "CredentialsTypeDef") -> Any:
    with _making:
        return _session().create_client(
            service,
            region_name=region,
            config=CONFIG,
            aws_access_key_id=keys["AccessKeyId"],
            aws_secret_access_key=keys["SecretAccessKey"],
            aws_session_token=keys["SessionToken"],
        )
