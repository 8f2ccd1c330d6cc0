"""The command line as a way in: what is sent, and what is read from what comes back."""

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundcrew.aws.cli import LONGEST_COMMAND, Output
from groundcrew.aws.session import Roles
from groundcrew.errors import GroundcrewError, PermanentError, TransientError
from groundcrew.ways.cli import CliWay, command, conf_word, objects
from groundcrew.ways.seen import Dag, RunRef, Start
from localcloud.model.airflow import Airflow
from tests.support.runs.stories import ASKED, DATE, environment

if TYPE_CHECKING:
    from groundcrew.aws.locks import Locks

NOW = ASKED + timedelta(minutes=1)
REF = RunRef("load", "groundcrew__1", ASKED)
DAGS = [{"dag_id": "load"}, {"dag_id": "held", "is_paused": True}]
VERSIONS = ["2.7.2", "2.10.3", "3.0.6", "3.3.1"]
NOISE = '[2026-11-22T12:00:00.000+0000] {dagbag.py:545} INFO - Filling up\n[{"step": 1}]\n[1, 2]\n[]\n'

whole_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
confs = st.dictionaries(st.text(), whole_json, max_size=5)


class NoRoles(Roles):
    """Nobody asks AWS here."""


@dataclass
class Shell:
    """Where commands arrive: at the double of Airflow, or at what a test says; and where locks are taken."""

    airflow: Airflow
    sent: list[str] = field(default_factory=list)
    answers: list[Output] = field(default_factory=list)  # instead of the double's
    locks: list[tuple[str, int]] = field(default_factory=list)

    def run(self, _roles: Any, _ref: Any, line: str) -> Output:
        self.sent.append(line)
        if self.answers:
            return self.answers.pop(0)
        _, stdout, stderr = self.airflow.cli(line)
        return Output(stdout.decode(), stderr.decode())

    @contextmanager
    def held(self, name: str, *, seconds: int) -> Iterator[None]:
        self.locks.append((name, seconds))
        yield

    def way(self, version: str | None = None) -> CliWay:
        about = environment(airflow_version=version or self.airflow.version)
        return CliWay(NoRoles("aws", "us-east-1", "test"), about, cast("Locks", self))

    def words(self) -> list[list[str]]:
        return [shlex.split(line) for line in self.sent]


@contextmanager
def open_shell(version: str = "2.10.3", dags: Any = DAGS) -> Iterator[Shell]:
    shell = Shell(Airflow(version, NOW.timestamp, dags))
    with mock.patch("groundcrew.ways.cli.cli.run", shell.run):
        yield shell


@pytest.fixture(params=VERSIONS)
def shell(request: pytest.FixtureRequest) -> Iterator[Shell]:
    with open_shell(request.param) as opened:
        yield opened


@pytest.fixture
def still() -> Iterator[Shell]:
    """One version, whose answers a test gives itself."""
    with open_shell() as opened:
        yield opened


def failing(way: CliWay, start: Start | None = None) -> GroundcrewError:
    with pytest.raises(GroundcrewError) as caught:
        way.start(start or Start(REF, {}, ""))
    return caught.value


# -------------------------------------------------------------------------------------------------------------- quoting
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=6))
def test_a_command_means_the_words_it_was_made_of(words: list[str]) -> None:
    assert shlex.split(command(*words)) == words


@settings(deadline=None)
@given(confs)
def test_a_conf_survives(conf: dict[str, Any]) -> None:
    word = conf_word(conf)
    assert json.loads(word) == conf
    assert word.isascii()
    assert word.isprintable()
    assert not set(word) & {" ", "'"}
    line = command("dags", "trigger", f"--conf={word}", "load")
    assert shlex.split(line)[2] == f"--conf={word}"
    assert line.split(" ")[2] == shlex.quote(f"--conf={word}") == f"'--conf={word}'"


@settings(max_examples=100, deadline=None)
@given(confs, st.sampled_from(VERSIONS))
def test_a_conf_arrives_in_airflow(conf: dict[str, Any], version: str) -> None:
    with open_shell(version) as shell:
        assert shell.way().start(Start(REF, conf, "a note"))
        (made,) = shell.airflow.runs()
        assert (made.conf, made.run_id, made.note) == (conf, REF.run_id, None)


# -------------------------------------------------------------------------------------------------------- what it tells
def test_a_dag_is_found_by_its_whole_name(shell: Shell) -> None:
    assert shell.way().dag("load") == Dag()
    assert shell.way().dag("held") == Dag(is_paused=True)
    assert shell.way().dag("loa") is None


def test_commands_go_one_by_one_under_the_environments_lock(shell: Shell) -> None:
    shell.way().dag("load")
    shell.way().import_errors()
    assert shell.locks == [("cli/222222222222/us-east-1/data", LONGEST_COMMAND)] * 2


