"""Finds the commands that the documentation tells people to type."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])

FENCE = re.compile(r"^ *```(\S*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")


@dataclass(frozen=True)
class Command:
    """One command of a document, in the words of a shell: environment assignments before it are left out."""

    document: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.document}: {shlex.join(self.words)}"


def fences(text: str) -> Iterator[tuple[str, str]]:
    """The language and the content of every fenced block."""
    for match in FENCE.finditer(text):
        yield match[1], match[2]


def commands(path: Path) -> Iterator[Command]:
    """A document's commands: every line of an ``sh`` block, what follows ``$`` in a ``console`` block."""
    for language, block in fences(path.read_text()):
        lines = block.replace("\\\n", " ").splitlines()
        if language == "console":
            lines = [line.strip().removeprefix("$ ") for line in lines if line.strip().startswith("$ ")]
        elif language != "sh":
            continue
        for line in lines:
            for part in re.split(r"&&|\|\||;|\|", line):
                words = shlex.split(part, comments=True)
                while words and ASSIGNMENT.match(words[0]):
                    del words[0]
                if words:
                    yield Command(str(path.relative_to(ROOT)), tuple(words))
