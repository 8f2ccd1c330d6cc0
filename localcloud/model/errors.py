"""The one exception of the model: an error AWS would answer with."""

from collections.abc import Mapping
from typing import Any


class AwsError(Exception):
    """An error answer: its code and message as the client sees them, and the error's own ``members``."""

    def __init__(self, code: str, message: str, status: int = 400, members: Mapping[str, Any] | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.members = members or {}
