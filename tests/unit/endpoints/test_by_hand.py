"""What people do by hand meanwhile: make endpoints and groups, change or delete ours."""

from endpoints.act import TOKENS
from tests.support.stage import HUB, SPOKE, Stage, status_event

GROUP = "groundcrew-data-abe42c81"
PUBLIC = ["data-database", GROUP]


def test_an_endpoint_that_somebody_made_by_hand_counts_and_stays(stage: Stage) -> None:
    vpc, subnets = stage.vpc(HUB, SPOKE)
    environment = stage.environment(subnets, access="PUBLIC_ONLY")
    theirs = stage.aws.security_group(HUB, vpc, "theirs")
    params = {"VpcEndpointType": "Interface", "VpcId": vpc, "ServiceName": environment.database_service}
    stage.aws.ec2.call(
        "CreateVpcEndpoint", stage.spoke(HUB), params | {"SubnetIds": subnets[:1], "SecurityGroupIds": [theirs]}
    )
    assert stage.changes(lambda: stage.work(status_event(environment))) == []
    assert stage.causes() == ["WrongSubnets", "GroupDoesNotAdmit"]
    assert [set(endpoint.subnets) for endpoint in stage.aws.endpoints()] == [set(subnets[:1])]


def test_a_group_that_has_lost_its_tags_is_not_touched(stage: Stage) -> None:
    vpc, subnets = stage.vpc(HUB, SPOKE)
    environment = stage.environment(subnets)
    stage.aws.security_group(HUB, vpc, GROUP)
    stage.work(status_event(environment))
    stage.pass_time(5)
    assert (environment.status, stage.ours()) == ("AVAILABLE", ["data-database", "data-webserver", f"{GROUP}-2"])


def test_names_that_are_all_taken_are_reported(stage: Stage) -> None:
    vpc, subnets = stage.vpc(HUB, SPOKE)
    environment = stage.environment(subnets)
    for name in (GROUP, f"{GROUP}-2", f"{GROUP}-3"):
        stage.aws.security_group(HUB, vpc, name)
    stage.work(status_event(environment))
    assert stage.causes() == ["NameTaken"]


def test_an_endpoint_of_ours_that_somebody_changed_is_corrected(stage: Stage) -> None:
    vpc, subnets = stage.vpc(HUB, SPOKE)
    environment = stage.running(subnets, access="PUBLIC_ONLY")
    (endpoint,) = stage.aws.endpoints()
    (ours,) = endpoint.groups
    endpoint.subnets, endpoint.groups = subnets[:1], [stage.aws.security_group(HUB, vpc, "theirs")]
    assert stage.changes(lambda: stage.work(status_event(environment))) == ["ec2:ModifyVpcEndpoint"]
    assert (endpoint.subnets, endpoint.groups) == (subnets, [ours])


def test_a_tag_that_somebody_strips_from_ours_is_written_again(stage: Stage) -> None:
    environment = stage.running(stage.vpc(HUB, SPOKE)[1], access="PUBLIC_ONLY")
    (endpoint,) = stage.aws.endpoints()
    del endpoint.tags["groundcrew:queue"]
    assert stage.changes(lambda: stage.work(status_event(environment))) == ["ec2:CreateTags"]
    assert endpoint.tags["groundcrew:queue"] == environment.queue


def test_an_endpoint_deleted_by_hand_again_and_again_is_tried_later(stage: Stage) -> None:
    """EC2 remembers a client token for a day, and answers with what it made then."""
    environment = stage.environment(stage.vpc(HUB, SPOKE)[1], access="PUBLIC_ONLY")
    for _ in range(TOKENS):
        stage.deliver(status_event(environment))
        (endpoint,) = stage.aws.endpoints()
        stage.aws.ec2.call("DeleteVpcEndpoints", stage.spoke(HUB), {"VpcEndpointIds": [endpoint.endpoint_id]})
        stage.pass_time(5)
    assert not stage.deliver(status_event(environment))
    assert "StaleClientToken" in stage.log.getvalue()
    stage.pass_time(86_400)
    assert environment.status == "PENDING"
    stage.heal()
    assert stage.ours() == PUBLIC


def test_an_endpoint_deleted_by_hand_is_made_again(stage: Stage) -> None:
    environment = stage.environment(stage.vpc(HUB, SPOKE)[1], access="PUBLIC_ONLY")
    for _ in range(2):
        stage.deliver(status_event(environment))
        (endpoint,) = stage.aws.endpoints()
        stage.aws.ec2.call("DeleteVpcEndpoints", stage.spoke(HUB), {"VpcEndpointIds": [endpoint.endpoint_id]})
        stage.pass_time(5)
        assert stage.aws.endpoints() == []
    stage.work(status_event(environment))
    assert stage.ours() == PUBLIC
