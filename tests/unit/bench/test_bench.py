import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from bench import __main__ as command
from bench.cold_start import compare
from bench.lambda_process import Code, function_process
from bench.results import FILE, Figure, NotMeasured, figure, kept, merged, read, table, write
from bench.size import Size
from bench.world import World, world

BARE = "def handler(event, context):\n    return event\n"
SLOW = "import time\ntime.sleep(0.6)\n" + BARE
CALLING = (
    "import boto3\n\n\ndef handler(event, context):\n"
    "    return boto3.client('ssm').get_parameter(Name='/groundcrew/endpoints/default')['Parameter']\n"
)
LEAVING = "def handler(event, context):\n    return {'batchItemFailures': [{'itemIdentifier': '1'}]}\n"
FAILING = "def handler(event, context):\n    raise ValueError('no such luck')\n"

MISSED = figure("endpoints.ratio", [1.3, 1.1, 1.2], "ratio", "bare", 1.15)
KEPT = figure("endpoints.calls", [4], "calls", bar=4)
PLAIN = figure("fleet.seconds", [2.0, 1.0], "s")


# -------------------------------------------------------------------------------------------------------------- figures
def test_a_figure_is_the_median_of_its_runs_held_against_its_bar() -> None:
    assert Figure("endpoints.ratio", 1.2, "ratio", "bare", 1.15, ok=False, n=3) == MISSED
    assert (KEPT.ok, KEPT.n) == (True, 1)
    assert (PLAIN.value, PLAIN.bar, PLAIN.ok) == (1.5, None, True)


def test_a_ratio_that_has_to_be_large_misses_its_bar_from_below() -> None:
    assert [figure("exports.times", [value], "times", bar=25).ok for value in (24.9, 25, 30)] == [False, True, True]


def test_a_bar_missed_by_less_than_what_is_shown_is_missed() -> None:
    shown = figure("endpoints.ratio", [1.15001], "ratio", bar=1.15)
    assert (shown.value, shown.ok) == (1.15, False)


def test_figures_are_written_as_they_are_read(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    assert read(file) == []
    write([MISSED, KEPT, PLAIN], file)
    assert read(file) == [MISSED, KEPT, PLAIN]
    assert all(
        list(line) == ["name", "value", "unit", "against", "bar", "ok", "n"] for line in json.loads(file.read_text())
    )


def test_one_part_replaces_its_own_figures_only() -> None:
    new = figure("endpoints.new", [1], "calls")
    assert merged([MISSED, KEPT, PLAIN], [new], ["endpoints"]) == [new, PLAIN]


def test_the_table_marks_what_misses_its_bar() -> None:
    header, missed, kept, plain = table([MISSED, KEPT, PLAIN]).splitlines()
    assert header.split() == ["figure", "value", "unit", "bar", "runs", "against"]
    assert missed.split() == ["endpoints.ratio", "1.2", "ratio", "1.15", "MISSED", "3", "bare"]
    assert kept.split() == ["endpoints.calls", "4", "calls", "4", "ok", "1"]
    assert plain.split() == ["fleet.seconds", "1.5", "s", "2"]


def test_the_committed_figures_belong_to_parts() -> None:
    figures = read(FILE)
    assert {one.name.partition(".")[0] for one in figures} == set(command.PARTS)
    assert [one.ok for one in figures] == [kept(one.value, one.unit, one.bar) for one in figures]


# ---------------------------------------------------------------------------------------------------------- the command
def not_measured(_built: object, _size: object) -> list[Figure]:
    raise NotMeasured("no answer")


@pytest.mark.parametrize(
    ("measure", "code", "said"),
    [
        (lambda _built, _size: [MISSED], 0, "bars missed: endpoints.ratio"),
        (not_measured, 1, "endpoints: not measured: no answer"),
    ],
)
def test_only_what_cannot_be_measured_fails(
    measure: Callable[[object, object], list[Figure]],
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(command, "built", nullcontext)
    monkeypatch.setattr(command, "PARTS", {"endpoints": measure, "fleet": not_measured})
    file = tmp_path / "results.json"
    write([KEPT, PLAIN], file)
    assert command.main(["endpoints"], file) == code
    assert said in "".join(capsys.readouterr())
    assert read(file) == ([KEPT, PLAIN] if code else [MISSED, PLAIN])


def test_a_short_bench_measures_little_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes: list[Size] = []

    def measure(_built: object, size: Size) -> list[Figure]:
        sizes.append(size)
        return [MISSED]

    monkeypatch.setattr(command, "built", nullcontext)
    monkeypatch.setattr(command, "PARTS", {"endpoints": measure})
    file = tmp_path / "results.json"
    assert command.main(["--short"], file) == 0
    assert not file.exists()
    said = capsys.readouterr().out
    assert "endpoints.ratio" in said
    assert "missed" not in said.lower()
    assert command.main([], file) == 0
    assert read(file) == [MISSED]
    assert [(size.of(200), size.of(1), size.times(5)) for size in sizes] == [(10, 1, 1), (200, 1, 5)]


# ------------------------------------------------------------------------------- the harness, on handlers it must catch
def code(folder: Path, name: str, text: str) -> Code:
    (folder / f"{name}.py").write_text(text)
    return Code(folder, f"{name}.handler")


def ratio(ours: Code, bare: Code, place: World) -> Figure:
    return compare("endpoints.cold_start", ours, bare, place, place.variables("endpoints"), {}, pairs=3)[0]


def test_a_slow_handler_misses_the_bar(tmp_path: Path) -> None:
    with world() as place:
        found = ratio(code(tmp_path, "slow", SLOW), code(tmp_path, "bare", BARE), place)
    assert (found.name, found.n, found.ok) == ("endpoints.cold_start_ratio", 3, False)


def test_handlers_with_different_calls_are_not_compared(tmp_path: Path) -> None:
    with world() as place, pytest.raises(NotMeasured, match="ssm:GetParameter"):
        ratio(code(tmp_path, "calling", CALLING), code(tmp_path, "bare", BARE), place)


def test_nor_is_one_that_leaves_its_message(tmp_path: Path) -> None:
    with world() as place, pytest.raises(NotMeasured, match="itemIdentifier"):
        ratio(code(tmp_path, "leaving", LEAVING), code(tmp_path, "bare", BARE), place)


def test_a_failing_handler_has_no_figure(tmp_path: Path) -> None:
    with (
        world() as place,
        pytest.raises(NotMeasured, match="no such luck"),
        function_process(code(tmp_path, "failing", FAILING), place.variables("endpoints")) as function,
    ):
        function.invoke({})
