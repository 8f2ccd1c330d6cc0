"""docs/security.md cannot go stale: its table is that of the templates, and every claim names a test that exists."""

import ast
import re
from functools import cache

import pytest

from tests.docs.commands import ROOT
from tests.template.cfn import Template, dictionaries, listed

TEXT = (ROOT / "docs/security.md").read_text()
CLAIMED = re.compile(r"`((?:localcloud/)?tests/[^`]+)`")
TEMPLATES = ("template.yaml", "spoke/template.yaml")

Grant = tuple[str, str, str]
"""Role without its Region, statement, action."""


def rows() -> list[list[str]]:
    """The cells of every row of every table, headings left out."""
    lines = [line for line in TEXT.splitlines() if line.startswith("|")]
    heads = {number - 1 for number, line in enumerate(lines) if set(line) <= set("|-")}
    body = [line for number, line in enumerate(lines) if number not in heads and not set(line) <= set("|-")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in body]


def documented() -> set[Grant]:
    found, role = set(), ""
    for cells in rows():
        if len(cells) == 5:
            role = cells[0].strip("`") or role
            assert all(cells[1:]), cells
            found |= {(role, cells[1].strip("`"), action) for action in re.findall(r"`([^`]+)`", cells[2])}
    return found


def granted() -> set[Grant]:
    found = set()
    for path in TEMPLATES:
        template = Template.read(ROOT / path)
        roles = template.resources("AWS::IAM::Role")
        policies = [(role, role["Policies"]) for role in roles.values()]
        more = template.resources("AWS::IAM::RolePolicy").values()
        policies += [(roles[one["RoleName"]["Ref"]], one["PolicyDocument"]) for one in more]
        for role, policy in policies:
            name = str(role["RoleName"]["Fn::Sub"]).removesuffix("-${AWS::Region}")
            statements = [item for item in dictionaries(policy) if "Effect" in item]
            found |= {(name, item["Sid"], action) for item in statements for action in listed(item["Action"])}
    return found


@cache
def names_in(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text())
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def test_the_table_of_permissions_is_that_of_the_templates() -> None:
    assert granted()
    assert documented() == granted()


@pytest.mark.parametrize("claimed", sorted(set(CLAIMED.findall(TEXT))))
def test_the_test_that_is_named_exists(claimed: str) -> None:
    path, _, name = claimed.partition("::")
    assert name.startswith("test_")
    assert (ROOT / path).is_file()
    assert name in names_in(path)


def test_every_claim_about_a_hostile_party_names_a_test() -> None:
    claims = [cells for cells in rows() if len(cells) != 5]
    assert claims
    assert [cells for cells in claims if len(cells) != 2 or not CLAIMED.fullmatch(cells[1])] == []
