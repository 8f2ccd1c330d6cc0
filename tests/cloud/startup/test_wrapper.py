"""The wrapper does what MWAA's does.

https://github.com/aws/amazon-mwaa-docker-images (images/airflow/*/bin/airflow-user/execute-user-startup-script)
"""

from pathlib import Path

import pytest

from localcloud.container import Container
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
