"""CodeArtifact tokens on the deployed cloud: domains with a package, bindings, and environments bound to them."""

import base64
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from localcloud.container import Container, credentials
from localcloud.fleet import Environment
from localcloud.installation import HUB, REGION
from localcloud.testing.served import allow, policy, unique
from localcloud.wheels import wheel
from tests.cloud.scenarios.airflows import available
from tests.cloud.scenarios.deployed import Deployed, Fact

ROTATED, FAILED, REQUESTED = "Token Rotated", "Token Rotation Failed", "Token Rotation Requested"
MINTER = f"arn:aws:iam::{HUB}:role/groundcrew/groundcrew-tokens-minter-{REGION}"
PACKAGE = "acme-tool"
TURN = 20.0  # seconds of the cloud's clock between looks: rotations of a binding wait a minute for each other


@dataclass(frozen=True)
class Shelf:
    """A domain with the repository ``python``, in which there is one package."""

    deployed: Deployed
    owner: str
    domain: str

    @classmethod
    def made(cls, deployed: Deployed, folder: Path, owner: str = HUB) -> "Shelf":
        """A new one, in any account."""
        shelf = cls(deployed, owner, unique("acme"))
        client = deployed.aws.client("codeartifact", owner)
        client.create_domain(domain=shelf.domain)
        shelf.add_repository("python", wheel(folder, PACKAGE, "1.0"))
        return shelf

    def add_repository(self, name: str, package: Path) -> None:
        """A repository with a package in it."""
        self.deployed.aws.client("codeartifact", self.owner).create_repository(domain=self.domain, repository=name)
        self.deployed.cloud.publish(package, domain=self.domain, owner=self.owner, region=REGION, repository=name)

    def admit_minter(self) -> None:
        """Let the hub's role in, as another account's domain must."""
        client, who = self.deployed.aws.client("codeartifact", self.owner), {"AWS": MINTER}
        allowed = {"Effect": "Allow", "Principal": who, "Resource": "*"}
        client.put_domain_permissions_policy(
            domain=self.domain, policyDocument=policy({**allowed, "Action": "codeartifact:GetAuthorizationToken"})
        )
        reads = ["codeartifact:GetRepositoryEndpoint", "codeartifact:ReadFromRepository"]
        client.put_repository_permissions_policy(
            domain=self.domain, repository="python", policyDocument=policy({**allowed, "Action": reads})
        )

    @contextmanager
    def bound(self, *accounts: str, **changes: Any) -> Iterator[str]:
        """The name of a binding that serves these accounts."""
        ssm, name = self.deployed.aws.client("ssm", HUB), unique("binding")
        document = {"domain": self.domain, "owner": self.owner, "repositories": ["python"], "accounts": list(accounts)}
        parameter = f"/groundcrew/tokens/{name}"
        ssm.put_parameter(Name=parameter, Type="String", Value=json.dumps({**document, **changes}))
        yield name
        ssm.delete_parameter(Name=parameter)

    def change(self, binding: str, **changes: Any) -> None:
        """Change what a binding of this name says."""
        ssm, name = self.deployed.aws.client("ssm", HUB), f"/groundcrew/tokens/{binding}"
        document = json.loads(ssm.get_parameter(Name=name)["Parameter"]["Value"])
        ssm.put_parameter(Name=name, Type="String", Value=json.dumps(document | changes), Overwrite=True)

    def opens(self, token: str, repository: str = "python", project: str = PACKAGE) -> int:
        """The HTTP status of a reader with this token."""
        client = self.deployed.aws.client("codeartifact", self.owner)
        found = client.get_repository_endpoint(domain=self.domain, repository=repository, format="pypi")
        request = urllib.request.Request(f"{found['repositoryEndpoint']}simple/{project}/")
        request.add_header("Authorization", "Basic " + base64.b64encode(f"aws:{token}".encode()).decode())
        trusted = ssl.create_default_context(cafile=self.deployed.cloud.status()["authority"])
        try:
            with urllib.request.urlopen(request, context=trusted) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as refused:
            return refused.code


