import boto3
import pytest
from botocore.exceptions import ClientError

from localcloud.inprocess.aws import in_process


def test_a_secret_has_versions_and_stages() -> None:
    with in_process() as aws:
        arn = aws.small.secrets.add("111111111111", "us-east-1", "groundcrew/token").arn
        client = boto3.Session().client("secretsmanager")
        with pytest.raises(ClientError, match="ResourceNotFoundException"):
            client.get_secret_value(SecretId="groundcrew/token")
        first, second = "1" * 32, "2" * 32
        for version in (first, second, second):
            client.put_secret_value(SecretId=arn, SecretString=f"value {version}", ClientRequestToken=version)
        current = client.get_secret_value(SecretId="groundcrew/token")
        assert (current["VersionId"], current["SecretString"]) == (second, f"value {second}")
        previous = client.get_secret_value(SecretId=arn, VersionStage="AWSPREVIOUS")
        assert previous["VersionId"] == first
        assert client.describe_secret(SecretId=arn)["VersionIdsToStages"] == {
            first: ["AWSPREVIOUS"],
            second: ["AWSCURRENT"],
        }
        with pytest.raises(ClientError, match="ResourceExistsException"):
            client.put_secret_value(SecretId=arn, SecretString="other", ClientRequestToken=first)


def test_another_accounts_secret_is_found_by_its_arn() -> None:
    with in_process() as aws:
        arn = aws.small.secrets.add("222222222222", "us-east-1", "theirs").arn
        client = boto3.Session().client("secretsmanager")
        assert client.describe_secret(SecretId=arn)["Name"] == "theirs"
        with pytest.raises(ClientError, match="ResourceNotFoundException"):
            client.describe_secret(SecretId="theirs")
