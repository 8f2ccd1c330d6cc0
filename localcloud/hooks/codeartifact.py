"""CodeArtifact from our model, which ministack has nothing of, with IAM enforced.

Which resource an action is authorized on:
https://docs.aws.amazon.com/codeartifact/latest/ug/auth-and-access-control-permissions-reference.html
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ministack import app as ministack
from ministack.core import iam_actions
from ministack.core.responses import new_uuid
from ministack.core.router import extract_access_key_id
from ministack.services import sts

from localcloud.cloud import Cloud
from localcloud.hooks import ec2, identity
from localcloud.model.caller import Ids
from localcloud.model.codeartifact import OPERATIONS, CodeArtifact, Policy
from localcloud.model.errors import AwsError
from localcloud.protocol import rest_json

SERVICE = "codeartifact"

Response = tuple[int, dict[str, str], bytes]


def install(cloud: Cloud) -> CodeArtifact:
    """The domains of all accounts."""
    model = CodeArtifact(cloud.clock.now, Ids(new_uuid()))
    cloud.on_reset(model.clear)
    iam_actions.SERVICE_TO_IAM_NAMESPACE[SERVICE] = SERVICE
    iam_actions._BOTOCORE_SERVICE_MAP[SERVICE] = [SERVICE]
    identity.leave_authorization_to_handler([f"{SERVICE}:{name}" for name in OPERATIONS])
    ministack.SERVICE_HANDLERS[SERVICE] = _handler(model)
    return model


def _handler(model: CodeArtifact) -> Any:
    async def handle(method: str, path: str, headers: Any, body: bytes, query: Mapping[str, Sequence[str]]) -> Response:
        try:
            operation, params = rest_json.parse(SERVICE, method, path, query, body)
            rights = SessionRights(identity.Principal.of_request(), _until(extract_access_key_id(headers, query) or ""))
            result = model.call(operation.name, ec2.caller(), params, rights)
            return 200, {"Content-Type": "application/json"}, rest_json.serialize(operation, result)
        except KeyError:
            error = AwsError("ValidationException", f"Unknown path {method} {path}")
        except AwsError as raised:
            error = raised
        error_headers, answer = rest_json.error(error.code, error.message, error.members)
        return error.status, {**error_headers, "x-amzn-RequestId": new_uuid()}, answer

    return handle


def _until(access_key: str) -> float | None:
    """When a session ends, by the real clock; None for keys that do not expire."""
    expires = (sts._sessions.get(access_key) or {}).get("Expiration")
    return None if expires is None else float(expires)


@dataclass(frozen=True)
class SessionRights:
    """What a principal may do, now and whenever its token is used."""

    who: identity.Principal
    until: float | None

    @property
    def principal(self) -> str:
        return self.who.name

    @property
    def remaining(self) -> float | None:
        return None if self.until is None else self.until - time.time()

    def may(self, action: str, resource: str, policy: Policy | None, context: Mapping[str, Any] | None = None) -> bool:
        return self.who.may(action, resource, context, policy)
