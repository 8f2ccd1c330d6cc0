"""What lies at a target, and what is put there: objects as the spokes' courier, or a secret."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from groundcrew.aws.objects import JSON, Bucket, Stored
from groundcrew.aws.secrets import Secret
from groundcrew.aws.session import Role, Roles
from groundcrew.errors import AlreadyExists, GroundcrewError, NotFound, TransientError
from groundcrew.observability import logger
from tokens.plan import Held, Target
from tokens.token import Delivered, is_requirements


@dataclass(frozen=True, slots=True)
class Shelf:
    """The place of one target."""

    target: Target
    roles: Roles

    @property
    def _role(self) -> Role:
        return Role("courier", self.target.account, self.target.region)

    @property
    def _bucket(self) -> Bucket:
        return Bucket.of_spoke(self.roles, self._role, self.target.place)

    @property
    def _secret(self) -> Secret:
        return Secret(self.roles, self._role, self.target.place)

    # ---------------------------------------------------------------------------------------------------------- looking
    def held(self) -> Held | None:
        """What lies there; None if nothing does."""
        if self.target.kind == "secret":
            return self._held_secret()
        # S3 says whether an object exists to those only who may list; HEAD says the rest.
        if not any(one.latest and not one.deleted for one in self._bucket.versions(self.target.key)):
            return None
        try:
            stored = self._bucket.head(self.target.key)
        except NotFound:
            return None
        delivered = Delivered.read(stored.metadata)
        replaceable = delivered is not None or self.target.kind == "object" or self._is_pattern(stored)
        return Held(delivered, stored.etag, replaceable)

    def _is_pattern(self, stored: Stored) -> bool:
        """Nobody but Groundcrew writes below ``groundcrew/``; AWS's file is anybody's."""
        return is_requirements(self._bucket.get(stored.key, stored.version)[1])

    def _held_secret(self) -> Held | None:
        try:
            value = self._secret.get()
        except NotFound:
            return None
        try:
            about = json.loads(value)["about"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return Held(None)
        return Held(Delivered.read(about) if isinstance(about, Mapping) else None)

    # ---------------------------------------------------------------------------------------------------------- putting
    def put(self, content: bytes, known: Delivered, held: Held | None) -> str | None:
        """Put a token there instead of what was seen there, and read it back; then old versions go.

        Returns:
            The version of the object, if it has one.

        Raises:
            TransientError: somebody else put something there meanwhile, or it is not what was put.
        """
        if self.target.kind == "secret":
            self._put_secret(content)
            return None
        stored = self._put_object(content, known, held)
        read, found = self._bucket.get(self.target.key, stored.version)
        if found != content or Delivered.read(read.metadata) != known:
            raise TransientError(f"{self.target}: it reads otherwise than it was written", cause="ReadBack")
        self._forget(stored.version)
        return stored.version

    def _put_object(self, content: bytes, known: Delivered, held: Held | None) -> Stored:
        options: dict[str, Any] = {"metadata": known.as_metadata()}
        options |= {"replaces": held.etag} if held else {"only_new": True}
        options |= {"content_type": JSON if self.target.kind == "object" else "text/plain"}
        try:
            return self._bucket.put(self.target.key, content, **options)
        except (AlreadyExists, TransientError) as error:
            if error.cause not in ("AlreadyExists", "ChangedMeanwhile"):
                raise
            # The SDK tries again what was not answered, and then meets what its first try has put there.
            stored, found = self._bucket.get(self.target.key)
            if found == content:
                return stored
            raise TransientError(error.what, cause=error.cause) from error

    def _forget(self, version: str | None) -> None:
        """Delete every version of this object but the one that was just put there and what is newer.

        The token is in place by then: what goes wrong here is logged, and the next rotation deletes what is left.
        """
        try:
            versions = self._bucket.versions(self.target.key)
            mine = next((one for one in versions if one.version == version), None)
            for old in versions:
                if mine is not None and not old.latest and old.version != version and old.modified <= mine.modified:
                    self._bucket.delete(self.target.key, old.version)
        except GroundcrewError as error:
            logger.warning("old versions stay", place=str(self.target), cause=error.cause, error=error.what)

    def _put_secret(self, content: bytes) -> None:
        """Its version is a digest of the value, so the SDK may try again; a digest of such a token betrays nothing."""
        value = content.decode()
        self._secret.put(value, hashlib.sha256(content).hexdigest())
        if self._secret.get() != value:
            raise TransientError(f"{self.target}: it reads otherwise than it was written", cause="ReadBack")
