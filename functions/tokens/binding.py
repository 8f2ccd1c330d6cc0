"""Which repositories environments install from, and how their token gets to them: ``/groundcrew/tokens/<name>``."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, Self

from groundcrew.errors import PermanentError
from groundcrew.events import schema_error

NAME = re.compile(r"[a-zA-Z0-9_.-]{1,64}")

LONGEST = 43_200
"""Seconds that a token can live at most (botocore ``codeartifact``, ``AuthorizationTokenDurationSeconds``)."""


@dataclass(frozen=True, slots=True)
class SharedBucket:
    """A bucket that a binding names, instead of each environment's own."""

    name: str
    account: str
    region: str


@dataclass(frozen=True, slots=True)
class Binding:
    """See ``events/schemas/policies/tokens.json``."""

    name: str
    domain: str
    owner: str
    region: str
    repositories: tuple[str, ...]
    accounts: tuple[str, ...]
    duration_seconds: int = LONGEST
    index: Literal["index-url", "extra-index-url"] = "index-url"
    delivery: Literal["object", "secret", "requirements"] = "object"
    bucket: SharedBucket | None = None
    secret: str | None = None
    on_missing: Literal["fail", "continue"] = "fail"
    fallback: bool = False
    verify: Literal["index", "read-back"] = "index"
    startup_script: Literal["keep", "bind"] = "keep"
    bind_when: Literal["maintenance-window", "now"] = "maintenance-window"
    worker_replacement: Literal["graceful", "forced"] = "graceful"
    fingerprint: str = field(default="", compare=False)
    """Of what a token depends on: one that was delivered under another is replaced."""

    @staticmethod
    def parameter(name: str) -> str:
        """The parameter that holds the binding of that name.

        Raises:
            PermanentError: a binding cannot have such a name; it comes from a tag, so it may be anything.
        """
        if not NAME.fullmatch(name):
            raise PermanentError(
                f"the tag groundcrew:tokens says {name[:80]!r}, which is not one binding's name",
                cause="InvalidBinding",
                remedy="Set the tag to 'off' or to the name of one binding: an environment has one token.",
            )
        return f"/groundcrew/tokens/{name}"

    @classmethod
    def read(cls, name: str, document: Mapping[str, Any], home_region: str) -> Self:
        """Read a binding; ``home_region`` is that of a domain which names none.

        Raises:
            PermanentError: it is not valid; there is no falling back to another one.
        """
        problem = schema_error(document, "policies/tokens.json") or _contradiction(document)
        if problem:
            raise PermanentError(
                f"the binding {cls.parameter(name)} is not valid: {problem}",
                cause="InvalidBinding",
                remedy="Correct that parameter; events/schemas/policies/tokens.json says how.",
            )
        values = {"region": home_region} | dict(document)
        if "bucket" in values:
            values["bucket"] = SharedBucket(**values["bucket"])
        values |= {key: tuple(values[key]) for key in ("repositories", "accounts")}
        return cls(name=name, fingerprint=_fingerprint(name, values), **values)

    @property
    def rotate_below(self) -> timedelta:
        """A token with less time left is replaced: two thirds of its life, eight hours of twelve."""
        return timedelta(seconds=self.duration_seconds * 2 / 3)


def _contradiction(document: Mapping[str, Any]) -> str | None:
    """What JSON Schema could say only in a way that nobody understands."""
    delivery = document.get("delivery", "object")
    if (delivery == "secret") != ("secret" in document):
        return "delivery secret and the secret's ARN belong together"
    if "bucket" in document and delivery != "object":
        return "only delivery object takes a bucket"
    if document.get("startup_script") == "bind" and delivery != "object":
        return "the startup script reads an object: it can be bound with delivery object only"
    return None


def _fingerprint(name: str, values: Mapping[str, Any]) -> str:
    """Accounts may come and go without touching anybody else's token; so may what is done where it is missing."""
    about = {key: values.get(key) for key in ("domain", "owner", "region", "repositories", "index", "duration_seconds")}
    return hashlib.sha256(json.dumps([name, about], sort_keys=True).encode()).hexdigest()[:16]
