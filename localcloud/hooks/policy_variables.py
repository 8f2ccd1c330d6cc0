"""Variables in policies of resources: ``${aws:PrincipalAccount}`` in a resource is the caller's account.

Stock ministack takes them for text. They are variables where the policy says ``"Version": "2012-10-17"``
(https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html).
"""

import json
from typing import Any

from ministack.core import iam_evaluator

VARIABLES = {"${aws:PrincipalAccount}": "principal_account"}


def install() -> None:
    iam_evaluator.evaluate_resource_policy = _evaluating(iam_evaluator.evaluate_resource_policy)


def _evaluating(stock: Any) -> Any:
    def evaluate(document: Any, context: Any, *arguments: Any, **more: Any) -> Any:
        text = document if isinstance(document, str) else json.dumps(document)
        if "${aws:" in text and '"2012-10-17"' in text:
            for variable, attribute in VARIABLES.items():
                text = text.replace(variable, getattr(context, attribute))
            document = text
        return stock(document, context, *arguments, **more)

    return evaluate
