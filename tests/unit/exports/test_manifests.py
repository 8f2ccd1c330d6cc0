"""Which manifest is the newest, and what it costs to know."""

import json
from datetime import datetime, timedelta

from groundcrew import manifests
from groundcrew.aws.objects import Bucket
from groundcrew.environment import EnvironmentRef
from tests.support.exports.hub import BUCKET, Hub
from tests.support.stage import HUB, REGION, SPOKE

REF = EnvironmentRef(SPOKE, REGION, "data")


def put(hub: Hub, at: datetime) -> str:
    """A manifest of that time; its export's id."""
    export_id = f"{at:%Y%m%dT%H%M%SZ}-0a1b2c3d"
    said = {"verified": True, "export_id": export_id, "snapshot_at": at.isoformat(), "covered": {}}
    hub.put(manifests.key(REF, export_id), json.dumps(said).encode())
    return export_id


def newest(hub: Hub, made_at: datetime | None = None) -> tuple[str | None, int]:
    """The newest one's export, and how many lists that took."""
    hub.stage.aws.journal.clear()
    found = manifests.newest(Bucket.own(BUCKET, HUB, REGION), REF, made_at, hub.now())
    return found.export_id if found else None, len(hub.stage.aws.calls("s3:ListObjectsV2"))


def test_years_of_manifests_cost_one_list(hub: Hub) -> None:
    made_at = hub.now() - timedelta(days=750)
    for number in range(2500):
        put(hub, made_at + timedelta(hours=1 + 7 * number))
    last = put(hub, hub.now() - timedelta(hours=6))
    assert newest(hub, made_at) == (last, 1)


def test_a_sweep_lists_once(hub: Hub) -> None:
    environment = hub.environment()
    hub.export(environment)
    for _ in range(3):
        hub.stage.aws.journal.clear()
        hub.deliver(hub.observed(environment))
        assert len(hub.stage.aws.calls("s3:ListObjectsV2")) == 1
        hub.stage.pass_time(3600)


def test_what_is_older_than_the_last_days_is_found_all_the_same(hub: Hub) -> None:
    made_at = hub.now() - timedelta(days=100)
    last = put(hub, made_at + timedelta(days=5))
    assert newest(hub, made_at) == (last, 2)
    assert newest(hub) == (last, 2)


def test_what_is_older_than_the_environment_is_not_its_own(hub: Hub) -> None:
    for days in (100, 3):
        put(hub, hub.now() - timedelta(days=days))
    assert newest(hub, hub.now() - timedelta(days=2)) == (None, 1)
    assert newest(hub, hub.now() - timedelta(days=2) - manifests.RECENT)[0] is not None
