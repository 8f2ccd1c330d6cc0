"""What is broken in one place is reported, and stops nothing elsewhere."""

from localcloud.installation import REGION
from tests.cloud.scenarios.deployed import OTHER, SPOKE, Deployed

OBSERVER = f"groundcrew-observer-{REGION}"
SCHEDULE_SECONDS = 15 * 60 + 1


def test_one_broken_spoke_does_not_stop_the_others(groundcrew: Deployed) -> None:
    with groundcrew.switched(mwaa_event_delivery="drop"):
        healthy = groundcrew.environment(SPOKE)
        groundcrew.until_status(healthy, "PENDING")
        with groundcrew.distrusted(OBSERVER, OTHER):
            swept = groundcrew.sweep()
            groundcrew.until_right(healthy)
    assert (swept["environments"], swept["troubles"]) == (1, 1)
    trouble = groundcrew.until_fact("Environment Needs Attention")["detail"]
    assert (trouble["account"], trouble["region"], trouble["cause"]) == (OTHER, REGION, "SpokeRoleUnavailable")
    assert "spoke/template.yaml" in trouble["remedy"]
    assert groundcrew.sweep()["troubles"] == 0


def test_an_environment_of_a_broken_spoke_is_reported_and_healed_later(groundcrew: Deployed) -> None:
    with groundcrew.distrusted(OBSERVER, OTHER):
        environment = groundcrew.environment(OTHER)
        groundcrew.until_status(environment, "PENDING")
        blocked = groundcrew.until_fact("Endpoints Blocked", environment)["detail"]["findings"][0]
        assert blocked["cause"] == "SpokeRoleUnavailable"
        groundcrew.until_idle()
        assert environment.endpoints() == []
    groundcrew.sweep()
    groundcrew.until_right(environment)


def test_throttled_it_comes_back(groundcrew: Deployed) -> None:
    groundcrew.cloud.add_fault(role="groundcrew-network", action="ec2:CreateVpcEndpoint", kind="throttle", times=4)
    environment = groundcrew.environment()
    groundcrew.until_right(environment)
    assert [fault["fired"] for fault in groundcrew.cloud.faults()] == [4]


def test_a_sweep_that_cannot_end_is_kept(groundcrew: Deployed) -> None:
    environment = groundcrew.environment()  # so that there is something to say
    groundcrew.until_right(environment)
    groundcrew.until_idle()
    groundcrew.cloud.add_fault(role="groundcrew-sweep", action="events:PutEvents", kind="denied", times=3)
    groundcrew.invoke("sweep", {}, "Event")
    groundcrew.until(groundcrew.undelivered, "the dead letter", turn=30)
    (letter,) = groundcrew.bury("groundcrew-undelivered")
    assert '"RetriesExhausted"' in letter["Body"]


def test_a_sweep_that_cannot_be_started_is_kept(groundcrew: Deployed) -> None:
    groundcrew.cloud.add_fault(role="scheduler", action="lambda:InvokeFunction", kind="error", times=99)
    with groundcrew.scheduled():
        groundcrew.cloud.advance(SCHEDULE_SECONDS)
        groundcrew.until(groundcrew.undelivered, "the dead letter")
    letters = groundcrew.bury("groundcrew-undelivered")
    assert letters[0]["MessageAttributes"]["RETRY_ATTEMPTS"]["StringValue"] == "3"
