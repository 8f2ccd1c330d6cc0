"""AWS clients for the accounts of a running local cloud, as their root (deploys) or as one of their roles."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import boto3
from botocore.config import Config

from localcloud.client import Client

# One attempt: a test that wants a retry says so, and a refused call fails at once.
CONFIG = Config(retries={"total_max_attempts": 1}, inject_host_prefix=False, connect_timeout=5, read_timeout=120)
# A root key's secret is not checked.
SECRET = "local"


@cache  # making one takes 10 ms; those who wait for something ask often
def _client(endpoint: str, service: str, account: str, region: str, config: Config) -> Any:
    return boto3.client(  # type: ignore[call-overload]
        service,
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id=account,
        aws_secret_access_key=SECRET,
        config=config,
    )


@dataclass(frozen=True, slots=True)
class Aws:
    """All accounts behind one endpoint."""

    control: Client

    def client(self, service: str, account: str, region: str = "us-east-1", config: Config | None = None) -> Any:
        """A boto3 client with the account's root key: it passes every policy of its own account."""
        return _client(self.control.endpoint, service, account, region, config or CONFIG)

    def as_role(self, service: str, role_arn: str, region: str = "us-east-1", config: Config | None = None) -> Any:
        """A boto3 client with a session of the role, whoever the role trusts: it has the role's rights."""
        return self.with_session(service, self.control.session(role_arn), region, config)

    def with_session(
        self, service: str, session: Mapping[str, str], region: str = "us-east-1", config: Config | None = None
    ) -> Any:
        """A boto3 client with these credentials, as AssumeRole answers with them."""
        return boto3.client(  # type: ignore[call-overload]
            service,
            endpoint_url=self.control.endpoint,
            region_name=region,
            aws_access_key_id=session["AccessKeyId"],
            aws_secret_access_key=session["SecretAccessKey"],
            aws_session_token=session["SessionToken"],
            config=config or CONFIG,
        )
