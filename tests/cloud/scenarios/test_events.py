"""Events are hints, delivered at best: lost, doubled or in the wrong order, the result is the same."""

import pytest

from tests.cloud.scenarios.deployed import OTHER, Deployed

SCHEDULE_SECONDS = 15 * 60 + 1


def test_lost_the_sweep_heals(groundcrew: Deployed) -> None:
    with groundcrew.switched(mwaa_event_delivery="drop"):
        environments = [groundcrew.environment(), groundcrew.environment(OTHER)]
        for environment in environments:
            groundcrew.until_status(environment, "PENDING")
            groundcrew.until_idle()
            assert environment.endpoints() == []
        swept = groundcrew.sweep()
        for environment in environments:
            groundcrew.until_right(environment)
    assert swept == {"places": 6, "environments": 2, "troubles": 0}
    assert groundcrew.facts("Environment Observed", environments[0])[-1]["detail"]["status"] == "PENDING"


def test_lost_the_scheduled_sweep_heals(groundcrew: Deployed) -> None:
    with groundcrew.switched(mwaa_event_delivery="drop"), groundcrew.scheduled():
        environment = groundcrew.environment()
        groundcrew.until_status(environment, "PENDING")
        groundcrew.cloud.advance(SCHEDULE_SECONDS)
        groundcrew.until_right(environment)


def test_lost_when_it_was_deleted_the_sweep_clears_up(groundcrew: Deployed) -> None:
    environment = groundcrew.environment()
    groundcrew.until_right(environment)
    groundcrew.until_idle()
    with groundcrew.switched(mwaa_event_delivery="drop"):
        environment.delete()
        groundcrew.until_status(environment, "DELETED")
        groundcrew.until_idle()
        assert environment.endpoints()
        groundcrew.sweep()
        groundcrew.until_gone(environment)


@pytest.mark.parametrize(("delivery", "looks"), [("double:10", 10), ("reorder", 1)])
def test_doubled_and_reordered(groundcrew: Deployed, delivery: str, looks: int) -> None:
    with groundcrew.switched(mwaa_event_delivery=delivery):
        environment = groundcrew.environment()
        groundcrew.until_right(environment)
        groundcrew.until_idle()
        assert environment.faults() == []
        assert groundcrew.calls(environment).count("airflow:GetEnvironment") >= looks
        environment.delete()
        groundcrew.until_gone(environment)


def test_swept_again_and_again_nothing_changes(groundcrew: Deployed) -> None:
    environment = groundcrew.environment()
    groundcrew.until_right(environment)
    groundcrew.until_idle()
    before, since = environment.endpoints() + environment.groups(), groundcrew.cloud.next_call()
    for _ in range(3):
        groundcrew.sweep()
        groundcrew.until_idle()
    assert environment.endpoints() + environment.groups() == before
    assert groundcrew.cloud.calls(since, role="groundcrew-network") == []
