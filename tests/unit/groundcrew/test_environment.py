import pytest

from groundcrew.environment import Environment, EnvironmentRef
from groundcrew.errors import PermanentError

REF = EnvironmentRef("222222222222", "us-east-1", "data")


@pytest.mark.parametrize("name", ["a", "Data-2_x", "a" * 80])
@pytest.mark.parametrize(
    "region",
    [
        *("us-east-1", "eu-west-3", "us-gov-west-1", "cn-north-1", "ap-southeast-2"),
        *("us-isob-east-1", "eusc-de-east-1", "mx-central-1", "ap-southeast-10"),
    ],
)
def test_what_mwaa_accepts_is_accepted(region: str, name: str) -> None:
    assert str(EnvironmentRef("222222222222", region, name)) == f"222222222222/{region}/{name}"


@pytest.mark.parametrize(
    ("account", "region", "name"),
    [
        ("22222222222", "us-east-1", "data"),
        ("2222222222222", "us-east-1", "data"),
        ("22222222222a", "us-east-1", "data"),
        ("\uff12" * 12, "us-east-1", "data"),
        ("222222222222", "us-east-\uff11", "data"),
        ("", "us-east-1", "data"),
        ("222222222222", "useast1", "data"),
        ("222222222222", "US-EAST-1", "data"),
        ("222222222222", "us-1", "data"),
        ("222222222222", "u-east-1", "data"),
        ("222222222222", "us-east-100", "data"),
        ("222222222222", "unitedstates-east-1", "data"),
        ("222222222222", "us-east-1\n", "data"),
        ("222222222222", "us-east-1", ""),
        ("222222222222", "us-east-1", "1data"),
        ("222222222222", "us-east-1", "a" * 81),
        ("222222222222", "us-east-1", "data/../other"),
        ("222222222222", "us-east-1", "data\n"),
        ("222222222222", "us-east-1", "données"),
    ],
)
def test_what_cannot_be_an_environment_is_refused(account: str, region: str, name: str) -> None:
    with pytest.raises(PermanentError) as caught:
        EnvironmentRef(account, region, name)
    assert caught.value.cause == "InvalidEnvironment"
    assert len(caught.value.what) < 300


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_an_arn_goes_there_and_back_in_every_partition(partition: str) -> None:
    arn = REF.arn(partition)
    assert arn == f"arn:{partition}:airflow:us-east-1:222222222222:environment/data"
    assert EnvironmentRef.from_arn(arn) == REF


@pytest.mark.parametrize(
    "arn",
    [
        "",
        "data",
        "arn:aws:airflow:us-east-1:222222222222",
        "arn:aws:airflow:us-east-1:222222222222:role/data/Admin",
        "arn:aws:s3:us-east-1:222222222222:environment/data",
        "arn:aws:airflow:us-east-1:222222222222:environment/data/more",
        "arn:aws:airflow::222222222222:environment/data",
    ],
)
def test_other_arns_are_refused(arn: str) -> None:
    with pytest.raises(PermanentError):
        EnvironmentRef.from_arn(arn)


def test_everything_but_the_arn_may_be_missing_from_the_answer() -> None:
    found = Environment.from_api(REF, {"Arn": REF.arn("aws")})
    assert found == Environment(REF, REF.arn("aws"), status="")
    assert (found.endpoint_management, found.database_service, found.created_at) == ("SERVICE", None, None)


def test_only_what_groundcrew_reads_is_kept() -> None:
    answer = {
        "Arn": REF.arn("aws"),
        "Status": "PENDING",
        "EndpointManagement": "CUSTOMER",
        "NetworkConfiguration": {"SubnetIds": ["subnet-b", "subnet-a"], "SecurityGroupIds": ["sg-1"]},
        "DatabaseVpcEndpointService": "com.amazonaws.vpce.us-east-1.vpce-svc-1",
        "AirflowConfigurationOptions": {"smtp.smtp_password": "secret"},
        "SourceBucketArn": "arn:aws-cn:s3:::airflow-data",
        "DagS3Path": "team/dags/",
        "KmsKey": "arn:aws:kms:us-east-1:222222222222:key/1",
        "ExecutionRoleArn": "arn:aws:iam::222222222222:role/airflow-data",
        "StartupScriptS3Path": "startup.sh",
        "StartupScriptS3ObjectVersion": "v1",
        "Tags": {"groundcrew:endpoints": "strict", "team": "orders"},
    }
    found = Environment.from_api(REF, answer)
    assert found.subnet_ids == ("subnet-a", "subnet-b")
    assert found.tags == {"groundcrew:endpoints": "strict"}
    assert (found.bucket, found.dags_path) == ("airflow-data", "team/dags")
    assert (found.kms_key, found.execution_role) == (answer["KmsKey"], answer["ExecutionRoleArn"])
    assert (found.startup_script, found.startup_script_version) == ("startup.sh", "v1")
    assert "secret" not in repr(found)


@pytest.mark.parametrize(("tags", "policy"), [({}, None), ({"groundcrew:endpoints": "off"}, "off")])
def test_a_tag_names_the_policy_of_a_part(tags: dict[str, str], policy: str | None) -> None:
    assert Environment(REF, REF.arn("aws"), "AVAILABLE", tags=tags).policy_name("endpoints") == policy
