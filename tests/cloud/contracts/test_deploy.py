"""The real SAM CLI against the local cloud."""

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localcloud import deploy
from tests.cloud.conftest import SPOKE, LocalCloud, unique


def template(path: Path, **resources: Any) -> Path:
    document = {"Resources": resources, "Outputs": {name: {"Value": {"Ref": name}} for name in resources}}
    path.write_text(json.dumps(document))
    return path


def test_a_template_is_deployed_updated_and_removed(cloud: LocalCloud, tmp_path: Path) -> None:
    stack, account, region = unique("stack"), SPOKE, "eu-west-3"
    path = tmp_path / "template.json"

    def deployed(value: str) -> deploy.Deployed:
        parameter = {
            "Type": "AWS::SSM::Parameter",
            "Properties": {"Name": f"/{stack}", "Type": "String", "Value": value},
        }
        template(path, Parameter=parameter)
        return deploy.deploy(cloud.control, path, stack=stack, account=account, region=region)

    ssm = cloud.client("ssm", account, region)
    for value in ("first", "second", "second"):
        assert deployed(value).outputs == {"Parameter": f"/{stack}"}
        assert ssm.get_parameter(Name=f"/{stack}")["Parameter"]["Value"] == value
    deploy.remove(cloud.control, stack, account, region)
    with pytest.raises(ClientError, match="ParameterNotFound"):
        ssm.get_parameter(Name=f"/{stack}")


def test_a_failed_deployment_says_which_resource_and_why(cloud: LocalCloud, tmp_path: Path) -> None:
    properties = {"FunctionName": "nobody", "Principal": "*", "Action": "lambda:InvokeFunction"}
    wrong = {"Type": "AWS::Lambda::Permission", "Properties": properties}
    path = template(tmp_path / "template.json", Wrong=wrong)
    with pytest.raises(deploy.DeployError, match=r"Wrong: .*Function not found: nobody"):
        deploy.deploy(cloud.control, path, stack=unique("stack"), account=SPOKE)
