"""Why AWS refuses to make endpoints and groups, and what to do about it."""

from groundcrew.errors import PermanentError

REMEDIES = {
    # guide L8277-8285
    "InvalidServiceName": "MWAA offers its services to the owner of the environment's subnets only: check who that is.",
    # VPC user guide, "Amazon VPC quotas"
    "VpcEndpointLimitExceeded": "Raise the quota of interface endpoints per VPC, or delete some of that VPC's.",
    "SecurityGroupLimitExceeded": "Raise the quota of security groups per Region, or delete some.",
    "RulesPerSecurityGroupLimitExceeded": "Raise the quota of rules per security group.",
    "TagLimitExceeded": "Remove tags from the resource: 50 is the most.",
}

DNS_CONFLICT = "conflicting DNS domain"
"""In the message of ``InvalidParameter``, when the VPC resolves the service's name privately already."""

POLICY_CONTROL = "service control policy"
"""In the message of a denial, when an organization's policy is the reason
(https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html)."""


def explained(error: PermanentError) -> PermanentError:
    """The same error with the cause and remedy of what is known about it."""
    cause, remedy = error.cause, REMEDIES.get(error.cause, error.remedy)
    if DNS_CONFLICT in error.what:
        cause = "PrivateDnsConflict"
        remedy = "The VPC resolves that name privately already: if that leads to the service, set sqs: report."
    elif POLICY_CONTROL in error.what:
        cause = "DeniedByOrganization"
        remedy = "A service control policy denies the call: exempt the roles of the path /groundcrew/."
    return PermanentError(
        error.what, cause=cause, remedy=remedy or "AWS's message says why; if it does not help, report it."
    )