def test_a_run_is_started_once_and_seen(shell: Shell) -> None:
    way = shell.way()
    assert way.run(REF) is None
    assert way.start(Start(REF, {"day": 1}, ""))
    seen = way.run(REF)
    assert seen is not None
    assert (seen.run_id, seen.conf, seen.note) == (REF.run_id, None, None)
    assert seen.logical_date or seen.created_at
    assert way.start(Start(REF, {"day": 1}, "")) is False
    assert len(shell.airflow.runs()) == 1


def test_a_repeated_date_is_a_conflict_and_shown(shell: Shell) -> None:
    way = shell.way()
    taken, wanted = replace(REF, run_id="by-hand", logical_date=DATE), replace(REF, logical_date=DATE)
    assert way.twin(wanted) is None
    assert way.start(Start(taken, {}, ""))
    assert way.start(Start(wanted, {}, "")) is False
    assert way.run(wanted) is None
    twin = way.twin(wanted)
    assert twin is not None
    assert twin.run_id == "by-hand"


def test_a_logical_date_arrives_to_the_microsecond(shell: Shell) -> None:
    date = DATE + timedelta(microseconds=7)
    assert shell.way().start(Start(replace(REF, logical_date=date), {}, ""))
    assert [run.logical_date for run in shell.airflow.runs()] == [date]


def test_a_dag_that_is_not_there(shell: Shell) -> None:
    unknown = replace(REF, dag_id="nobody")
    assert shell.way().run(unknown) is None
    error = failing(shell.way(), Start(unknown, {}, ""))
    assert isinstance(error, PermanentError)
    assert error.cause == "UnknownDag"


def test_a_run_id_that_airflow_does_not_take(shell: Shell) -> None:
    error = failing(shell.way(), Start(replace(REF, run_id="a b"), {}, ""))
    assert isinstance(error, PermanentError)
    assert (error.cause, bool(error.remedy)) == ("BadConf", True)


def test_unpausing(shell: Shell) -> None:
    shell.way().unpause("held")
    assert shell.way().dag("held") == Dag()
    shell.way().unpause("held")
    shell.way().unpause("nobody")


def test_files_that_cannot_be_imported() -> None:
    for version in VERSIONS:
        with open_shell(version, [{"dag_id": "load", "has_import_errors": True}]) as shell:
            assert [path.rsplit("/", 1)[-1] for path in shell.way().import_errors()] == ["load.py"]
        with open_shell(version) as shell:
            assert shell.way().import_errors() == []


# ----------------------------------------------------------------------------------------- success is what content says
def test_the_answer_is_found_among_what_dags_print() -> None:
    rows = [{"dag_id": "load", "is_paused": "True"}]
    assert objects(NOISE + json.dumps(rows) + "\nbye [] [see above]\n", "dag_id") == rows
    assert objects(NOISE, "dag_id") == []
    assert objects("[1, 2] [[]] [{}] [", "dag_id") is None
    assert objects("", "dag_id") is None
    assert objects(json.dumps(rows, indent=2), "dag_id") == rows
    assert objects('[{"dag_id": "first"}] [{"dag_id": "last"}, {"dag_id": "[{"}] [{"other": 1}]', "dag_id") == [
        {"dag_id": "last"},
        {"dag_id": "[{"},
    ]


@pytest.mark.parametrize(
    ("noise", "found"),
    [("[" * 100_000, True), ("[\n" * 50_000, True), ('[{"dag_id":' * 10_000, False)],
    ids=["a row", "lines", "nested too deep"],
)
def test_many_brackets_cost_few_tries(noise: str, found: bool) -> None:
    """A try at each of them takes a millisecond, so half a minute for what a DAG file may print."""
    rows = [{"dag_id": "load"}]
    decode = mock.Mock(side_effect=json.JSONDecoder().raw_decode)
    with mock.patch.object(json.JSONDecoder, "raw_decode", decode):
        assert objects(noise + json.dumps(rows), "dag_id") == (rows if found else None)
    assert 0 < decode.call_count <= 2


@pytest.mark.parametrize("stdout", ["", "No data found", NOISE.replace("[]", ""), '[{"other": 1}]'])
def test_a_command_that_fails_is_no_empty_answer(still: Shell, stdout: str) -> None:
    """Or a run would be taken for missing because the database was."""
    way = still.way()
    trouble = "Traceback ...\npsycopg2.OperationalError: could not connect"
    for ask in (lambda: way.dag("load"), lambda: way.run(REF), lambda: way.twin(REF), way.import_errors):
        still.answers = [Output(stdout, trouble)]
        with pytest.raises(TransientError, match="could not connect") as caught:
            ask()
        assert caught.value.cause == "CommandFailed"


