"""The control door, /_localcloud/<what>: time, faults, the call log, and what AWS itself would do or see.

Every answer is JSON; ``client.py`` has a typed method for each.
"""

import datetime as dt
import json
import re
import secrets
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ministack import app as ministack
from ministack.core import iam_evaluator
from ministack.services import iam, sts

from localcloud.backend import Door
from localcloud.cloud import Cloud
from localcloud.faults import Fault
from localcloud.model.airflow import Airflow
from localcloud.model.caller import Caller
from localcloud.model.environment import Environment
from localcloud.model.errors import AwsError
from localcloud.model.front_door import FrontDoor
from localcloud.packages import PackageIndex

if TYPE_CHECKING:
    from collections.abc import Callable

Request = dict[str, Any]


class Control:
    """Answers the control door; not part of the cloud's own API, so nothing here is authorized."""

    def __init__(self, cloud: Cloud, facts: Request, airflows: FrontDoor, packages: PackageIndex) -> None:
        self.cloud = cloud
        self.facts = facts
        self.airflows = airflows
        self.packages = packages
        self.doors: dict[str, Callable[[Request], Any]] = {
            "status": self._status,
            "clock": self._clock,
            "faults/add": self._add_fault,
            "faults/list": lambda _request: [asdict(fault) for fault in cloud.faults.rules()],
            "faults/clear": lambda _request: cloud.faults.clear(),
            "calls": self._calls,
            "permissions": self._permissions,
            "share": self._share,
            "unshare": self._unshare,
            "event": self._event,
            "failures": lambda _request: [asdict(failure) for failure in cloud.failures],
            "session": self._session,
            "switches": self._switches,
            "airflow/attach": self._attach_airflow,
            "airflow/rows": self._airflow_rows,
            "airflow/runs": self._airflow_runs,
            "packages/publish": self._publish,
            "packages/tokens": lambda _request: self._tokens(),
            "reset": self._reset,
        }

    def answer(self, what: str, body: bytes) -> tuple[int, bytes]:
        """HTTP status and JSON for a request to /_localcloud/``what``."""
        door = self.doors.get(what)
        if door is None:
            return 404, json.dumps({"error": f"no such door: {what}", "doors": sorted(self.doors)}).encode()
        try:
            return 200, json.dumps(door(json.loads(body or b"{}"))).encode()
        except (KeyError, TypeError, ValueError) as error:
            return 400, json.dumps({"error": f"{type(error).__name__}: {error}"}).encode()

    def _status(self, _request: Request) -> Request:
        return {
            **self.facts,
            "organization": self.cloud.organization,
            "accounts": sorted(self.cloud.accounts),
            "now": self.cloud.clock.now(),
            "calls": len(self.cloud.calls),
        }

    def _clock(self, request: Request) -> Request:
        if seconds := request.get("advance"):
            self.cloud.clock.advance(float(seconds), float(request.get("step", 60)))
        return {"now": self.cloud.clock.now(), "offset": self.cloud.clock.offset}

    def _add_fault(self, request: Request) -> int:
        re.compile(request["role"]), re.compile(request["action"])
        return self.cloud.faults.add(Fault(**request))

    def _calls(self, request: Request) -> Request:
        since = int(request.get("since", 0))
        role, action = re.compile(request.get("role", "")), re.compile(request.get("action", ""))
        calls = self.cloud.calls.since(since)
        found = [asdict(call) for call in calls if role.search(call.principal) and action.search(call.action)]
        return {"next": since + len(calls), "calls": found}

    def _permissions(self, request: Request) -> list[Request]:
        """Every action granted to a role under the path, and whether an allowed call used it."""
        path = request.get("path", "/groundcrew/")
        used = [call for call in self.cloud.calls.since(0) if call.allowed]
        rows = []
        for (account, _name), role in sorted(iam._roles._data.items()):
            if not role["Arn"].partition(":role")[2].startswith(path):
                continue
            mine = [call for call in used if call.principal == role["Arn"]]
            for statements in iam_evaluator._gather_role_policies(role["RoleName"], account):
                for statement in statements:
                    if statement.effect == "Allow":
                        rows += [self._grant(role["Arn"], statement, action, mine) for action in statement.actions]
        return rows

    def _grant(self, role: str, statement: Any, action: str, calls: list[Any]) -> Request:
        uses = [
            call
            for call in calls
            if iam_evaluator.fnmatch_iam(call.action, action)
            and iam_evaluator._resource_matches(call.resource, statement.resources, statement.not_resources)
        ]
        return {
            "role": role,
            "sid": statement.sid,
            "action": action,
            "resources": statement.resources,
            "unused_resources": [
                one
                for one in statement.resources
                if not any(iam_evaluator.fnmatch_iam_cs(use.resource, one) for use in uses)
            ],
            "used": len(uses),
        }

    def _share(self, request: Request) -> Request:
        for subnet in request["subnets"]:
            self.cloud.shares[subnet] |= set(request["accounts"])
        return {subnet: sorted(accounts) for subnet, accounts in self.cloud.shares.items()}

    def _unshare(self, request: Request) -> None:
        for subnet in request["subnets"]:
            self.cloud.shares[subnet] -= set(request["accounts"])

    def _event(self, request: Request) -> None:
        self.cloud.put_aws_event(request["account"], request["region"], request["entry"])

    def _session(self, request: Request) -> Request:
        role = request["role"]
        account, name = role.split(":")[4], role.rsplit("/", 1)[-1]
        if (iam._roles.get_scoped(account, None, name) or {}).get("Arn") != role:
            raise ValueError(f"{role} does not exist")
        key, secret, token = f"ASIA{secrets.token_hex(8).upper()}", secrets.token_hex(20), secrets.token_hex(32)
        session = {"Arn": f"arn:aws:sts::{account}:assumed-role/{name}/control", "UserId": f"{name}:control"}
        sts.register_session(key, {**session, "SecretAccessKey": secret, "SessionToken": token})
        return {"AccessKeyId": key, "SecretAccessKey": secret, "SessionToken": token}

    def _switches(self, request: Request) -> Request:
        self.cloud.switches.update(request)
        return dict(self.cloud.switches)

    def _attach_airflow(self, request: Request) -> None:
        environment = self._environment(request["environment"])
        dags, version = request["dags"], request["version"]
        double = Airflow(version, self.cloud.clock.now, dags) if request["door"] is None else None
        self.airflows.attach(environment, double or Door(request["door"]))

    def _airflow_rows(self, request: Request) -> dict[str, int]:
        airflow, now = self._double(request), self.cloud.clock.now()
        for table, days in request["rows"].items():
            ages = [dt.datetime.fromtimestamp(now - age * 86_400, dt.UTC) for age in days]
            airflow.state.rows.tables.setdefault(table, []).extend(ages)
        return {table: len(ages) for table, ages in airflow.state.rows.tables.items()}

    def _airflow_runs(self, request: Request) -> list[Request]:
        return [run.record() for run in self._double(request).runs()]

    def _double(self, request: Request) -> Airflow:
        airflow = self.airflows.airflow(self._environment(request["environment"]))
        if not isinstance(airflow, Airflow):
            raise ValueError("a real Airflow answers for itself")
        return airflow

    def _environment(self, arn: str) -> Environment:
        _, _, _, region, account, resource = arn.split(":")
        try:
            return self.airflows.mwaa.get(Caller(account, region), resource.removeprefix("environment/"))
        except AwsError as error:
            raise ValueError(str(error)) from error

    def _publish(self, request: Request) -> str:
        package = Path(request["package"])
        if request["domain"] is None:
            return self.packages.publish(package)
        domain = self.packages.model.find(request["owner"], request["region"], request["domain"])
        return self.packages.publish(package, request["repository"], domain)

    def _tokens(self) -> dict[str, float]:
        return {text: token.until for text, token in self.packages.model.tokens().items()}

    def _reset(self, _request: Request) -> None:
        ministack._reset_all_state()
        self.cloud.reset()
