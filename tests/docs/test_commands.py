"""Every command in the documentation is run: ``make`` by CI, all others by test_on_the_local_cloud.py."""

import re

import pytest

from tests.docs.commands import DOCUMENTS, ROOT, commands, fences
from tests.docs.terminal import PLACEHOLDERS

MAKE = [(document, command) for document in DOCUMENTS for command in commands(document) if command.startswith("make ")]
MAKEFILE = (ROOT / "Makefile").read_text()
CI = (ROOT / ".ci/run").read_text()

# Targets that CI must not run, and why.
NOT_IN_CI = {
    "clean": "removes the environments that the run stands on",
    "format": "changes the source; check-format is its dry run",
    "lock": "asks for the newest packages; check-lock is its dry run",
    "test-unit": "is a part of test",
}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_are_where_these_tests_look(document: str) -> None:
    assert not {language for language, _ in fences(document)} & {"bash", "console", "shell", "zsh", ""}


@pytest.mark.parametrize(("document", "command"), MAKE)
def test_ci_runs_the_target(document: str, command: str) -> None:
    targets = [word for word in command.split()[1:] if "=" not in word]
    assert targets
    for target in targets:
        assert re.search(rf"^{target}:.*## ", MAKEFILE, re.MULTILINE), f"no documented target {target}"
        assert (target in NOT_IN_CI) != bool(re.search(rf"^run make {target}\b", CI, re.MULTILINE))


@pytest.mark.parametrize("placeholder", PLACEHOLDERS)
def test_a_placeholder_is_in_use(placeholder: str) -> None:
    assert any(placeholder in command for document in DOCUMENTS for command in commands(document))
