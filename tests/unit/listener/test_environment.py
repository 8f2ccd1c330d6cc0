"""Which environment a process belongs to."""

import pytest

from groundcrew_listener.environment import Environment, NotAnEnvironmentError

NAMES = ("GROUNDCREW_ENVIRONMENT_ARN", "AIRFLOW_ENV_NAME", "AWS_REGION", "AWS_DEFAULT_REGION", "CUSTOMER_ACCOUNT_ID")
MWAA = {"AIRFLOW_ENV_NAME": "orders", "AWS_REGION": "us-east-1"}
ARN = "arn:aws-cn:airflow:cn-north-1:333333333333:environment/lake-1"


@pytest.mark.parametrize(
    ("variables", "environment"),
    [
        (MWAA, ("", "us-east-1", "orders")),
        (MWAA | {"CUSTOMER_ACCOUNT_ID": "222222222222"}, ("222222222222", "us-east-1", "orders")),
        ({"AIRFLOW_ENV_NAME": "orders", "AWS_DEFAULT_REGION": "eu-west-1"}, ("", "eu-west-1", "orders")),
        (MWAA | {"GROUNDCREW_ENVIRONMENT_ARN": ARN}, ("333333333333", "cn-north-1", "lake-1")),
        ({"GROUNDCREW_ENVIRONMENT_ARN": ARN}, ("333333333333", "cn-north-1", "lake-1")),
    ],
)
def test_it_is_named_by_variables(
    variables: dict[str, str], environment: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert Environment.here() == environment


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"AIRFLOW_ENV_NAME": "orders"},
        {"AWS_REGION": "us-east-1"},
        MWAA | {"GROUNDCREW_ENVIRONMENT_ARN": "orders"},
        MWAA | {"GROUNDCREW_ENVIRONMENT_ARN": ARN + "/x"},
    ],
)
def test_or_there_is_none(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(NotAnEnvironmentError):
        Environment.here()
