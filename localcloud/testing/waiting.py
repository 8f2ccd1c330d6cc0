"""The one way in which tests wait: for a condition, with a deadline far beyond the typical time."""

import inspect
import time
from collections.abc import Callable
from typing import Any

DEADLINE_SECONDS = 180.0
LONGEST_PAUSE_SECONDS = 0.05


def eventually(check: Callable[[], Any], seconds: float = DEADLINE_SECONDS) -> Any:
    """Return the first true answer of ``check``, which is asked again after pauses that grow.

    Raises:
        AssertionError: there was none within ``seconds``. It shows the code of ``check`` and its last answer.
    """
    deadline, pause = time.monotonic() + seconds, 0.001
    while not (answer := check()):
        if time.monotonic() >= deadline:
            raise AssertionError(f"this was not true within {seconds:g} s: {_code(check)}; last answer: {answer!r}")
        time.sleep(pause)
        pause = min(1.5 * pause, LONGEST_PAUSE_SECONDS)
    return answer


def _code(check: Callable[[], Any]) -> str:
    try:
        return " ".join(inspect.getsource(check).split())
    except (OSError, TypeError):  # it has no source file
        return repr(check)
