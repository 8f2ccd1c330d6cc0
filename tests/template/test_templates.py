"""The templates, as they are written: what every deployment relies on, checked without deploying."""

import re
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


def test_duckdb_is_built_for_the_function_that_uses_it_whatever_the_others_run_on() -> None:
    """A compiled module of another Python cannot be imported: every export would fail."""
    hub = Template.read(ROOT / "template.yaml")
    built_for = re.search(r"^LAYER_PYTHON \?= (.+)$", (ROOT / "layers/duckdb/Makefile").read_text(), re.MULTILINE)
    assert built_for
    assert hub.body["Parameters"]["VerifyRuntime"]["Default"] == f"python{built_for[1]}"
    users = {
        name: resource["Properties"].get("Runtime")
        for name, resource in hub.body["Resources"].items()
        if {"Ref": "DuckdbLayer"} in resource.get("Properties", {}).get("Layers", [])
    }
    assert users == {"ExportsVerifyFunction": {"Ref": "VerifyRuntime"}}


def test_manifests_never_expire() -> None:
    """What is covered, and what the views show, is read from them."""
    bucket = Template.read(ROOT / "template.yaml").body["Resources"]["ExportsBucket"]["Properties"]
    rules = bucket["LifecycleConfiguration"]["Rules"]
    expiring = [rule.get("Prefix", "") for rule in rules if "ExpirationInDays" in rule]
    assert expiring
    assert [prefix for prefix in expiring if "manifests/".startswith(prefix)] == []


def test_no_code_writes_the_partition_out() -> None:
    code = [*ROOT.glob("functions/**/*.py"), *ROOT.glob("functions/**/*.json")]
    assert code
    assert [path for path in code if "arn:aws:" in path.read_text()] == []


def test_the_readme_says_how_many_functions_run_at_once() -> None:
    functions = Template.read(ROOT / "template.yaml").resources("AWS::Serverless::Function").values()
    events = [
        event for function in functions for event in function.get("Events", {}).values() if event["Type"] == "SQS"
    ]
    total = sum(event["Properties"]["ScalingConfig"]["MaximumConcurrency"] for event in events)
    assert f"**How many functions run at once:** up to {total} by queues" in (ROOT / "README.md").read_text()
