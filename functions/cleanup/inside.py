"""The inside engine: Airflow 2 is cleaned by a DAG that Groundcrew ships, starts, follows, and reads the report of.

Anybody may start a DAG, with any conf. So the conf only names an order, which the hub has put into the environment's
bucket, where the DAG finds it: ``groundcrew/cleanup/<cleanup_id>.json``. Its digest is in the conf, so that the run
works by the order it was started with, or not at all.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cleanup.order import Order
from cleanup.policy import Policy
from groundcrew.aws.locks import Locks
from groundcrew.aws.objects import Bucket
from groundcrew.aws.session import Role, Roles
from groundcrew.environment import Environment
from groundcrew.errors import AlreadyExists, NotFound, PermanentError
from groundcrew.shipping import Shipping, source
from groundcrew.ways.reach import Reach
from groundcrew.ways.seen import Run, RunRef, Start

DAG_ID = "groundcrew_cleanup"
FILES = ("groundcrew_cleanup.py", "groundcrew_cleaning")
"""What is shipped."""

TABLE_KEYS = {"before", "examined", "deleted", "left", "kept", "bytes_before", "bytes_after", "longest_seconds"}
"""What a report says of a table, at most."""


@dataclass(frozen=True, slots=True)
class Inside:
    """The engine in one environment, for one order."""

    roles: Roles
    environment: Environment
    locks: Locks
    order: Order
    in_vpc: bool

    def ship(self) -> None:
        """Have the DAG in the environment's DAG folder, and the order beside it."""
        Shipping(self.roles, self.environment, "cleanup").ship(source(*FILES))

    def start(self, policy: Policy, bucket: str, seconds: int) -> bool:
        """Start the run, once; False as long as Airflow does not know the DAG yet.

        Args:
            policy: what is to be kept.
            bucket: where the report goes.
            seconds: after which the run stops by itself.
        """
        reach = self._reach
        dag, _ = reach.ask(lambda way: way.dag(DAG_ID))
        if dag is None:
            return False
        order = self._placed(json.dumps(self._order(policy, bucket, seconds), sort_keys=True).encode())
        conf = {"cleanup_id": self.order.cleanup_id, "sha256": hashlib.sha256(order).hexdigest()}
        if dag.is_paused:
            reach.ask(lambda way: way.unpause(DAG_ID))
        # An earlier try may have started it: then Airflow says that it has such a run.
        reach.ask(lambda way: way.start(Start(self._ref, conf, "a clean-up by Groundcrew")))
        return True

    def run(self) -> Run:
        """The run as it is now.

        Raises:
            PermanentError: Airflow does not have it.
        """
        run, _ = self._reach.ask(lambda way: way.run(self._ref))
        if run is None:
            raise PermanentError(
                f"Airflow does not have the run {self._ref.run_id} any more",
                cause="RunRemoved",
                remedy="Look for whoever deleted it.",
            )
        return run

    def report(self, bucket: Bucket) -> dict[str, Any]:
        """What the run has written about itself.

        Raises:
            PermanentError: nothing, or nothing that can be read.
        """
        try:
            _, content = bucket.get(report_key(self.order))
            said = json.loads(content)
            tables = {str(table): _table(about) for table, about in said["tables"].items()}
            return {"tables": tables, "converged": said["converged"] is True}
        except (NotFound, ValueError, KeyError, TypeError, AttributeError) as error:
            raise PermanentError(
                f"the run {self._ref.run_id} has left no report that can be read",
                cause="NoReport",
                remedy=f"Read the log of the DAG {DAG_ID} in the environment; the next clean-up goes on.",
            ) from error

    def _placed(self, order: bytes) -> bytes:
        """The order as it lies in the environment's bucket: what an earlier try has put there stays."""
        ref, key = self.environment.ref, f"groundcrew/cleanup/{self.order.cleanup_id}.json"
        mine = Bucket.of_spoke(self.roles, Role("shipper", ref.account, ref.region), self.environment.bucket)
        try:
            mine.put(key, order, only_new=True)
        except AlreadyExists:
            return mine.get(key)[1]
        return order

    def _order(self, policy: Policy, bucket: str, seconds: int) -> dict[str, Any]:
        return {
            "cleanup_id": self.order.cleanup_id,
            "environment": self.order.environment.as_detail(),
            "mode": "delete" if policy.deletes else "report",
            "policy": dict(policy.document),
            "covered": dict(self.order.covered or {}),
            "budget_seconds": seconds,
            "report": {"bucket": bucket, "key": report_key(self.order)},
        }

    @property
    def _ref(self) -> RunRef:
        return RunRef(DAG_ID, f"groundcrew__{self.order.cleanup_id}", self.order.ordered_at)

    @property
    def _reach(self) -> Reach:
        return Reach(self.roles, self.environment, self.locks, in_vpc=self.in_vpc)


def report_key(order: Order) -> str:
    """Where the environment's execution role may write."""
    return f"extracts/{order.environment}/{order.cleanup_id}/cleanup.json"


def budget(policy: Policy, reason: str, now: datetime) -> int:
    """Seconds that a run may take: the policy's, and no longer than its window is open."""
    if reason != "due" or policy.window is None:
        return policy.seconds_per_run
    return min(policy.seconds_per_run, policy.window.seconds_left(now))


def _table(about: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of a table, without what nobody asked for."""
    found = {key: about[key] for key in TABLE_KEYS if key in about}
    return {"examined": None, "deleted": 0, "left": None, "kept": None} | found
