"""The default bus of the environment's own account, reached with its execution role.

Imports botocore, so only the thread imports this module (``outbox``).
"""

import encodings.idna  # noqa: F401 - the first connection would import it
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from botocore.config import Config
from botocore.exceptions import ClientError, ConnectTimeoutError, EndpointConnectionError
from botocore.session import Session

from groundcrew_listener.environment import Environment
from groundcrew_listener.event import Change, entry

if TYPE_CHECKING:
    from types_boto3_events import EventBridgeClient
    from types_boto3_sts import STSClient

Entry = dict[str, Any]

PAUSES = (0.2, 1.0)
"""Seconds before the second and the third try."""

CONFIG = Config(connect_timeout=1, read_timeout=3, retries={"total_max_attempts": 1, "mode": "standard"})

BATCH_BYTES = 200_000
"""EventBridge takes 256 kB in one ``PutEvents``, with the names and the time of each entry."""

NOT_TAKEN = (ClientError, ConnectTimeoutError, EndpointConnectionError)
"""What says that nothing was taken. After any other error it may have been, so there is no second try: at most once."""

log = logging.getLogger("groundcrew_listener")


class Bus:
    """Where changes go."""

    def __init__(self, environment: Environment, airflow_version: str) -> None:
        session = Session()
        # The global endpoint is out of reach of a VPC that has an interface endpoint only.
        session.set_config_variable("sts_regional_endpoints", "regional")
        if not environment.account:
            sts: STSClient = session.create_client(  # type: ignore[assignment]
                "sts", region_name=environment.region, config=CONFIG
            )
            environment = environment._replace(account=sts.get_caller_identity()["Account"])
        self._environment = environment
        self._airflow_version = airflow_version
        self._client: EventBridgeClient = session.create_client(  # type: ignore[assignment]
            "events", region_name=environment.region, config=CONFIG
        )
        log.info("run states are reported account=%s region=%s environment=%s", *environment)

    def put(self, changes: Sequence[Change]) -> tuple[int, str]:
        """Send changes: how many were taken, and why not all of them if so."""
        entries, reason = [], ""
        for change in changes:
            try:
                entries.append(entry(change, self._environment, self._airflow_version))
            except Exception as error:
                reason = type(error).__name__
        taken = 0
        for batch in batches(entries):
            left, why = self._send(batch)
            taken += len(batch) - len(left)
            reason = why or reason
        return taken, reason

    def _send(self, left: list[Entry]) -> tuple[list[Entry], str]:
        """Entries that were not taken, or may not have been, and why."""
        reason = ""
        for pause in (*PAUSES, None):
            try:
                answers = self._client.put_events(Entries=left)["Entries"]  # type: ignore[arg-type]
            except NOT_TAKEN as error:
                reason = _name(error)
            except Exception as error:
                return left, _name(error)
            else:
                refused = [(one, answer) for one, answer in zip(left, answers, strict=True) if "ErrorCode" in answer]
                if not refused:
                    return [], ""
                left, reason = [one for one, _ in refused], refused[0][1]["ErrorCode"]
            if pause is not None:
                time.sleep(pause)
        return left, reason


def batches(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Entries in as few calls as they fit into."""
    batch: list[Entry] = []
    size = 0
    for one in entries:
        weight = len(one["Detail"]) + 100
        if batch and size + weight > BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(one)
        size += weight
    if batch:
        yield batch


def _name(error: Exception) -> str:
    return error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
