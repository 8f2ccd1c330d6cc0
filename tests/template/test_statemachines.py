"""State machines as CloudFormation reads them."""

from pathlib import Path

import pytest
import yaml

MACHINES = sorted((Path(__file__).resolve().parents[2] / "statemachines").glob("*.asl.yaml"))


def aliases(text: str) -> list[str]:
    """Aliases, which CloudFormation's reader of definitions takes for texts.

    https://github.com/aws-cloudformation/aws-cloudformation-resource-providers-stepfunctions (DefinitionProcessor)
    """
    return [str(event.anchor) for event in yaml.parse(text, yaml.SafeLoader) if isinstance(event, yaml.AliasEvent)]


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_no_state_machine_has_aliases(machine: Path) -> None:
    assert aliases(machine.read_text()) == []


def test_an_alias_is_found() -> None:
    assert aliases("a: &retry [1]\nb: *retry\n") == ["retry"]
