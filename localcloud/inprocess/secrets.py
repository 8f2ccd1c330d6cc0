"""Secrets Manager in process, as far as the product calls it: secrets, their versions and the stages that name them.

https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutSecretValue.html
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from localcloud.model.caller import Caller
from localcloud.model.errors import AwsError
from localcloud.model.network import Record

CURRENT, PREVIOUS = "AWSCURRENT", "AWSPREVIOUS"


@dataclass
class Secret:
    """One secret: its versions by id, the version that each stage names."""

    arn: str
    name: str
    versions: dict[str, str] = field(default_factory=dict)
    stages: dict[str, str] = field(default_factory=dict)


@dataclass
class Secrets:
    """All secrets, by ARN; as on AWS, another account's is found by its ARN only."""

    _secrets: dict[str, Secret] = field(default_factory=dict)

    def add(self, account: str, region: str, name: str) -> Secret:
        """A new secret without a value; its ARN ends in six characters of its own, as on AWS."""
        arn = Caller(account, region).arn("secretsmanager", f"secret:{name}-{len(self._secrets):06d}")
        self._secrets[arn] = Secret(arn, name)
        return self._secrets[arn]

    def call(self, name: str, caller: Caller, params: Mapping[str, Any]) -> Record:
        """Run one operation; NotImplementedError for one that the product is not known to call."""
        secret = self._find(caller, params["SecretId"])
        match name:
            case "PutSecretValue":
                return self._put(secret, params)
            case "GetSecretValue":
                return self._get(secret, params)
            case "DescribeSecret":
                return {**_names(secret), "VersionIdsToStages": _stages(secret)}
            case _:
                raise NotImplementedError(f"secretsmanager:{name} has no answer in process")

    def _find(self, caller: Caller, wanted: str) -> Secret:
        prefix = caller.arn("secretsmanager", f"secret:{wanted}-")
        for arn, secret in self._secrets.items():
            if wanted == arn or (secret.name == wanted and arn.startswith(prefix)):
                return secret
        raise AwsError("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")

    def _put(self, secret: Secret, params: Mapping[str, Any]) -> Record:
        """The same ClientRequestToken is the same version, and must have the same value."""
        version, value = params["ClientRequestToken"], params["SecretString"]
        if secret.versions.setdefault(version, value) != value:
            raise AwsError("ResourceExistsException", f"You can't use ClientRequestToken {version} twice")
        if secret.stages.get(CURRENT, version) != version:
            secret.stages[PREVIOUS] = secret.stages[CURRENT]
        secret.stages[CURRENT] = version
        return {**_names(secret), "VersionId": version, "VersionStages": [CURRENT]}

    def _get(self, secret: Secret, params: Mapping[str, Any]) -> Record:
        version = params.get("VersionId") or secret.stages.get(params.get("VersionStage", CURRENT), "")
        if version not in secret.versions:
            raise AwsError("ResourceNotFoundException", "Secrets Manager can't find the specified secret value")
        return {
            **_names(secret),
            "VersionId": version,
            "SecretString": secret.versions[version],
            "VersionStages": _stages(secret).get(version, []),
        }


def _names(secret: Secret) -> Record:
    return {"ARN": secret.arn, "Name": secret.name}


def _stages(secret: Secret) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for stage, version in secret.stages.items():
        found.setdefault(version, []).append(stage)
    return found
