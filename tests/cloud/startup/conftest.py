import datetime as dt
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from localcloud.container import BASH, Container, Installed, Started, credentials, startup_script
from localcloud.testing.served import HUB, LocalCloud, allow, unique
from localcloud.wheels import wheel

REGION, KEY = "us-east-1", "groundcrew/tokens.json"
SHELLS = ("/bin/dash", BASH)
MINTER = (
    allow("codeartifact:GetAuthorizationToken"),
    allow("sts:GetServiceBearerToken"),
    allow(["codeartifact:ReadFromRepository", "codeartifact:GetRepositoryEndpoint"]),
)


@dataclass
class Shop:
    """An environment's bucket, a domain with a package, the role of the containers, and a folder for them."""

    cloud: LocalCloud
    folder: Path
    bucket: str
    domain: str
    index: str
    public: str
    tokens: list[str] = field(default_factory=list)

    def mint(self, seconds: int = 43_200) -> dict[str, Any]:
        """A token of a role that may read everything, as the object has it."""
        client = self.cloud.as_role("codeartifact", self.cloud.role(*MINTER))
        answer = client.get_authorization_token(domain=self.domain, durationSeconds=seconds)
        self.tokens.append(answer["authorizationToken"])
        return {
            "version": 1,
            "binding": "acme",
            "token": answer["authorizationToken"],
            "expires_at": answer["expiration"].astimezone(dt.UTC).isoformat(),
            "index_url": self.index,
            "extra_index_urls": [],
        }

    def deliver(self, found: Mapping[str, Any]) -> None:
        """Put the object where the container looks for it."""
        self.put(KEY, json.dumps(found))

    def put(self, key: str, text: str) -> str | None:
        """An object of the bucket; returns its version."""
        answer = self.cloud.client("s3").put_object(Bucket=self.bucket, Key=key, Body=text.encode())
        version: str | None = answer.get("VersionId")
        return version

    def fallback(self, **changes: Any) -> dict[str, Any]:
        """What a container needs to ask CodeArtifact itself."""
        wanted = {"domain": self.domain, "owner": HUB, "region": REGION, "repositories": ["python"]}
        return {**wanted, "index": "index-url", **changes}

    def script(self, before: str = "", after: str = "", **settings: Any) -> Path:
        """The startup script: ours with these settings, and lines of the customer's around it."""
        found = self.folder / "startup.sh"
        found.write_text(startup_script(self.bucket, KEY, before=before, after=after, **settings))
        return found

    def container(self, *statements: dict[str, Any], shell: str = BASH, ahead: float = 0.0, **more: Any) -> Container:
        """A new container; its execution role may read the bucket and do what is said, its clock may be ahead."""
        reads = allow(["s3:GetObject", "s3:GetObjectVersion"], f"arn:aws:s3:::{self.bucket}/*")
        lists = allow("s3:List*", f"arn:aws:s3:::{self.bucket}")  # as MWAA's user guide gives it to execution roles
        session = self.cloud.control.session(self.cloud.role(reads, lists, *statements, path="/"))
        variables = {
            **credentials(session, REGION, self.cloud.control.endpoint),
            **more.pop("variables", {}),
        }
        home = self.folder / unique("container")
        home.mkdir()
        authority = self.cloud.control.status()["authority"]
        clock = self.cloud.control.now() - time.time() + ahead
        return Container(home, variables, self.public, authority, shell, clock=clock, **more)

    def no_token_in(self, container: Container, started: Started, *installed: Installed) -> None:
        """No token in a log, in what later processes get, or in any file but the pip configuration."""
        texts = [started.log, json.dumps(dict(started.exported or {})), *(one.log for one in installed)]
        files = [path for path in container.home.rglob("*") if path.is_file() and path.name != "pip.conf"]
        texts += [path.read_bytes().decode(errors="replace") for path in files]
        assert self.tokens, "a token must have been minted"
        assert not [token for token in self.cloud.control.tokens() if any(token in text for text in texts)]


@pytest.fixture
def shop(cloud: LocalCloud, tmp_path: Path) -> Shop:
    domain, bucket = unique("acme"), unique("airflow")
    client = cloud.client("codeartifact")
    client.create_domain(domain=domain)
    client.create_repository(domain=domain, repository="python")
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    where = {"domain": domain, "owner": HUB, "region": REGION, "repository": "python"}
    index = cloud.control.publish(wheel(tmp_path, "acme-tool", "1.0"), **where)
    public = cloud.control.publish_publicly(wheel(tmp_path, "ordinary", "2.0"))
    return Shop(cloud, tmp_path, bucket, domain, index, public)
