"""What the demonstration shows: lines that change in place on a terminal, and are printed anew elsewhere."""

import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TextIO

PLAIN, DIM, RED, GREEN, YELLOW = "0", "2", "31", "32", "33"


def _redraws(output: TextIO) -> bool:
    return output.isatty() and os.environ.get("TERM", "dumb") != "dumb"


@dataclass
class View:
    """One output; ``show`` draws a block of lines, ``close`` leaves it as it is and starts anew."""

    output: TextIO = field(default_factory=lambda: sys.stdout)
    _started: float = field(default_factory=time.monotonic)
    _shown: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.live = _redraws(self.output)
        self._coloured = self.live and "NO_COLOR" not in os.environ

    def say(self, text: str = "") -> None:
        """A line of its own, below all others."""
        self.close()
        print(text, file=self.output, flush=True)

    def paint(self, text: str, colour: str) -> str:
        """The text in a colour, where there are colours."""
        return f"\x1b[{colour}m{text}\x1b[0m" if self._coloured else text

    def show(self, lines: Sequence[str]) -> None:
        """Draw the block again (terminal), or print those of its lines that are new or have changed."""
        before, self._shown = self._shown, list(lines)
        if before == self._shown:
            return
        if self.live:
            up = f"\x1b[{len(before)}A" if before else ""
            body = "".join(f"\x1b[2K{self._cut(line)}\n" for line in lines)
            print(up + body, end="", file=self.output, flush=True)
            return
        for number, line in enumerate(lines):
            if number >= len(before) or before[number] != line:
                print(f"{self.elapsed} {line}", file=self.output, flush=True)

    @property
    def elapsed(self) -> str:
        """How long it has been going on."""
        return f"{time.monotonic() - self._started:6.1f} s"

    def close(self) -> None:
        """The block stays as it is; the next one is drawn below it."""
        self._shown = []

    def _cut(self, line: str) -> str:
        """A line that wraps would spoil the redrawing; colours do not count."""
        room, cut, painting = shutil.get_terminal_size().columns - 1, "", False
        for character in line:
            painting = painting or character == "\x1b"
            if not painting:
                if room == 0:
                    return cut + ("\x1b[0m" if self._coloured else "")
                room -= 1
            painting = painting and character != "m"
            cut += character
        return cut


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns as wide as their widest cell."""
    widths = [max(len(row[number]) for row in (head, *rows)) for number in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (head, *rows)]
    return [line.rstrip() for line in (lines[0], "  ".join("-" * width for width in widths), *lines[1:])]
