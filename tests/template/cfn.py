"""Reads CloudFormation and SAM templates for the tests, without resolving anything."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Resource = Mapping[str, Any]


class _Loader(yaml.SafeLoader):
    """YAML with short forms: ``!Ref x`` is ``{"Ref": x}``, ``!Sub x`` is ``{"Fn::Sub": x}``."""


def _short_form(loader: _Loader, name: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    if name == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {name if name in {"Ref", "Condition"} else f"Fn::{name}": value}


_Loader.add_multi_constructor("!", _short_form)


@dataclass(frozen=True)
class Template:
    """One template: its text, and what YAML makes of it."""

    path: Path
    text: str
    body: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> "Template":
        text = path.read_text()
        return cls(path, text, yaml.load(text, Loader=_Loader))

    @property
    def parameters(self) -> Mapping[str, Resource]:
        return self.body.get("Parameters", {})  # type: ignore[no-any-return]

    def resources(self, *types: str) -> dict[str, Mapping[str, Any]]:
        """Properties by logical id, of some types or of all; a function's include those of Globals."""
        shared = self.body.get("Globals", {}).get("Function", {})
        return {
            name: (shared if resource["Type"] == "AWS::Serverless::Function" else {}) | resource.get("Properties", {})
            for name, resource in self.body["Resources"].items()
            if not types or resource["Type"] in types
        }

    @property
    def types(self) -> set[str]:
        return {resource["Type"] for resource in self.body["Resources"].values()}


def dictionaries(value: Any) -> Iterator[Mapping[str, Any]]:
    """Every mapping in a value, at any depth, itself included."""
    if isinstance(value, Mapping):
        yield value
        for item in value.values():
            yield from dictionaries(item)
    elif isinstance(value, list):
        for item in value:
            yield from dictionaries(item)


def refers_to(value: Any) -> set[str]:
    """The logical ids that a value names by ``!Ref`` or ``!GetAtt``, at any depth."""
    found: set[str] = set()
    for item in dictionaries(value):
        if isinstance(item.get("Ref"), str):
            found.add(item["Ref"])
        if "Fn::GetAtt" in item:
            found.add(item["Fn::GetAtt"][0])
    return found


def listed(value: Any) -> list[Any]:
    """IAM's and CloudFormation's "one or several" as a list."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
