"""What lies in S3 under a KMS key, and in Secrets Manager: readable and writable with the key, and only then.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html
https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutSecretValue.html
"""

from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localcloud.testing.served import SPOKE, LocalCloud, allow, unique


@dataclass
class Vault:
    """A bucket whose objects are encrypted with a key of the account's own."""

    cloud: LocalCloud
    bucket: str
    key: str

    def role(self, *actions: str) -> Any:
        """S3 as a role that may use the bucket, and the key as said."""
        statements = [allow("s3:*"), *([allow(list(actions), self.key)] if actions else [])]
        return self.cloud.as_role("s3", self.cloud.role(*statements, account=SPOKE))


@pytest.fixture
def vault(cloud: LocalCloud) -> Vault:
    bucket, key = unique("vault"), cloud.client("kms", SPOKE).create_key()["KeyMetadata"]["Arn"]
    s3 = cloud.client("s3", SPOKE)
    s3.create_bucket(Bucket=bucket)
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    s3.put_bucket_encryption(
        Bucket=bucket,
        ServerSideEncryptionConfiguration={"Rules": [{"ApplyServerSideEncryptionByDefault": default}]},
    )
    s3.put_object(Bucket=bucket, Key="it", Body=b"secret")
    return Vault(cloud, bucket, key)


def code(call: Any, **params: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**params)
    return str(caught.value.response["Error"]["Code"])


def test_reading_needs_the_right_to_decrypt(vault: Vault) -> None:
    where = {"Bucket": vault.bucket, "Key": "it"}
    assert code(vault.role("kms:GenerateDataKey").get_object, **where) == "AccessDenied"
    assert vault.role("kms:Decrypt").get_object(**where)["Body"].read() == b"secret"
    assert vault.role().head_object(**where)["SSEKMSKeyId"] == vault.key


def test_writing_needs_the_right_to_a_data_key(vault: Vault) -> None:
    where = {"Bucket": vault.bucket, "Key": "other", "Body": b"more"}
    assert code(vault.role("kms:Decrypt").put_object, **where) == "AccessDenied"
    assert vault.role("kms:GenerateDataKey").put_object(**where)["SSEKMSKeyId"] == vault.key
    plain = {**where, "ServerSideEncryption": "AES256"}
    assert "SSEKMSKeyId" not in vault.role().put_object(**plain)


def test_a_disabled_key_opens_nothing(vault: Vault) -> None:
    s3 = vault.role("kms:Decrypt", "kms:GenerateDataKey")
    kms = vault.cloud.client("kms", SPOKE)
    kms.disable_key(KeyId=vault.key)
    assert code(s3.get_object, Bucket=vault.bucket, Key="it") == "KMS.DisabledException"
    assert code(s3.put_object, Bucket=vault.bucket, Key="it", Body=b"new") == "KMS.DisabledException"
    kms.enable_key(KeyId=vault.key)
    assert s3.get_object(Bucket=vault.bucket, Key="it")["Body"].read() == b"secret"


def test_a_secret_without_a_value_has_none(cloud: LocalCloud) -> None:
    client = cloud.client("secretsmanager", SPOKE)
    made = client.create_secret(Name=unique("groundcrew/tokens/"))
    assert "VersionId" not in made
    assert code(client.get_secret_value, SecretId=made["ARN"]) == "ResourceNotFoundException"
    version = "1" * 32
    client.put_secret_value(SecretId=made["ARN"], SecretString="a", ClientRequestToken=version)
    client.put_secret_value(SecretId=made["ARN"], SecretString="a", ClientRequestToken=version)
    assert client.get_secret_value(SecretId=made["ARN"])["SecretString"] == "a"
    assert (
        code(client.put_secret_value, SecretId=made["ARN"], SecretString="b", ClientRequestToken=version)
        == "ResourceExistsException"
    )
