"""Secrets Manager where it says what AWS denies: a secret without a value has none, and a version's never changes.

https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutSecretValue.html
"""

from typing import Any

from ministack.core.responses import error_response_json, json_response
from ministack.services import secretsmanager


def install() -> None:
    secretsmanager._create_secret = _without_value(secretsmanager._create_secret)
    secretsmanager._put_secret_value = _never_changed(secretsmanager._put_secret_value)


def _without_value(stock: Any) -> Any:
    def create(data: dict[str, Any]) -> Any:
        answer = stock(data)
        if answer[0] != 200 or data.keys() & {"SecretString", "SecretBinary"}:
            return answer
        secret = secretsmanager._secrets[data["Name"]]
        secret["Versions"].clear()
        return json_response({"ARN": secret["ARN"], "Name": secret["Name"]})

    return create


def _never_changed(stock: Any) -> Any:
    def put(data: dict[str, Any]) -> Any:
        _, secret = secretsmanager._resolve(data.get("SecretId"))
        known = ((secret or {}).get("Versions") or {}).get(data.get("ClientRequestToken"))
        if known and known.get("SecretString") != data.get("SecretString"):
            message = f"You can't use ClientRequestToken {data['ClientRequestToken']} with another value"
            return error_response_json("ResourceExistsException", message, 400)
        return stock(data)

    return put
