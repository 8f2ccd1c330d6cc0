"""What holds for every template that is deployed; each rule returns what breaks it, in words."""

import importlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.template.cfn import Template, dictionaries, listed, refers_to

FUNCTION = "AWS::Serverless::Function"
QUEUE = "AWS::SQS::Queue"
# Asynchronous event sources of SAM functions: nobody waits for the answer, so failures must land somewhere.
PUSHED = {"EventBridgeRule", "CloudWatchEvent", "Schedule", "ScheduleV2", "SNS", "S3"}

# Actions for which IAM knows no resource, so that their statement has to say "*".
# https://docs.aws.amazon.com/service-authorization/latest/reference/ , tables of each service
NO_RESOURCE = {
    "airflow:ListEnvironments",
    "cloudwatch:PutMetricData",
    "ec2:DescribeRouteTables",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcEndpointServices",
    "ec2:DescribeVpcEndpoints",
    "ec2:DescribeVpcs",
    "sts:GetServiceBearerToken",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
}

Violations = list[str]
Rule = Callable[[Template], Violations]


def statements(template: Template) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every IAM statement with the logical id it stands in: roles, resource policies, trust policies."""
    for name, properties in template.resources().items():
        for item in dictionaries(properties):
            if "Effect" in item and item.keys() & {"Action", "NotAction"}:
                yield name, item


def granted(template: Template) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Statements that allow something of more than themselves: a key's own policy can only speak of that key.

    https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html
    """
    keys = template.resources("AWS::KMS::Key")
    return ((name, one) for name, one in statements(template) if one["Effect"] == "Allow" and name not in keys)


def partition_is_not_written_out(template: Template) -> Violations:
    return re.findall(r".*arn:aws.*", template.text)


def parameters_are_described(template: Template) -> Violations:
    return [name for name, parameter in template.parameters.items() if not parameter.get("Description")]


def actions_are_named(template: Template) -> Violations:
    return [
        f"{name}: {action}"
        for name, statement in granted(template)
        for action in listed(statement.get("Action")) or ["NotAction"]
        if "*" in action or action == "NotAction"
    ]


def any_resource_only_where_iam_knows_none(template: Template) -> Violations:
    return [
        f"{name}: {action}"
        for name, statement in granted(template)
        if "*" in listed(statement.get("Resource"))
        for action in listed(statement["Action"])
        if action not in NO_RESOURCE
    ]


def functions_have_a_role_of_their_own(template: Template) -> Violations:
    functions = template.resources(FUNCTION)
    roles = [frozenset(refers_to(function.get("Role"))) for function in functions.values()]
    return [
        name
        for name, role in zip(functions, roles, strict=True)
        if not role or roles.count(role) > 1 or not role <= template.resources("AWS::IAM::Role").keys()
    ]


def functions_in_a_vpc_may_look_at_subnets(template: Template) -> Violations:
    """AWS's broader policy for such functions lets them, and AWSLambdaENIManagementAccess does not.

    https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AWSLambdaVPCAccessExecutionRole.html
    """
    allowed = {name for name, one in granted(template) if "ec2:DescribeSubnets" in listed(one.get("Action"))}
    return [
        name
        for name, function in template.resources(FUNCTION).items()
        if function.get("VpcConfig") and not refers_to(function.get("Role")) & allowed
    ]


def functions_log_to_a_group_that_forgets(template: Template) -> Violations:
    groups = {name for name, group in template.resources("AWS::Logs::LogGroup").items() if group.get("RetentionInDays")}
    return [
        name
        for name, function in template.resources(FUNCTION).items()
        if not refers_to(function.get("LoggingConfig")) & groups
    ]


def functions_lose_no_event(template: Template) -> Violations:
    """What is pushed to a function ends in a queue when the function fails."""
    lost = []
    for name, function in template.resources(FUNCTION).items():
        pushed = {event["Type"] for event in function.get("Events", {}).values()} & PUSHED
        caught = refers_to([function.get("EventInvokeConfig"), function.get("DeadLetterQueue")])
        if pushed and not caught & template.resources(QUEUE).keys():
            lost.append(f"{name}: {', '.join(sorted(pushed))} without a queue for failures")
    return lost


