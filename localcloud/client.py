"""A client of the control door, on the standard library alone: for tests, the demo and the bench."""

import json
import urllib.error
import urllib.request
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class ControlError(Exception):
    """The cloud is not there, or did not understand."""


@dataclass(frozen=True, slots=True)
class Client:
    """One running local cloud; ``endpoint`` is also the AWS endpoint URL of every service."""

    endpoint: str

    def status(self) -> dict[str, Any]:
        """Endpoint, runtime, organization, accounts, now, number of calls."""
        return dict(self._ask("status"))

    def now(self) -> float:
        """The cloud's time, in seconds since the epoch."""
        return float(self._ask("clock")["now"])

    def advance(self, seconds: float, step: float = 60.0) -> float:
        """Turn the clock forward, in steps; returns the new time. What was due in between has begun then."""
        return float(self._ask("clock", advance=seconds, step=step)["now"])

    def add_fault(
        self, *, role: str, action: str, kind: str, nth: int = 1, times: int = 1, seconds: float = 0.0
    ) -> int:
        """See ``localcloud.faults.Fault``; returns the rule's index in ``faults()``."""
        return int(self._ask("faults/add", role=role, action=action, kind=kind, nth=nth, times=times, seconds=seconds))

    def faults(self) -> list[dict[str, Any]]:
        """The rules, each with how many calls it has ``seen`` and how often it ``fired``."""
        return list(self._ask("faults/list"))

    def clear_faults(self) -> None:
        self._ask("faults/clear")

    def next_call(self) -> int:
        """The index the next call will have."""
        return int(self.status()["calls"])

    def calls(self, since: int = 0, role: str = "", action: str = "") -> list[dict[str, Any]]:
        """Calls from an index on, whose role and action contain these regular expressions."""
        return list(self._ask("calls", since=since, role=role, action=action)["calls"])

    def permissions(self, path: str = "/groundcrew/") -> list[dict[str, Any]]:
        """Each action granted to a role under ``path``: role, sid, action, resources, unused_resources, used."""
        return list(self._ask("permissions", path=path))

    def share(self, subnets: Collection[str], accounts: Collection[str]) -> None:
        """Share subnets with accounts, as RAM does."""
        self._ask("share", subnets=list(subnets), accounts=list(accounts))

    def unshare(self, subnets: Collection[str], accounts: Collection[str]) -> None:
        """Withdraw that share."""
        self._ask("unshare", subnets=list(subnets), accounts=list(accounts))

    def put_aws_event(self, account: str, region: str, entry: Mapping[str, Any]) -> None:
        """Put an event with an ``aws.*`` source, which only AWS may send, on an account's default bus."""
        self._ask("event", account=account, region=region, entry=dict(entry))

    def failures(self) -> list[dict[str, Any]]:
        """Deliveries that rules and schedules gave up on: at, source, target, code, message."""
        return list(self._ask("failures"))

    def switch(self, **switches: Any) -> dict[str, Any]:
        """Choose between behaviours that AWS does not document; returns all switches that were set."""
        return dict(self._ask("switches", **switches))

    def session(self, role_arn: str) -> dict[str, str]:
        """Credentials of a role, as the services it trusts would get: AccessKeyId, SecretAccessKey, SessionToken."""
        return dict(self._ask("session", role=role_arn))

    def attach_airflow(
        self,
        environment_arn: str,
        *,
        version: str,
        door: str | None = None,
        dags: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Let an Airflow run in an existing environment of its version: a real one behind a door, else a double.

        ``dags`` are the double's: ``dag_id``, and if they differ from the defaults ``is_paused``,
        ``has_import_errors``, ``seconds`` (how long a run takes) and ``state`` (how it ends).
        """
        self._ask("airflow/attach", environment=environment_arn, version=version, door=door, dags=list(dags))

    def airflow_rows(self, environment_arn: str, rows: Mapping[str, Sequence[float]] | None = None) -> dict[str, int]:
        """How many rows the double has of each table for `db clean`; ``rows`` are new ones, their ages in days."""
        return dict(self._ask("airflow/rows", environment=environment_arn, rows=dict(rows or {})))

    def airflow_runs(self, environment_arn: str) -> list[dict[str, Any]]:
        """The runs of an environment's double, the oldest first: see ``localcloud.model.airflow_state.Run``."""
        return list(self._ask("airflow/runs", environment=environment_arn))

    def publish(self, package: Path, *, domain: str, owner: str, region: str, repository: str) -> str:
        """Put a wheel into a CodeArtifact repository; returns the URL of its index."""
        where = {"domain": domain, "owner": owner, "region": region, "repository": repository}
        return str(self._ask("packages/publish", package=str(package), **where))

    def publish_publicly(self, package: Path) -> str:
        """Put a wheel into the public index, which stands in PyPI's place; returns its URL."""
        return str(self._ask("packages/publish", package=str(package), domain=None))

    def tokens(self) -> dict[str, float]:
        """Every CodeArtifact token that was minted, and when it expires by the cloud's clock: to look for leaks."""
        return dict(self._ask("packages/tokens"))

    def reset(self) -> None:
        """Empty the cloud: resources, calls, faults, time."""
        self._ask("reset")

    def _ask(self, what: str, **request: Any) -> Any:
        url = f"{self.endpoint}/_localcloud/{what}"
        sent = urllib.request.Request(url, json.dumps(request).encode(), {"content-type": "application/json"})
        try:
            with urllib.request.urlopen(sent) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise ControlError(f"{what}: {error.read().decode(errors='replace')}") from error
        except OSError as error:
            raise ControlError(f"{what}: {error}") from error
