"""IAM: who is calling, what conditions see, and the record of every decision.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
"""

import contextvars
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ministack.core import iam_evaluator as evaluator
from ministack.core.responses import get_account_id, get_region, request_scope
from ministack.services import iam, sts

from localcloud.cloud import Call, Cloud
from localcloud.hooks import sessions

Policy = Mapping[str, Any] | str | None

_cloud = Cloud()
_handler_authorizes: set[str] = set()
_principal: contextvars.ContextVar[Any] = contextvars.ContextVar("principal", default=None)
current_fault: contextvars.ContextVar[str | None] = contextvars.ContextVar("fault", default=None)
# id of the request, and of the function invocation that made it
current_request: contextvars.ContextVar[tuple[str | None, str | None]] = contextvars.ContextVar(
    "request", default=(None, None)
)


def install(cloud: Cloud) -> None:
    global _cloud  # noqa: PLW0603 - one process serves one cloud, and ministack's handlers carry no context
    _cloud = cloud
    evaluator._resolve_condition_key = _condition_key(evaluator._resolve_condition_key)
    evaluator._principal_matches = _principal_matches(evaluator._principal_matches)
    evaluator.enforce = _enforce(evaluator.enforce)
    evaluator.evaluate_trust_policy = _recorded_trust(evaluator.evaluate_trust_policy)
    sts.handle_request = sessions.checked(sts.handle_request)


def role_arn(principal_arn: str) -> str:
    """The ARN of the role behind a session, with its path; any other principal's ARN as it is.

    ``aws:PrincipalArn`` of a session is its role's ARN:
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-principalarn
    """
    if ":assumed-role/" not in principal_arn:
        return principal_arn
    account, name = principal_arn.split(":")[4], principal_arn.split("/")[1]
    role = iam._roles.get_scoped(account, None, name)
    return str(role["Arn"]) if role else f"arn:aws:iam::{account}:role/{name}"


def caller_of(access_key: str) -> str:
    """How the call log names the owner of an access key: a role's ARN, or the account of a root key."""
    session = sts._sessions.get(access_key)
    return role_arn(session["Arn"]) if session else access_key


def caller_account() -> str | None:
    """The account of who made the current request; None if no request is served."""
    principal = _principal.get()
    return str(principal.account) if principal else None


def caller_name() -> str:
    """How the call log names who made the current request; empty if no request is served."""
    principal = _principal.get()
    return "" if principal is None else _name(principal)


@dataclass(frozen=True)
class Principal:
    """Who made a request, for decisions after it: the role's policies are those of then, the session's stay."""

    _found: Any
    _scope: tuple[str, str]

    @classmethod
    def of_request(cls) -> "Principal":
        """Who made the current request."""
        return cls(_principal.get(), (get_account_id(), get_region()))

    @property
    def name(self) -> str:
        """How the call log names it."""
        return _name(self._found)

    def may(
        self, action: str, resource: str, context: Mapping[str, Any] | None, resource_policy: tuple[Policy, str] | None
    ) -> bool:
        """May it do this now? Records the decision; see ``authorize``."""
        found = self._found
        with request_scope(*self._scope):
            if found.type == "AssumedRole":
                role = found.arn.split("/")[1]
                found = replace(found, policies=evaluator._gather_role_policies(role, found.account))
            allowed = _may(found, action, resource, context, resource_policy)
            _record(found, action, resource, allowed)
        return allowed


def leave_authorization_to_handler(actions: Iterable[str]) -> None:
    """Requests for these IAM actions are only authenticated in front; their handler calls ``authorize``.

    For operations that AWS authorizes on several resources, or entry by entry.
    """
    _handler_authorizes.update(actions)


def authorize(
    action: str,
    resource: str,
    context: Mapping[str, Any] | None = None,
    resource_policy: tuple[Policy, str] | None = None,
) -> bool:
    """May the principal of the current request do this? Records the decision.

    ``context`` holds the request's condition keys (any case); ``resource_policy`` is the resource's own policy and
    its account, for resources that have one. An account's root may do everything in its own account. Work that no
    request started (a service's own) is allowed.
    """
    principal = _principal.get()
    if principal is None:
        return True
    allowed = _may(principal, action, resource, context, resource_policy)
    _record(principal, action, resource, allowed)
    return allowed


def authorize_any(action: str, resources: Sequence[str]) -> list[str]:
    """Those of the resources that the principal of the current request may do this on; one decision is recorded."""
    principal = _principal.get()
    if principal is None:
        return list(resources)
    allowed = [resource for resource in resources if _may(principal, action, resource, None, None)]
    _record(principal, action, (allowed or resources)[0], bool(allowed))
    return allowed


def _may(
    principal: Any,
    action: str,
    resource: str,
    context: Mapping[str, Any] | None,
    resource_policy: tuple[Policy, str] | None,
) -> bool:
    found = _evaluation(principal.arn, principal.type, principal.account, action, resource, context)
    found.principal_keys = principal.keys
    if principal.policies is None:  # root
        allowed = resource_policy is None or evaluator.resource_policy_allows(
            resource_policy[0], found, same_account=resource_policy[1] == principal.account
        )
    else:
        result = evaluator.evaluate(found, principal.policies, *principal.limits)
        if resource_policy is not None:
            result = evaluator.combine_resource_policy(result, found, *resource_policy, limits=principal.limits)
        allowed = result.decision == "Allow"
    return bool(allowed)


