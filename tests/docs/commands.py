"""Finds the commands that the documentation tells people to type."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    str(path.relative_to(ROOT))
    for path in [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")]
)

FENCE = re.compile(r"^ *```(\S*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
LINE = re.compile(r"(?:.*\\\n)*.+")


def fences(document: str) -> Iterator[tuple[str, str]]:
    """The language and the content of every fenced block."""
    for match in FENCE.finditer((ROOT / document).read_text()):
        yield match[1], match[2]


def commands(document: str) -> Iterator[str]:
    """What a document has typed, literally: every line of an ``sh`` block, with the lines that continue it."""
    for language, block in fences(document):
        if language == "sh":
            yield from (line for line in LINE.findall(block) if line.strip())
