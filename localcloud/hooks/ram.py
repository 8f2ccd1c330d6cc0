"""RAM, of which ministack has nothing: sharing within the organization is on from the start, so turning it on is all.

https://docs.aws.amazon.com/ram/latest/APIReference/API_EnableSharingWithAwsOrganization.html
"""

from typing import Any

from ministack import app as ministack
from ministack.core import router
from ministack.core.responses import get_account_id, new_uuid

from localcloud.cloud import Cloud
from localcloud.protocol import rest_json


def install(cloud: Cloud) -> None:
    async def handle(method: str, path: str, _headers: Any, body: bytes, query: Any) -> Any:
        operation, _params = rest_json.parse("ram", method, path, query, body)
        if operation.name != "EnableSharingWithAwsOrganization":
            return _refusal("InvalidParameterException", f"{operation.name} is not served here")
        if get_account_id() != cloud.management:
            return _refusal("OperationNotPermittedException", "Only the organization's management account may do that")
        headers = {"Content-Type": "application/json", "x-amzn-RequestId": new_uuid()}
        return 200, headers, rest_json.serialize(operation, {"returnValue": True})

    router.SERVICE_PATTERNS["ram"] = {"credential_scope": "ram"}
    ministack.SERVICE_HANDLERS["ram"] = handle


def _refusal(code: str, message: str) -> Any:
    headers, body = rest_json.error(code, message)
    return 400, {**headers, "x-amzn-RequestId": new_uuid()}, body
