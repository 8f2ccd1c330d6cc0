"""Airflow through MWAA's command line endpoint, for what its REST API cannot serve: slower, and one command at a time.

What a command did is read from its output: neither the HTTP status nor the exit code (which is not returned) nor an
empty stderr says it (guide L4118-4200).
"""

import json
import re
import shlex
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from groundcrew.aws import cli
from groundcrew.aws.locks import Locks
from groundcrew.aws.session import Roles
from groundcrew.environment import Environment
from groundcrew.errors import GroundcrewError, PermanentError, TransientError
from groundcrew.ways.seen import Dag, Run, RunRef, Start
from groundcrew.ways.words import quoted

LONGEST_WORD = 120_000
"""Bytes; a single word of a command has at most 131,072 on Linux (``MAX_ARG_STRLEN``, execve(2))."""

EXISTS = ("DagRunAlreadyExists", "UniqueViolation")
UNKNOWN = ("DagNotFound", "does not exist in 'dag' table")
BAD = re.compile(
    r"^(?:[\w.]*\.)?(?:ParamValidationError: |ValueError: The (?:execution_date|logical_date|run_id) "
    r"|AirflowException: The provided run ID ).*",
    re.MULTILINE,
)
"""How Airflow's exceptions end their tracebacks, in all versions that MWAA has offered."""

BRACKETS = re.compile(r"(?:\[\s*)+")
"""Opening brackets in a row. Only the first and the last one can start a list of objects that stands for itself; trying
each of a hundred thousand, which a DAG file may print, would take half a minute.
"""

TELLS_SINCE = (2, 7)
"""The version since which `dags trigger` surely knows `-o` and `--no-replace-microseconds`."""


class CliWay:
    """Airflow's command line in one environment."""

    name: Literal["rest", "cli"] = "cli"

    def __init__(self, roles: Roles, environment: Environment, locks: Locks) -> None:
        """Ask as the spoke's role ``airflow``; ``locks`` keep commands apart, whoever sends them."""
        self._roles = roles
        self._environment = environment
        self._locks = locks
        self._v3 = not environment.airflow_version.startswith("2.")
        self._tells = _version(environment.airflow_version) >= TELLS_SINCE

    def dag(self, dag_id: str) -> Dag | None:
        """The DAG, or None if Airflow knows none of that name."""
        output = self._run("dags", "list", "-o", "json")
        found = next((one for one in _list(output, "dag_id") if one["dag_id"] == dag_id), None)
        if found is None:
            return None
        return Dag(is_paused=str(found.get("is_paused", found.get("paused"))).lower() == "true")

    def run(self, ref: RunRef, *, of_any_age: bool = False) -> Run | None:  # noqa: ARG002 - all are listed anyway
        """The run with the reference's id, or None."""
        return next((run for run in self._runs(ref.dag_id) if run.run_id == ref.run_id), None)

    def twin(self, ref: RunRef) -> Run | None:
        """A run of that DAG with the reference's logical date, or None."""
        return next((run for run in self._runs(ref.dag_id) if run.logical_date == ref.logical_date), None)

    def import_errors(self) -> list[str]:
        """The files that Airflow cannot import."""
        output = self._run("dags", "list-import-errors", "-o", "json")
        return sorted({str(one["filepath"]) for one in _list(output, "filepath")})

    def unpause(self, dag_id: str) -> None:
        """Let the DAG's runs start."""
        output = self._run("dags", "unpause", *_positional(dag_id))
        dag = self.dag(dag_id)
        if dag is not None and dag.is_paused:
            raise _failed(output, f"unpausing {dag_id}")

    def start(self, start: Start) -> bool:
        """Start a run; False if Airflow says that it has one with that id or that logical date."""
        ref = start.ref
        conf = conf_word(start.conf)
        if len(conf) > LONGEST_WORD:
            raise PermanentError(
                f"starting {ref.dag_id}: its conf is too long for a command line, {len(conf)} bytes",
                cause="BadConf",
                remedy=f"Ask with a conf of at most {LONGEST_WORD} bytes as JSON; blanks count six times.",
            )
        words = [f"--run-id={ref.run_id}", f"--conf={conf}"]
        if ref.logical_date is not None:
            words.append(f"--{'logical-date' if self._v3 else 'exec-date'}={ref.logical_date.isoformat()}")
        if self._tells:
            words += ["--no-replace-microseconds", "-o", "json"]
        output = self._run("dags", "trigger", *words, *_positional(ref.dag_id))
        if _created(output, ref):
            return True
        if any(word in output.stderr for word in EXISTS):
            return False
        raise _failed(output, f"starting {ref.dag_id}", start.conf)

    def _runs(self, dag_id: str) -> list[Run]:
        dag = _positional(dag_id) if self._v3 else [f"--dag-id={dag_id}"]
        output = self._run("dags", "list-runs", "-o", "json", *dag)
        if UNKNOWN[1] in output.stderr:
            return []
        return [_run(one) for one in _list(output, "run_id")]

    def _run(self, *words: str) -> cli.Output:
        with self._locks.held(f"cli/{self._environment.ref}", seconds=cli.LONGEST_COMMAND):
            return cli.run(self._roles, self._environment.ref, command(*words))


