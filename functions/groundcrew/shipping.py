"""What Groundcrew ships into an environment's DAG folder: files of its own below ``groundcrew/``, and nothing else.

A part ships a set of files and an index of them, ``shipped-<part>.json``, written last: content-hashed, so that what is
there already is left alone. Two parts may ship the same file; it goes with the last of them.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from groundcrew.aws.objects import Bucket
from groundcrew.aws.session import Role, Roles
from groundcrew.environment import Environment, EnvironmentRef
from groundcrew.errors import PermanentError
from groundcrew.observability import logger

SOURCE = Path(__file__).resolve().parents[1] / "shipped_dags"
"""What the build copies from ``layers/airflow/dags/groundcrew``."""

PARTS = ("exports", "cleanup")
"""Those that ship."""

Files = Mapping[str, bytes]
"""Paths below ``groundcrew/``, and contents."""


@dataclass(frozen=True, slots=True)
class Index:
    """The files that a part has shipped, and the SHA-256 of each."""

    files: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, files: Files) -> Self:
        """What is to be shipped."""
        return cls({path: hashlib.sha256(content).hexdigest() for path, content in sorted(files.items())})

    @classmethod
    def read(cls, content: bytes) -> Self:
        """What was shipped; nothing is known of it if somebody else has written there."""
        try:
            files = json.loads(content)["files"]
            return cls({str(path): str(digest) for path, digest in files.items()})
        except (ValueError, KeyError, TypeError, AttributeError):
            return cls()

    @property
    def digest(self) -> str:
        """Of all of it."""
        return hashlib.sha256(json.dumps(dict(self.files), sort_keys=True).encode()).hexdigest()

    def as_json(self) -> bytes:
        """As it is written."""
        return json.dumps({"digest": self.digest, "files": dict(self.files)}, indent=1).encode()


@dataclass(frozen=True, slots=True)
class Plan:
    """What to write and what to remove, in this order, and why. ``replaces``: another version may be in use."""

    put: tuple[str, ...]
    remove: tuple[str, ...]
    reason: str
    replaces: bool = False

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.put or self.remove)


def plan(wanted: Index, shipped: Index, others: Index) -> Plan:
    """From what is there to what is wanted; what ``others`` need stays. Nothing wanted: all of it goes. Pure."""
    put = tuple(path for path, digest in wanted.files.items() if shipped.files.get(path) != digest)
    remove = tuple(sorted(shipped.files.keys() - wanted.files.keys() - others.files.keys()))
    if not put and not remove:
        return Plan((), (), "what is shipped is what is wanted")
    if not wanted.files:
        return Plan((), remove, "nothing is wanted here any more")
    if not shipped.files:
        return Plan(put, remove, "nothing was shipped yet")
    return Plan(put, remove, "another version was shipped", replaces=True)


def source(*names: str) -> dict[str, bytes]:
    """Files of ours, by names: a file's, or a folder's with all that is in it.

    Raises:
        PermanentError: there is none of that name.
    """
    found: dict[str, bytes] = {}
    for name in names:
        path = SOURCE / name
        files = [path] if path.is_file() else sorted(path.rglob("*.py"))
        if not files:
            raise PermanentError(f"there is no {name} to ship", cause="Misconfigured", remedy="Build the stack again.")
        found |= {str(file.relative_to(SOURCE)): file.read_bytes() for file in files}
    return found


def place(ref: EnvironmentRef, bucket: str, owner: str, opt_in: Iterable[str] = ()) -> dict[str, Any]:
    """What is shipped says with it which environment it is in, and the hub's bucket with the account that owns it:
    neither is for whoever starts a DAG to say (``groundcrew_metadata/place.py`` reads it).
    """
    return {
        "bucket": bucket,
        "owner": owner,
        "account": ref.account,
        "region": ref.region,
        "environment": ref.name,
        "opt_in": sorted(opt_in),
    }


class Shipping:
    """The files of one part in one environment's DAG folder, as the spoke's shipper."""

    def __init__(self, roles: Roles, environment: Environment, part: str) -> None:
        """Nothing is asked yet."""
        ref = environment.ref
        self._bucket = Bucket.of_spoke(roles, Role("shipper", ref.account, ref.region), environment.bucket)
        self._folder = f"{environment.dags_path}/groundcrew"
        self._part = part

    def ship(self, files: Files) -> Plan:
        """Have these files there, and no others of this part; what was done.

        Raises:
            AccessDenied: the shipper may not, or the bucket's key does not admit it.
            TransientError: S3 is in trouble.
        """
        wanted, shipped = Index.of(files), self._index(self._part)
        todo = plan(wanted, shipped, self._others())
        # The files first, then the index, then what goes: whatever breaks off, the next one goes on from the index.
        for path in todo.put:
            self._bucket.put(f"{self._folder}/{path}", files[path], content_type=_type(path))
        if todo.changes:
            both = Index({path: shipped.files[path] for path in todo.remove} | dict(wanted.files))
            self._bucket.put(self._key(self._part), both.as_json())
        if todo.remove:
            self._remove(todo.remove)
            self._bucket.put(self._key(self._part), wanted.as_json())
        return todo

    def remove(self) -> Plan:
        """Have nothing of this part there; what was done. Raises what ``ship`` raises."""
        shipped = self._index(self._part)
        if not shipped.files:
            return plan(Index(), shipped, Index())
        todo = plan(Index(), shipped, self._others())
        self._remove(todo.remove)
        self._erase(self._key(self._part))
        return todo

    def _others(self) -> Index:
        found: dict[str, str] = {}
        for part in PARTS:
            if part != self._part:
                found |= self._index(part).files
        return Index(found)

    def _index(self, part: str) -> Index:
        """Looked for first: of an object that is not there, S3 says "denied" to whoever may not list the bucket."""
        key = self._key(part)
        if not any(version.latest and not version.deleted for version in self._bucket.versions(key)):
            return Index()
        return Index.read(self._bucket.get(key)[1])

    def _key(self, part: str) -> str:
        return f"{self._folder}/shipped-{part}.json"

    def _remove(self, paths: tuple[str, ...]) -> None:
        for path in paths:
            self._erase(f"{self._folder}/{path}")

    def _erase(self, key: str) -> None:
        """All its versions: the shipper may not hide what it does not delete."""
        for version in self._bucket.versions(key):
            self._bucket.delete(key, version.version)


def withdraw(environment: Environment, roles: Roles, part: str) -> None:
    """Take back what a part has shipped, now that the environment's tag says ``off``; raises what ``remove`` raises."""
    done = Shipping(roles, environment, part).remove()
    logger.info("withdrawn", part=part, removed=len(done.remove), reason=done.reason)


def _type(path: str) -> str:
    kinds: Any = {".py": "text/x-python", ".json": "application/json"}
    return str(kinds.get(Path(path).suffix, "text/plain"))
