"""Secrets Manager: the value of a secret that exists, read and written as the courier of the secret's account."""

from typing import TYPE_CHECKING

from groundcrew.aws.errors import translated
from groundcrew.aws.session import Role, Roles

if TYPE_CHECKING:
    from types_boto3_secretsmanager import SecretsManagerClient


class Secret:
    """One secret, named by its ARN."""

    def __init__(self, roles: Roles, role: Role, arn: str) -> None:
        """Act as that role."""
        self._roles, self._role, self._arn = roles, role, arn

    @property
    def _client(self) -> "SecretsManagerClient":
        client: SecretsManagerClient = self._roles.client("secretsmanager", self._role)
        return client

    def get(self) -> str:
        """Its current value.

        Raises:
            NotFound: there is no such secret, or it has no value yet.
        """
        with translated(f"secretsmanager:GetSecretValue of {self._arn}"):
            return self._client.get_secret_value(SecretId=self._arn)["SecretString"]

    def put(self, value: str, version: str) -> None:
        """Give it a new value; the same ``version`` (32 to 64 characters) again is the same value, put once."""
        with translated(f"secretsmanager:PutSecretValue of {self._arn}"):
            self._client.put_secret_value(SecretId=self._arn, SecretString=value, ClientRequestToken=version)
