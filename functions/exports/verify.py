"""The step ``verify`` of the state machine ``groundcrew-exports``: an extract is read, all of it, and becomes Parquet.

Nothing is written before everything is read: bytes against their SHA-256, rows against the source's own count, every
value against the type of its column.
"""

import hashlib
import json
import tempfile
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from exports.failing import failing
from exports.order import Order
from exports.parquet import Writer, Written
from exports.receipt import Extracted, Part, Receipt
from groundcrew.aws.objects import Bucket
from groundcrew.errors import NotFound, PermanentError
from groundcrew.events import moment
from groundcrew.observability import about, logger, observed
from groundcrew.settings import metadata_settings, settings

KIND = "application/vnd.apache.parquet"

AT_ONCE = 2
"""Parts that are read side by side: a compressed one keeps one processor busy, and no more."""


@observed
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 - Lambda gives both
    """Verify the extract of an order; the order to come back with."""
    order = Order.read(event["order"])
    about(order.environment, order.correlation_id)
    config = settings()
    with failing(order, config):
        bucket = Bucket.own(metadata_settings().bucket, config.account, config.region)
        with tempfile.TemporaryDirectory(prefix="export-") as folder:
            verify(order, bucket, Path(folder), moment(event.get("now")))
    return order.as_state() | {"next": "publish", "seconds": 0}


def verify(order: Order, bucket: Bucket, folder: Path, now: datetime) -> None:
    """Read the extract, write its Parquet, and say what was written (``verified_key``), in this order.

    ``now``: when the state machine came to this step.

    Raises:
        PermanentError: the extract is not what its receipt says, or its receipt not what was ordered.
        TransientError: S3 is in trouble.
    """
    try:
        receipt = Receipt.read(bucket.get(f"{order.prefix}/receipt.json")[1], order, now)
    except NotFound as error:
        raise PermanentError(error.what, cause="NoReceipt", remedy="Ask for the export again.") from error
    found: dict[str, Any] = {}
    uploads: list[tuple[str, Written]] = []
    with Writer(folder) as writer:
        for table in receipt.tables:
            files = _files(order, table, receipt.snapshot_at, bucket, writer, folder)
            keys = _keys(order, table, receipt.snapshot_at, files)
            uploads += zip(keys, files, strict=True)
            found[table.table.name] = _said(table, files)
    for key, written in uploads:
        content = written.path.read_bytes()
        etag = bucket.put(key, content, content_type=KIND).etag
        digest = hashlib.sha256(content).hexdigest()
        file = {"key": key, "rows": written.rows, "bytes": len(content), "sha256": digest, "etag": etag}
        found[key.split("/")[1]]["files"].append(file)
        written.path.unlink()
    said = {"export_id": order.export_id, "snapshot_at": _iso(receipt.snapshot_at), "tables": found}
    bucket.put(order.verified_key, json.dumps(said).encode())
    logger.info("verified", tables=len(found), rows=sum(one["rows"] for one in found.values()))


def _files(order: Order, table: Extracted, at: datetime, bucket: Bucket, writer: Writer, folder: Path) -> list[Written]:
    """The Parquet of each part that has rows; of a table without any, one file that says so."""
    ref = order.environment
    added = {"account": ref.account, "region": ref.region, "environment": ref.name, "export_id": order.export_id}
    name = table.table.name

    def write(numbered: tuple[int, Part]) -> Written:
        number, part = numbered
        file = folder / f"{name}-{number}.csv.gz"
        file.write_bytes(_content(bucket, part))
        written = writer.write(file, table.columns, added, at, table.time, f"{name}-{number}.parquet")
        file.unlink()
        if written.rows != part.rows:
            raise PermanentError(
                f"a part of {name} has {written.rows} rows, and {part.rows} were counted",
                cause="WrongCount",
                remedy="Ask for the export again.",
            )
        return written

    with ThreadPoolExecutor(AT_ONCE) as pool:
        written = list(pool.map(write, enumerate(table.parts)))
    kept = [file for file in written if file.rows] or written[:1]
    for file in set(written) - set(kept):
        file.path.unlink()
    return kept


def _content(bucket: Bucket, part: Part) -> bytes:
    try:
        content = bucket.get(part.key)[1]
    except NotFound as error:
        raise PermanentError(error.what, cause="MissingPart", remedy="Ask for the export again.") from error
    if (len(content), hashlib.sha256(content).hexdigest()) != (part.bytes, part.sha256):
        raise PermanentError(
            f"{part.key} is not what was uploaded",
            cause="CorruptPart",
            remedy="Ask for the export again, and find out who else writes into the bucket of exports.",
        )
    return content


def _keys(order: Order, table: Extracted, at: datetime, files: list[Written]) -> list[str]:
    folder = f"tables/{table.table.name}/date={at.astimezone(UTC):%Y-%m-%d}"
    return [f"{folder}/{order.export_id}-{number}.parquet" for number in range(1, len(files) + 1)]


def _said(table: Extracted, files: list[Written]) -> dict[str, Any]:
    firsts = [file.first for file in files if file.first]
    lasts = [file.last for file in files if file.last]
    return {
        "columns": [{"name": column.name, "type": column.kind.value} for column in table.columns],
        "window": dict(table.window),
        "rows": table.rows,
        "min": _iso(min(firsts, key=_utc)) if firsts else None,
        "max": _iso(max(lasts, key=_utc)) if lasts else None,
        "undecoded": dict(table.undecoded),
        "parts": [{"key": one.key, "rows": one.rows, "bytes": one.bytes, "sha256": one.sha256} for one in table.parts],
        "files": [],
    }


def _utc(moment: datetime) -> datetime:
    """DuckDB gives infinity without a zone, as the last moment that Python knows."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _iso(moment: datetime) -> str:
    return _utc(moment).astimezone(UTC).isoformat()
