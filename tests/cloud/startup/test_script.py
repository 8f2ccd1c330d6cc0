"""``layers/airflow/startup/tokens.sh`` in the containers of an environment."""

import stat
from pathlib import Path
from typing import Any

import pytest

from localcloud.container import ROOT, Container, Started
from tests.cloud.startup.conftest import KEY, MINTER, SHELLS, Shop

NOT_STARTED = "groundcrew: the container does not start"


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def configured(container: Container, started: Started) -> str:
    """The pip configuration that later processes use; only its owner can read it."""
    assert started.status == 0, started.log
    assert started.exported is not None
    path = Path(started.exported["PIP_CONFIG_FILE"])
    assert path == container.home / ".groundcrew/pip.conf"
    assert [stat.S_IMODE(one.stat().st_mode) for one in (path, path.parent)] == [0o600, 0o700]
    return path.read_text()


def left_alone(started: Started) -> bool:
    return started.status == 0 and started.exported is not None and "PIP_CONFIG_FILE" not in started.exported


def test_pip_is_configured_and_nothing_else_is_exported(shop: Shop, shell: str) -> None:
    shop.deliver(shop.mint())
    container = shop.container(shell=shell)
    started = container.start(shop.script())
    assert f"aws:{shop.tokens[0]}@" in configured(container, started)
    shop.no_token_in(container, started)
    nothing = shop.folder / "nothing.sh"
    nothing.write_text("")
    before = container.start(nothing)
    assert set(started.exported or {}) - set(before.exported or {}) == {"PIP_CONFIG_FILE"}
    assert f"pip uses {shop.index} until" in started.log


def test_python_3_10_runs_it(shop: Shop, shell: str) -> None:
    """It refuses the option -P, which came with 3.11 (https://docs.python.org/3/using/cmdline.html#cmdoption-P)."""
    shop.deliver(shop.mint())
    container = shop.container(shell=shell)
    old = container.home / "old"
    old.mkdir()
    real = ROOT / ".tools/runtime/bin/python3"
    refuses = "echo 'Unknown option: -P' >&2; exit 2"
    (old / "python3").write_text(f'#!/bin/sh\ncase "$1" in -P) {refuses};; esac\nexec {real} "$@"\n')
    (old / "python3").chmod(0o755)
    container.variables = {**container.variables, "PATH": f"{old}:/usr/local/bin:/usr/bin:/bin"}
    assert f"aws:{shop.tokens[0]}@" in configured(container, container.start(shop.script()))


def test_nothing_is_imported_from_the_current_directory(shop: Shop, shell: str) -> None:
    shop.deliver(shop.mint())
    container = shop.container(shell=shell)
    here = container.home / "here"
    here.mkdir()
    for name in ("configparser", "datetime", "json", "botocore"):
        (here / f"{name}.py").write_text("raise SystemExit('imported from the current directory')\n")
    configured(container, container.start(shop.script(before=f"cd {here}", after="cd /")))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("set -eu\nexport FRUIT=pear", ""),
        ("set -eu\nexport FRUIT=pear", "exit 1"),
        ("alias python3=false\nexport FRUIT=pear", "exit 0"),
        ("", "export FRUIT=pear\nexit 1"),
        ("", "set -eu\nexport FRUIT=pear"),
    ],
)
def test_a_customers_script_may_be_before_and_after(shop: Shop, shell: str, before: str, after: str) -> None:
    shop.deliver(shop.mint())
    container = shop.container(shell=shell)
    started = container.start(shop.script(before, after))
    assert configured(container, started)
    assert started.exported is not None
    assert started.exported["FRUIT"] == "pear"
    assert not [name for name in started.exported if name.lower().startswith("groundcrew")]


def test_a_customers_script_is_called_after_ours_in_its_version(shop: Shop, shell: str) -> None:
    shop.deliver(shop.mint())
    version = shop.put("startup.sh", 'export SEEN="$PIP_CONFIG_FILE"\nexit 1\n')
    shop.put("startup.sh", "export SEEN=another version\n")
    container = shop.container(shell=shell)
    then = {"bucket": shop.bucket, "key": "startup.sh", "version": version}
    started = container.start(shop.script(then=then))
    assert configured(container, started)
    assert started.exported is not None
    assert started.exported["SEEN"] == started.exported["PIP_CONFIG_FILE"]


def test_a_customers_script_that_fails_is_the_customers_matter(shop: Shop, shell: str) -> None:
    shop.deliver(shop.mint())
    shop.put("startup.sh", "set -e\nfalse\n")
    then = {"bucket": shop.bucket, "key": "startup.sh", "version": None}
    started = shop.container(shell=shell).start(shop.script(then=then))
    assert (started.status, started.exported) == (1, None)
    assert NOT_STARTED not in started.log


def test_a_customers_script_that_is_not_there_is_never_left_out(shop: Shop, shell: str) -> None:
    shop.deliver(shop.mint())
    then = {"bucket": shop.bucket, "key": "startup.sh", "version": None}
    container = shop.container(shell=shell)
    started = container.start(shop.script(then=then, on_missing="continue"))
    assert (started.status, started.exported) == (1, None)
    assert "groundcrew: An error occurred (NoSuchKey)" in started.log
    assert NOT_STARTED in started.log
    shop.no_token_in(container, started)


