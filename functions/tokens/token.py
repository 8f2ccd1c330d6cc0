"""A token and what is delivered of it. Whatever shows one of these values shows no token."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from tokens.binding import Binding

PATTERN = re.compile(rb"(--(extra-)?index-url[ =]https://aws:[^@\s]+@[a-z0-9-]+\.d\.codeartifact\.[^\s]+\s*)+")

USER = "aws"
"""Of every CodeArtifact token (https://docs.aws.amazon.com/codeartifact/latest/ug/python-configure-pip.html)."""


@dataclass(frozen=True, slots=True)
class Token:
    """What CodeArtifact gave for a binding, and the indexes (without user and password) that take it, in order."""

    secret: str = field(repr=False)
    minted_at: datetime
    expires_at: datetime
    urls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Delivered:
    """What is known of a token that lies somewhere: everything but the token."""

    binding: str
    fingerprint: str
    environment: str
    """For whom it was put there; others may read it, too."""

    minted_at: datetime
    expires_at: datetime

    @classmethod
    def of(cls, token: Token, binding: Binding, environment: str) -> Self:
        """What is to be known of a new token."""
        return cls(binding.name, binding.fingerprint, environment, token.minted_at, token.expires_at)

    @classmethod
    def read(cls, metadata: Mapping[str, Any]) -> Self | None:
        """What an object's metadata, or a secret's value, says; None if that is not ours, or damaged."""
        try:
            return cls(
                binding=metadata["binding"],
                fingerprint=metadata["fingerprint"],
                environment=metadata["environment"],
                minted_at=_moment(metadata["minted-at"]),
                expires_at=_moment(metadata["expires-at"]),
            )
        except (KeyError, TypeError, ValueError):
            return None

    def as_metadata(self) -> dict[str, str]:
        """The reverse of :meth:`read`."""
        return {
            "binding": self.binding,
            "fingerprint": self.fingerprint,
            "environment": self.environment,
            "minted-at": self.minted_at.isoformat(),
            "expires-at": self.expires_at.isoformat(),
        }


def document(token: Token, binding: Binding, known: Delivered) -> bytes:
    """The object that the startup script reads (``layers/airflow/startup/README.md``), and a secret's value."""
    first, others = _indexes(token, binding)
    content = {"version": 1, "token": token.secret, "index_url": first, "extra_index_urls": list(others)}
    about = {"binding": known.binding, "expires_at": known.expires_at.isoformat(), "about": known.as_metadata()}
    return json.dumps(content | about, sort_keys=True).encode()


def requirements(token: Token, binding: Binding) -> bytes:
    """The file of AWS's own pattern, to be read with ``-r`` at the top of the requirements.

    https://github.com/aws-samples/amazon-mwaa-examples/tree/main/usecases/mwaa-with-codeartifact
    """
    first, others = _indexes(token, binding)
    lines = [f"--index-url {_with_token(first, token)}"] if first else []
    lines += [f"--extra-index-url {_with_token(url, token)}" for url in others]
    return ("\n".join(lines) + "\n").encode()


def is_requirements(content: bytes) -> bool:
    """Whether a file holds nothing but what that pattern puts there, so that it may be replaced."""
    return PATTERN.fullmatch(content.strip()) is not None


def _indexes(token: Token, binding: Binding) -> tuple[str | None, tuple[str, ...]]:
    if binding.index == "extra-index-url":
        return None, token.urls
    return token.urls[0], token.urls[1:]


def _with_token(url: str, token: Token) -> str:
    return url.replace("https://", f"https://{USER}:{token.secret}@", 1)


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("a time without a zone")
    return found
