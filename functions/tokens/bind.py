"""The startup script of one environment: looked at, put into its bucket, and bound."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from groundcrew.aws import airflow
from groundcrew.aws.objects import Bucket
from groundcrew.aws.session import Role, Roles
from groundcrew.environment import Environment
from groundcrew.errors import AlreadyExists, PermanentError
from tokens.binding import Binding
from tokens.causes import explained
from tokens.plan import Target
from tokens.startup import READY, Bind, Lying, Plan, decide, key, rendered


@dataclass(frozen=True, slots=True)
class Script:
    """As the spoke's role binder."""

    roles: Roles
    environment: Environment
    binding: Binding
    wanted: bytes

    @classmethod
    def of(cls, roles: Roles, environment: Environment, binding: Binding, where: Target) -> "Script":
        """The one that the environment is to have, which finds its token at ``where``."""
        return cls(roles, environment, binding, rendered(binding, environment, where))

    @property
    def key(self) -> str:
        """Where it lies."""
        return key(self.environment.ref)

    @property
    def _bucket(self) -> Bucket:
        binder = Role("binder", self.environment.ref.account, self.environment.ref.region)
        return Bucket.of_spoke(self.roles, binder, self.environment.bucket)

    def plan(self, now: datetime, *, forced: bool) -> Plan:
        """Whether it is to be bound.

        Raises:
            PermanentError: it cannot be looked at until somebody acts.
            TransientError: not now.
        """
        try:
            return decide(self.environment, self.binding, self.wanted, self._lying(), now, forced=forced)
        except PermanentError as error:
            raise explained(error) from error

    def bind(self, plan: Bind) -> str | None:
        """Put it there, if need be, and have the environment use it.

        Returns:
            The version that is bound; None if the environment went into another update meanwhile, after which the sweep
            looks again.

        Raises:
            PermanentError: the spoke does not allow it, or the bucket keeps no versions.
            TransientError: not now.
        """
        try:
            if plan.upload:
                self._put()
            # What is bound is what lies there, whoever has put it there.
            lying = self._lying()
            if lying is None or lying.content != self.wanted or lying.version == "null":
                raise PermanentError(
                    f"{self.environment.bucket}/{self.key} has no version with what was put there",
                    cause="NotVersioned",
                    remedy="Turn the bucket's versioning on: MWAA asks for it.",
                )
            strategy: Literal["FORCED", "GRACEFUL"]
            strategy = "FORCED" if self.binding.worker_replacement == "forced" else "GRACEFUL"
            airflow.bind_startup_script(self.roles, self.environment.ref, self.key, lying.version, strategy)
        except PermanentError as error:
            if error.cause != "ValidationException":
                raise explained(error) from error
            if self._moves():
                return None
            remedy = "MWAA does not take the update: correct what it says of the environment."
            raise PermanentError(error.what, cause="NotUpdated", remedy=remedy) from error
        return lying.version

    def _put(self) -> None:
        """Once, however many messages there are about the environment: each version would be a restart."""
        lying = self._lying()
        if lying and lying.content == self.wanted:
            return
        options: dict[str, Any] = {"replaces": lying.etag} if lying else {"only_new": True}
        with suppress(AlreadyExists):
            self._bucket.put(self.key, self.wanted, content_type="text/x-shellscript", **options)

    def _lying(self) -> Lying | None:
        for one in self._bucket.versions(self.key):
            if one.latest and not one.deleted:
                stored, content = self._bucket.get(self.key, one.version)
                return Lying(content, one.version, one.modified, stored.etag)
        return None

    def _moves(self) -> bool:
        """Whether it is being updated: by an earlier try of ours whose answer was lost, or by somebody else."""
        return airflow.get_environment(self.roles, self.environment.ref).status not in READY
