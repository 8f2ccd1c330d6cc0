"""S3's events on EventBridge, on the bus of the bucket's owner; what conditional writes need; and what S3 says of an
object that is missing.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
"""

import json
import uuid
from typing import Any

from ministack.core import iam_actions
from ministack.core.responses import get_account_id
from ministack.services import eventbridge, s3

from localcloud.cloud import Cloud
from localcloud.hooks import identity


def install(cloud: Cloud) -> None:
    stock = s3._fire_s3_event_async

    def fire(
        bucket: str, key: str, event_name: str, size: int = 0, etag: str = "", deletion_type: str | None = None,
        *, version_id: str | None = None, **rest: Any,
    ) -> None:  # fmt: skip
        stock(bucket, key, event_name, size, etag, deletion_type, version_id=version_id, **rest)
        if "EventBridgeConfiguration" not in s3._bucket_notifications.get(bucket, ""):
            return
        kind, reason = s3._s3_event_to_eventbridge(event_name)
        facts = {"size": size, "etag": etag.strip('"')} if kind == "Object Created" else {}
        version = {"version-id": version_id} if version_id else {}
        detail = {
            "version": "0",
            "bucket": {"name": bucket},
            "object": {"key": key, **facts, **version, "sequencer": s3._next_event_sequencer(event_name)},
            "request-id": uuid.uuid4().hex[:16].upper(),
            "requester": identity.caller_account() or get_account_id(),
            "source-ip-address": "127.0.0.1",
            "reason": reason,
            "deletion-type": (deletion_type or "Permanently Deleted") if kind == "Object Deleted" else None,
        }
        entry = {
            "Source": "aws.s3",
            "DetailType": kind,
            "Resources": [f"arn:aws:s3:::{bucket}"],
            "Detail": json.dumps({name: value for name, value in detail.items() if value is not None}),
        }
        owner = s3._bucket_owner_account(bucket) or get_account_id()
        cloud.put_aws_event(owner, s3._notification_bucket_region(bucket), entry)

    s3._fire_s3_event_async = fire
    iam_actions.s3_additional_checks = _with_conditions(iam_actions.s3_additional_checks)
    eventbridge._dispatch_event = _without_stock_events(eventbridge._dispatch_event)
    s3._get_object = _hiding(s3._get_object)
    s3._head_object = _hiding(s3._head_object)


def _hiding(stock: Any) -> Any:
    """A missing object is 404 to those who may list it, and 403 to others.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html ; the object's key stands in for ``s3:prefix``
    then (https://github.com/ceph/ceph/pull/68577, made to do as AWS does).
    """

    def answer(bucket: str, key: str, *rest: Any, **more: Any) -> Any:
        found = stock(bucket, key, *rest, **more)
        owner = s3._bucket_owner_account(bucket)
        if found[0] != 404 or owner is None:
            return found
        own = (s3._bucket_policies.get_scoped(owner, None, bucket) or "", owner)
        if identity.authorize("s3:ListBucket", f"arn:aws:s3:::{bucket}", {"s3:prefix": key}, own):
            return found
        return s3._error("AccessDenied", "Access Denied", 403)

    return answer


def _with_conditions(stock: Any) -> Any:
    """An object is replaced on a condition (``If-Match``) by callers that may read it only.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html (permissions)
    """

    def checks(method: str, path: str, headers: Any, body: bytes, query: Any) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = stock(method, path, headers, body, query)
        if method == "PUT" and "if-match" in {name.lower() for name in headers}:
            found.append(("s3:GetObject", f"arn:aws:s3:::{path.lstrip('/')}"))
        return found

    return checks


def _without_stock_events(stock: Any) -> Any:
    """The emulator's own S3 events come without a view; the ones made above have one."""

    def dispatch(event: dict[str, Any], view: Any = None) -> None:
        if view is not None or event["Source"] != "aws.s3":
            stock(event, view)

    return dispatch
