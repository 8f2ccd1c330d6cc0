"""Every command in the documentation, typed as it stands, does what the text around it says.

The documents are followed side by side, as somebody would who installs Groundcrew, tries it and removes it.
Each test goes on where the one before it ended.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest

from localcloud import deploy
from localcloud.__main__ import down, up
from localcloud.aws import Aws
from localcloud.fleet import Environment, Network, admissions
from localcloud.installation import log_tail
from localcloud.testing.waiting import eventually
from tests.docs.commands import DOCUMENTS, ROOT
from tests.docs.terminal import HUB, REGION, SPOKE, Script, Terminal
from tests.template.cfn import Template

pytestmark = [pytest.mark.xdist_group("documentation"), pytest.mark.served]

OTHER_SPOKE = "333333333333"
DEAD_LETTERS = "groundcrew-endpoints-dead-letters"
SAMPLE = json.loads((ROOT / "events/endpoint-reconcile-requested.json").read_text())
# What `sam deploy --guided` asks before and after the template's parameters; an empty answer takes what it proposes.
FIRST = ("Stack Name", "AWS Region")
LAST = (
    "Confirm changes before deploy",
    "Allow SAM CLI IAM role creation",
    "Disable rollback",
    "Save arguments to configuration file",
    "SAM configuration file",
    "SAM configuration environment",
    "Deploy this changeset?",
)


@dataclass(frozen=True)
class Reader:
    """Somebody who follows the documents."""

    terminal: Terminal
    aws: Aws
    script: Callable[[str], Script]

    def client(self, service: str, account: str = HUB) -> Any:
        return self.aws.client(service, account, REGION)

    def stacks(self, account: str) -> dict[str, str]:
        """Names and status of an account's stacks, without the SAM CLI's own one for its bucket."""
        described = self.client("cloudformation", account).describe_stacks()["Stacks"]
        return {one["StackName"]: one["StackStatus"] for one in described if "aws-sam-cli" not in one["StackName"]}

    def roles(self, account: str) -> list[str]:
        found = self.client("iam", account).list_roles(PathPrefix="/groundcrew/")["Roles"]
        return sorted(role["RoleName"] for role in found)

    def network(self) -> Network:
        outputs = deploy.outputs(self.terminal.cloud, "shared-vpc", HUB, REGION)
        return Network(HUB, REGION, outputs["VpcId"], tuple(outputs["PrivateSubnets"].split(",")))

    def orders(self) -> Environment:
        """The environment that the sample event and the README name."""
        return Environment(self.aws, SPOKE, SAMPLE["detail"]["environment"]["name"], self.network(), ())

    def waiting(self, queue: str) -> int:
        sqs = self.client("sqs")
        url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
        wanted = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        return sum(map(int, sqs.get_queue_attributes(QueueUrl=url, AttributeNames=wanted)["Attributes"].values()))


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    directory = tmp_path_factory.mktemp("documentation")
    cloud = up(directory / "cloud")
    terminal = Terminal.open(cloud, directory)
    yield Reader(terminal, Aws(cloud), cache(lambda document: Script(document, terminal)))
    down(directory / "cloud")


def in_use(environment: Environment) -> list[str]:
    """The endpoints that serve it."""
    return sorted(one["VpcEndpointId"] for one in environment.endpoints() if one["State"] == "available")


@pytest.mark.parametrize("command", ["aws ssm put-parameters", "sam deploy --no-such-option", "false | true"])
def test_a_wrong_command_is_noticed(command: str, reader: Reader) -> None:
    with pytest.raises(AssertionError, match=re.escape(command)):
        reader.terminal.type(command, HUB)


def test_deploy(reader: Reader) -> None:
    readme = reader.script("README.md")
    wanted = {
        "SpokeAccounts": f"{HUB},{SPOKE}",
        "OrganizationId": reader.terminal.cloud.status()["organization"],
        "LookAgainSeconds": "1",
        # The only one served here.
        **dict.fromkeys(("Runtime", "VerifyRuntime"), reader.terminal.cloud.status()["runtime"]),
    }
    questions = (*FIRST, *Template.read(ROOT / "template.yaml").parameters, *LAST)
    answers = {**wanted, "Deploy this changeset?": "y"}
    readme.type("sam build", HUB)
    readme.type("sam deploy --guided", HUB, answers="".join(f"{answers.get(one, '')}\n" for one in questions))
    readme.type("sam deploy --template-file spoke/template.yaml", HUB, SPOKE)

    assert reader.stacks(HUB) == {"groundcrew": "CREATE_COMPLETE", "groundcrew-spoke": "CREATE_COMPLETE"}
    assert reader.stacks(SPOKE) == {"groundcrew-spoke": "CREATE_COMPLETE"}
    stack = reader.client("cloudformation").describe_stacks(StackName="groundcrew")["Stacks"][0]
    taken = {one["ParameterKey"]: one["ParameterValue"] for one in stack["Parameters"]}
    assert taken.items() >= {**wanted, "Mode": "act"}.items()


def test_a_shared_vpc_and_an_environment_in_it(reader: Reader) -> None:
    example = reader.script("examples/shared-vpc/README.md")
    example.type("aws ram enable-sharing-with-aws-organization", HUB)
    example.type("sam deploy --template-file examples/shared-vpc/owner.yaml", HUB)
    example.type("sam deploy --template-file examples/shared-vpc/participant.yaml", SPOKE)
    group = deploy.outputs(reader.terminal.cloud, "analytics", SPOKE, REGION)["SecurityGroupId"]
    analytics = Environment(reader.aws, SPOKE, "analytics", reader.network(), (group,))
    eventually(lambda: analytics.status() == "AVAILABLE")
    assert analytics.faults() == []

    (reader.terminal.folder / "my_dag.py").write_text("# a DAG\n")
    example.type("aws s3 cp my_dag.py", SPOKE)
    bucket = analytics.describe()["SourceBucketArn"].rpartition(":")[2]
    assert reader.client("s3", SPOKE).get_object(Bucket=bucket, Key="dags/my_dag.py")["Body"].read() == b"# a DAG\n"


def test_a_policy_and_a_plan(reader: Reader) -> None:
    readme = reader.script("README.md")
    readme.type("aws ssm put-parameter", HUB)
    environment = SAMPLE["detail"]["environment"]
    assert (environment["account"], environment["region"]) == (SPOKE, REGION)
    tags = {"groundcrew:endpoints": "closed-vpc"}
    orders = Environment.create(reader.aws, SPOKE, environment["name"], reader.network(), tags=tags)
    eventually(lambda: orders.status() == "AVAILABLE")
    assert {protocol for protocol, _, _ in admissions(orders.groups()[0])} == {"tcp"}  # the policy: service-ports

    answer = json.loads(readme.type("sam remote invoke EndpointsFunction", HUB))
    assert answer["status"] == "AVAILABLE"
    assert [(plan["account"], plan["actions"]) for plan in answer["plans"]] == [(HUB, [])]
    assert set(in_use(orders)) >= set(answer["plans"][0]["serving"].values()) != set()


def test_a_request(reader: Reader) -> None:
    orders = reader.orders()
    lost, kept = in_use(orders)[:1], in_use(orders)[1:]
    reader.client("ec2").delete_vpc_endpoints(VpcEndpointIds=lost)
    eventually(lambda: in_use(orders) == kept)
    accepted = json.loads(reader.script("README.md").type("aws events put-events", SPOKE))
    assert accepted["FailedEntryCount"] == 0
    eventually(lambda: len(in_use(orders)) == len([*lost, *kept]))


def test_a_dag_run(reader: Reader) -> None:
    orders = reader.orders()
    dags = [{"dag_id": "load"}]
    cloud = reader.terminal.cloud
    cloud.attach_airflow(orders.arn, version=orders.describe()["AirflowVersion"], dags=dags)
    cloud.switch(**{"mwaa.private_web_server": "open"})  # the hub is in no VPC here
    accepted = json.loads(reader.script("README.md").type("aws events put-events", SPOKE))
    assert accepted["FailedEntryCount"] == 0
    (run,) = eventually(lambda: cloud.airflow_runs(orders.arn))
    assert (run["run_id"], run["conf"]) == ("groundcrew__load-2026-11-22", {"day": "2026-11-22"})


def test_an_export(reader: Reader) -> None:
    """This one has no policy yet; what an export does is shown by ``tests/cloud/scenarios/test_exports.py``."""
    accepted = json.loads(reader.script("README.md").type("aws events put-events", SPOKE))
    assert accepted["FailedEntryCount"] == 0
    log = "/aws/lambda/groundcrew-exports"
    eventually(lambda: any("NoPolicy" in line for line in log_tail(reader.terminal.cloud, log)))


def test_a_clean_up(reader: Reader) -> None:
    """This one has no policy yet; what a clean-up does is shown by ``tests/cloud/scenarios/test_cleanup.py``."""
    accepted = json.loads(reader.script("README.md").type("aws events put-events", SPOKE))
    assert accepted["FailedEntryCount"] == 0
    log = "/aws/lambda/groundcrew-cleanup"
    eventually(lambda: any("NoPolicy" in line for line in log_tail(reader.terminal.cloud, log)))


def test_routes(reader: Reader) -> None:
    """What they do is shown by ``tests/cloud/scenarios/test_routes.py``."""
    routes = reader.script("examples/routes/README.md")
    routes.type("sam deploy --template-file examples/routes/s3-object-bucket.yaml", SPOKE)
    for name in ("s3-object", "dag-after-dag", "nightly", "smoke"):
        routes.type(f"sam deploy --template-file examples/routes/{name}.yaml", HUB)
    queue = f"arn:aws:sqs:{REGION}:{HUB}:groundcrew-run-requests"
    events = reader.client("events")
    targeting = events.list_rule_names_by_target(TargetArn=queue, EventBusName="groundcrew")["RuleNames"]
    stacks = {rule.partition("-On")[0] for rule in targeting if "-On" in rule}
    assert stacks == {"load-incoming", "report-after-load", "smoke"}
    assert reader.client("scheduler").list_schedules(NamePrefix="nightly-compact")["Schedules"]
    routes.type("for stack in", HUB)
    assert reader.stacks(HUB).keys() == {"groundcrew", "groundcrew-spoke", "shared-vpc"}
    deploy.remove(reader.terminal.cloud, "incoming", SPOKE)


def test_a_redrive(reader: Reader) -> None:
    cloud, sqs = reader.terminal.cloud, reader.client("sqs")
    queue = sqs.get_queue_url(QueueName="groundcrew-endpoints")["QueueUrl"]
    redrive = json.loads(
        sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["RedrivePolicy"])["Attributes"]["RedrivePolicy"]
    )

    def give_up_after(tries: int) -> None:
        policy = json.dumps({**redrive, "maxReceiveCount": tries})
        sqs.set_queue_attributes(QueueUrl=queue, Attributes={"RedrivePolicy": policy})

    eventually(lambda: reader.waiting("groundcrew-endpoints") == 0)
    give_up_after(1)  # 20 tries take hours
    cloud.add_fault(role="groundcrew-observer", action="airflow:GetEnvironment", kind="error", times=1000)
    request = {"Source": SAMPLE["source"], "DetailType": SAMPLE["detail-type"]}
    request["Detail"] = json.dumps({"environment": SAMPLE["detail"]["environment"], "request_id": "redriven"})
    reader.client("events", SPOKE).put_events(Entries=[request])
    eventually(lambda: reader.waiting(DEAD_LETTERS) == 1)
    assert cloud.faults()[0]["fired"] > 0

    cloud.clear_faults()  # the cause is mended
    give_up_after(int(redrive["maxReceiveCount"]))
    since = cloud.next_call()
    reader.script("docs/operations.md").type("aws sqs start-message-move-task", HUB)
    eventually(lambda: reader.waiting(DEAD_LETTERS) == 0)
    eventually(lambda: cloud.calls(since, role="groundcrew-observer", action="airflow:GetEnvironment"))
    eventually(lambda: reader.waiting("groundcrew-endpoints") == 0)


def test_a_redrive_of_runs(reader: Reader) -> None:
    """That it starts nothing twice is shown by ``tests/cloud/scenarios/test_runs_redrive.py``."""
    operations = reader.script("docs/operations.md")
    operations.type("aws sqs start-message-move-task", HUB)
    assert json.loads(operations.type("aws stepfunctions list-executions", HUB)) == {"executions": []}


def test_a_sweep(reader: Reader) -> None:
    answer = json.loads(reader.script("docs/operations.md").type("sam remote invoke SweepFunction", HUB))
    assert answer == {"places": 2, "environments": 2, "troubles": 0}


def test_remove(reader: Reader) -> None:
    example, readme = reader.script("examples/shared-vpc/README.md"), reader.script("README.md")
    orders = reader.orders()
    own_group = orders.describe()["NetworkConfiguration"]["SecurityGroupIds"][0]
    orders.delete()
    eventually(lambda: orders.status() == "DELETED")
    example.type("sam delete --stack-name analytics", SPOKE)
    owner = reader.client("ec2")
    tagged = [{"Name": "tag-key", "Values": ["groundcrew:stack"]}]
    eventually(lambda: owner.describe_vpc_endpoints(Filters=tagged)["VpcEndpoints"] == [])
    eventually(lambda: owner.describe_security_groups(Filters=tagged)["SecurityGroups"] == [])
    reader.client("ec2", SPOKE).delete_security_group(GroupId=own_group)
    example.type("sam delete --stack-name shared-vpc", HUB)

    readme.type("sam delete --stack-name groundcrew-spoke", HUB, SPOKE)
    readme.type("sam delete --stack-name groundcrew", HUB)
    for account in (HUB, SPOKE):
        assert (reader.stacks(account), reader.roles(account)) == ({}, [])
    assert reader.client("lambda").list_functions()["Functions"] == []
    assert reader.client("sqs").list_queues().get("QueueUrls", []) == []
    assert [bus["Name"] for bus in reader.client("events").list_event_buses()["EventBuses"]] == ["default"]


def test_a_whole_organization(reader: Reader) -> None:
    operations = reader.script("docs/operations.md")

    def instances() -> dict[str, str]:
        listed = reader.client("cloudformation").list_stack_instances(StackSetName="groundcrew-spoke")["Summaries"]
        return {one["Account"]: one["Status"] for one in listed}

    operations.type("aws cloudformation activate-organizations-access", HUB)
    operations.type("aws cloudformation create-stack-set", HUB)
    operations.type("aws cloudformation create-stack-instances", HUB)
    enrolled = {SPOKE: "CURRENT", OTHER_SPOKE: "CURRENT"}  # the management account is not
    eventually(lambda: instances() == enrolled)
    summaries = json.loads(operations.type("aws cloudformation list-stack-instances", HUB))["Summaries"]
    assert {one["Account"]: one["Status"] for one in summaries} == enrolled
    for account in enrolled:
        assert f"groundcrew-observer-{REGION}" in reader.roles(account)
    assert reader.roles(HUB) == []

    operations.type("aws cloudformation delete-stack-instances", HUB)
    eventually(lambda: instances() == {})
    operations.type("aws cloudformation delete-stack-set", HUB)
    eventually(lambda: all((reader.stacks(one), reader.roles(one)) == ({}, []) for one in enrolled))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_no_command_is_left(document: str, reader: Reader) -> None:
    assert not reader.script(document).left
