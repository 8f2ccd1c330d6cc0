"""What EC2's Describe calls share: filters, pages and tags."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from localcloud.model.errors import AwsError

T = TypeVar("T")
Fields = Mapping[str, Callable[[Any], Iterable[str]]]
"""Filter name -> the values of one item that may match it."""


@lru_cache(maxsize=1024)
def _pattern(value: str) -> re.Pattern[str]:
    """EC2 filter values: ``*`` any characters, ``?`` one, backslash escapes (Using_Filtering in the EC2 user guide)."""
    parts = re.findall(r"\\.|.", value, re.S)
    wild = {"*": ".*", "?": "."}
    return re.compile("".join(wild.get(p) or re.escape(p[-1]) for p in parts), re.S)


def matcher(wanted: Iterable[str]) -> Callable[[str], bool]:
    """Does a value match one of the patterns?"""
    plain, wild = set(), []
    for value in wanted:
        if "*" in value or "?" in value or "\\" in value:
            wild.append(_pattern(value))
        else:
            plain.add(value)
    return lambda value: value in plain or any(pattern.fullmatch(value) for pattern in wild)


def apply_filters(
    items: Iterable[T], filters: Sequence[Mapping[str, Any]], fields: Fields, tags_of: Callable[[T], Mapping[str, str]]
) -> list[T]:
    """The items that match every filter (a filter's values are alternatives); unknown names are refused."""
    found = list(items)
    for condition in filters:
        name, match = condition["Name"], matcher(condition.get("Values", []))
        if name.startswith("tag:"):
            key = name.removeprefix("tag:")
            found = [i for i in found if key in tags_of(i) and match(tags_of(i)[key])]
        elif name == "tag-key":
            found = [i for i in found if any(match(key) for key in tags_of(i))]
        elif name in fields:
            values_of = fields[name]
            found = [i for i in found if any(match(value) for value in values_of(i))]
        else:
            raise AwsError("InvalidParameterValue", f"The filter '{name}' is invalid")
    return found


def page(items: Sequence[T], params: Mapping[str, Any], default: int = 1000) -> tuple[Sequence[T], str | None]:
    """One page and the token of the next; a token is the position of the page's first item."""
    try:
        start = int(params.get("NextToken") or 0)
    except ValueError:
        raise AwsError("InvalidNextToken", f"The token '{params['NextToken']}' is invalid") from None
    size = int(params.get("MaxResults") or default)
    more = start + size < len(items)
    return items[start : start + size], str(start + size) if more else None


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def tags_from(specifications: Iterable[Mapping[str, Any]], kind: str) -> dict[str, str]:
    """The tags that ``TagSpecification`` asks for on the resource being created."""
    tags: dict[str, str] = {}
    for specification in specifications:
        if specification.get("ResourceType") != kind:
            raise AwsError(
                "InvalidParameterValue",
                f"'{specification.get('ResourceType')}' is not a valid taggable resource type for this operation.",
            )
        for tag in specification.get("Tags", []):
            if tag["Key"] in tags:
                raise AwsError("InvalidParameterValue", f"Duplicate tag key '{tag['Key']}' specified.")
            tags[tag["Key"]] = tag.get("Value", "")
    return tags


def check_tags(tags: Mapping[str, str], limit: int) -> None:
    """Tag restrictions (EC2 user guide, Using_Tags): keys to 128, values to 256 characters, no ``aws:`` prefix."""
    if len(tags) > limit:
        raise AwsError("TagLimitExceeded", f"The maximum number of Tags for a resource is {limit}.")
    for key, value in tags.items():
        if key.lower().startswith("aws:"):
            raise AwsError(
                "InvalidParameterValue", f"Tag keys starting with 'aws:' are reserved for internal use: '{key}'"
            )
        if not key or len(key) > 128:
            raise AwsError("InvalidParameterValue", f"Tag key exceeds the maximum length of 128 characters: '{key}'")
        if len(value) > 256:
            raise AwsError("InvalidParameterValue", "Tag value exceeds the maximum length of 256 characters")
