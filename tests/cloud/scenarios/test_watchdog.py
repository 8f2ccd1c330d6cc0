"""How long environments have been PENDING: silent, late, urgent, and quiet again; one alarm for all of them."""

from typing import Any

from localcloud.fleet import Environment
from localcloud.installation import HUB
from tests.cloud.scenarios.deployed import OTHER, SPOKE, Deployed

HOUR = 3600.0
PERIOD = 900.0
BLOCKED, LATE, URGENT = "groundcrew-endpoints-blocked", "groundcrew-pending-late", "groundcrew-pending-urgent"
RULED_OUT = {"SpokeRoleUnavailable", "SubnetsNotShared", "InvalidServiceName", "VpcEndpointLimitExceeded"} | {
    *("WebserverServiceMissing", "WrongSubnets", "GroupDoesNotAdmit", "NoWayToQueue", "QueueNotAdmitted")
}


def alarms(groundcrew: Deployed) -> dict[str, str]:
    shown = groundcrew.aws.client("cloudwatch", HUB).describe_alarms(AlarmNamePrefix="groundcrew-")["MetricAlarms"]
    return {one["AlarmName"]: one["StateValue"] for one in shown}


def ringing(groundcrew: Deployed) -> set[str]:
    """Which of the alarms about waiting environments are in ALARM."""
    return {name for name in (BLOCKED, LATE, URGENT) if alarms(groundcrew)[name] == "ALARM"}


def sweep_after(groundcrew: Deployed, hours: float) -> None:
    """Turn the clock, sweep, and let the sweep's work end."""
    groundcrew.cloud.advance(hours * HOUR, step=PERIOD)
    groundcrew.sweep()
    groundcrew.until_idle()


def quiet(groundcrew: Deployed) -> None:
    """Sweep as often as it takes until nothing rings any more: what was measured falls out of the alarms' periods."""
    for _ in range(4):
        if not ringing(groundcrew):
            break
        sweep_after(groundcrew, PERIOD / HOUR)
    assert ringing(groundcrew) == set()


def said(groundcrew: Deployed, environment: Environment) -> list[dict[str, Any]]:
    return [fact["detail"] for fact in groundcrew.facts("Endpoints Blocked", environment)]


def test_silent_then_late_then_urgent_then_over(groundcrew: Deployed) -> None:
    quiet(groundcrew)
    known = set(alarms(groundcrew))
    with groundcrew.switched(vpce_pending_seconds=50 * HOUR):
        both = [groundcrew.environment(SPOKE), groundcrew.environment(OTHER)]
        for environment in both:
            groundcrew.until_status(environment, "PENDING")
        groundcrew.until_idle()
    sweep_after(groundcrew, 3.5)
    assert [said(groundcrew, environment) for environment in both] == [[], []]
    assert ringing(groundcrew) == set()

    sweep_after(groundcrew, 0.75)
    for environment in both:
        (detail,) = said(groundcrew, environment)
        (finding,) = detail["findings"]
        assert (detail["severity"], finding["cause"]) == ("late", "EndpointNotAvailable")
        assert detail["pending_seconds"] >= 4 * HOUR
    groundcrew.until(lambda: ringing(groundcrew) == {BLOCKED, LATE}, "the alarm")

    sweep_after(groundcrew, 44)
    for environment in both:
        detail = said(groundcrew, environment)[-1]
        assert (detail["severity"], detail["findings"][0]["cause"]) == ("urgent", "EndpointNotAvailable")
        assert set(detail["ruled_out"]) == RULED_OUT
    groundcrew.until(lambda: ringing(groundcrew) == {BLOCKED, LATE, URGENT}, "both alarms")
    assert set(alarms(groundcrew)) == known, "no alarm of an environment's own"

    groundcrew.cloud.advance(2 * HOUR, step=PERIOD)
    for environment in both:
        groundcrew.until_right(environment)
    groundcrew.until_idle()
    before = len(groundcrew.facts("Endpoints Blocked"))
    quiet(groundcrew)
    assert len(groundcrew.facts("Endpoints Blocked")) == before


def test_what_waiting_cannot_cure_is_said_at_once_and_by_every_sweep(groundcrew: Deployed) -> None:
    quiet(groundcrew)
    environment = groundcrew.environment(mode="PUBLIC_ONLY")
    with groundcrew.switched(quota_interface_endpoints_per_vpc=0):
        groundcrew.until_fact("Endpoints Blocked", environment)
        groundcrew.until_idle()
        first = said(groundcrew, environment)
        sweep_after(groundcrew, 0.25)
        later = said(groundcrew, environment)
        assert len(later) == len(first) + 1
        assert {detail["severity"] for detail in later} == {"blocked"}
        assert {detail["findings"][0]["cause"] for detail in later} == {"VpcEndpointLimitExceeded"}
        groundcrew.until(lambda: ringing(groundcrew) == {BLOCKED}, "the alarm")
    groundcrew.sweep()
    groundcrew.until_right(environment)
    quiet(groundcrew)
