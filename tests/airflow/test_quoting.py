"""What the command line way sends, given to Airflow's own argument parser: what was asked, and nothing else."""

import json
import shlex
import subprocess
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from unittest import mock

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from groundcrew.aws.cli import Output
from groundcrew.aws.session import Roles
from groundcrew.environment import Environment, EnvironmentRef
from groundcrew.ways.cli import CliWay
from groundcrew.ways.seen import RunRef, Start
from localcloud.airflow import installed
from localcloud.testing.airflows import require
from tests.support.figures import Figure

if TYPE_CHECKING:
    from groundcrew.aws.locks import Locks

VERSIONS = ["2.10.3", "3.3.1"]
ASKED = datetime(2026, 11, 22, 12, tzinfo=UTC)
DATE = datetime(2026, 11, 1, 2, 3, 4, 567, tzinfo=UTC)
PARSE = Path(__file__).with_name("parse.py")

HOSTILE = [
    "load",
    "a b",
    "a'b\"c",
    "a;reboot",
    "$(reboot)",
    "`reboot`",
    "a\nb",
    "a\\",
    "-h",
    "--help",
    "--conf={}",
    "-",
    "--exec-date=2020-01-01",
    "x --conf {}",
    "x' --subdir '/tmp",
    "~/*?[a-z]",
    "#comment",
    "!!",
    "%s",
    "{a,b}",
    "a=b",
    "@file",
    "日本\u202e語",
    "\x7f\t\r",
    "x" * 250,
    "",
]
"""DAG ids and run ids that no schema would let through, but what if it did? ``--`` alone is none of them: before Python
3.12, argparse takes it away wherever it stands.
"""

CONFS: list[dict[str, Any]] = [
    {},
    {"it's": "a b", '"': "\\", "\n": "\u2028"},
    {"--run-id": "x", "--": "--", "-h": ["--help", None, 1.5, True]},
    {"'; reboot; '": "$(reboot) `reboot` ${HOME}"},
    {"\\'": "\\u0027", "\\u0020": " "},
    {"deep": {"er": [{"a": "日本"}, []]}, "": ""},
    {"much": "x" * 20_000},
]


@dataclass(frozen=True)
class Asked:
    """What a command is asked for."""

    dag_id: str
    run_id: str
    conf: dict[str, Any]
    date: datetime | None = None

    @property
    def ref(self) -> RunRef:
        return RunRef(self.dag_id, self.run_id, ASKED, self.date)


PLAIN = Asked("plain", "plain_run", {"plain": 1})


