import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleanup.outside_output import Cleaned
from cleanup.outside_plan import Target
from cleanup.outside_slices import FEWEST_ROWS, FIRST_ROWS, MOST_ROWS, Progress
from tests.support.cleanup.tables import BEFORE, NOW, TARGET, Table, clean, spread


def test_nothing_to_do_costs_one_look() -> None:
    table = Table(spread(100, days=20))
    end = clean(table, Progress.of(TARGET))
    assert (end.kept, end.examined, end.left) == ("", 0, 0)
    assert [command.look for command in table.sent] == [True]


def test_a_policy_that_reports_deletes_nothing() -> None:
    table = Table(spread(100_000))
    end = clean(table, Progress.of(TARGET), deletes=False)
    assert (len(table.rows), end.kept) == (100_000, "the policy only reports")
    assert end.left == end.examined == 92_500


def test_few_rows_go_in_one_command() -> None:
    table = Table(spread(1_000))
    end = clean(table, Progress.of(TARGET))
    assert table.sizes == [925]
    assert [command.look for command in table.sent] == [True, False, True]
    assert (end.deleted, end.left) == ({"xcom": 925}, 0)


def test_many_rows_go_in_slices_from_the_oldest_on() -> None:
    table = Table(spread(200_000))
    end = clean(table, Progress.of(TARGET, begins=NOW - timedelta(days=400)))
    assert len(table.rows) == 15_000
    assert end.deleted == {"xcom": 185_000}
    deletes = [command.before for command in table.sent if not command.look]
    assert deletes == sorted(deletes)
    assert table.sizes[0] <= FIRST_ROWS
    assert len(table.sent) <= 30


def test_a_slow_database_gets_smaller_slices() -> None:
    table = Table(spread(50_000), per_second=100)
    clean(table, Progress.of(TARGET))
    assert max(table.sizes[1:]) <= 100 * 20
    assert len(table.rows) == 3_750


def test_no_slice_is_too_long_once_the_speed_is_known() -> None:
    table = Table(spread(300_000), per_second=2_000)
    end = clean(table, Progress.of(TARGET))
    assert end.longest < 60


def test_rows_of_one_moment_go_at_once_or_not_at_all() -> None:
    table = Table([BEFORE - timedelta(days=3)] * (2 * FIRST_ROWS))
    assert clean(table, Progress.of(TARGET)).deleted == {"xcom": 2 * FIRST_ROWS}
    found = Cleaned({"xcom": MOST_ROWS + 1})
    progress = Progress.of(TARGET)
    while progress.stage != "done":
        progress = progress.after(found, 3, deletes=True, confirm=1)
    assert "too many" in progress.kept
    assert progress.deleted == {}


def test_more_than_the_confirmed_share_stays() -> None:
    table = Table(spread(10_000))
    end = clean(table, Progress.of(TARGET), confirm=0.5)
    assert len(table.rows) == 10_000
    assert end.kept == "92.5 % of the 10000 rows of xcom would go, and the policy confirms 50 %"
    assert clean(table, Progress.of(TARGET), confirm=0.93).deleted == {"xcom": 9_250}


def test_a_command_that_failed_is_the_last_one_for_its_table() -> None:
    failed = Progress.of(TARGET).after(Cleaned({}, "xcom: it did not"), 3, deletes=True, confirm=1)
    assert (failed.stage, failed.failed, failed.kept) == ("done", True, "`db clean` failed: xcom: it did not")


def test_a_table_that_is_not_there_is_no_failure() -> None:
    absent = Progress.of(TARGET).after(Cleaned({}, absent=True), 3, deletes=True, confirm=1)
    assert (absent.stage, absent.failed) == ("done", False)


def test_rows_that_are_still_there_are_a_failure_though_the_command_says_it_has_finished() -> None:
    progress = Progress.of(TARGET).after(Cleaned({"xcom": 10}), 3, deletes=True, confirm=1)
    progress = progress.after(Cleaned({"xcom": 10}), 3, deletes=True, confirm=1)
    progress = progress.after(Cleaned({"xcom": 4}), 3, deletes=True, confirm=1)
    assert (progress.failed, progress.deleted) == (True, {"xcom": 6})


@pytest.mark.parametrize("lost", [1, 2, 3, 4, 5])
def test_a_command_without_an_answer_is_waited_for_and_looked_at(lost: int) -> None:
    table = Table(spread(20_000))
    end = clean(table, Progress.of(TARGET, begins=NOW - timedelta(days=400)), lose=[lost])
    assert len(table.rows) == 1_500
    assert end.deleted == {"xcom": 18_500}


def test_after_a_delete_without_an_answer_comes_no_delete() -> None:
    progress = Progress.of(TARGET).after(Cleaned({"xcom": 4_000}), 3, deletes=True, confirm=1)
    assert not progress.command.look
    lost = progress.after(None, 60, deletes=True, confirm=1)
    assert lost.wait
    assert lost.command.look
    assert lost.command.before == progress.command.before
    smaller = lost
    while smaller.wait:  # it may be at work still
        assert smaller.command == lost.command
        smaller = smaller.after(Cleaned({"xcom": 4_000}), 3, deletes=True, confirm=1)
    assert (smaller.wait, smaller.limit) == (False, FIRST_ROWS // 4)
    assert smaller.command.look
    assert smaller.command.before < progress.command.before


def test_a_table_whose_commands_are_never_answered_is_left_alone() -> None:
    progress = Progress.of(TARGET)
    for _ in range(10):
        progress = progress.after(None, 60, deletes=True, confirm=1)
    assert (progress.stage, progress.failed, progress.wait) == ("done", True, False)


def test_a_target_that_moves_back_bounds_all_that_follows() -> None:
    progress = replace(Progress.of(TARGET), lower=BEFORE - timedelta(days=10))
    earlier = replace(TARGET, before=BEFORE - timedelta(days=5), reason="runs are not finished")
    moved = progress.moved(earlier)
    assert moved.command.before == earlier.before
    assert progress.moved(replace(TARGET, before=NOW)) == progress
    gone = progress.moved(replace(earlier, before=BEFORE - timedelta(days=20)))
    assert (gone.stage, gone.kept) == ("done", "runs are not finished")


def test_the_state_is_json() -> None:
    progress = Progress.of(Target("log", BEFORE, "30 days are kept"), begins=NOW)
    assert Progress.read(json.loads(json.dumps(progress.as_state()))) == progress


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 500), st.integers(1, 6_000)), max_size=6),
    st.floats(50, 100_000),
    st.sets(st.integers(0, 40), max_size=2),
    st.booleans(),
)
def test_whatever_there_is_all_that_is_older_goes_and_nothing_else(
    bursts: list[tuple[int, int]], per_second: float, lose: set[int], hinted: bool
) -> None:
    rows = [NOW - timedelta(days=days, seconds=number) for days, many in bursts for number in range(1, many + 1)]
    table = Table(list(rows), per_second=per_second)
    begins = min(rows, default=NOW) if hinted else None
    end = clean(table, Progress.of(TARGET, begins=begins), lose=sorted(lose))
    assert sorted(table.rows) == sorted(row for row in rows if row >= BEFORE)
    assert not end.failed
    assert sum(end.deleted.values()) == len(rows) - len(table.rows)
    assert all(command.before <= BEFORE for command in table.sent if not command.look)
    assert max(table.sizes, default=0) <= max(FIRST_ROWS, FEWEST_ROWS, int(per_second * 20))
