"""The outside engine on real Airflow 3 and a tenth of a large history: how long its commands take, and that none fails.

What a command would take at full size is reckoned from what it takes here: a dry run reads the tables, which are ten
times as long there; a delete reads them twice and then takes its rows at the speed measured here.
"""

import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

from bench.results import Figure, NotMeasured, figure
from bench.size import Size
from cleanup import outside
from cleanup.outside_slices import TARGET_SECONDS
from cleanup.policy import Policy
from groundcrew.aws.cli import LONGEST_COMMAND, PATIENCE_SECONDS, Output
from localcloud.airflow import installed
from tests.support.airflow.cleaning import bulk
from tests.support.airflow.cleaning.stage import Database, clean, open_database

VERSIONS = ("3.0.6", "3.3.1")
RUNS, FULL_RUNS = 20_000, 200_000
NOW = datetime(2026, 11, 27, tzinfo=UTC)
POLICY: dict[str, Any] = {"mode": "delete", "confirm": 1, "days": {"default": 30}, "export_required": False}


@dataclass
class Watch:
    """The commands of a clean-up, and how long each took."""

    looks: list[float] = field(default_factory=list)
    deletes: list[float] = field(default_factory=list)

    def cli(self, database: Database, command: str) -> Output:
        """Send it."""
        began = time.perf_counter()
        _, stdout, stderr = database.commands.run(command)
        (self.looks if "--dry-run" in command else self.deletes).append(time.perf_counter() - began)
        return Output(stdout.decode(), stderr.decode())


def measure(size: Size) -> list[Figure]:
    """The figures of all versions; a short bench measures the newest one only."""
    versions = VERSIONS if size.is_full else VERSIONS[-1:]
    return [one for version in versions for one in _version(version, size.of(RUNS))]


def _version(version: str, runs: int) -> list[Figure]:
    if not installed.is_installed(version):
        raise NotMeasured(f"Airflow {version} is not installed: make .tools/airflow-{version}/.ready")
    watch = Watch()
    with (
        tempfile.TemporaryDirectory(prefix="groundcrew-bench-") as name,
        open_database(version, Path(name)) as database,
    ):
        rows = bulk.fill(database, runs, NOW)
        before = sum(database.counts().values())
        began = time.perf_counter()
        with mock.patch.object(Database, "cli", _bound(watch)), mock.patch.object(outside, "logger"):
            work = clean(database, Policy.read(POLICY, "bench"), {}, NOW)
        seconds = time.perf_counter() - began
        gone = before - sum(database.counts().values())
    failed = [result["table"] for result in work.results if result.get("failed")]
    left = sum(result.get("left") or 0 for result in work.results)
    name = f"cleanup.outside_{version.replace('.', '_')}"
    sizes = f"{rows} rows, {gone} of them deleted; commands without Airflow's start (2 to 4 s)"
    scale = FULL_RUNS / runs
    full = 2 * scale * max(watch.looks) + TARGET_SECONDS
    return [
        figure(f"{name}_failed_commands", [len(failed)], "commands", f"at 1/{scale:g}: {sizes}", 0),
        figure(f"{name}_rows_left", [left], "rows", "of tables that the policy wants clean", 0),
        figure(f"{name}_seconds", [seconds], "s", f"{len(watch.looks)} dry runs, {len(watch.deletes)} deletes"),
        figure(f"{name}_rows_per_second", [gone / sum(watch.deletes)], "rows/s", "deleted, while deleting"),
        figure(f"{name}_longest_look", [max(watch.looks)], "s", "a dry run", PATIENCE_SECONDS),
        figure(f"{name}_longest_delete", [max(watch.deletes)], "s", f"{TARGET_SECONDS:g} s aimed at", PATIENCE_SECONDS),
        figure(f"{name}_longest_at_full_size", [full], "s", "reckoned: see bench/cleanup_outside.py", LONGEST_COMMAND),
    ]


def _bound(watch: Watch) -> Any:
    def cli(database: Database, command: str) -> Output:
        return watch.cli(database, command)

    return cli
