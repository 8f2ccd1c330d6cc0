"""The samples in events/: real enough to be sent as they are."""

import json
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest

EVENTS = Path(__file__).parents[2] / "events"
SAMPLES = sorted(EVENTS.glob("*.json"))
SCHEMAS = sorted((EVENTS / "schemas").glob("*.json"))
POLICIES = sorted((EVENTS / "schemas/policies").glob("*.json"))
EXAMPLES = sorted((EVENTS.parent / "examples/policies").glob("*.json"))
FOREIGN = "mwaa-environment-status-change"  # AWS does not publish its detail: the schema asks for nothing
OWN = ("groundcrew", "groundcrew.request", "groundcrew.airflow")
# https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html
ENVELOPE = {"version", "id", "detail-type", "source", "account", "time", "region", "resources", "detail"}


def schema_of(event: dict[str, Any]) -> Path:
    return EVENTS / "schemas" / f"{event['detail-type'].lower().replace(' ', '-')}.json"


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def test_there_are_samples_and_schemas() -> None:
    assert SAMPLES
    assert SCHEMAS


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_is_a_whole_event(path: Path) -> None:
    assert read(path).keys() == ENVELOPE


@pytest.mark.parametrize("path", [path for path in SAMPLES if read(path)["source"] in OWN], ids=lambda path: path.stem)
def test_a_sample_of_ours_keeps_its_schema(path: Path) -> None:
    event = read(path)
    fastjsonschema.compile(read(schema_of(event)))(event["detail"])


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.stem)
def test_a_schema_is_strict_and_has_a_sample(path: Path) -> None:
    validate = fastjsonschema.compile(read(path))
    if path.stem != FOREIGN:
        with pytest.raises(fastjsonschema.JsonSchemaValueException):
            validate({"unexpected": True})
    assert path in {schema_of(read(sample)) for sample in SAMPLES}


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.stem)
def test_a_policy_schema_is_strict_and_has_an_example(path: Path) -> None:
    validate = fastjsonschema.compile(read(path))
    with pytest.raises(fastjsonschema.JsonSchemaValueException):
        validate({"unexpected": True})
    examples = [example for example in EXAMPLES if example.stem.startswith(f"{path.stem}-")]
    assert examples
    for example in examples:
        validate(read(example))
