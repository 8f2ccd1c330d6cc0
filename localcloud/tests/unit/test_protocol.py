from typing import Any

import pytest
from botocore.parsers import create_parser
from botocore.serialize import create_serializer

from localcloud.model.describe import page
from localcloud.model.errors import AwsError
from localcloud.model.switches import DEFAULTS, switch
from localcloud.protocol import models, query, rest_json

PARAMS: dict[str, dict[str, Any]] = {
    "CreateVpcEndpoint": {
        "VpcId": "vpc-1",
        "ServiceName": "s & t",
        "VpcEndpointType": "Interface",
        "SubnetIds": [f"subnet-{number}" for number in range(1, 12)],
        "PrivateDnsEnabled": False,
        "TagSpecifications": [{"ResourceType": "vpc-endpoint", "Tags": [{"Key": "ä", "Value": ""}]}],
    },
    "DescribeSecurityGroups": {"Filters": [{"Name": "tag:a.b", "Values": ["x", "y*"]}], "MaxResults": 5},
    "AuthorizeSecurityGroupIngress": {
        "GroupId": "sg-1",
        "IpPermissions": [
            {
                "IpProtocol": "tcp",
                "FromPort": 443,
                "ToPort": 443,
                "UserIdGroupPairs": [{"GroupId": "sg-2", "UserId": "222222222222", "Description": "d"}],
            }
        ],
    },
    "CreateTags": {"Resources": ["sg-1", "vpce-1"], "Tags": [{"Key": "k", "Value": "v"}]},
}


@pytest.mark.parametrize("name", PARAMS)
def test_what_botocore_writes_is_read(name: str) -> None:
    operation = models.operation("ec2", name)
    request = create_serializer("ec2").serialize_to_request(PARAMS[name], operation)
    assert query.parse(operation, request["body"]) == PARAMS[name]


def test_what_is_written_botocore_reads() -> None:
    operation = models.operation("ec2", "DescribeVpcEndpoints")
    endpoint = {
        "VpcEndpointId": "vpce-1",
        "PolicyDocument": '{"Statement": "<&>"}',
        "SubnetIds": [],
        "Groups": [{"GroupId": "sg-1", "GroupName": "g"}],
        "PrivateDnsEnabled": True,
        "Tags": [{"Key": "k", "Value": "ä"}],
        "Unknown": "left out",
        "LastError": None,
    }
    body = query.serialize(operation, {"VpcEndpoints": [endpoint], "NextToken": None}, "id")
    answer = {"body": body, "status_code": 200, "headers": {}}
    assert operation.output_shape is not None
    parsed = create_parser("ec2").parse(answer, operation.output_shape)
    del endpoint["Unknown"], endpoint["LastError"]
    assert parsed["VpcEndpoints"] == [endpoint]
    assert parsed["ResponseMetadata"]["RequestId"] == "id"


def test_a_path_means_an_operation() -> None:
    arn = "arn%3Aaws%3Aairflow%3Aus-east-1%3A111111111111%3Aenvironment%2Fdata"
    operation, params = rest_json.parse("mwaa", "DELETE", f"/tags/{arn}", {"tagKeys": ["a", "b"]}, b"")
    assert operation.name == "UntagResource"
    assert params["tagKeys"] == ["a", "b"]
    assert params["ResourceArn"].endswith(":environment/data")
    assert rest_json.parse("mwaa", "GET", "/environments", {"MaxResults": ["5"]}, b"")[1] == {"MaxResults": "5"}
    with pytest.raises(KeyError):
        rest_json.parse("mwaa", "GET", "/nothing", {}, b"")
    with pytest.raises(KeyError):
        models.operation("mwaa", "Nothing")


def test_a_token_of_somebody_elses_is_refused() -> None:
    with pytest.raises(AwsError, match="InvalidNextToken"):
        page([1, 2, 3], {"NextToken": "abc"})


def test_a_switch_that_does_not_exist_is_a_mistake() -> None:
    assert switch({}, "mwaa.admission") == DEFAULTS["mwaa.admission"]
    assert switch({"mwaa.admission": "any"}, "mwaa.admission") == "any"
    with pytest.raises(KeyError):
        switch({"mwaa.admision": "any"}, "mwaa.admision")
