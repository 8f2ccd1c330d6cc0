"""DynamoDB of the in-process cloud: items put and deleted under a condition.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.OperatorsAndFunctions.html
"""

import operator
import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from localcloud.model.caller import Caller
from localcloud.model.errors import AwsError
from localcloud.model.network import Record

KEY = "name"  # of every table here
_FUNCTION = re.compile(r"attribute_(not_)?exists\s*\(\s*(\S+?)\s*\)")
_COMPARISON = re.compile(r"(\S+?)\s*(<=|>=|<>|=|<|>)\s*(\S+)")
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "<>": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


@dataclass
class Tables:
    """Items by account, Region, table and key; a table is there when it is used."""

    items: defaultdict[tuple[str, str, str], dict[str, Record]] = field(default_factory=lambda: defaultdict(dict))

    def call(self, name: str, caller: Caller, params: Mapping[str, Any]) -> Record:
        """PutItem or DeleteItem; raises ``AwsError`` if the condition does not hold."""
        table = self.items[caller.account, caller.region, params["TableName"].rsplit("/", 1)[-1]]
        item = params["Item"] if name == "PutItem" else None
        key = (item or params["Key"])[KEY]["S"]
        if not _holds(params, table.get(key, {})):
            raise AwsError("ConditionalCheckFailedException", "The conditional request failed")
        if item is None:
            table.pop(key, None)
        else:
            table[key] = dict(item)
        return {}


def _holds(params: Mapping[str, Any], item: Record) -> bool:
    """Terms joined by AND, then by OR; without parentheses, as the product writes them."""
    expression = params.get("ConditionExpression")
    if not expression:
        return True
    return any(
        all(_term(term.strip(), params, item) for term in part.split(" AND ")) for part in expression.split(" OR ")
    )


def _term(term: str, params: Mapping[str, Any], item: Record) -> bool:
    names, values = params.get("ExpressionAttributeNames") or {}, params.get("ExpressionAttributeValues") or {}
    if found := _FUNCTION.fullmatch(term):
        absent, name = found.groups()
        return (names.get(name, name) in item) != bool(absent)
    found = _COMPARISON.fullmatch(term)
    if found is None:
        raise AwsError("ValidationException", f"Invalid ConditionExpression: {term}")
    left, sign, right = found.groups()
    one, other = (values.get(side) or item.get(str(names.get(side, side))) for side in (left, right))
    if not one or not other or one.keys() != other.keys():  # compared with nothing, or with another type
        return False
    return _OPERATORS[sign](_plain(one), _plain(other))


def _plain(value: Record) -> Any:
    ((kind, text),) = value.items()
    return Decimal(text) if kind == "N" else text