@dataclass(frozen=True)
class Bound:
    """An environment with a bucket of its own, and the binding that its tag names."""

    deployed: Deployed
    environment: Environment
    bucket: str

    @classmethod
    @contextmanager
    def made(cls, deployed: Deployed, account: str) -> Iterator["Bound"]:
        """One that is AVAILABLE and bound to nothing yet, for as long as this lasts."""
        bucket = make_bucket(deployed, account)
        environment = available(deployed, account, bucket=bucket)
        deployed.until_idle()
        yield cls(deployed, environment, bucket)
        deployed.made.append(environment)

    @contextmanager
    def bound_to(self, binding: str) -> Iterator[None]:
        """Its tag, for as long as this lasts; the bucket is as empty before it."""
        for one in self._s3.list_objects_v2(Bucket=self.bucket).get("Contents", []):
            self._s3.delete_object(Bucket=self.bucket, Key=one["Key"])
        mwaa, arn = self.deployed.aws.client("mwaa", self.environment.account), self.environment.arn
        mwaa.tag_resource(ResourceArn=arn, Tags={"groundcrew:tokens": binding})
        yield
        mwaa.untag_resource(ResourceArn=arn, tagKeys=["groundcrew:tokens"])

    @property
    def _s3(self) -> Any:
        return self.deployed.aws.client("s3", self.environment.account)

    @property
    def key(self) -> str:
        """Where its token is, unless its binding says otherwise."""
        return f"groundcrew/tokens/{self.environment.name}.json"

    def delivered(self) -> dict[str, Any]:
        """The object that its containers read."""
        return dict(json.loads(self.file(self.key)))

    def is_delivered(self) -> bool:
        """Whether there is an object that its containers read."""
        found = self._s3.list_objects_v2(Bucket=self.bucket, Prefix=self.key)
        return bool(found.get("Contents"))

    def file(self, key: str) -> str:
        """An object of its bucket."""
        return str(self._s3.get_object(Bucket=self.bucket, Key=key)["Body"].read().decode())

    def versions(self) -> int:
        """How many versions of the object there are."""
        found = self._s3.list_object_versions(Bucket=self.bucket, Prefix=self.key)
        return len(found.get("Versions", []))

    def container(self, folder: Path) -> Container:
        """A container of the environment, whose execution role may read the bucket."""
        deployed, name = self.deployed, unique("airflow")
        iam = deployed.aws.client("iam", self.environment.account)
        trust = {"Effect": "Allow", "Principal": {"Service": "airflow-env.amazonaws.com"}, "Action": "sts:AssumeRole"}
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy(trust))["Role"]["Arn"]
        bucket = f"arn:aws:s3:::{self.bucket}"
        reads = allow(["s3:GetObject*", "s3:List*"], [bucket, f"{bucket}/*"])
        iam.put_role_policy(RoleName=name, PolicyName="only", PolicyDocument=policy(reads))
        variables = credentials(deployed.cloud.session(role), REGION, deployed.cloud.endpoint)
        home = folder / unique("container")
        home.mkdir()
        public = deployed.cloud.publish_publicly(wheel(folder, PACKAGE, "0.1"))
        clock = deployed.cloud.now() - datetime.now(UTC).timestamp()
        return Container(home, variables, public, deployed.cloud.status()["authority"], clock=clock)

    def ask(self, **detail: Any) -> None:
        """Ask for a rotation as people do."""
        detail = {"environment": self.environment.ref, **detail}
        self.deployed.put(self.environment.account, "groundcrew.request", REQUESTED, detail)

    def told(self, detail_type: str) -> list[Fact]:
        """What was said about its token so far."""
        return [fact["detail"] for fact in self.deployed.facts(detail_type, self.environment)]

    def until_told(self, detail_type: str, more_than: int = 0) -> Fact:
        """Wait until it is said (once more); the last of it."""

        def said() -> list[Fact]:
            found = self.told(detail_type)
            return found if len(found) > more_than else []

        found: list[Fact] = self.deployed.until(said, f"{detail_type} of {self.environment.name}", turn=TURN)
        return found[-1]

    def rotate(self, **detail: Any) -> Fact:
        """Ask, and wait for the new token."""
        before = len(self.told(ROTATED))
        self.ask(**detail)
        return self.until_told(ROTATED, before)


def make_bucket(deployed: Deployed, account: str, key: str = "") -> str:
    """An environment's bucket: versioned, as MWAA wants it; encrypted with a KMS key, if one is given."""
    s3, name = deployed.aws.client("s3", account), unique("airflow-bucket")
    s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    if key:
        default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
        rules = [{"ApplyServerSideEncryptionByDefault": default}]
        s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": rules})
    return name
