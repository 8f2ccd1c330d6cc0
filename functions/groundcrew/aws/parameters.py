"""Policies and grants: JSON documents in SSM Parameter Store."""

import json
import re
from typing import TYPE_CHECKING, Any

from groundcrew.authorization import Grants
from groundcrew.aws.errors import translated
from groundcrew.aws.session import own_client
from groundcrew.errors import NotFound, PermanentError

if TYPE_CHECKING:
    from types_boto3_ssm import SSMClient


_NAME = re.compile(r"/groundcrew(/[a-zA-Z0-9_.-]{1,64}){2}")
"""``/groundcrew/<part>/<name>``. A colon would read another version, a slash another part's."""


def document(name: str, region: str) -> dict[str, Any]:
    """The JSON object in a parameter.

    Raises:
        NotFound: there is no such parameter.
        PermanentError: it does not hold a JSON object, or nothing can have that name; names come from tags.
    """
    if not _NAME.fullmatch(name):
        raise PermanentError(
            f"{name!r} is no parameter's name",
            cause="InvalidPolicy",
            remedy="Set the environment's tag to 'off' or to the name of a policy: letters, digits, '.', '_' and '-'.",
        )
    client: SSMClient = own_client("ssm", region)
    try:
        with translated(f"ssm:GetParameter of {name}"):
            text = client.get_parameter(Name=name)["Parameter"]["Value"]
    except NotFound as error:
        raise NotFound(error.what, cause="MissingPolicy", remedy=f"Make the parameter {name} in the hub.") from error
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise PermanentError(
            f"the parameter {name} does not hold a JSON object", cause="InvalidPolicy", remedy=f"Correct {name}."
        )
    return value


def document_or_none(name: str, region: str) -> dict[str, Any] | None:
    """The JSON object in a parameter, or None without the parameter."""
    try:
        return document(name, region)
    except NotFound:
        return None


def grants(region: str) -> Grants:
    """How grants are looked up."""
    return lambda account: document_or_none(f"/groundcrew/grants/{account}", region)
