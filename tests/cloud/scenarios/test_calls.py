"""How many AWS calls it costs, besides STS and SSM."""

from localcloud.fleet import make_network
from localcloud.installation import REGION
from tests.cloud.scenarios.deployed import SPOKE, Deployed
from tests.support.figures import Figure

NOTHING_TO_DO = 4


def test_nothing_to_do(groundcrew: Deployed, figure: Figure) -> None:
    environments = {
        "shared VPC": groundcrew.environment(),
        "own VPC": groundcrew.environment(SPOKE, make_network(groundcrew.aws, SPOKE, REGION)),
    }
    for where, environment in environments.items():
        groundcrew.until_right(environment)
        groundcrew.until_idle()
        since = groundcrew.cloud.next_call()
        answer = groundcrew.invoke("endpoints", groundcrew.envelope(environment))
        assert [plan["actions"] for plan in answer["plans"]] == [[]]
        calls = groundcrew.calls(environment, since)
        assert len(calls) <= NOTHING_TO_DO, calls
        figure(f"AWS calls with nothing to do, {where}", len(calls))


def test_one_creation(groundcrew: Deployed, figure: Figure) -> None:
    with groundcrew.switched(mwaa_event_delivery="drop"):
        environment = groundcrew.environment()
        groundcrew.until_status(environment, "PENDING")
        groundcrew.invoke("endpoints", groundcrew.envelope(environment))
        calls = groundcrew.calls(environment)
        acts = [call for call in calls if "Describe" not in call and "Get" not in call]
        assert acts == ["ec2:CreateSecurityGroup", "ec2:AuthorizeSecurityGroupIngress", *["ec2:CreateVpcEndpoint"] * 2]
        looks = [call for call in calls if call not in acts]
        assert len(looks) == len(set(looks)), "nothing is asked twice"
        figure("AWS calls of a creation that act", len(acts))
        figure("AWS calls of a creation that look", len(looks))
        groundcrew.until_right(environment)


def test_one_deletion(groundcrew: Deployed, figure: Figure) -> None:
    environment = groundcrew.environment()
    groundcrew.until_right(environment)
    groundcrew.until_idle()
    since = groundcrew.cloud.next_call()
    environment.delete()
    groundcrew.until_gone(environment)
    groundcrew.until_idle()
    figure("AWS calls for all events of a deletion", len(groundcrew.calls(environment, since)))


def test_one_sweep(groundcrew: Deployed, figure: Figure) -> None:
    since = groundcrew.cloud.next_call()
    places = groundcrew.sweep()["places"]
    calls = {
        call["request"]: call["action"]
        for call in groundcrew.cloud.calls(since, role="/groundcrew/")
        if call["service"] is None and not call["action"].startswith(("sts:", "ssm:"))
    }
    figure(f"AWS calls of a sweep of {places} places without environments", len(calls))
    assert len(calls) <= 3 * places
