"""Amazon MWAA's control plane, read as a spoke's observer."""

from typing import TYPE_CHECKING

from groundcrew.aws.errors import translated
from groundcrew.aws.session import Role, Roles
from groundcrew.environment import Environment, EnvironmentRef

if TYPE_CHECKING:
    from types_boto3_mwaa import MWAAClient


def get_environment(roles: Roles, ref: EnvironmentRef) -> Environment:
    """What MWAA says of an environment.

    Raises:
        NotFound: there is none of that name.
        AccessDenied: the observer role is missing, or may not look.
    """
    client: MWAAClient = roles.client("mwaa", Role("observer", ref.account, ref.region))
    with translated(f"airflow:GetEnvironment of {ref}"):
        answer = client.get_environment(Name=ref.name)["Environment"]
    return Environment.from_api(ref, answer)


def list_environments(roles: Roles, account: str, region: str) -> list[EnvironmentRef]:
    """Every environment of an account and Region: all pages, or an error."""
    client: MWAAClient = roles.client("mwaa", Role("observer", account, region))
    with translated(f"airflow:ListEnvironments of {account}/{region}"):
        pages = client.get_paginator("list_environments").paginate(PaginationConfig={"PageSize": 25})
        return [EnvironmentRef(account, region, name) for page in pages for name in page["Environments"]]
