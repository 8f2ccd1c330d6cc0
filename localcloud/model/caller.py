"""Who calls, and ids that are the same in every run."""

import hashlib
from dataclasses import dataclass, field
from itertools import count


@dataclass(frozen=True, slots=True)
class Caller:
    """An account acting in a Region; permissions are the emulator's business, not the model's."""

    account: str
    region: str

    def arn(self, service: str, resource: str) -> str:
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"


@dataclass
class Ids:
    """Resource ids in AWS's form (prefix and 17 hexadecimal digits), repeatable from a seed."""

    seed: str = ""
    _count: "count[int]" = field(default_factory=lambda: count(1))

    def new(self, prefix: str, digits: int = 17) -> str:
        """``prefix`` and ``digits`` (at most 64) hexadecimal digits, never the same twice."""
        text = f"{self.seed}/{prefix}/{next(self._count)}"
        return prefix + hashlib.sha256(text.encode()).hexdigest()[:digits]
