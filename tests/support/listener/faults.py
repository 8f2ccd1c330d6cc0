"""Errors forced at every line in turn, by the interpreter's own trace function."""

import ast
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import groundcrew_listener

PACKAGE = Path(groundcrew_listener.__file__).parent
Tracer = Callable[[FrameType, str, Any], Any]


class ForcedError(Exception):
    """The error that is forced."""


@cache
def idle(path: str) -> frozenset[int]:
    """Lines of a file that can't fail, for they do nothing: ``try:``, ``except Exception:``, ``pass``."""
    return lines(path, ast.Try) | lines(path, ast.ExceptHandler) | lines(path, ast.Pass)


@cache
def lines(path: str, kind: type[ast.stmt | ast.excepthandler]) -> frozenset[int]:
    """Where statements of a kind begin."""
    return frozenset(node.lineno for node in ast.walk(ast.parse(Path(path).read_text())) if isinstance(node, kind))


class Fault:
    """Raises at the ``nth`` different line of the package that is executed; ``at`` is that line once it has."""

    def __init__(self, nth: int) -> None:
        self.at = ""
        self._nth = nth
        self._seen: set[tuple[str, int]] = set()

    def __call__(self, frame: FrameType, event: str, _: Any) -> Tracer | None:
        path = frame.f_code.co_filename
        if not path.startswith(str(PACKAGE)):
            return None
        place = (path, frame.f_lineno)
        # The line of a ``with`` is met again at its end, so only the first time counts.
        if event == "line" and frame.f_lineno not in idle(path) and place not in self._seen:
            self._seen.add(place)
            if len(self._seen) == self._nth:
                self.at = f"{Path(path).name}:{frame.f_lineno}"
                raise ForcedError
        return self

    @contextmanager
    def here(self) -> Iterator[None]:
        """In this thread."""
        before = sys.gettrace()
        sys.settrace(self)
        try:
            yield
        finally:
            sys.settrace(before)

    @contextmanager
    def in_new_threads(self) -> Iterator[None]:
        """In threads that start meanwhile, and only there."""
        before = threading.gettrace()
        threading.settrace(self)
        try:
            yield
        finally:
            threading.settrace(before)
