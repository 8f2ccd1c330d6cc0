"""The inside engine on the real schemas of 2.10.3 and 2.7.2: what is left is what a plain specification leaves."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.airflow.cleaning.databases import (
    SOURCE,
    VERSIONS,
    clean,
    fill,
    fill_hostile,
    is_so,
    opened,
    policy,
    process,
    rows,
)
from tests.support.airflow.cleaning.inside_past import NOW
from tests.support.airflow.cleaning.inside_specification import Specification
from tests.support.figures import Figure

pytestmark = pytest.mark.xdist_group("cleanup-inside")


@pytest.fixture(scope="module")
def databases() -> Iterator[dict[str, str]]:
    with opened() as found:
        yield found


CASES = [
    (version, seed, filled)
    for filled, seeds in ((fill, 12), (fill_hostile, 2))
    for version in VERSIONS
    for seed in range(seeds)
]


@pytest.mark.parametrize(("version", "seed", "filled"), CASES)
def test_what_is_left_is_what_the_specification_leaves(
    databases: dict[str, str], version: str, seed: int, filled: Callable[..., None], figure: Figure
) -> None:
    conninfo = databases[version]
    filled(conninfo, seed, version)
    kept, covered = policy(seed)
    before = rows(conninfo)
    said = clean(conninfo, kept, covered, "report")
    assert not any(about["deleted"] for about in said["tables"].values())
    assert rows(conninfo) == before
    wanted = Specification(before, kept, covered, NOW).after()
    said = clean(conninfo, kept, covered, connections=1 + seed // 2 % 2, user="ordinary" if seed % 2 else "postgres")
    after = rows(conninfo)
    assert after == wanted, said["tables"]
    is_so(conninfo, before, after, said)
    assert said["converged"] == (wanted == Specification(after, kept, covered, NOW, strict=False).after())
    figure("rows deleted", sum(len(before[table]) - len(after[table]) for table in before))
    again = clean(conninfo, kept, covered)
    assert not any(about["deleted"] for about in again["tables"].values())
    assert again["converged"] == said["converged"]


BROKEN = {
    "deletes everything": ("run.ended < now - timedelta", "run.ended > run.ended - timedelta", "plan.py"),
    "deletes the newest": ("execution_date desc, id desc", "execution_date, id", "runs.py"),
    "forgets a child table": ("- set(found))", '- {*found, "task_instance_note"})', "references.py"),
    "ignores what is not exported": ('"true", ()', '"false", ()', "tables.py"),
    "takes the time of the row itself": ('"p" if table in THROUGH else "t"', '"t"', "tables.py"),
    "takes what is still at work": ('("t.state not in %s", (OVER,))', '("false", ())', "tree.py"),
    "takes triggers that are in use": ('referrers=("task_instance",)', "", "tables.py"),
    "takes jobs that run": ('f"t.state in {FINISHED}"', '"true"', "tables.py"),
    "stops after a slice": ("end[0] if chosen == most else None", "None", "slices.py"),
    "forgets half of a large run": ("gone.more = self._cut", "self._cut", "tree.py"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_engine_is_found(databases: dict[str, str], tmp_path: Path, name: str) -> None:
    right, wrong, file = BROKEN[name]
    folder = tmp_path / "groundcrew_cleaning"
    folder.mkdir()
    for one in (SOURCE / "groundcrew_cleaning").glob("*.py"):
        text = one.read_text()
        (folder / one.name).write_text(text.replace(right, wrong) if one.name == file else text)
        assert one.name != file or right in text
    assert any(is_wrong(databases[VERSIONS[seed % 2]], VERSIONS[seed % 2], seed, tmp_path) for seed in range(12))


def is_wrong(conninfo: str, version: str, seed: int, source: Path) -> bool:
    fill(conninfo, seed, version)
    kept, covered = policy(seed)
    before = rows(conninfo)
    done = process(conninfo, kept, covered, "delete", source)
    return done.returncode != 0 or rows(conninfo) != Specification(before, kept, covered, NOW).after()
