"""The templates, as they are written: what every deployment relies on, checked without deploying."""

from pathlib import Path

import pytest

from tests.template.cfn import Template
from tests.template.rules import RULES, Rule, parameters_are_described, partition_is_not_written_out

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(ROOT.glob("examples/*/*.yaml"))


@pytest.mark.parametrize("path", ["template.yaml", "spoke/template.yaml"])
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_template_keeps_the_rule(rule: Rule, path: str) -> None:
    assert rule(Template.read(ROOT / path)) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_rule_catches_a_broken_template(rule: Rule) -> None:
    assert rule(Template.read(Path(__file__).with_name("broken.yaml")))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
@pytest.mark.parametrize("rule", [partition_is_not_written_out, parameters_are_described])
def test_an_example_keeps_the_rule(rule: Rule, path: Path) -> None:
    assert rule(Template.read(path)) == []


def test_service_managed_stack_sets_accept_the_spoke() -> None:
    """They refuse transforms and nested stacks (CloudFormation user guide, StackSets considerations)."""
    spoke = Template.read(ROOT / "spoke/template.yaml")
    assert "Transform" not in spoke.body
    assert not {kind for kind in spoke.types if kind.startswith(("AWS::Serverless::", "AWS::CloudFormation::"))}


def test_no_code_writes_the_partition_out() -> None:
    code = [*ROOT.glob("functions/**/*.py"), *ROOT.glob("functions/**/*.json")]
    assert code
    assert [path for path in code if "arn:aws:" in path.read_text()] == []
