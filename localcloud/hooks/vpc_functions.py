"""Functions in a VPC: what Lambda checks of them. They run like all others: the network itself is not there.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html#configuration-vpc-permissions
"""

import json
from typing import Any

from ministack.core.responses import error_response_json
from ministack.services import iam, lambda_svc
from ministack.services.cloudformation import provisioners

from localcloud.cloud import Cloud
from localcloud.hooks import ec2, identity
from localcloud.model.errors import AwsError

SERVICE = "lambda.amazonaws.com"
INTERFACES = ("CreateNetworkInterface", "DescribeNetworkInterfaces", "DeleteNetworkInterface")
# https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AWSLambdaENIManagementAccess.html
POLICY = "service-role/AWSLambdaENIManagementAccess"
ACTIONS = [*INTERFACES, "AssignPrivateIpAddresses", "UnassignPrivateIpAddresses"]

Data = dict[str, Any]


def install(cloud: Cloud) -> None:
    _know_policy()
    cloud.on_reset(_know_policy)
    lambda_svc._create_function = _checked(lambda_svc._create_function)
    lambda_svc._update_config = _checked_update(lambda_svc._update_config)
    handlers = provisioners._RESOURCE_HANDLERS["AWS::Lambda::Function"]
    handlers["create"] = _checked_resource(handlers["create"], position=1)
    handlers["update"] = _checked_resource(handlers["update"], position=2)


def _know_policy() -> None:
    statement = {"Effect": "Allow", "Action": [f"ec2:{action}" for action in ACTIONS], "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    record = iam._make_aws_managed_record(POLICY, document)
    iam._aws_managed_policies[record["Arn"]] = record


def _problem(role: str, network: Data) -> str | None:
    subnets, groups = network.get("SubnetIds") or [], network.get("SecurityGroupIds") or []
    if not subnets and not groups:
        return None
    if not subnets or not groups:
        return "SecurityGroupIds and SubnetIds must be specified together."
    looks = ("DescribeSubnets",) if ec2.model().setting("lambda.vpc_describes_subnets") else ()
    for action in (*INTERFACES, *looks):
        if identity.role_may(role, SERVICE, f"ec2:{action}", "*"):
            return f"The provided execution role does not have permissions to call {action} on EC2"
    caller = ec2.caller()
    ec2.settle_default_groups(ec2.model(), caller.region)
    for operation, wanted in (
        ("DescribeSubnets", {"SubnetIds": subnets}),
        ("DescribeSecurityGroups", {"GroupIds": groups}),
    ):
        try:
            ec2.model().call(operation, caller, wanted)
        except AwsError as error:
            return f"Error occurred while {operation}. EC2 Error Code: {error.code}. EC2 Error Message: {error.message}"
    return None


def _checked(stock: Any) -> Any:
    def create(data: Data) -> Any:
        problem = _problem(data.get("Role", ""), data.get("VpcConfig") or {})
        return error_response_json("InvalidParameterValueException", problem, 400) if problem else stock(data)

    return create


def _checked_update(stock: Any) -> Any:
    def update(name: str, data: Data) -> Any:
        _function, config, _name = lambda_svc._get_func_record_for_ref(name)
        role = data.get("Role") or (config or {}).get("Role", "")
        problem = _problem(role, data.get("VpcConfig") or {})
        return error_response_json("InvalidParameterValueException", problem, 400) if problem else stock(name, data)

    return update


def _checked_resource(stock: Any, position: int) -> Any:
    def call(*arguments: Any, **named: Any) -> Any:
        properties = arguments[position]
        if problem := _problem(properties.get("Role", ""), properties.get("VpcConfig") or {}):
            raise ValueError(f"Resource handler returned message: {problem}")
        name, attributes = stock(*arguments, **named)
        # ministack's own handlers leave it out, when they create and when they update
        lambda_svc._functions[name]["config"]["VpcConfig"] = properties.get("VpcConfig") or {}
        return name, attributes

    return call
