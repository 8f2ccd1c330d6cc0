"""Figures that tests find out are printed at the end of the run, whichever process found them."""

from collections import Counter
from collections.abc import Callable

import pytest

Figure = Callable[[str, int], None]


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Figure:
    """``figure("calls of a creation", 12)``: print it in the summary; figures of one name add up."""
    return lambda name, value: record_property(f"figure: {name}", value)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    figures: Counter[str] = Counter()
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name.startswith("figure: "):
                figures[name.removeprefix("figure: ")] += int(str(value))
    if figures:
        terminalreporter.section("figures")
    for name, value in sorted(figures.items()):
        terminalreporter.write_line(f"{value:6} {name}")
