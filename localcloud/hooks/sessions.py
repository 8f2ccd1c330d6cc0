"""What AssumeRole refuses besides the policies.

A role ARN must carry the role's path, and a session got by role chaining lasts an hour at most:
https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
"""

from typing import Any

from ministack.core import iam_evaluator as evaluator
from ministack.services import iam, sts


def checked(stock: Any) -> Any:
    async def handle(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
        parameters = {**query, **sts.parse_qs(body.decode(errors="replace"))}
        if sts._p(parameters, "Action") == "AssumeRole":
            wanted = sts._p(parameters, "RoleArn")
            stored = iam._roles.get_scoped((wanted.split(":") + [""] * 5)[4], None, wanted.rsplit("/", 1)[-1])
            if stored is not None and stored["Arn"] != wanted:
                message = (
                    f"User: {evaluator.caller_arn()} is not authorized to perform: sts:AssumeRole on resource: {wanted}"
                )
                return sts._error(403, "AccessDenied", message, ns="sts")
            chained = ":assumed-role/" in evaluator.caller_arn()
            if chained and int(sts._p(parameters, "DurationSeconds") or 3600) > 3600:
                message = (
                    "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining"
                )
                return sts._error(400, "ValidationError", message, ns="sts")
        return await stock(method, path, headers, body, query)

    return handle
