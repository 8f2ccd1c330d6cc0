"""Objects encrypted with a KMS key need the key: its state, and the caller's right to it. ministack asks for neither.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html (permissions), and for the code of a key
that cannot be used https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
"""

from collections.abc import Mapping
from typing import Any

from ministack.core.responses import get_region, request_scope
from ministack.services import kms, s3

from localcloud.hooks import identity

KEY = "x-amz-server-side-encryption-aws-kms-key-id"


def install() -> None:
    s3._get_object = _reading(s3._get_object)
    s3._put_object = _writing(s3._put_object)


def _reading(stock: Any) -> Any:
    def get(bucket: str, key: str, headers: Any, query: Any = None) -> Any:
        answer = stock(bucket, key, headers, query)
        if answer[0] not in (200, 206):
            return answer
        return _refusal(answer[1], bucket, key, "kms:Decrypt") or answer

    return get


def _writing(stock: Any) -> Any:
    def put(bucket: str, key: str, body: bytes, headers: Any) -> Any:
        wanted, _ = s3._resolve_sse_write_headers(headers, bucket)
        return _refusal(wanted or {}, bucket, key, "kms:GenerateDataKey") or stock(bucket, key, body, headers)

    return put


def _refusal(headers: Mapping[str, str], bucket: str, key: str, action: str) -> Any:
    """The error answer, if the key these headers name cannot be used or not by this caller."""
    named = headers.get(KEY)
    if not named:
        return None
    account = named.split(":")[4] if named.startswith("arn:") else s3._bucket_owner_account(bucket)
    region = named.split(":")[3] if named.startswith("arn:") else get_region()
    with request_scope(account, region):
        found = kms._resolve_key(named)
    if found is None:
        return s3._error("KMS.NotFoundException", f"Key '{named}' does not exist", 400)
    context = {
        "kms:ViaService": f"s3.{region}.amazonaws.com",
        "kms:EncryptionContext:aws:s3:arn": f"arn:aws:s3:::{bucket}/{key}",
    }
    if not identity.authorize(action, found["Arn"], context, (found.get("Policy") or "", account)):
        message = f"User: {identity.caller_name()} is not authorized to perform: {action} on resource: {found['Arn']}"
        return s3._error("AccessDenied", message, 403)
    if found["KeyState"] != "Enabled":
        return s3._error("KMS.DisabledException", f"{found['Arn']} is disabled.", 400)
    return None