def command(*words: str) -> str:
    """A command line that means these words to every shell, whatever is in them."""
    return " ".join(shlex.quote(word) for word in words)


def conf_word(conf: Mapping[str, Any]) -> str:
    """A conf as JSON without blanks and single quotes, so that even a naive split of the line leaves it whole."""
    text = json.dumps(conf, ensure_ascii=True, separators=(",", ":"))
    return text.replace("'", r"\u0027").replace(" ", r"\u0020")


def objects(stdout: str, key: str) -> list[dict[str, Any]] | None:
    """The last JSON list in a command's output whose objects have that key, or None without any.

    Whatever DAG files print while they are read stands before it.
    """
    last: list[dict[str, Any]] | None = None
    end = 0
    while brackets := BRACKETS.search(stdout, end):
        found, end = _decoded(stdout, brackets)
        if isinstance(found, list) and all(isinstance(one, dict) and key in one for one in found):
            last = found or last or []
    return last


def _decoded(text: str, brackets: re.Match[str]) -> tuple[object, int]:
    """The JSON that starts at the first of some brackets, or else at the last one, and where it ends.

    Lists and objects that are nested deeper than the decoder goes are no answer of Airflow's: the rest is not read.
    """
    decoder, end = json.JSONDecoder(), brackets.end()
    for start in (brackets.start(), text.rindex("[", *brackets.span())):
        try:
            return decoder.raw_decode(text, start)
        except ValueError:
            end = brackets.end()
        except RecursionError:
            end = len(text)
    return None, end


def _list(output: cli.Output, key: str) -> list[dict[str, Any]]:
    found = objects(output.stdout, key)
    if found is None:
        raise _failed(output, "a command")
    return found


def _created(output: cli.Output, ref: RunRef) -> bool:
    """Whether the command says that it made this run; versions without ``-o`` say so in a sentence."""
    made = objects(output.stdout, "dag_run_id") or ()
    sentence = rf"^Created <DagRun {re.escape(ref.dag_id)} @ \S+ \S+: {re.escape(ref.run_id)}, "
    return any(one["dag_run_id"] == ref.run_id for one in made) or bool(
        re.search(sentence, output.stdout, re.MULTILINE)
    )


def _failed(output: cli.Output, doing: str, conf: Mapping[str, Any] | None = None) -> GroundcrewError:
    """What the output of a command means that did not do what it should."""
    if bad := BAD.search(output.stderr):
        remedy = "Correct the conf, logical_date or run_id that Airflow does not accept."
        return PermanentError(f"{doing}: {quoted(bad[0], conf)}", cause="BadConf", remedy=remedy)
    last = (output.stderr.strip() or output.stdout.strip()).splitlines()[-1:] or ["it said nothing"]
    what = f"{doing} failed: {quoted(last[0], conf)}"
    if any(word in output.stderr for word in UNKNOWN):
        return PermanentError(what, cause="UnknownDag", remedy="Look whether the DAG was removed a moment ago.")
    if output.status != 200:
        remedy = "Read Airflow's words; check that MWAA supports this command for the environment's version of Airflow."
        return PermanentError(what, cause="CommandRefused", remedy=remedy)
    return TransientError(what, cause="CommandFailed")


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"[0-9]+", text)[:2])


def _positional(dag_id: str) -> list[str]:
    """A DAG id as the last word; one that begins with a dash is no option."""
    return ["--", dag_id] if dag_id.startswith("-") else [dag_id]


def _run(one: Mapping[str, Any]) -> Run:
    return Run(
        run_id=str(one.get("run_id")),
        state=str(one.get("state") or ""),
        logical_date=_moment(one.get("logical_date") or one.get("execution_date")),
        created_at=_moment(one.get("run_after")),
        start_date=_moment(one.get("start_date")),
        end_date=_moment(one.get("end_date")),
    )


def _moment(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return None
