"""Which environment this process belongs to, by what Amazon MWAA puts into the process environment."""

import os
import re
from typing import NamedTuple, Self

ARN = re.compile(r"arn:[a-z-]+:airflow:([a-z0-9-]+):([0-9]{12}):environment/([a-zA-Z][0-9a-zA-Z_-]{0,79})")


class NotAnEnvironmentError(Exception):
    """There is no Amazon MWAA environment around this process, so there is nothing to report."""


class Environment(NamedTuple):
    """Where an environment lives and what it is called; ``account`` is empty where only STS can tell."""

    account: str
    region: str
    name: str

    @classmethod
    def here(cls) -> Self:
        """What ``GROUNDCREW_ENVIRONMENT_ARN`` says, else MWAA's own variables.

        The images of 2.9.2 to 3.3.1 protect ``AIRFLOW_ENV_NAME``, ``AWS_REGION``, ``AWS_DEFAULT_REGION`` and
        ``CUSTOMER_ACCOUNT_ID`` against the startup script
        (https://github.com/aws/amazon-mwaa-docker-images, ``mwaa/config/setup_environment.py``).

        Raises:
            NotAnEnvironmentError: they name none.
        """
        if arn := os.environ.get("GROUNDCREW_ENVIRONMENT_ARN"):
            named = ARN.fullmatch(arn)
            if named is None:
                raise NotAnEnvironmentError("GROUNDCREW_ENVIRONMENT_ARN is not the ARN of an environment")
            region, account, name = named.groups()
            return cls(account, region, name)
        name = os.environ.get("AIRFLOW_ENV_NAME", "")
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION", "")
        if not name or not region:
            raise NotAnEnvironmentError("AIRFLOW_ENV_NAME or AWS_REGION is missing")
        return cls(os.environ.get("CUSTOMER_ACCOUNT_ID", ""), region, name)