def deliveries_have_a_dead_letter_queue(template: Template) -> Violations:
    """Every target of a rule or a schedule, in SAM's words or in CloudFormation's."""
    deliveries: dict[str, Any] = {}
    for name, function in template.resources(FUNCTION).items():
        for event_name, event in function.get("Events", {}).items():
            if event["Type"] in PUSHED - {"SNS", "S3"}:
                deliveries[f"{name}.{event_name}"] = event.get("Properties", {})
    for name, rule in template.resources("AWS::Events::Rule").items():
        for target in listed(rule.get("Targets")):
            deliveries[f"{name}.{target['Id']}"] = target
    for name, schedule in template.resources("AWS::Scheduler::Schedule").items():
        deliveries[name] = schedule["Target"]
    return [name for name, delivery in deliveries.items() if not refers_to(delivery.get("DeadLetterConfig"))]


MOST_MEMORY = 3008
"""Megabytes that a function may have in a new account.

https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
"""


def functions_fit_a_new_account(template: Template) -> Violations:
    return [
        f"{name}: {function['MemorySize']} MB"
        for name, function in template.resources(FUNCTION).items()
        if function.get("MemorySize", 0) > MOST_MEMORY
    ]


def what_is_retained_is_not_left_by_a_first_deployment_that_fails(template: Template) -> Violations:
    """The next one would find its name taken, or leave another one each time.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-attribute-deletionpolicy.html
    """
    return [name for name, one in template.body["Resources"].items() if one.get("DeletionPolicy") == "Retain"]


def rules_of_aws_sources_name_detail_types(template: Template) -> Violations:
    """CloudTrail's events of API calls have the service's source, too; sources that a parameter names are the user's.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-service-event-cloudtrail.html
    """
    patterns = {name: rule.get("EventPattern") for name, rule in template.resources("AWS::Events::Rule").items()}
    for name, function in template.resources(FUNCTION).items():
        for event_name, event in function.get("Events", {}).items():
            patterns[f"{name}.{event_name}"] = event.get("Properties", {}).get("Pattern")
    return [
        name
        for name, pattern in patterns.items()
        if pattern and not pattern.get("detail-type") and any(one.startswith("aws.") for one in _texts(pattern))
    ]


def _texts(value: Any) -> Iterator[str]:
    """Every text in a value, whichever intrinsic functions it stands in."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(inner)


def queues_are_encrypted(template: Template) -> Violations:
    return [
        name
        for name, queue in template.resources(QUEUE).items()
        if queue.get("SqsManagedSseEnabled") is not True and not queue.get("KmsMasterKeyId")
    ]


def _dead_letter_queues(template: Template) -> set[str]:
    """Queues where something ends: named as such by another queue, a delivery or a function."""
    ends: set[str] = set()
    for item in dictionaries(template.body["Resources"]):
        for key in ("RedrivePolicy", "DeadLetterConfig", "DeadLetterQueue", "OnFailure"):
            ends |= refers_to(item.get(key))
    return ends & template.resources(QUEUE).keys()


def queues_redrive(template: Template) -> Violations:
    return [
        name
        for name, queue in template.resources(QUEUE).items()
        if name not in _dead_letter_queues(template) and not refers_to(queue.get("RedrivePolicy"))
    ]


def dead_letter_queues_raise_an_alarm(template: Template) -> Violations:
    watched = refers_to([list(template.resources("AWS::CloudWatch::Alarm").values())])
    return sorted(_dead_letter_queues(template) - watched)


def handlers_exist(template: Template) -> Violations:
    missing = []
    for name, function in template.resources(FUNCTION).items():
        module, _, attribute = function["Handler"].rpartition(".")
        try:
            handler = getattr(importlib.import_module(module), attribute, None)
        except ImportError as error:
            missing.append(f"{name}: {error}")
            continue
        if not callable(handler):
            missing.append(f"{name}: {function['Handler']} is not there")
    return missing


RULES: list[Rule] = [
    partition_is_not_written_out,
    parameters_are_described,
    actions_are_named,
    any_resource_only_where_iam_knows_none,
    functions_have_a_role_of_their_own,
    functions_in_a_vpc_may_look_at_subnets,
    functions_log_to_a_group_that_forgets,
    functions_lose_no_event,
    functions_fit_a_new_account,
    deliveries_have_a_dead_letter_queue,
    what_is_retained_is_not_left_by_a_first_deployment_that_fails,
    rules_of_aws_sources_name_detail_types,
    queues_are_encrypted,
    queues_redrive,
    dead_letter_queues_raise_an_alarm,
    handlers_exist,
]
