"""The bucket of exports and its key, as ``template.yaml`` declares them: a first deployment fails and is tried again; a
hub is removed, and the next one is installed over what it left.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localcloud.testing.served import LocalCloud
from localcloud.testing.waiting import eventually
from tests.template.cfn import Template
from tests.template.test_templates import ROOT

ACCOUNT, REGION = "666666666666", "eu-west-1"  # of nobody else: the bucket has one name in an account and Region
BUCKET = f"groundcrew-exports-{ACCOUNT}-{REGION}"
KEPT = ("ExportsKey", "ExportsBucket", "ExportsBucketPolicy")
STACK = "groundcrew-exports-only"
KEY = f"manifests/{ACCOUNT}/{REGION}/orders/20261127T043000Z-0a1b2c3d.json"


class Hub:
    """The hub's stack, without all that does not concern exports."""

    def __init__(self, cloud: LocalCloud) -> None:
        self.formation = cloud.client("cloudformation", ACCOUNT, REGION)
        self.s3 = cloud.client("s3", ACCOUNT, REGION)
        body = Template.read(ROOT / "template.yaml").body
        resources = {name: body["Resources"][name] for name in KEPT}
        outputs = {name: body["Outputs"][name] for name in ("ExportsBucket", "ExportsKeyArn")}
        self.body: dict[str, Any] = {name: body[name] for name in ("Parameters", "Conditions")}
        self.body |= {"Resources": resources, "Outputs": outputs}

    def install(self, *, fails: bool = False, key: str = "", **policies: str) -> str:
        """Create the stack; how that ended."""
        body = json.loads(json.dumps(self.body))
        for resource in body["Resources"].values():
            if resource.get("DeletionPolicy"):
                resource.update(policies)
        if fails:
            after = {"Type": "AWS::SSM::Parameter", "DependsOn": "ExportsBucketPolicy"}
            body["Resources"]["Broken"] = {**after, "Properties": {"Name": "/x", "Type": "Nothing", "Value": "x"}}
        parameters = [{"ParameterKey": "ExistingExportsKeyArn", "ParameterValue": key}] if key else []
        self.formation.create_stack(StackName=STACK, TemplateBody=json.dumps(body), Parameters=parameters)
        return str(eventually(self._done, 30)["StackStatus"])

    def remove(self) -> None:
        self.formation.delete_stack(StackName=STACK)
        eventually(lambda: not self._exists(), 30)

    def output(self, name: str) -> str:
        found = self.formation.describe_stacks(StackName=STACK)["Stacks"][0]["Outputs"]
        return next(str(one["OutputValue"]) for one in found if one["OutputKey"] == name)

    def has_bucket(self) -> bool:
        return BUCKET in {one["Name"] for one in self.s3.list_buckets()["Buckets"]}

    def empty(self) -> None:
        """What is left of a test."""
        if self._exists():
            self.remove()
        if self.has_bucket():
            for version in self.s3.list_object_versions(Bucket=BUCKET).get("Versions", []):
                self.s3.delete_object(Bucket=BUCKET, Key=version["Key"], VersionId=version["VersionId"])
            self.s3.delete_bucket(Bucket=BUCKET)

    def _done(self) -> dict[str, Any] | None:
        stack: dict[str, Any] = self.formation.describe_stacks(StackName=STACK)["Stacks"][0]
        return None if stack["StackStatus"].endswith("IN_PROGRESS") else stack

    def _exists(self) -> bool:
        try:
            self.formation.describe_stacks(StackName=STACK)
        except ClientError:
            return False
        return True


@pytest.fixture
def hub(cloud: LocalCloud) -> Iterator[Hub]:
    made = Hub(cloud)
    yield made
    made.empty()


def test_a_first_deployment_that_failed_is_tried_again(hub: Hub) -> None:
    assert hub.install(fails=True) == "ROLLBACK_COMPLETE"
    assert not hub.has_bucket()
    hub.remove()
    assert hub.install() == "CREATE_COMPLETE"
    assert hub.output("ExportsBucket") == BUCKET


def test_with_retain_it_could_not_be_tried_again(hub: Hub) -> None:
    """The control: this is what the template said once."""
    assert hub.install(fails=True, DeletionPolicy="Retain") == "ROLLBACK_COMPLETE"
    assert hub.has_bucket()
    hub.remove()
    assert hub.install() == "ROLLBACK_COMPLETE"


def test_exports_outlive_the_hub_and_are_taken_over_by_the_next_one(hub: Hub) -> None:
    assert hub.install() == "CREATE_COMPLETE"
    key = hub.output("ExportsKeyArn")
    hub.s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"{}")
    hub.remove()
    assert hub.s3.get_object(Bucket=BUCKET, Key=KEY)["Body"].read() == b"{}"
    assert hub.install() == "ROLLBACK_COMPLETE", "the name is taken"
    hub.remove()
    assert hub.install(key=key) == "CREATE_COMPLETE"
    assert (hub.output("ExportsBucket"), hub.output("ExportsKeyArn")) == (BUCKET, key)
    assert json.loads(hub.s3.get_bucket_policy(Bucket=BUCKET)["Policy"])["Statement"]
    assert hub.s3.get_object(Bucket=BUCKET, Key=KEY)["Body"].read() == b"{}"
    hub.remove()
    assert hub.has_bucket(), "a hub that took it over does not delete it either"
