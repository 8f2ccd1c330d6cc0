from datetime import UTC, datetime
from typing import Any

import pytest

from groundcrew_metadata import declared
from groundcrew_metadata.order import Order, OrderError, Window

ID = "20261127T043000Z-0a1b2c3d"
WHOLE = {"from": None, "until": None}


def conf(**tables: Any) -> dict[str, Any]:
    return {"export_id": ID, "tables": tables}


def test_the_windows_of_its_tables_in_declared_order() -> None:
    window = {"from": "2026-11-26T00:00:00+00:00", "until": "2026-11-27T05:30:00+01:00"}
    order = Order.of(conf(dag=WHOLE, dag_run=window), "2.10.3")
    assert list(order.tables) == [declared.DAG_RUN, declared.DAG]
    assert order.tables[declared.DAG] == Window()
    assert order.tables[declared.DAG_RUN] == Window(
        datetime(2026, 11, 26, tzinfo=UTC), datetime(2026, 11, 27, 4, 30, tzinfo=UTC)
    )


def test_an_opt_in_table_that_is_allowed() -> None:
    assert list(Order.of(conf(xcom=WHOLE), "2.7.2", opt_in=["xcom"]).tables) == [declared.XCOM]


REFUSED: dict[str, Any] = {
    "the conf is not an object": [],
    "of export_id and tables": {"tables": {"dag": WHOLE}},
    "the conf is not": {**conf(dag=WHOLE), "bucket": "mine"},
    "export_id is not like": {"export_id": "../../receipt", "tables": {"dag": WHOLE}},
    "export_id": {"export_id": f"{ID}\n", "tables": {"dag": WHOLE}},
    "tables is not an object": conf(),
    "tables is not": {"export_id": ID, "tables": ["dag"]},
    "not exported here": conf(connection=WHOLE),
    "one that is not exported": conf(**{'dag"; drop table dag; --': WHOLE}),
    "tables names one": conf(xcom=WHOLE),
    "has no table asset": conf(asset=WHOLE),
    "Airflow 2.9.2 has no table": conf(task_instance_history=WHOLE),
    "the window of dag is not": conf(dag=None),
    "the window of dag_run is not": conf(dag_run={"from": None, "until": None, "where": "1=1"}),
    "exported whole": conf(dag={"from": None, "until": "2026-11-27T00:00:00Z"}),
    "ends before": conf(job={"from": "2026-11-27T00:00:00Z", "until": "2026-11-27T00:00:00Z"}),
    "no time with a time zone": conf(job={"from": "2026-11-27T00:00:00", "until": None}),
    "no time with": conf(job={"from": "yesterday", "until": None}),
    "no time": conf(job={"from": 1, "until": None}),
}


@pytest.mark.parametrize(("why", "said"), REFUSED.items(), ids=list(REFUSED))
def test_what_is_refused(why: str, said: object) -> None:
    with pytest.raises(OrderError, match=why):
        Order.of(said, "2.9.2")


@pytest.mark.parametrize("version", ["3.0.6", "3.3.1", "2.11.2rc1", ""])
def test_only_on_airflow_2(version: str) -> None:
    with pytest.raises(OrderError, match="Airflow 2"):
        Order.of(conf(dag=WHOLE), version)


def test_a_refusal_never_repeats_a_value() -> None:
    with pytest.raises(OrderError) as refused:
        Order.of(conf(**{"s3cret": WHOLE}), "2.10.3")
    assert "s3cret" not in str(refused.value)