class Wire:
    """Takes every lock, writes down every command, and says that there is nothing."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def run(self, _roles: Any, _ref: Any, line: str) -> Output:
        self.sent.append(line)
        return Output("[]" if " trigger " not in line else '[{"dag_run_id": "plain"}]', "DagRunAlreadyExists")

    def held(self, *_args: Any, **_options: Any) -> Any:
        return mock.MagicMock()


def sent(version: str, asked: Asked) -> list[str]:
    """Every command the product can send about it."""
    wire = Wire()
    ref = EnvironmentRef("222222222222", "us-east-1", "data")
    environment = Environment(ref, ref.arn("aws"), "AVAILABLE", airflow_version=version)
    way = CliWay(Roles("aws", "us-east-1", "test"), environment, cast("Locks", wire))
    with mock.patch("groundcrew.ways.cli.cli.run", wire.run):
        way.start(Start(asked.ref, asked.conf, "a note"))
        way.run(asked.ref)
        way.unpause(asked.dag_id)  # which looks at the DAG, too
        way.import_errors()
    assert [shlex.split(line)[1] for line in wire.sent] == [
        "trigger",
        "list-runs",
        "unpause",
        "list",
        "list-import-errors",
    ]
    return wire.sent


def parsed(version: str, lines: list[str], home: Path) -> list[dict[str, Any]]:
    """What that Airflow's parser makes of each line, in one process."""
    done = subprocess.run(
        [installed.require(version) / "bin/python", PARSE],
        input=json.dumps(lines),
        env={"AIRFLOW_HOME": str(home), "HOME": str(home), "PATH": "/usr/bin:/bin", "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout[done.stdout.index("[{") :])
    return found


def wanted(plain: dict[str, Any], asked: Asked) -> dict[str, Any]:
    """The same command about the plain DAG, but with what is asked for."""
    changes = {"dag_id": (PLAIN.dag_id, asked.dag_id), "run_id": (PLAIN.run_id, asked.run_id)}
    found = dict(plain)
    for name, (was, becomes) in changes.items():
        if found.get(name) == repr(was):
            found[name] = repr(becomes)
    return found


def differences(plain: list[dict[str, Any]], found: list[dict[str, Any]], asked: Asked) -> list[str]:
    """What the parser understood that was not asked for."""
    problems = []
    for before, after in zip(plain, found, strict=True):
        expected = wanted(before, asked)
        if "conf" in before and isinstance(after.get("conf"), str):
            conf = json.loads(eval(after["conf"]))  # a repr of text, made by our own script
            if conf != asked.conf:
                problems.append(f"{asked}: conf is {conf}")
            expected["conf"] = after["conf"]
        if expected != after:
            problems.append(f"{asked}: {after} instead of {expected}")
    return problems


def everything() -> list[Asked]:
    """Hostile ids with each other's confs, and hundreds that hypothesis makes up (the same in every run)."""
    texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(HOSTILE)
    texts = texts.filter(lambda text: text != "--")
    leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
    values = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=6)
    found = [
        Asked(dag_id, run_id, CONFS[number % len(CONFS)])
        for number, (dag_id, run_id) in enumerate(zip(HOSTILE, reversed(HOSTILE), strict=True))
    ]

    @settings(
        max_examples=200,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(texts, texts, st.dictionaries(texts, values, max_size=4))
    def collect(dag_id: str, run_id: str, conf: dict[str, Any]) -> None:
        found.append(Asked(dag_id, run_id, conf))

    collect()
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_airflows_parser_understands_what_was_asked_and_nothing_else(
    version: str, tmp_path: Path, figure: Figure
) -> None:
    require(version)
    cases = everything()
    lines = [line for asked in (PLAIN, *cases) for line in sent(version, asked)]
    found = parsed(version, lines, tmp_path)
    of_each = len(found) // (len(cases) + 1)
    plain, rest = found[:of_each], found[of_each:]
    assert all("exit" not in one for one in plain)
    problems = [
        problem
        for number, asked in enumerate(cases)
        for problem in differences(plain, rest[number * of_each : (number + 1) * of_each], asked)
    ]
    assert problems == []
    figure("command lines given to Airflow's own parsers", len(rest))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_logical_date_is_one(version: str, tmp_path: Path) -> None:
    require(version)
    dated, undated = parsed(version, [sent(version, replace(PLAIN, date=date))[0] for date in (DATE, None)], tmp_path)
    name = "exec_date" if version.startswith("2.") else "logical_date"
    assert {key for key in dated if dated[key] != undated[key]} == {name}
    assert (DATE.isoformat() in dated[name] or "2026, 11, 1, 2, 3, 4, 567" in dated[name], undated[name]) == (
        True,
        "None",
    )
    assert dated["replace_microseconds"] == "False"


@pytest.mark.parametrize("version", VERSIONS)
def test_naive_quoting_is_caught(version: str, tmp_path: Path) -> None:
    """The control: the guide's way to paste an id into a line."""
    require(version)
    with mock.patch("groundcrew.ways.cli.command", lambda *words: " ".join(words)):
        broken = Asked("x --conf {}", "run", {"a": 1})
        lines = [sent(version, asked)[0] for asked in (PLAIN, broken)]
    plain, found = parsed(version, lines, tmp_path)
    assert differences([plain], [found], broken) != []