def role_may(
    role: str,
    service: str,
    action: str,
    resource: str,
    *,
    source_arn: str = "",
    context: Mapping[str, Any] | None = None,
    resource_policy: tuple[Policy, str] | None = None,
) -> str | None:
    """Why ``service`` (e.g. "events.amazonaws.com") cannot do this with ``role``; None if it can. Recorded.

    The role must exist, trust the service (the trust policy sees ``aws:SourceArn`` and ``aws:SourceAccount``, against
    the confused deputy) and be allowed the action; across accounts the resource's policy must agree.
    """
    account, name = role.split(":")[4], role.rsplit("/", 1)[-1]
    stored = iam._roles.get_scoped(account, None, name)
    if stored is None or stored["Arn"] != role:
        return f"role {role} does not exist"
    trust = stored["AssumeRolePolicyDocument"]
    if not service_may(service, "sts:AssumeRole", role, trust, source_arn=source_arn):
        return f"role {role} does not trust {service}"
    session = f"arn:aws:sts::{account}:assumed-role/{name}/{service.split('.', maxsplit=1)[0]}"
    found = _evaluation(session, "AssumedRole", account, action, resource, context)
    result = evaluator.evaluate(
        found,
        evaluator._gather_role_policies(name, account),
        *evaluator._permissions_boundary(iam._roles, name, account),
    )
    if resource_policy is not None:
        result = evaluator.combine_resource_policy(result, found, *resource_policy)
    allowed = result.decision == "Allow"
    _cloud.calls.add(Call(_cloud.clock.now(), role, account, get_region(), action, resource, allowed, service=service))
    return None if allowed else f"{role} is not authorized to perform: {action} on resource: {resource}"


def service_may(service: str, action: str, resource: str, policy: Policy, *, source_arn: str) -> bool:
    """Does a resource's own policy admit an AWS service acting for ``source_arn``?"""
    context = {"aws:sourcearn": source_arn or None, "aws:sourceaccount": (source_arn.split(":") + [""] * 5)[4] or None}
    found = _evaluation(service, "Service", "", action, resource, context)
    return bool(evaluator.evaluate_resource_policy(policy, found, service=service).decision == "Allow")


def policy_document(policy: Policy) -> dict[str, Any]:
    """A policy as a document, whether stored as one or as JSON."""
    document = json.loads(policy) if isinstance(policy, str) else policy
    return dict(document or {})


def _evaluation(
    principal: str, kind: str, account: str, action: str, resource: str, context: Mapping[str, Any] | None
) -> Any:
    return evaluator.EvalContext(
        principal_arn=principal,
        principal_type=kind,
        principal_account=account,
        action=action,
        resource_arn=resource,
        region=get_region(),
        secure_transport=True,
        service_context={"aws:tagkeys": None, **{key.lower(): value for key, value in (context or {}).items()}},
    )


def _name(principal: Any) -> str:
    return str(principal.account if principal.policies is None else role_arn(principal.arn))


def _record(principal: Any, action: str, resource: str, allowed: bool) -> None:
    request, trace = current_request.get()
    _cloud.calls.add(
        Call(
            _cloud.clock.now(),
            _name(principal),
            principal.account,
            get_region(),
            action,
            resource,
            allowed,
            current_fault.get(),
            request=request,
            trace=trace,
        )
    )


def _condition_key(stock: Any) -> Any:
    def resolve(key: str, context: Any) -> Any:
        match key.lower():
            case "aws:principalarn":
                return role_arn(context.principal_arn)
            case "aws:principalorgid":
                return _cloud.organization if context.principal_account in _cloud.accounts else None
            case "aws:principalisawsservice":
                return str(context.principal_type == "Service").lower()
            case "aws:resourceorgid":
                owner = context.resource_arn.split(":")[4] if context.resource_arn.startswith("arn:") else ""
                return _cloud.organization if (owner or context.principal_account) in _cloud.accounts else None
            case _:
                return stock(key, context)

    return resolve


def _principal_matches(stock: Any) -> Any:
    """A role named in ``Principal`` is that role, path included; stock compares the last segment only.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
    """

    def matches(principal: Any, caller: str) -> bool:
        if not isinstance(principal, dict) or ":assumed-role/" not in caller:
            return bool(stock(principal, caller))
        named = principal.get("AWS", [])
        named = [named] if isinstance(named, str) else named
        if role_arn(caller) in named:
            return True
        return bool(stock({**principal, "AWS": [one for one in named if ":role/" not in one]}, caller))

    return matches


def _enforce(stock: Any) -> Any:
    def enforce(
        access_key: str,
        action: str,
        service: str,
        region: str,
        resource_arn: str = "*",
        service_context: dict[str, Any] | None = None,
    ) -> Any:
        if action in _handler_authorizes:
            refused = evaluator.check_credentials(access_key or "", service)
        else:
            refused = stock(access_key, action, service, region, resource_arn, service_context)
        if isinstance(refused, evaluator.AuthError):
            return refused
        principal = evaluator.resolve_principal(access_key or "", get_account_id())
        if isinstance(principal, evaluator.AuthError):  # an anonymous request to something public
            return refused
        _principal.set(principal)
        if action not in _handler_authorizes:
            _record(principal, action, resource_arn, refused is None)
        return refused

    return enforce


def _recorded_trust(stock: Any) -> Any:
    def trusts(document: Any, caller: str, context: Any = None) -> bool:
        trusted = bool(stock(document, caller, context))
        if not trusted and context is not None and _principal.get() is not None:
            _record(_principal.get(), context.action, context.resource_arn, allowed=False)
        return trusted

    return trusts
