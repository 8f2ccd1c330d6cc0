"""Keep a sample of the mutants in a cosmic-ray session: ``count`` lines of the product, and one mutant of each.

Every line that can be mutated is as likely as any other, so a file counts by its lines. The same seed draws the same
lines and mutants as long as the product is the same.
"""

import argparse
import random
from collections import defaultdict

from cosmic_ray.work_db import use_db
from cosmic_ray.work_item import WorkItem


def main() -> None:
    """Delete all mutants but the sample from the session, and print the sample."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("session")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    asked = parser.parse_args()
    with use_db(asked.session) as session:
        sample = draw(session.work_items, asked.seed, asked.count)
        session.clear()
        session.add_work_items(sample)
    for item in sample:
        (mutation,) = item.mutations
        print(f"{mutation.module_path}:{mutation.start_pos[0]} {mutation.operator_name} {mutation.occurrence}")


def draw(items: tuple[WorkItem, ...], seed: int, count: int) -> list[WorkItem]:
    """One mutant of each of ``count`` lines."""
    lines: dict[tuple[str, int], list[WorkItem]] = defaultdict(list)
    for item in items:
        (mutation,) = item.mutations
        lines[str(mutation.module_path), mutation.start_pos[0]].append(item)
    chance = random.Random(seed)
    return [chance.choice(sorted(lines[line], key=_place)) for line in chance.sample(sorted(lines), count)]


def _place(item: WorkItem) -> tuple[str, int]:
    (mutation,) = item.mutations
    return mutation.operator_name, mutation.occurrence


if __name__ == "__main__":
    main()
