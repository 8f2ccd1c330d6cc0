"""Which Airflow role a route of the REST API needs, as MWAA's images ship the roles.

Flask-AppBuilder's permissions of the roles, in the fab provider's ``security_manager/override.py`` of each version
(2.7: ``airflow/www/security.py``), and what each route asks for. Audit logs are Admin's since 2.8.2:
https://github.com/apache/airflow/pull/37501. Airflow's own description:
https://airflow.apache.org/docs/apache-airflow-providers-fab/stable/auth-manager/access-control.html
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

ROLES = ("Admin", "Op", "User", "Viewer", "Public")  # the most powerful first; each has all that the later ones have


class Rule(NamedTuple):
    """The least role for a method and a path, for versions from ``since`` on."""

    method: str
    path: str
    role: str
    since: tuple[int, ...] = ()


# The first rule that fits decides; what fits none needs Op.
RULES = (
    Rule("GET", "/eventLogs(/.*)?", "Admin", (2, 8, 2)),
    Rule("GET", "/plugins", "Op", (2, 9)),
    Rule("GET", "/pools(/.*)?", "Viewer", (2, 8)),
    Rule("GET", "/(pools|variables|connections|config|providers)(/.*)?", "Op"),
    Rule("GET", ".*", "Viewer"),
    Rule("POST", "/dags/.*/list", "Viewer"),
    Rule("POST|PATCH|PUT|DELETE", "/dags/.*/xcomEntries(/.*)?", "Op"),
    Rule("POST|PATCH|PUT|DELETE", "/dags/.*", "User"),
    Rule("POST", "/(datasets|assets)/events", "User"),
)
AUDIT_LOGS = RULES[0]


def least(method: str, path: str, version: str, audit_logs: str = AUDIT_LOGS.role) -> str:
    """The least role that may do this; ``audit_logs`` is that of the environment's own for ``GET /eventLogs``."""
    release = tuple(int(number) for number in version.split("."))
    for rule in RULES:
        if release >= rule.since and re.fullmatch(rule.method, method) and re.fullmatch(rule.path, path):
            return audit_logs if rule is AUDIT_LOGS else rule.role
    return "Op"


def may(roles: Sequence[str], least_role: str) -> bool:
    """Whether the most powerful of these roles is as powerful."""
    role = next((role for role in ROLES if role in roles), "Public")
    return role != "Public" and ROLES.index(role) <= ROLES.index(least_role)
