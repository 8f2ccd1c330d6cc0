"""Airflow's own words, for logs and events: short, and without what a conf holds, for that may be a secret."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

LONGEST = 300
SHORTEST_SECRET = 4
"""Characters; shorter texts and numbers of a conf are left, or nothing readable would be."""


def quoted(words: str, conf: Mapping[str, Any] | None) -> str:
    """The words, with every text and number of the conf in them masked, however it was escaped."""
    texts = {text for text in _texts(conf) if len(text) >= SHORTEST_SECRET}
    for text in sorted(texts, key=len, reverse=True):
        for form in (text, repr(text)[1:-1], json.dumps(text)[1:-1]):
            words = words.replace(form, "***")
    return words[:LONGEST]


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, int | float):
        yield json.dumps(value)
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
