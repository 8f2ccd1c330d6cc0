"""The wrapper does what MWAA's does.

https://github.com/aws/amazon-mwaa-docker-images (images/airflow/*/bin/airflow-user/execute-user-startup-script)
"""

import subprocess
from pathlib import Path

import pytest

from localcloud.container import ROOT, SCRIPT, Container
from tests.cloud.startup.conftest import SHELLS


@pytest.fixture(params=SHELLS)
def container(request: pytest.FixtureRequest, tmp_path: Path) -> Container:
    return Container(tmp_path, {}, "https://nowhere.invalid/simple/", "", shell=request.param)


def script(container: Container, text: str) -> Path:
    found = container.home / "startup.sh"
    found.write_text(text)
    return found


@pytest.mark.parametrize("ending", ["", "exit 0", "exit 1", "false"])
def test_an_exit_is_not_one_and_the_container_starts(container: Container, ending: str) -> None:
    started = container.start(script(container, f"export FRUIT=pear\nNUT=oak\n{ending}\n"))
    assert started.status == 0
    assert started.exported is not None
    assert (started.exported["FRUIT"], started.exported.get("NUT")) == ("pear", None)


@pytest.mark.parametrize("ending", ["set -e\nfalse", "command exit 1", "set -u\n: $nothing"])
def test_what_ends_the_shell_itself_keeps_the_container_from_starting(container: Container, ending: str) -> None:
    started = container.start(script(container, f"export FRUIT=pear\n{ending}\n"))
    assert started.status != 0
    assert started.exported is None


def test_the_python_in_the_startup_script_is_clean() -> None:
    """It runs from within the shell, where no linter looks."""
    text = SCRIPT.read_text()
    code = text.partition("<<'GROUNDCREW_PYTHON'\n")[2].partition("\nGROUNDCREW_PYTHON\n")[0]
    ruff = [str(ROOT / ".venv/bin/ruff"), "check", "--isolated", "--target-version", "py311", "--line-length", "120"]
    ended = subprocess.run(
        [*ruff, "--select", "E,F,W,I,B,S,SIM", "-"], input=f"{code}\n", capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout
    assert len(code) > 1000
