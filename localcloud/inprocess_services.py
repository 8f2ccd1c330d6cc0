"""The small services of the in-process cloud: STS, SSM, EventBridge and SQS, as far as the product calls them."""

import datetime as dt
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from localcloud.model.caller import Caller, Ids
from localcloud.model.errors import AwsError
from localcloud.model.network import Record

_roles: dict[str, str] = {}  # access key -> role; outlives one cloud, because products cache their clients


@dataclass
class SmallServices:
    """What these services were asked, and their answers."""

    events: list[Record]
    parameters: Mapping[str, str]
    ids: Ids
    messages: list[Record] = field(default_factory=list)  # SendMessage requests
    visibilities: list[Record] = field(default_factory=list)  # ChangeMessageVisibility requests

    def principal(self, key: str) -> tuple[str, str]:
        """Account and role (or account again, for its root) behind an access key."""
        if role := _roles.get(key):
            return role.split(":")[4], role
        return key, key

    def key_of(self, role: str) -> str:
        """The access key of a session of this role; always the same."""
        key = "ASIA" + hashlib.sha256(role.encode()).hexdigest()[:16].upper()
        _roles[key] = role
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
                self.messages.append(dict(params))
                digest = hashlib.md5(params["MessageBody"].encode(), usedforsecurity=False).hexdigest()
                return {"MessageId": self.ids.new("", 32), "MD5OfMessageBody": digest}
            case "sqs", "ChangeMessageVisibility":
                self.visibilities.append(dict(params))
                return {}
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
                "AccessKeyId": self.key_of(role),
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

    def _put_events(self, caller: Caller, entries: list[Record]) -> Record:
        if len(entries) > 10:
            raise AwsError("ValidationException", "PutEvents takes at most 10 entries")
        self.events += [{**entry, "account": caller.account, "region": caller.region} for entry in entries]
        return {"FailedEntryCount": 0, "Entries": [{"EventId": self.ids.new("", 32)} for _ in entries]}
