"""The small services of the in-process cloud, as far as the product calls them: STS, SSM, EventBridge, SQS, states."""

import datetime as dt
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from localcloud.inprocess.packages import SessionRights
from localcloud.inprocess.secrets import Secrets
from localcloud.inprocess.tables import Tables
from localcloud.model.caller import Caller, Ids
from localcloud.model.errors import AwsError
from localcloud.model.network import Record
from localcloud.protocol import query


@dataclass(frozen=True, slots=True)
class Session:
    """A role's session: its session policy (JSON) narrows what the role may do, ``until`` is by the real clock."""

    role: str
    policy: str = ""
    until: float | None = None


_sessions: dict[str, Session] = {}  # by access key; outlives one cloud, because products cache their clients


@dataclass
class SmallServices:
    """What these services were asked, and their answers."""

    events: list[Record]
    parameters: Mapping[str, str]
    ids: Ids
    messages: list[Record] = field(default_factory=list)  # what was sent, each with its `QueueUrl`
    visibilities: list[Record] = field(default_factory=list)  # ChangeMessageVisibility requests
    refused_entries: set[str] = field(default_factory=set)  # ids that SendMessageBatch does not take
    tables: Tables = field(default_factory=Tables)
    secrets: Secrets = field(default_factory=Secrets)
    executions: dict[str, Record] = field(default_factory=dict)  # by ARN: StartExecution requests, each with `status`

    def principal(self, key: str) -> tuple[str, str]:
        """Account and role (or account again, for its root) behind an access key."""
        if session := _sessions.get(key):
            return session.role.split(":")[4], session.role
        return key, key

    def rights(self, key: str) -> SessionRights:
        """What the owner of an access key may do in CodeArtifact."""
        account, principal = self.principal(key)
        session = _sessions.get(key, Session(principal))
        remaining = None if session.until is None else session.until - time.time()
        return SessionRights(principal, account, session.policy, remaining)

    def key_of(self, role: str, policy: str = "", until: float | None = None) -> str:
        """The access key of a session of this role; always the same for the same session policy."""
        key = "ASIA" + hashlib.sha256((role + policy).encode()).hexdigest()[:16].upper()
        _sessions[key] = Session(role, policy, until)
        return key

    def call(self, service: str, name: str, caller: Caller, params: Mapping[str, Any]) -> Record:
        """Run one operation; NotImplementedError for one that the product is not known to call."""
        match service, name:
            case "sts", "AssumeRole":
                return self._assume_role(params)
            case "sts", "GetCallerIdentity":
                return {"Account": caller.account, "Arn": caller.arn("iam", "root"), "UserId": caller.account}
            case "ssm", "GetParameter":
                return self._parameter(caller, params["Name"])
            case "events", "PutEvents":
                return self._put_events(caller, params["Entries"])
            case "sqs", "SendMessage":
                return self._send(params["QueueUrl"], params)
            case "sqs", "SendMessageBatch":
                return self._send_batch(params["QueueUrl"], params["Entries"])
            case "sqs", "ChangeMessageVisibility":
                self.visibilities.append(dict(params))
                return {}
            case "dynamodb", "PutItem" | "DeleteItem":
                return self.tables.call(name, caller, params)
            case "secretsmanager", _:
                return self.secrets.call(name, caller, params)
            case "states", "StartExecution":
                return self._start_execution(caller, params)
            case _:
                raise NotImplementedError(f"{service}:{name} has no answer in process")

    def _assume_role(self, params: Mapping[str, Any]) -> Record:
        role = params["RoleArn"]
        account, name = role.split(":")[4], role.rsplit("/", 1)[-1]
        session = params["RoleSessionName"]
        # credentials live by the real clock: the SDK compares it with their expiry
        expiry = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=int(params.get("DurationSeconds", 3600)))
        return {
            "Credentials": {
                "AccessKeyId": self.key_of(role, params.get("Policy", ""), expiry.timestamp()),
                "SecretAccessKey": "in-process",
                "SessionToken": "in-process",
                "Expiration": expiry.isoformat(),
            },
            "AssumedRoleUser": {
                "AssumedRoleId": f"AROA:{session}",
                "Arn": f"arn:aws:sts::{account}:assumed-role/{name}/{session}",
            },
        }

    def _parameter(self, caller: Caller, name: str) -> Record:
        if name not in self.parameters:
            raise AwsError("ParameterNotFound", f"Parameter {name} not found.")
        arn = caller.arn("ssm", f"parameter{name}")
        parameter = {"Name": name, "Type": "String", "Value": self.parameters[name], "Version": 1, "ARN": arn}
        return {"Parameter": parameter}

    def _send(self, url: str, message: Mapping[str, Any]) -> Record:
        self.messages.append({**message, "QueueUrl": url})
        digest = hashlib.md5(message["MessageBody"].encode(), usedforsecurity=False).hexdigest()
        return {"MessageId": self.ids.new("", 32), "MD5OfMessageBody": digest}

    def _send_batch(self, url: str, entries: list[Record]) -> Record:
        if len(entries) > 10:
            raise AwsError("AWS.SimpleQueueService.TooManyEntriesInBatchRequest", "at most 10 entries")
        if sum(len(entry["MessageBody"].encode()) for entry in entries) > 262_144:  # 1 MiB since 2025
            raise AwsError("AWS.SimpleQueueService.BatchRequestTooLong", "at most 262144 bytes")
        taken = [entry for entry in entries if entry["Id"] not in self.refused_entries]
        refused = [
            {"Id": entry["Id"], "Code": "InternalError", "Message": "refused on purpose", "SenderFault": False}
            for entry in entries
            if entry["Id"] in self.refused_entries
        ]
        return {"Successful": [{"Id": entry["Id"], **self._send(url, entry)} for entry in taken], "Failed": refused}

    def _start_execution(self, caller: Caller, params: Mapping[str, Any]) -> Record:
        """The same start again is the same execution, while it runs.

        https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
        """
        machine, name = params["stateMachineArn"], params.get("name") or self.ids.new("", 32)
        arn = f"{machine.replace(':stateMachine:', ':execution:')}:{name}"
        known = self.executions.get(arn)
        if known and (known["status"], known["input"]) != ("RUNNING", params.get("input", "{}")):
            raise AwsError("ExecutionAlreadyExists", f"Execution Already Exists: '{arn}'")
        if known is None:
            facts = {"stateMachineArn": machine, "name": name, "input": params.get("input", "{}"), "status": "RUNNING"}
            known = self.executions[arn] = {**facts, "account": caller.account, "startDate": time.time()}
        return {"executionArn": arn, "startDate": known["startDate"]}

    def _put_events(self, caller: Caller, entries: list[Record]) -> Record:
        if len(entries) > 10:
            raise AwsError("ValidationException", "PutEvents takes at most 10 entries")
        self.events += [{**entry, "account": caller.account, "region": caller.region} for entry in entries]
        return {"FailedEntryCount": 0, "Entries": [{"EventId": self.ids.new("", 32)} for _ in entries]}


def delivery(account: str, region: str, entry: Record, event_id: str, now: float) -> Record:
    """An entry with an ``aws.*`` source as EventBridge delivers it."""
    return {
        "version": "0",
        "id": event_id,
        "detail-type": entry["DetailType"],
        "source": entry["Source"],
        "account": account,
        "time": query.iso(now),
        "region": region,
        "resources": entry["Resources"],
        "detail": json.loads(entry["Detail"]),
    }
