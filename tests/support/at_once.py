"""Something happens while a worker is in the middle of its work."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from localcloud.inprocess.aws import InProcessAws


@contextmanager
def in_the_middle(aws: InProcessAws, nth: int, act: Callable[[], object]) -> Iterator[list[int]]:
    """Just before the nth call from now, ``act`` happens; yields a list that holds nth once it has."""
    answer, calls, done = aws.answer, [0], []

    def answer_later(*args: Any) -> Any:
        calls[0] += 1
        if calls[0] == nth:
            done.append(nth)
            act()
        return answer(*args)

    with mock.patch.object(aws, "answer", answer_later):
        yield done