def test_without_a_token_the_container_does_not_start(shop: Shop, shell: str) -> None:
    started = shop.container(shell=shell).start(shop.script(after="export FRUIT=pear"))
    assert (started.status, started.exported) == (1, None)
    assert "groundcrew: no token: An error occurred (NoSuchKey)" in started.log
    assert NOT_STARTED in started.log


def test_without_a_token_the_container_starts_if_the_binding_says_so(shop: Shop, shell: str) -> None:
    started = shop.container(shell=shell).start(shop.script(after="export FRUIT=pear", on_missing="continue"))
    assert left_alone(started)
    assert started.exported is not None
    assert started.exported["FRUIT"] == "pear"
    assert "groundcrew: pip stays as it was" in started.log


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"version": 2, "token": "x"}', "\x00"])
def test_an_object_that_is_none_is_no_token(shop: Shop, text: str) -> None:
    shop.put(KEY, text)
    started = shop.container().start(shop.script())
    assert (started.status, started.exported) == (1, None)
    assert "Traceback" not in started.log


def test_what_an_attacker_writes_into_the_object_is_not_used(shop: Shop) -> None:
    shop.deliver({**shop.mint(), "index_url": "http://127.0.0.1:1/simple/"})
    container = shop.container()
    started = container.start(shop.script())
    assert (started.status, started.exported) == (1, None)
    assert "groundcrew: no token: the URL of an index is not https" in started.log
    shop.no_token_in(container, started)


def test_a_stale_object_makes_the_container_ask_itself(shop: Shop, shell: str) -> None:
    shop.deliver(shop.mint())
    container = shop.container(*MINTER, shell=shell, ahead=43_200 - 599)
    started = container.start(shop.script(fallback=shop.fallback()))
    assert shop.tokens[0] not in configured(container, started)
    assert "has 59" in started.log
    assert "asking CodeArtifact" in started.log
    shop.no_token_in(container, started)


def test_a_stale_object_is_used_if_nothing_else_is_there(shop: Shop) -> None:
    shop.deliver(shop.mint())
    container = shop.container(ahead=43_200 - 599)  # the execution role may not mint
    started = container.start(shop.script(fallback=shop.fallback()))
    assert shop.tokens[0] in configured(container, started)
    assert "CodeArtifact gives none: An error occurred (AccessDeniedException)" in started.log


@pytest.mark.parametrize("on_missing", ["fail", "continue"])
def test_an_expired_object_is_no_token(shop: Shop, on_missing: str) -> None:
    shop.deliver(shop.mint())
    started = shop.container(ahead=43_200).start(shop.script(fallback=shop.fallback(), on_missing=on_missing))
    assert "the delivered one has expired, and CodeArtifact gives none" in started.log
    assert left_alone(started) if on_missing == "continue" else started.exported is None


def test_a_missing_object_makes_the_container_ask_itself(shop: Shop) -> None:
    container = shop.container(*MINTER)
    started = container.start(shop.script(fallback=shop.fallback(index="extra-index-url")))
    text = configured(container, started)
    assert "extra-index-url" in text
    assert "\nindex-url" not in text


@pytest.mark.parametrize(("component", "private"), [("webserver", True), ("webserver", False), ("worker", True)])
def test_nothing_is_changed_on_a_private_web_server(shop: Shop, component: str, private: bool) -> None:
    shop.deliver(shop.mint())
    started = shop.container(component=component).start(shop.script(private_web_server=private))
    assert left_alone(started) == (component == "webserver" and private)
    assert started.status == 0


def test_a_customers_configuration_is_kept(shop: Shop) -> None:
    shop.deliver(shop.mint())
    own = shop.folder / "own.conf"
    own.write_text("[global]\ntimeout = 7\nextra-index-url = https://elsewhere.invalid/simple/\n[install]\nquiet = 1\n")
    container = shop.container(variables={"PIP_EXTRA_INDEX_URL": "https://more.invalid/simple/"})
    started = container.start(shop.script(before=f"export PIP_CONFIG_FILE={own}"))
    text = configured(container, started)
    assert "timeout = 7" in text
    assert "[install]" in text
    assert "elsewhere.invalid" not in text
    assert "PIP_EXTRA_INDEX_URL is set" in started.log


def test_the_second_start_is_like_the_first(shop: Shop, shell: str) -> None:
    container = shop.container(shell=shell)
    for _ in range(2):
        shop.deliver(shop.mint())
        started = container.start(shop.script())
        assert shop.tokens[-1] in configured(container, started)
    shop.cloud.client("s3").delete_object(Bucket=shop.bucket, Key=KEY)
    started = container.start(shop.script(on_missing="continue"))
    assert left_alone(started), "an old configuration must not be used"


def test_settings_that_are_none_keep_the_container_from_starting(shop: Shop, shell: str) -> None:
    found: Any = shop.script(after="GROUNDCREW_SETTINGS=")
    found.write_text(found.read_text().replace("GROUNDCREW_SETTINGS=", "UNUSED=", 1))
    started = shop.container(shell=shell).start(found)
    assert (started.status, started.exported) == (1, None)
    assert NOT_STARTED in started.log
