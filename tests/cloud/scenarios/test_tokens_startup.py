"""The startup script that a binding binds, on the deployed cloud: what MWAA then runs makes a real pip install."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from localcloud.installation import REGION
from tests.cloud.scenarios.deployed import SPOKE, Deployed
from tests.cloud.scenarios.packages import FAILED, PACKAGE, Bound, Shelf

SCRIPT_BOUND = "Startup Script Bound"
BINDER = f"groundcrew-binder-{REGION}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("startup")


@pytest.fixture(scope="module")
def shelf(deployment: Deployed, folder: Path) -> Shelf:
    return Shelf.made(deployment, folder)


@pytest.fixture
def bound(groundcrew: Deployed) -> Iterator[Bound]:
    with Bound.made(groundcrew, SPOKE) as bound:
        yield bound
    groundcrew.clear()


def swept(groundcrew: Deployed, bound: Bound) -> dict[str, Any]:
    """The environment, once a sweep has seen to its script and MWAA has restarted it."""
    groundcrew.sweep()
    groundcrew.until_idle()
    groundcrew.until_status(bound.environment, "AVAILABLE")
    return bound.environment.describe()


def test_what_is_bound_makes_pip_install(groundcrew: Deployed, shelf: Shelf, bound: Bound, folder: Path) -> None:
    with shelf.bound(SPOKE, startup_script="bind", bind_when="now") as binding, bound.bound_to(binding):
        bound.rotate()
        said = swept(groundcrew, bound)
        (fact,) = bound.told(SCRIPT_BOUND)
        where, version = said["StartupScriptS3Path"], said["StartupScriptS3ObjectVersion"]
        assert (fact["script"], fact["version"]) == (f"s3://{bound.bucket}/{where}", version)
        container = bound.container(folder)
        script = container.home / "startup.sh"
        s3 = groundcrew.aws.client("s3", SPOKE)
        script.write_bytes(s3.get_object(Bucket=bound.bucket, Key=where, VersionId=version)["Body"].read())
        started = container.start(script)
        assert started.status == 0, started.log
        installed = container.install(f"{PACKAGE}\n")
        assert container.version(PACKAGE) == "1.0", installed.log

        again = swept(groundcrew, bound)
        assert again["LastUpdate"]["CreatedAt"] == said["LastUpdate"]["CreatedAt"], "it is bound once"
        assert len(bound.told(SCRIPT_BOUND)) == 1

        shelf.change(binding, on_missing="continue")
        changed = swept(groundcrew, bound)
        assert changed["StartupScriptS3ObjectVersion"] != version
        assert len(bound.told(SCRIPT_BOUND)) == 2


def test_a_spoke_that_does_not_allow_it(groundcrew: Deployed, shelf: Shelf, bound: Bound) -> None:
    with shelf.bound(SPOKE, startup_script="bind", bind_when="now") as binding, bound.bound_to(binding):
        bound.rotate()
        with groundcrew.without(BINDER, SPOKE, "airflow:UpdateEnvironment"):
            groundcrew.sweep()
            assert "BindsStartupScripts" in bound.until_told(FAILED)["remedy"]
            groundcrew.until_idle()
        assert swept(groundcrew, bound)["StartupScriptS3Path"] == f"groundcrew/startup/{bound.environment.name}.sh"


def test_only_a_bound_environment_can_be_updated(groundcrew: Deployed, bound: Bound) -> None:
    binder = groundcrew.aws.as_role("mwaa", f"arn:aws:iam::{SPOKE}:role/groundcrew/{BINDER}")
    with pytest.raises(binder.exceptions.ClientError, match="AccessDenied"):
        binder.update_environment(Name=bound.environment.name, StartupScriptS3Path="x.sh")
