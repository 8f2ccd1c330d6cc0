"""Amazon MWAA: its control plane, read as a spoke's observer, and the REST API of its environments."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from botocore.exceptions import ClientError

from groundcrew.aws.errors import translated
from groundcrew.aws.session import Role, Roles
from groundcrew.environment import Environment, EnvironmentRef
from groundcrew.errors import TransientError

if TYPE_CHECKING:
    from types_boto3_mwaa import MWAAClient
    from types_boto3_mwaa.type_defs import EnvironmentTypeDef


def get_environment(roles: Roles, ref: EnvironmentRef) -> Environment:
    """What MWAA says of an environment.

    Raises:
        NotFound: there is none of that name.
        AccessDenied: the observer role is missing, or may not look.
    """
    return Environment.from_api(ref, _answer(roles, ref))


def tags(roles: Roles, ref: EnvironmentRef) -> dict[str, str]:
    """All tags of an environment; an ``Environment`` keeps Groundcrew's only, for it is logged and announced.

    Raises:
        NotFound: there is none of that name.
        AccessDenied: the observer role is missing, or may not look.
    """
    return dict(_answer(roles, ref).get("Tags") or {})


def _answer(roles: Roles, ref: EnvironmentRef) -> "EnvironmentTypeDef":
    client: MWAAClient = roles.client("mwaa", Role("observer", ref.account, ref.region))
    with translated(f"airflow:GetEnvironment of {ref}"):
        return client.get_environment(Name=ref.name)["Environment"]


def bind_startup_script(
    roles: Roles, ref: EnvironmentRef, key: str, version: str, worker_replacement: Literal["FORCED", "GRACEFUL"]
) -> None:
    """Begin an update that gives an environment its startup script; MWAA restarts it.

    Args:
        roles: of this invocation.
        ref: the environment.
        key: of the script in the environment's bucket.
        version: of the script, as S3 names it.
        worker_replacement: GRACEFUL lets tasks that are running end, for up to 12 hours; FORCED, which is MWAA's
            default, stops them (https://docs.aws.amazon.com/mwaa/latest/API/API_UpdateEnvironment.html).

    Raises:
        AccessDenied: the role may not, which is how a spoke is deployed by default.
        PermanentError: ``ValidationException``: among others, the environment is not at rest.
        TransientError: MWAA does not answer; the update may have begun.
    """
    client: MWAAClient = roles.client("mwaa", Role("binder", ref.account, ref.region))
    with translated(f"airflow:UpdateEnvironment of {ref}"):
        client.update_environment(
            Name=ref.name,
            StartupScriptS3Path=key,
            StartupScriptS3ObjectVersion=version,
            WorkerReplacementStrategy=worker_replacement,
        )


def list_environments(roles: Roles, account: str, region: str) -> list[EnvironmentRef]:
    """Every environment of an account and Region: all pages, or an error."""
    client: MWAAClient = roles.client("mwaa", Role("observer", account, region))
    with translated(f"airflow:ListEnvironments of {account}/{region}"):
        pages = client.get_paginator("list_environments").paginate(PaginationConfig={"PageSize": 25})
        return [EnvironmentRef(account, region, name) for page in pages for name in page["Environments"]]


def invoke_rest_api(
    roles: Roles,
    ref: EnvironmentRef,
    method: str,
    path: str,
    query: Mapping[str, Any] | None = None,
    body: Mapping[str, Any] | None = None,
) -> tuple[int, Any]:
    """Ask an environment's Airflow; the status and the body of its answer, also if it refuses.

    MWAA gives Airflow's refusals as HTTP 400 of its own, which the SDK does not try again
    (https://docs.aws.amazon.com/mwaa/latest/API/API_InvokeRestApi.html).

    Raises:
        TransientError: Airflow is in trouble (5xx), or MWAA does not answer.
        AccessDenied: the spoke's role ``airflow`` may not ask, or not from here.
    """
    client: MWAAClient = roles.client("mwaa", Role("airflow", ref.account, ref.region))
    more: Any = {}
    if query:
        more["QueryParameters"] = dict(query)
    if body is not None:
        more["Body"] = dict(body)
    doing = f"airflow:InvokeRestApi {method} {path} of {ref}"
    with translated(doing):
        try:
            answer: Mapping[str, Any] = client.invoke_rest_api(Name=ref.name, Method=method, Path=path, **more)  # type: ignore[arg-type]
        except ClientError as error:
            code, answer = error.response["Error"]["Code"], dict(error.response)
            if code == "RestApiServerException":
                what = f"{doing}: Airflow answered {answer.get('RestApiStatusCode')}"
                raise TransientError(what, cause="AirflowBroken") from error
            if code != "RestApiClientException" or "RestApiStatusCode" not in answer:
                raise
    return int(answer.get("RestApiStatusCode") or 200), answer.get("RestApiResponse") or {}
