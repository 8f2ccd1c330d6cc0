"""Cold starts of the functions with which exports and clean-ups begin."""

from pathlib import Path

from bench.aws_server import event_message
from bench.cold_start import PAIRS, compare
from bench.lambda_process import HUB, REGION, Code
from bench.results import Figure
from bench.size import Size
from bench.world import SPOKE, Built, about, world

BARE = Path(__file__).parent / "bare"
POLICIES = {"exports": "{}", "cleanup": '{"mode": "report", "days": {"default": 30}}'}


def cold_start(built: Built, part: str, size: Size) -> list[Figure]:
    """An event about one environment whose export, or clean-up, is due."""
    with world() as place:
        place.aws.parameters[f"/groundcrew/{part}/data"] = POLICIES[part]
        environment = place.aws.create_environment(
            SPOKE, REGION, "orders", place.subnets(SPOKE), management="SERVICE", tags={f"groundcrew:{part}": "data"}
        )
        bucket = place.aws.objects.bucket(f"groundcrew-exports-{HUB}-{REGION}", HUB)
        place.aws.clock.advance(1800)
        observed = place.fact("Environment Observed", {"environment": about(environment), "status": "AVAILABLE"})
        variables = place.variables(part) | {
            "GROUNDCREW_EXPORTS_BUCKET": bucket.name,
            "GROUNDCREW_MACHINE": f"arn:aws:states:{REGION}:{HUB}:stateMachine:groundcrew-{part}",
        }
        ours, theirs = built.function(f"{part}.handler.handler"), Code(BARE, f"bare_metadata.{part}")
        message = event_message(observed)
        return compare(f"{part}.cold_start", ours, theirs, place, variables, message, pairs=size.times(PAIRS))
