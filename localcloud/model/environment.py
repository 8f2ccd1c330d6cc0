"""One MWAA environment: its fields, its ARN, what GetEnvironment and its status events say.

Shapes and enumerations: botocore's mwaa model. The ``detail`` of the event is documented nowhere, hence three forms
of it.
"""

from dataclasses import dataclass, field
from typing import Any

from localcloud.backend import Backend
from localcloud.model.caller import Caller
from localcloud.model.network import Record

DETAIL_TYPE = "MWAA Environment Status Change"  # EventBridge reference, "Amazon MWAA events"
WEBSERVER_PORT = 443
DATABASE_PORT = 5432

_DEFAULTS: Record = {
    "AirflowVersion": "3.3.1",
    "EnvironmentClass": "mw1.small",
    "MaxWorkers": 10,
    "MinWorkers": 1,
    "MaxWebservers": 2,
    "MinWebservers": 2,
    "Schedulers": 2,
    "WebserverAccessMode": "PUBLIC_ONLY",
    "EndpointManagement": "SERVICE",
    "WeeklyMaintenanceWindowStart": "SUN:03:30",
}


@dataclass(slots=True)
class Environment:
    """One environment; ``due`` is when its current step ends, None while it waits or rests."""

    caller: Caller
    name: str
    owner: str  # the account that owns its subnets
    created: float
    settings: Record  # what CreateEnvironment and UpdateEnvironment were given
    queue: str
    hostname: str
    status: str = "CREATING"
    due: float | None = None
    pending_since: float | None = None
    resuming: bool = False  # past PENDING, or without need for it
    updating: bool = False
    database_service: str | None = None
    webserver_service: str | None = None
    updated: float | None = None
    tags: dict[str, str] = field(default_factory=dict)
    error: str | None = None
    managed: list[str] = field(default_factory=list)  # endpoints MWAA made for itself (EndpointManagement SERVICE)
    airflow: Backend | None = None  # what runs in it

    @property
    def arn(self) -> str:
        return self.caller.arn("airflow", f"environment/{self.name}")

    @property
    def subnets(self) -> list[str]:
        return list(self.settings["NetworkConfiguration"]["SubnetIds"])

    @property
    def groups(self) -> list[str]:
        return list(self.settings["NetworkConfiguration"]["SecurityGroupIds"])

    @property
    def customer_managed(self) -> bool:
        return bool(self.setting("EndpointManagement") == "CUSTOMER")

    def setting(self, name: str) -> Any:
        return self.settings.get(name, _DEFAULTS.get(name))

    def needs_webserver_endpoint(self, public_and_private: str) -> bool:
        """Must the customer make the web server's endpoint? ``public_and_private``: who makes it in that mode."""
        mode = self.setting("WebserverAccessMode")
        return mode == "PRIVATE_ONLY" or (mode == "PUBLIC_AND_PRIVATE" and public_and_private == "customer")

    def record(self) -> Record:
        """The environment as GetEnvironment shows it."""
        logging = {
            kind: {"Enabled": False, "LogLevel": "INFO", **given}
            for kind, given in self.settings.get("LoggingConfiguration", {}).items()
        }
        return {
            **_DEFAULTS,
            **self.settings,
            "Name": self.name,
            "Arn": self.arn,
            "Status": self.status,
            "CreatedAt": self.created,
            "WebserverUrl": self.hostname,
            "ServiceRoleArn": f"arn:aws:iam::{self.caller.account}:role/aws-service-role/airflow.amazonaws.com/"
            "AWSServiceRoleForAmazonMWAA",
            "LoggingConfiguration": logging,
            "LastUpdate": self._last_update(),
            "Tags": dict(self.tags),
            "CeleryExecutorQueue": self.queue,
            "DatabaseVpcEndpointService": self.database_service,
            "WebserverVpcEndpointService": self.webserver_service,
        }

    def _last_update(self) -> Record:
        status = {"CREATE_FAILED": "FAILED", "UPDATE_FAILED": "FAILED", "AVAILABLE": "SUCCESS"}.get(
            self.status, "PENDING"
        )
        error = {"ErrorCode": "INCORRECT_CONFIGURATION", "ErrorMessage": self.error} if self.error else None
        return {"Status": status, "CreatedAt": self.updated or self.created, "Error": error}

    def event(self, detail_form: str, status: str) -> Record:
        """A status event as a PutEvents entry; ``detail_form`` is lowerCamel, UpperCamel or minimal."""
        detail: Record = {"status": status}
        if detail_form != "minimal":
            detail |= {
                "name": self.name,
                "celeryExecutorQueue": self.queue,
                "databaseVpcEndpointService": self.database_service,
                "webserverVpcEndpointService": self.webserver_service,
                "webserverAccessMode": self.setting("WebserverAccessMode"),
                "endpointManagement": self.setting("EndpointManagement"),
                "networkConfiguration": {"subnetIds": self.subnets, "securityGroupIds": self.groups},
            }
        if detail_form == "UpperCamel":
            detail = _upper(detail)
        return {"Source": "aws.airflow", "DetailType": DETAIL_TYPE, "Resources": [self.arn], "Detail": detail}


def _upper(detail: Record) -> Record:
    return {
        key[:1].upper() + key[1:]: _upper(value) if isinstance(value, dict) else value for key, value in detail.items()
    }
