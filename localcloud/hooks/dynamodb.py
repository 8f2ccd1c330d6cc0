"""DynamoDB: what CloudFormation leaves out of a table, or takes over from another.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-dynamodb-table.html
"""

from typing import Any

from ministack.services import dynamodb
from ministack.services.cloudformation import provisioners

Properties = dict[str, Any]


def install() -> None:
    handlers = provisioners._RESOURCE_HANDLERS["AWS::DynamoDB::Table"]
    create, update = handlers["create"], handlers["update"]

    def created(logical_id: str, properties: Properties, stack: str) -> Any:
        if (name := properties.get("TableName")) in dynamodb._tables:
            raise ValueError(f"Resource handler returned message: Table already exists: {name}")
        made = create(logical_id, properties, stack)
        dynamodb._ttl_settings.pop(made[0], None)  # of a table that had this name
        _expire(made[0], {}, properties)
        return made

    def updated(physical_id: str, old: Properties, new: Properties, *rest: Any, **named: Any) -> Any:
        changed = update(physical_id, old, new, *rest, **named)
        _expire(changed[0], old if changed[0] == physical_id else {}, new)
        return changed

    handlers.update(create=created, update=updated)


def _expire(table: str, old: Properties, new: Properties) -> None:
    before, wanted = old.get("TimeToLiveSpecification"), new.get("TimeToLiveSpecification")
    if before == wanted:
        return
    specification = wanted or {**(before or {}), "Enabled": False}
    status, _headers, body = dynamodb._update_ttl({"TableName": table, "TimeToLiveSpecification": specification})
    if status >= 400:
        raise ValueError(f"Resource handler returned message: {body!r}")
