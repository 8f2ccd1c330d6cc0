"""Several workers at the same environment at the same time."""

from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import pytest

from endpoints.sqs_policy import admits
from tests.faults.scenarios import ELSEWHERE, managed_sqs
from tests.support.at_once import in_the_middle
from tests.support.stage import DEFAULT_POLICY, HUB, SPOKE, Stage, open_stage, status_event

PRIVATE = ["data-database", "data-webserver", "groundcrew-data-abe42c81"]


def test_ten_workers_at_once(stage: Stage) -> None:
    environment = stage.environment(stage.vpc(HUB, SPOKE)[1])
    event = status_event(environment)
    # workers are processes of their own: in one process they would share what is counted
    with mock.patch("groundcrew.observability.metrics", mock.Mock(metric_set={})), ThreadPoolExecutor(10) as workers:
        list(workers.map(stage.deliver, [event] * 10))
    stage.work(event)
    stage.pass_time(60)
    assert (environment.status, stage.ours()) == ("AVAILABLE", PRIVATE)


@pytest.mark.parametrize("lag", [0, 5])
def test_a_second_worker_in_the_middle_of_the_first(lag: int) -> None:
    """At every single call of the first; also when EC2 shows what was made only seconds later."""
    nth, fired = 0, True
    while fired:
        nth += 1
        with open_stage() as stage:
            stage.aws.switches["ec2.describe_lag_seconds"] = lag
            environment = stage.environment(stage.vpc(HUB, SPOKE)[1])
            event = status_event(environment)
            with in_the_middle(stage.aws, nth, lambda: stage.deliver(event)) as done:  # noqa: B023 - used at once
                stage.deliver(event)
            fired = bool(done)
            stage.pass_time(30)
            stage.work(event)
            stage.pass_time(60)
            assert (nth, environment.status, stage.ours()) == (nth, "AVAILABLE", PRIVATE)
    assert nth > 10


def test_the_environment_is_deleted_in_the_middle() -> None:
    nth, fired = 0, True
    while fired:
        nth += 1
        with open_stage() as stage:
            environment = stage.environment(stage.vpc(HUB, SPOKE)[1])
            with in_the_middle(stage.aws, nth, lambda: stage.delete(environment)) as done:  # noqa: B023
                stage.deliver(status_event(environment))
            fired = bool(done)
            if not fired:
                stage.delete(environment)
            stage.heal()
            assert (nth, stage.ours()) == (nth, [])
    assert nth > 10


def test_another_environment_in_the_same_vpc_in_the_middle() -> None:
    """Both need the VPC's SQS endpoint, which one of them makes."""
    nth, fired = 0, True
    while fired:
        nth += 1
        with open_stage() as stage:
            stage.aws.parameters[DEFAULT_POLICY] = '{"sqs": "create"}'
            _, subnets = stage.vpc(HUB, SPOKE, way_out=False)
            first = stage.environment(subnets, access="PUBLIC_ONLY")
            second = stage.environment(subnets, access="PUBLIC_ONLY", name="second")
            other = status_event(second)
            with in_the_middle(stage.aws, nth, lambda: stage.deliver(other)) as done:  # noqa: B023
                stage.deliver(status_event(first))
            fired = bool(done)
            stage.heal()
            stage.pass_time(60)
            assert {first.status, second.status} == {"AVAILABLE"}
            assert sum(endpoint.service.endswith(".sqs") for endpoint in stage.aws.endpoints()) == 1
            stage.delete(first)
            stage.delete(second)
            stage.heal()
            (vpc,) = {endpoint.vpc_id for endpoint in stage.aws.endpoints()}
            assert (nth, stage.ours()) == (nth, [f"groundcrew-sqs-{vpc}"] * 2)  # the VPC keeps its way to SQS
    assert nth > 10


def test_two_environments_never_lose_each_others_queue() -> None:
    """Both write the policy of the VPC's SQS endpoint, one in the middle of the other."""
    nth, fired = 0, True
    while fired:
        nth += 1
        with open_stage() as stage:
            subnets = managed_sqs(stage)
            first = stage.environment(subnets, access="PUBLIC_ONLY")
            second = stage.environment(subnets, access="PUBLIC_ONLY", name="second")
            other = status_event(second)
            with in_the_middle(stage.aws, nth, lambda: stage.deliver(other)) as done:  # noqa: B023
                stage.deliver(status_event(first))
            fired = bool(done)
            stage.pass_time(30)
            for environment in (first, second):  # both have acted, so both look again
                stage.work(status_event(environment))
            (policy,) = [endpoint.policy for endpoint in stage.aws.endpoints() if endpoint.service.endswith(".sqs")]
            assert all(admits(policy, environment.queue) for environment in (first, second)), nth
            assert ELSEWHERE in policy
    assert nth > 10
