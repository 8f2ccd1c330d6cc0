"""What ``airflow db clean`` says that it did. Its exit code, which MWAA does not return, would not tell: the command
goes on after a table that failed, and ends with 0.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

CHECKING = re.compile(r"^Checking table (\w+)\s*$")
FOUND = re.compile(r"^Found ([0-9]+) rows meeting deletion criteria\.\s*$")
BEGAN = "Performing Delete"
FINISHED = "Finished Performing Delete"
NOT_CHOSEN = "No tables selected for db cleanup"
LONGEST_WORDS = 300


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What was found in each table that there is, and what went wrong, if anything.

    ``absent``: the table that was named is not there, or this version cannot clean it.
    """

    found: Mapping[str, int]
    trouble: str | None = None
    absent: bool = False

    @property
    def rows(self) -> int:
        """Of all tables."""
        return sum(self.found.values())


def read(stdout: str, stderr: str, table: str) -> Cleaned:
    """Read the output of a command that cleaned, or only looked at, this table and those its name stands for.

    A table's lines are taken by their order, not by words of failure: whether warnings are printed is a matter of
    configuration.
    """
    found: dict[str, int] = {}
    unfinished: list[str] = []
    current: str | None = None
    for line in stdout.splitlines():
        if match := CHECKING.match(line):
            current = match[1]
            unfinished.append(current)
        elif current and (match := FOUND.match(line)):
            found[current] = int(match[1])
            unfinished.remove(current)
        elif current and line.startswith(BEGAN) and current not in unfinished:
            unfinished.append(current)
        elif current and line.startswith(FINISHED) and current in unfinished:
            unfinished.remove(current)
    if unfinished:
        return Cleaned(found, f"{', '.join(sorted(set(unfinished)))}: {_last_words(stdout, stderr)}")
    if table in found:
        # What is raised at the end, after all tables, has its traceback on stderr.
        return Cleaned(found, _last_words("", stderr) if "Traceback (most recent call last)" in stderr else None)
    if NOT_CHOSEN in stderr or re.search(rf"Table {re.escape(table)} not found\.", stdout + stderr):
        return Cleaned(found, absent=True)
    return Cleaned(found, _last_words(stdout, stderr))


def _last_words(stdout: str, stderr: str) -> str:
    """The end of the traceback, or the first warning: the rest may be a hundred lines of SQL."""
    for text in (stderr, stdout):
        lines = [line.strip() for line in text.splitlines()]
        errors = [line for line in lines if re.match(r"[\w.]*(Error|Exception|Exit)\b", line)]
        warnings = [line for line in lines if "Encountered error" in line or " error: " in line]
        if errors or warnings:
            return (errors or warnings)[-1][:LONGEST_WORDS]
    last = [line.strip() for line in (stderr + "\n" + stdout).splitlines() if line.strip()]
    return last[-1][:LONGEST_WORDS] if last else "it said nothing"
