"""Step Functions: state machines that go on with what a function has begun."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from groundcrew.aws.errors import translated
from groundcrew.aws.session import own_client
from groundcrew.errors import PermanentError

if TYPE_CHECKING:
    from types_boto3_stepfunctions import SFNClient


def start(machine_arn: str, name: str, content: Mapping[str, Any], region: str) -> None:
    """Start an execution, once per name (at most 80 characters): a second start with that name changes nothing.

    https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
    """
    client: SFNClient = own_client("stepfunctions", region)
    try:
        with translated(f"states:StartExecution of {name}"):
            client.start_execution(stateMachineArn=machine_arn, name=name, input=json.dumps(content, sort_keys=True))
    except PermanentError as error:
        if error.cause != "ExecutionAlreadyExists":
            raise
