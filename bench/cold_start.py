"""Cold starts, side by side: from the start of the process to the answer."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from bench.lambda_process import Code, function_process
from bench.results import Figure, NotMeasured, figure
from bench.world import World

PAIRS = 15
BAR = 1.15


def compare(
    name: str,
    ours: Code,
    bare: Code,
    world: World,
    variables: Mapping[str, str],
    event: Mapping[str, Any],
    *,
    pairs: int = PAIRS,
) -> list[Figure]:
    """The median of the pairs' ratios, and both times.

    The two take turns, so that whatever else the machine does meets both. One pair runs before, for the disk cache.

    Raises:
        NotMeasured: the two did not make the same calls, or not for the same messages, so they cannot be compared.
    """
    times = []
    for _ in range(1 + pairs):
        (mine, my_work), (theirs, their_work) = (_run(code, world, variables, event) for code in (ours, bare))
        if my_work != their_work:
            raise NotMeasured(f"{name}: {ours.handler} and {bare.handler} differ: {my_work} and {their_work}")
        times.append((mine, theirs))
    del times[0]
    against = "bare boto3 handler: same clients, calls and answers"
    return [
        figure(f"{name}_ratio", [mine / theirs for mine, theirs in times], "ratio", against, BAR),
        figure(f"{name}_seconds", [mine for mine, _ in times], "s"),
        figure(f"{name}_bare_seconds", [theirs for _, theirs in times], "s"),
    ]


def _run(
    code: Code, world: World, variables: Mapping[str, str], event: Mapping[str, Any]
) -> tuple[float, tuple[Any, Counter[tuple[str, str]]]]:
    """Seconds, and what was done in them: the messages that stay, and the calls by operation and account."""
    since = len(world.aws.journal)
    with function_process(code, variables) as function:
        answer, answered = function.invoke(event)
    made = Counter((entry.operation, entry.attempt.account) for entry in world.aws.journal[since:])
    return answered - function.started, (answer.get("batchItemFailures"), made)
