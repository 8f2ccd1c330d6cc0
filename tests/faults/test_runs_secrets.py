"""Tokens, headers and what a conf holds reach nothing that Groundcrew writes; every hub looks for them when it closes.

Here is where they are looked for in vain, and the proof that they would be found.
"""

import json
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

from groundcrew.observability import logger
from groundcrew.ways import cli
from groundcrew.ways.words import LONGEST, quoted
from localcloud.model.errors import AwsError
from tests.support.runs.hub import Hub, open_hub
from tests.support.runs.secrets import SECRET, SESSION_TOKEN, told

WORDS = f"Invalid input for param password: {SECRET!r} is not of type 'integer'; input: {json.dumps({'p': SECRET})}"


@pytest.fixture
def hub() -> Iterator[Hub]:
    with open_hub() as opened:
        yield opened


@pytest.mark.parametrize("version", ["2.7.2", "2.10.3", "3.3.1"])
def test_airflows_words_about_a_conf_are_told_without_it(hub: Hub, version: str) -> None:
    environment = hub.environment(version)
    refusal = AwsError(
        "RestApiClientException", "", 400, {"RestApiStatusCode": 400, "RestApiResponse": {"detail": WORDS}}
    )
    really = hub.stage.aws.front_door._ask

    def ask(asked: Any, method: str, *more: Any) -> Any:
        if method == "POST":
            raise refusal
        return really(asked, method, *more)

    with mock.patch.object(hub.stage.aws.front_door, "_ask", ask):
        rejected = hub.outcome(hub.order(environment))
    assert rejected["cause"] == "BadConf"
    assert "Invalid input for param password: \"***\" is not of type 'integer'" in rejected["evidence"]


@pytest.mark.parametrize("code", ["ValidationException", "RestApiClientException"])
def test_awss_words_about_a_conf_are_told_without_it(hub: Hub, code: str) -> None:
    """AWS repeats a value that it does not accept."""
    environment = hub.environment("3.3.1")
    really = hub.stage.aws.front_door._ask

    def ask(asked: Any, method: str, *more: Any) -> Any:
        if method == "POST":
            raise AwsError(code, f"1 validation error detected: Value '{SECRET}' at 'body' failed", 400)
        return really(asked, method, *more)

    with mock.patch.object(hub.stage.aws.front_door, "_ask", ask):
        rejected = hub.outcome(hub.order(environment, conf={"password": SECRET}))
    assert "Value '***' at 'body' failed" in rejected["evidence"]


def test_a_tracebacks_words_about_a_conf_are_told_without_it(hub: Hub) -> None:
    environment = hub.environment("2.10.3")
    hub.refuse_rest()
    airflow = hub.stage.aws.airflow(environment)
    really = airflow.cli

    def failing(command: str) -> tuple[int, bytes, bytes]:
        if " trigger " in command:
            return 1, b"", f"Traceback ...\nairflow.exceptions.ParamValidationError: {WORDS}\n".encode()
        return really(command)

    airflow.cli = failing  # type: ignore[method-assign]
    rejected = hub.outcome(hub.order(environment))
    assert rejected["cause"] == "BadConf"
    assert "\"***\" is not of type 'integer'" in rejected["evidence"]


def test_what_is_masked() -> None:
    conf = {"a": ["secret", {"b": "more secret"}], "c": "日本\n語語", "short": "abc", "number": 123456}
    said = "secret, more secret, 日本\n語語, " + repr("日本\n語語") + json.dumps("日本\n語語") + " abc 123456"
    assert quoted(said, conf) == "***, ***, ***, '***'\"***\" abc ***"
    assert quoted("x" * 1000, {}) == quoted("x" * 1000, None) == "x" * LONGEST
    assert (
        quoted("x" * (LONGEST - 3) + "a-secret-at-the-end", {"a": "a-secret-at-the-end"}) == "x" * (LONGEST - 3) + "***"
    )


# --------------------------------------------------------------------------------------------------------- the controls
@pytest.mark.parametrize("secret", ["password", "token", "session token", "header"])
def test_a_secret_that_is_logged_is_found(secret: str) -> None:
    def tell() -> None:
        with open_hub() as hub:
            hub.outcome(hub.order(hub.environment("2.4.2")))
            (token, *_) = hub.stage.aws.front_door._tokens
            words = {"password": SECRET, "token": token, "session token": SESSION_TOKEN, "header": "Authorization: x"}
            assert told(hub.stage) == []
            logger.info("oh", said=words[secret])

    with pytest.raises(AssertionError, match="told: "):
        tell()


def test_a_way_in_that_tells_commands_is_caught() -> None:
    really = cli.CliWay._run

    def telling(self: cli.CliWay, *words: str) -> Any:
        logger.info("running", command=cli.command(*words))
        return really(self, *words)

    with (
        mock.patch.object(cli.CliWay, "_run", telling),
        pytest.raises(AssertionError, match="correct-horse"),
        open_hub() as hub,
    ):
        hub.outcome(hub.order(hub.environment("2.4.2")))


def test_a_way_in_that_does_not_mask_is_caught() -> None:
    with (
        mock.patch("groundcrew.ways.rest.quoted", lambda words, _conf: words),
        pytest.raises(AssertionError, match="correct-horse"),
        open_hub() as hub,
    ):
        test_airflows_words_about_a_conf_are_told_without_it(hub, "3.3.1")
