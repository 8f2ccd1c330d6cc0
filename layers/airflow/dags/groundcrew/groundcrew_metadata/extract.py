"""An export inside an environment: every table of an order, from one snapshot, into the hub's bucket."""

import hashlib
import json
import logging
import time
from datetime import UTC, datetime
from typing import Any

from groundcrew_metadata.declaration import Table
from groundcrew_metadata.decoding import Decoding, decoded_column
from groundcrew_metadata.order import Order, Window
from groundcrew_metadata.parts import Parts, Put
from groundcrew_metadata.place import Place
from groundcrew_metadata.snapshot import Snapshot, snapshot
from groundcrew_metadata.storage import Storage

log = logging.getLogger(__name__)


class CountError(RuntimeError):
    """The database counted other rows than it gave, so nothing can be said of the export."""


def run(conf: object) -> None:
    """Export what the conf of a run asks for. The receipt is written last: without it there is no export.

    Raises:
        OrderError: the conf asks for what is not given.
        PlaceError: this is not where Groundcrew has shipped this DAG to.
        CountError, botocore.exceptions.ClientError, psycopg2.Error: it broke off; the same order may be run again.
    """
    from airflow.version import version  # noqa: PLC0415 - the rest of this module is tested without Airflow

    place = Place.shipped()
    order = Order.of(conf, version, place.opt_in)
    storage = Storage(place)
    prefix = place.prefix(order.export_id)
    with snapshot() as view:
        tables = {
            table.name: _table(view, table, window, order.airflow_version, f"{prefix}/{table.name}", storage.put)
            for table, window in order.tables.items()
        }
    receipt = {
        "export_id": order.export_id,
        "engine": "inside",
        "airflow_version": order.airflow_version,
        "environment": {"account": place.account, "region": place.region, "name": place.environment},
        "snapshot_at": _iso(view.moment),
        "tables": tables,
    }
    body = json.dumps(receipt).encode()
    storage.put(f"{prefix}/receipt.json", body, hashlib.sha256(body).digest(), "application/json")
    log.info("exported export_id=%s tables=%d", order.export_id, len(tables))


def _table(view: Snapshot, table: Table, window: Window, version: str, prefix: str, put: Put) -> dict[str, Any]:
    """What the receipt says of a table that has been extracted."""
    began = time.monotonic()
    columns = table.columns_of(version)
    rows = view.count(table, window)
    parts = Parts(prefix, put)
    undecoded: dict[str, int] = {}
    with parts:
        if column := decoded_column(columns):
            decoding = Decoding(column, parts.take)
            view.copy(table, columns, window, decoding.take)
            undecoded[column.name] = decoding.undecoded
        else:
            view.copy(table, columns, window, parts.take)
    if parts.rows != rows:
        raise CountError(f"{table.name}: {rows} rows were counted and {parts.rows} given")
    log.info("extracted table=%s rows=%d seconds=%.1f", table.name, rows, time.monotonic() - began)
    return {
        "columns": [column.name for column in columns],
        "window": {"column": table.time, "from": _iso(window.since), "until": _iso(window.until)},
        "rows": rows,
        "parts": parts.written,
        "undecoded": undecoded,
    }


def _iso(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat() if moment else None
