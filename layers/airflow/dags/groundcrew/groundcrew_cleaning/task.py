"""A clean-up inside an environment: the order is read, the database cleaned, and what was done is written down."""

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from typing import Any

from groundcrew_cleaning.act import Cleaning, RefusedError
from groundcrew_cleaning.order import Ask, Order
from groundcrew_metadata.storage import Storage

log = logging.getLogger(__name__)


def run(conf: object, run_id: str, attempt: int) -> None:
    """Carry out the order that a run names. The report is written last, and says what is committed, whatever happened.

    Raises:
        OrderError: there is no such order, or it is not to be carried out here and now. There is no report.
        RefusedError, ValueError, psycopg2.Error: it broke off; the next clean-up goes on.
        botocore.exceptions.ClientError: the report cannot be written.
    """
    ask = Ask.of(conf, run_id, attempt)
    order = Order.of(ask.shipped(), ask, os.environ.get("AIRFLOW_ENV_NAME", ""), datetime.now(UTC))
    log.info("begun cleanup_id=%s deletes=%s seconds=%.0f", order.cleanup_id, order.deletes, order.seconds)
    report: dict[str, Any] = {"tables": {}, "converged": False}
    try:
        both = order.policy.get("connections", 1) > 1
        with _connection() as connection, _connection() if both else nullcontext() as second:
            cleaning = Cleaning(connection, order.policy, order.covered, order.seconds, second)
            report["tables"] = cleaning.report
            report["converged"] = cleaning.run(deletes=order.deletes)
    except BaseException as error:  # a task is also stopped by what is no Exception
        # A database's error may hold values of rows; ours do not.
        report["failure"] = str(error) if isinstance(error, RefusedError) else type(error).__name__
        raise
    finally:
        _write(order, report)


def _write(order: Order, report: dict[str, Any]) -> None:
    body = json.dumps(report).encode()
    Storage(order.place).put(order.report_key, body, hashlib.sha256(body).digest(), "application/json")
    for table, said in report["tables"].items():
        log.info("cleaned table=%s deleted=%s left=%s", table, said.get("deleted"), said.get("left"))
    log.info("reported cleanup_id=%s converged=%s", order.cleanup_id, report["converged"])


@contextmanager
def _connection() -> Iterator[Any]:
    """To the database of the Airflow that runs here, as ``groundcrew_metadata.snapshot`` takes it; raises what psycopg2
    raises. It is closed in the end, which lets go of its locks.
    """
    from airflow import settings  # noqa: PLC0415 - the rest of this module is tested without Airflow

    pooled = settings.engine.raw_connection()
    connection = pooled.dbapi_connection
    pooled.detach()
    try:
        connection.rollback()
        yield connection
    finally:
        connection.close()
