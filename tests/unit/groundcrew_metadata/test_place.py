import json
from pathlib import Path
from typing import Any

import pytest

from groundcrew_metadata.place import Place, PlaceError

SHIPPED: dict[str, Any] = {
    "bucket": "groundcrew-exports-111111111111-us-east-1",
    "owner": "111111111111",
    "account": "222222222222",
    "region": "us-east-1",
    "environment": "orders",
    "opt_in": ["xcom"],
}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("AIRFLOW_ENV_NAME", raising=False)
    file = tmp_path / "place.json"
    file.write_text(json.dumps(SHIPPED))
    return file


def test_what_was_shipped(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_ENV_NAME", "orders")
    place = Place.shipped(file)
    assert place.opt_in == {"xcom"}
    assert place.prefix("E") == "extracts/222222222222/us-east-1/orders/E"


def test_another_environment_with_the_same_dag_folder(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_ENV_NAME", "payments")
    with pytest.raises(PlaceError, match="is of the environment orders, and this is payments"):
        Place.shipped(file)


def test_nothing_was_shipped(tmp_path: Path) -> None:
    with pytest.raises(PlaceError, match="cannot be read: FileNotFoundError"):
        Place.shipped(tmp_path / "place.json")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("{", "not JSON"),
        ("[]", "other members"),
        (json.dumps({**SHIPPED, "more": 1}), "other members"),
        (json.dumps({**SHIPPED, "account": 222222222222}), "account is not"),
        (json.dumps({**SHIPPED, "environment": "../other"}), "environment is not"),
        (json.dumps({**SHIPPED, "bucket": "a/b"}), "bucket is not"),
        (json.dumps({**SHIPPED, "opt_in": "xcom"}), "opt_in is not"),
    ],
)
def test_what_groundcrew_does_not_ship(said: str, why: str) -> None:
    with pytest.raises(PlaceError, match=why):
        Place.of(said)
