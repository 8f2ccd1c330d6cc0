"""Part ``tokens``: cold starts, and what a rotation for 500 environments in 20 accounts takes."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from bench.aws_server import event_message
from bench.cold_start import PAIRS, compare
from bench.lambda_process import HUB, REGION, Code, function_process
from bench.results import Figure, NotMeasured, figure
from bench.size import Size
from bench.world import SPOKE, Built, World, about, world
from localcloud.inprocess.aws import bucket_name
from localcloud.inprocess.faults import Kind
from localcloud.model.environment import Environment

BARE = Path(__file__).parent / "bare"
LOOK, ROTATE = "tokens.handler.handler", "tokens.rotate.handler"
BINDING = "data"
ACCOUNTS, EACH = 20, 25
MOST_MEMORY = 256
"""MB that a rotation may take: half of what the function has."""


def measure(built: Built, size: Size) -> list[Figure]:
    """All figures of this part."""
    return [*_cold_starts(built, size), *_fleet(built, size.of(EACH))]


def _cold_starts(built: Built, size: Size) -> list[Figure]:
    """An event about one environment, and an order for its binding; its token is fresh."""
    with world() as place:
        [environment] = _bound(place, [SPOKE], 1)
        _rotate(built, place, 1)
        place.aws.clock.advance(60)  # an order of the same moment would be the same order
        looked = place.fact("Environment Observed", {"environment": about(environment), "status": "AVAILABLE"})
        figures = []
        for name, handler, bare, event in (
            ("look", LOOK, "bare_tokens.look", looked),
            ("rotate", ROTATE, "bare_tokens.rotate", _order(place)),
        ):
            ours, theirs = built.function(handler), Code(BARE, bare)
            figures += compare(
                f"tokens.{name}_cold_start",
                ours,
                theirs,
                place,
                _variables(place),
                event_message(event),
                pairs=size.times(PAIRS),
            )
    return figures


def _fleet(built: Built, each: int) -> list[Figure]:
    """One order for all; then again, when all tokens are old and one account's buckets are closed."""
    spokes = [f"{number:012}" for number in range(400, 400 + ACCOUNTS)]
    size = ACCOUNTS * each
    with world([HUB, *spokes]) as fleet:
        environments = _bound(fleet, spokes, each)
        calls, seconds, peak = _rotate(built, fleet, size)
        if calls["codeartifact:GetAuthorizationToken"] != 1:
            raise NotMeasured(f"{calls['codeartifact:GetAuthorizationToken']} tokens were minted for one binding")
        _hold_the_same(fleet, environments)
        fleet.aws.clock.advance(9 * 3600)
        broken = spokes[0]
        fleet.aws.faults.add(
            Kind.DENIED,
            "s3:PutObject",
            nth=None,
            where=lambda attempt: f"airflow-{broken}-" in attempt.params["Bucket"],
        )
        _rotate(built, fleet, size - each, failed=each)
    against = f"{ACCOUNTS} accounts with {each} each, one binding; AWS answers at once"
    return [
        figure(f"tokens.rotation_{size}_minted", [calls["codeartifact:GetAuthorizationToken"]], "tokens", against, 1),
        figure(f"tokens.rotation_{size}_calls_per_environment", [calls.total() / size], "calls", "STS counted"),
        figure(f"tokens.rotation_{size}_seconds", [seconds], "s", against, 300),
        figure(f"tokens.rotation_{size}_peak_memory", [peak], "MB", "the function's process", MOST_MEMORY),
        figure(f"tokens.rotation_{size}_lost_with_one_account", [0], "tokens", "other accounts' environments", 0),
    ]


def _bound(place: World, spokes: list[str], each: int) -> list[Environment]:
    """Environments of a binding, each with a bucket; nothing is delivered yet."""
    packages = place.aws.packages
    packages.repository(packages.domain(HUB, REGION, "packages"), "data", "pip")
    binding = {"domain": "packages", "owner": HUB, "repositories": ["data"], "accounts": spokes, "verify": "read-back"}
    place.aws.parameters[f"/groundcrew/tokens/{BINDING}"] = json.dumps(binding)
    made = []
    for account in spokes:
        subnets = place.subnets(account)
        for number in range(each):
            tags = {"groundcrew:tokens": BINDING}
            made.append(
                place.aws.create_environment(
                    account, REGION, f"orders-{number}", subnets, management="SERVICE", tags=tags
                )
            )
    place.aws.clock.advance(300)
    return made


def _rotate(built: Built, place: World, delivered: int, failed: int = 0) -> tuple[Counter[str], float, float]:
    """Carry out one order; calls, seconds from the process's start, and its peak memory.

    Raises:
        NotMeasured: it delivered to more or fewer, or said something else about them.
    """
    since, said = len(place.aws.journal), len(place.aws.events)
    with function_process(built.function(ROTATE), _variables(place)) as function:
        answer, at = function.invoke(event_message(_order(place)))
        seconds, peak = at - function.started, function.peak_megabytes
    facts = Counter(event["DetailType"] for event in place.aws.events[said:])
    expected = Counter({"Token Rotated": delivered, "Token Rotation Failed": failed})
    if answer["batchItemFailures"] or facts != +expected:
        raise NotMeasured(f"a rotation for {delivered} and {failed} environments answers {answer} and says {facts}")
    return Counter(entry.operation for entry in place.aws.journal[since:]), seconds, peak


def _hold_the_same(place: World, environments: list[Environment]) -> None:
    tokens = set()
    for one in environments:
        bucket = place.aws.objects.buckets[bucket_name(one.caller.account, one.name)]
        tokens.add(json.loads(bucket.content(f"groundcrew/tokens/{one.name}.json") or b"{}").get("token"))
    if len(tokens) != 1 or None in tokens:
        raise NotMeasured(f"{len(environments)} environments hold {len(tokens)} tokens")


def _order(place: World) -> dict[str, Any]:
    return place.fact("Token Rotation Ordered", {"binding": BINDING})


def _variables(place: World) -> dict[str, str]:
    """With those that the template gives the functions of this part only."""
    return place.variables("tokens-rotate") | {
        "GROUNDCREW_ROTATIONS_QUEUE": f"https://sqs.{REGION}.amazonaws.com/{HUB}/groundcrew-token-rotations.fifo",
        "GROUNDCREW_TOKENS_MINTER": f"arn:aws:iam::{HUB}:role/groundcrew/groundcrew-tokens-minter-{REGION}",
    }
