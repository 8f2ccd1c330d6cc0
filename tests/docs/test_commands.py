"""Every command in the documentation is run by CI, or at least accepted by the program that it names."""

import re
import subprocess
from pathlib import Path

import botocore.session
import pytest
from botocore import xform_name

from tests.docs.commands import DOCUMENTS, ROOT, Command, commands, fences

COMMANDS = [command for document in DOCUMENTS for command in commands(document)]
MAKEFILE = (ROOT / "Makefile").read_text()
CI = (ROOT / ".ci/run").read_text()

# Targets that CI must not run, and why.
NOT_IN_CI = {
    "clean": "removes the environments that the run stands on",
    "format": "changes the source; check-format is its dry run",
    "lock": "asks for the newest packages; check-lock is its dry run",
    "test-unit": "is a part of test",
}
# What the AWS CLI adds to the API, and its options that every command takes.
AWS_CUSTOM = {("s3", "cp"), ("s3", "sync"), ("s3", "rm")}
AWS_GLOBAL = {"--endpoint-url", "--output", "--profile", "--query", "--region"}


def of(program: str) -> list[Command]:
    return [command for command in COMMANDS if command.words[0] == program]


def options(command: Command) -> set[str]:
    return {word.partition("=")[0] for word in command.words if word.startswith("--")}


def test_documents_have_commands() -> None:
    assert of("make")
    assert of("sam")


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_commands_are_where_these_tests_look(document: Path) -> None:
    assert not {language for language, _ in fences(document.read_text())} & {"bash", "shell", "zsh", ""}


def test_every_program_is_checked_below() -> None:
    builtin = {"cd", "export", "git"}
    assert [str(c) for c in COMMANDS if c.words[0] not in {"make", "sam", "aws"} | builtin] == []


@pytest.mark.parametrize("command", of("make"), ids=str)
def test_ci_runs_the_target(command: Command) -> None:
    targets = [word for word in command.words[1:] if "=" not in word]
    assert targets
    for target in targets:
        assert re.search(rf"^{target}:.*## ", MAKEFILE, re.MULTILINE), f"no documented target {target}"
        assert (target in NOT_IN_CI) != bool(re.search(rf"^run make {target}\b", CI, re.MULTILINE))


@pytest.mark.parametrize("command", of("sam"), ids=str)
def test_the_sam_cli_takes_the_command(command: Command) -> None:
    # An unknown option fails before --help is looked at.
    sam = subprocess.run(
        [ROOT / ".tools/sam/bin/sam", *command.words[1:], "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert sam.returncode == 0, sam.stderr
    files = [word for word in command.words if word.endswith((".yaml", ".json", ".toml"))]
    assert [file for file in files if not (ROOT / file).is_file()] == []


@pytest.mark.parametrize("command", of("aws"), ids=str)
def test_the_aws_api_has_the_operation(command: Command) -> None:
    """The AWS CLI's commands and options are the API's operations and members, in kebab case."""
    _, service, operation, *_ = command.words
    if (service, operation) in AWS_CUSTOM:
        return
    model = botocore.session.get_session().get_service_model(service)
    names = {xform_name(name, "-"): name for name in model.operation_names}
    assert operation in names
    shape = model.operation_model(names[operation]).input_shape
    members = {f"--{xform_name(member, '-')}" for member in (shape.members if shape else {})}
    assert options(command) - {f"--no-{member[2:]}" for member in members} <= members | AWS_GLOBAL