def test_a_start_that_says_nothing_clear_is_tried_again(still: Shell) -> None:
    for output in (Output("", ""), Output(NOISE, "Killed"), Output('[{"dag_run_id": "other"}]', "warning")):
        still.answers = [output]
        error = failing(still.way())
        assert isinstance(error, TransientError)
        assert error.cause == "CommandFailed"
    assert "it said nothing" in failing_with(still, Output("", "")).what


def failing_with(shell: Shell, *outputs: Output) -> GroundcrewError:
    shell.answers = list(outputs)
    return failing(shell.way())


def test_a_start_that_succeeds_with_noise_is_a_success(still: Shell) -> None:
    still.answers = [Output(NOISE + '[{"dag_run_id": "groundcrew__1"}]', "ERROR: DagRunAlreadyExists elsewhere")]
    assert still.way().start(Start(REF, {}, ""))


@pytest.mark.parametrize(
    ("last", "cause"),
    [
        ("airflow.exceptions.ParamValidationError: Invalid input for param day: 7 is not of type 'string'", "BadConf"),
        ("ValueError: The execution_date [2020-01-01] should be >= start_date", "BadConf"),
        ("ValueError: The run_id provided 'a b' does not match", "BadConf"),
        ("airflow.exceptions.AirflowException: The provided run ID 'a b' is invalid", "BadConf"),
        ("airflow.exceptions.DagNotFound: Dag id load not found in DagModel", "UnknownDag"),
        ("sqlalchemy.exc.OperationalError: server closed the connection", "CommandFailed"),
        ("ValueError: too many values", "CommandFailed"),
    ],
)
def test_why_a_start_failed_is_read_from_the_traceback(still: Shell, last: str, cause: str) -> None:
    error = failing_with(still, Output("", f"Traceback (most recent call last):\n  ...\n{last}\n\nmore about it"))
    assert error.cause == cause
    assert isinstance(error, TransientError) is (cause == "CommandFailed")


def test_unpausing_that_did_not_is_no_success(still: Shell) -> None:
    paused = Output('[{"dag_id": "held", "is_paused": "True"}]', "")
    still.answers = [Output("", "boom"), paused]
    with pytest.raises(TransientError, match="unpausing held failed: boom"):
        still.way().unpause("held")


# --------------------------------------------------------------------------------------------------------- old versions
def test_versions_that_know_fewer_options_are_asked_with_fewer(still: Shell) -> None:
    """2.4.2: `dags trigger` has no `-o`, and tells its success in a sentence."""
    date = "2026-11-22 12:00:00+00:00"
    made = f"Created <DagRun load @ {date}: groundcrew__1, state:queued, queued_at: {date}. externally triggered: True>"
    still.answers = [Output(f"{NOISE}{made}\n", ""), Output("nothing of the kind", "")]
    way = still.way("2.4.2")
    assert way.start(Start(REF, {}, ""))
    assert still.words() == [["dags", "trigger", "--run-id=groundcrew__1", "--conf={}", "load"]]
    assert failing(way).cause == "CommandFailed"


@pytest.mark.parametrize(
    "said", ["load @ {0}: groundcrew__12, ", "load2 @ {0}: groundcrew__1, ", "load @ {0}: other, "]
)
def test_a_sentence_about_another_run_is_no_success(still: Shell, said: str) -> None:
    still.answers = [Output(f"Created <DagRun {said.format('2026-11-22 12:00:00+00:00')}state:queued", "")]
    assert failing(still.way("2.4.2")).cause == "CommandFailed"


def test_what_is_sent(shell: Shell) -> None:
    way = shell.way()
    way.start(Start(replace(REF, logical_date=DATE), {"it's": "a b"}, ""))
    way.run(REF)
    way.dag("-x")
    way.unpause("-x")
    old = shell.airflow.version.startswith("2.")
    date = ["--exec-date=2026-11-01T00:00:00+00:00"] if old else ["--logical-date=2026-11-01T00:00:00+00:00"]
    listing = ["--dag-id=load"] if old else ["load"]
    conf = r'--conf={"it\u0027s":"a\u0020b"}'
    head = ["dags", "trigger", "--run-id=groundcrew__1", conf]
    assert shell.words()[:4] == [
        [*head, *date, "--no-replace-microseconds", "-o", "json", "load"],
        ["dags", "list-runs", "-o", "json", *listing],
        ["dags", "list", "-o", "json"],
        ["dags", "unpause", "--", "-x"],
    ]


def test_times_are_read_with_their_zone(shell: Shell) -> None:
    shell.way().start(Start(REF, {}, ""))
    shell.airflow.state.runs[0].start_date = datetime(2026, 11, 22, 12, 2, tzinfo=UTC)
    seen = shell.way().run(REF)
    assert seen is not None
    assert seen.start_date == datetime(2026, 11, 22, 12, 2, tzinfo=UTC)
    assert (seen.end_date, seen.ended) == (None, False)
