"""How many rows the next transaction takes."""

import pytest

from groundcrew_cleaning.pace import FIRST_SIZE, Pace

MOST, SECONDS = 10_000, 0.1


@pytest.mark.parametrize(
    ("deleted", "took", "size"),
    [
        (500, 0.1, 500),  # as long as it should take
        (500, 0.2, 250),  # twice as long
        (500, 0.05, 1000),
        (500, 0.001, 1000),  # never more than twice as many
        (500, 60.0, 1),  # never none
        (20_000, 0.001, 250),  # each leads to forty rows, and 10,000 may go
        (10, 0.001, 1000),
    ],
)
def test_the_next_transaction_is_as_large_as_the_last_one_allows(deleted: int, took: float, size: int) -> None:
    pace = Pace(MOST, SECONDS)
    pace.learn(FIRST_SIZE, deleted, took)
    assert pace.size == size


def test_a_short_remainder_changes_nothing() -> None:
    pace = Pace(MOST, SECONDS)
    pace.learn(FIRST_SIZE // 2 - 1, 1, SECONDS / 2)
    assert pace.size == FIRST_SIZE


def test_a_short_remainder_that_takes_too_long_counts() -> None:
    pace = Pace(MOST, SECONDS)
    pace.learn(100, 100, 2 * SECONDS)
    assert pace.size == 50
