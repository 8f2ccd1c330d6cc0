"""Every knob of the model: where AWS documents no behaviour both exist, and delays and quotas can be set.

Values live in ``cloud.switches``; what is not there has the default below. On AWS an environment takes 20 to 30
minutes to create and an endpoint about a minute: the defaults are short so that a demonstration is.
"""

from collections.abc import Mapping
from typing import Any, Final

DEFAULTS: Final[Mapping[str, Any]] = {
    # --- VPC endpoints
    "vpce.pending_seconds": 2.0,  # pending -> its outcome
    "vpce.deleting_seconds": 2.0,  # deleting -> gone
    # {service name pattern: state}: pendingAcceptance, rejected, failed or expired instead of available
    "vpce.outcomes": {},
    # "lowerCamel" as the API answers, or "UpperCamel" as its reference lists the enumeration (botocore ec2 `State`)
    "vpce.state_case": "lowerCamel",
    # Does PrivateDnsEnabled=true work on MWAA's endpoint services? Not documented (they publish no private DNS name).
    "vpce.mwaa_private_dns": False,
    # What an AWS service's endpoint gets when PrivateDnsEnabled is not given (botocore: "Default: true")
    "vpce.private_dns_default": True,
    # What all endpoint services accept: "ipv4", "ipv6" or both. MWAA's are not documented.
    "vpce.address_types": ("ipv4",),
    "vpce.token_retention_seconds": 86_400.0,  # how long a ClientToken is remembered
    # Seconds before Describe* shows what was just created (EC2 "eventual consistency" in its API developer guide)
    "ec2.describe_lag_seconds": 0.0,
    # Seconds after a group's or endpoint's creation in which IAM does not see its tags when the first call names it: a
    # call that a condition on tags decides is refused once, with UnauthorizedOperation. Not documented for tags; the
    # developer guide says of all of EC2's resources that a change may not be visible at once ("eventual consistency").
    "ec2.first_call_untagged_seconds": 0.0,
    # Must the caller of CreateVpcEndpoint be allowed to describe what it names, too? The service authorization
    # reference lists dependent actions; whether they are checked is not documented.
    "ec2.dependent_actions": False,
    # Must the role of a function in a VPC be allowed ec2:DescribeSubnets, too? AWSLambdaVPCAccessExecutionRole grants
    # it, AWSLambdaENIManagementAccess and the developer guide's list do not.
    "lambda.vpc_describes_subnets": False,
    # May a rule name a group of another account? "shared-vpc": if it exists and both are in one VPC; "any"; "never".
    # The VPC sharing page states it from the participant's side only.
    "sg.cross_account_reference": "shared-vpc",
    # --- quotas (VPC user guide, "Amazon VPC quotas")
    "quota.interface_endpoints_per_vpc": 50,
    # Megabytes of a function: 3,008 in a new account, 10,240 once AWS has raised it (Lambda quotas)
    "quota.lambda_memory_mb": 3008,
    "quota.security_groups_per_region": 2500,
    "quota.rules_per_security_group": 60,  # per direction
    "quota.security_groups_per_interface": 5,
    "quota.tags_per_resource": 50,
    # --- MWAA life cycle
    "mwaa.creating_seconds": 2.0,  # CREATING -> PENDING
    "mwaa.resuming_seconds": 2.0,  # CREATING again -> AVAILABLE
    "mwaa.updating_seconds": 2.0,
    "mwaa.deleting_seconds": 2.0,
    "mwaa.pending_limit_seconds": 72 * 3600.0,  # botocore mwaa `EndpointManagement`
    "mwaa.webserver_service_delay_seconds": 0.0,  # after PENDING: the web server's service may appear late
    # Endpoints in wrong subnets or behind a group that does not admit: "pending" waits on (guide, stuck in PENDING),
    # "fail" ends in CREATE_FAILED (guide, "CREATE_FAILED after PENDING"): L8256-8273.
    "mwaa.wrong_endpoints": "pending",
    # Must the endpoint's groups admit "every" group of the environment, or "any" (its interfaces carry them all)?
    "mwaa.admission": "every",
    # Who makes the web server's endpoint for PUBLIC_AND_PRIVATE where the customer manages endpoints, or "service"
    "mwaa.public_and_private": "customer",
    # Which account sees the endpoint services: "owner" of the subnets, or "participant". Guide L8275-8286 says owner.
    "mwaa.services_offered_to": "owner",
    # Is there a second PENDING when an update finds a required endpoint missing? Not documented.
    "mwaa.pending_on_update": False,
    # What becomes of the customer's endpoints of a deleted environment: "rejected" (PrivateLink: a provider can
    # delete a service only without live connections) or "available"
    "mwaa.endpoints_after_delete": "rejected",
    # Must the caller of UpdateEnvironment be allowed to pass the execution role, though the update names no role? The
    # guide documents iam:PassRole for updates, not for which.
    "mwaa.update_passes_role": True,
    # --- MWAA's front door to Airflow
    # https://docs.aws.amazon.com/mwaa/latest/userguide/access-mwaa-apache-airflow-rest-api.html for what has no source
    # Calls a second and environment; 0: any number. "If you require more than 10 transactions per second ..."
    "mwaa.rest_per_second": 10.0,
    # Code of a throttled call (HTTP 429). Not documented: botocore's model has no such error.
    "mwaa.rest_throttled": "ThrottlingException",
    # The least Airflow role that reads audit logs, from 2.8.2 on: Admin, as MWAA's images ship the roles. "User" or
    # "Viewer" where an owner granted it, or the environment was upgraded from an older version (roles lose nothing).
    "mwaa.audit_logs_for": "Admin",
    # Seconds Airflow takes to answer; past the limit of 10 the call fails, and has had its effect.
    "mwaa.rest_seconds": 0.0,
    # What an answer that is late or larger than 6 MB is. Not documented ("an error will be raised", "will fail").
    "mwaa.rest_unfinished": "RestApiServerException",  # or "InternalServerException"
    # The longest path (botocore `RestApiPath`), else ValidationException; 0: any. Whether it is enforced is not said.
    "mwaa.rest_path_limit": 64,
    # Does the body lose its null members on the way? Not documented; an emulator of others says so.
    "mwaa.rest_drops_nulls": False,
    # Code for an environment that is neither AVAILABLE nor UPDATE_FAILED, or "answers". Not documented.
    "mwaa.not_ready": "ValidationException",
    # May only callers in the environment's VPC use a private web server ("vpc"), or anybody ("open")?
    # "InvokeRestApi cannot be invoked from outside of a VPC" if it is private.
    "mwaa.private_web_server": "vpc",
    # Code of that refusal (HTTP 403, or 400 for RestApiClientException). Not documented.
    "mwaa.private_refusal": "AccessDeniedException",
    # CLI tokens live 60 seconds: guide L4120. How often one can be used (0: as long as it lives) is not documented.
    "mwaa.cli_token_seconds": 60.0,
    "mwaa.cli_token_uses": 0,
    # HTTP status of a command that failed; the body with what it printed is the same. The guide says 200 even then;
    # 400 and 500 were seen for commands that failed or are not supported: amazon-mwaa-docker-images#148.
    "mwaa.cli_failed_status": 200,  # or 400, 500
    # Commands an environment runs at once; one more gets 503. Guide L4124 asks for one at a time, L15462 allows
    # "generally" four.
    "mwaa.cli_at_once": 1,
    # --- status events: the shape of `detail` is not documented
    "mwaa.event_detail": "lowerCamel",  # or "UpperCamel", "minimal"
    "mwaa.event_delivery": "normal",  # or "drop", "double:<n>", "reorder" (delivery is best effort)
}


def switch(switches: Mapping[str, Any], name: str) -> Any:
    """The value set for ``name``, else its default; an unknown name is a programming error (KeyError)."""
    default = DEFAULTS[name]
    return switches.get(name, default)
