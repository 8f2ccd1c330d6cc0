"""The report of the demonstration, .demo/report.json: whether each step truly happened, how long it took, and facts."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class NotAsExpected(Exception):
    """A step did not do what it should; the message says what was expected, and what was found."""


@dataclass
class Step:
    """One step; ``facts`` are whatever is worth knowing about it."""

    name: str
    ok: bool = False
    seconds: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """As it stands in the file."""
        return {"name": self.name, "ok": self.ok, "seconds": round(self.seconds, 1), **self.facts}


@dataclass
class Report:
    """All steps that were begun, in order."""

    file: Path
    planned: tuple[str, ...]
    steps: list[Step] = field(default_factory=list)
    _started: float = field(default_factory=time.monotonic)

    @property
    def ok(self) -> bool:
        """Whether every planned step was done."""
        return [step.name for step in self.steps if step.ok] == list(self.planned)

    @property
    def seconds(self) -> float:
        """Since the report was begun."""
        return time.monotonic() - self._started

    def fact(self, step: str, name: str) -> Any:
        """A fact of a step; None if it is not known."""
        return next((one.facts.get(name) for one in self.steps if one.name == step), None)

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Time a step; it is ok if nothing was raised."""
        step, started = Step(name), time.monotonic()
        self.steps.append(step)
        try:
            yield step
            step.ok = True
        finally:
            step.seconds = time.monotonic() - started

    def write(self) -> None:
        """Write the file."""
        content = {
            "ok": self.ok,
            "seconds": round(self.seconds, 1),
            "steps": [step.as_json() for step in self.steps],
        }
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(json.dumps(content, indent=2) + "\n")
