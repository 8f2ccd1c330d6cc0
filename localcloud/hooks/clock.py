"""Moves ministack's services with the cloud's clock, and ticks once a second.

Nothing in ministack is central: each service module reads its own ``time`` and ``datetime``. Giving a module other
ones moves that service alone, so that signatures (SigV4, STS) and function processes keep the real time.
"""

import datetime
import logging
import threading
import time
import types
from typing import Any

from ministack.core.concurrency import esm_wake
from ministack.services import cloudwatch, eventbridge, s3, scheduler, sns, sqs, stepfunctions

from localcloud.cloud import Cloud

TICK_SECONDS = 1.0

log = logging.getLogger("localcloud.clock")


def install(cloud: Cloud) -> None:
    class Time(types.ModuleType):
        time = staticmethod(cloud.clock.now)

        def __getattr__(self, name: str) -> Any:
            return getattr(time, name)

    class Datetime(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Any:
            return datetime.datetime.fromtimestamp(cloud.clock.now(), tz)

    for module in (cloudwatch, eventbridge, scheduler, sns, sqs, stepfunctions):
        if getattr(module, "time", None) is time:
            module.time = Time("time")
        if getattr(module, "datetime", None) is datetime.datetime:
            module.datetime = Datetime
    s3.now_iso = lambda: Datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")  # when objects were put
    # ministack's own tickers come every 10 s, and each by itself
    eventbridge.start_scheduler = scheduler.start_scheduler = lambda: None
    cloud.clock.on_tick(lambda _now: scheduler._tick_schedules())
    cloud.clock.on_tick(lambda _now: eventbridge._tick_scheduled_rules())
    cloud.clock.on_tick(lambda _now: esm_wake.set())


def start_ticking(cloud: Cloud) -> None:
    """Tick in the background from now on; a tick that fails is logged and does not stop the clock."""

    def run() -> None:
        while True:
            time.sleep(TICK_SECONDS)
            try:
                cloud.clock.tick()
            except Exception:
                log.exception("a tick failed")

    threading.Thread(target=run, daemon=True, name="localcloud-clock").start()
