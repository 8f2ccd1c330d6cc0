"""Step Functions: how an execution runs, on the cloud's clock, with the state machine's role.

ministack evaluates paths, templates, choices and JSONata; waiting, retrying, timing out and ending are ours.
https://docs.aws.amazon.com/step-functions/latest/dg/concepts-statemachines.html
"""

import contextvars
import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ministack.core.responses import request_scope
from ministack.services import cloudwatch, stepfunctions

from localcloud.cloud import Cloud
from localcloud.hooks import asl

# https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
MAX_EVENTS = 25_000
MAX_PAYLOAD_BYTES = 256 * 1024
MAX_EVENT_PAYLOAD_BYTES = 248 * 1024
REDRIVABLE_SECONDS = 14 * 86400
SETTLE_SECONDS = 2.0  # real time that a step of the clock waits for what a task calls
CALLS_AT_ONCE = 4  # of tasks; each may take a process, and AWS's thousand are too many here

Record = dict[str, Any]
ENDS = {  # status -> type and details of the last event, metric
    "SUCCEEDED": ("ExecutionSucceeded", "executionSucceededEventDetails", "ExecutionsSucceeded"),
    "FAILED": ("ExecutionFailed", "executionFailedEventDetails", "ExecutionsFailed"),
    "TIMED_OUT": ("ExecutionTimedOut", "executionTimedOutEventDetails", "ExecutionsTimedOut"),
    "ABORTED": ("ExecutionAborted", "executionAbortedEventDetails", "ExecutionsAborted"),
}

log = logging.getLogger("localcloud.executions")


class Ended(SystemExit):
    """The execution is over while one of its threads still worked; a thread ends silently with it."""


@dataclass(eq=False)
class Run:
    """One execution: it keeps the definition and the role it was started with.

    https://docs.aws.amazon.com/step-functions/latest/apireference/API_UpdateStateMachine.html
    """

    record: Record  # ministack's
    definition: Record
    role: str
    account: str
    region: str
    state: str | None  # where it is; a redrive goes on from here
    data: Any  # the input of that state
    deadline: float = float("inf")
    due: float | None = None  # when it goes on, while it waits
    busy_since: float = field(default_factory=time.monotonic)
    redrives: int = 0
    redriven_at: str | None = None

    @property
    def running(self) -> bool:
        return bool(self.record["status"] == "RUNNING")


_current: contextvars.ContextVar[Run] = contextvars.ContextVar("run")


def current() -> Run:
    """The execution this thread works for."""
    return _current.get()


class Executions:
    """All executions of the cloud, each in a thread of its own."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.runs: dict[str, Run] = {}
        self.turned = threading.Condition(threading.RLock())  # the clock was turned, or a run came to rest
        self._calls = threading.Semaphore(CALLS_AT_ONCE)

    def start(self, run: Run) -> None:
        """Run an execution from the state it is in; also after a redrive."""
        timeout = run.definition.get("TimeoutSeconds")
        run.deadline = self.cloud.clock.now() + float(timeout) if timeout else float("inf")
        run.busy_since = time.monotonic()
        self.runs[run.record["executionArn"]] = run
        self._announce(run)
        # a fresh context: nothing here is done as who started the execution
        threading.Thread(target=self._walk, args=(run,), daemon=True, name="localcloud-execution").start()

    def end(self, run: Run, status: str, error: str | None = None, cause: str | None = None) -> bool:
        """End an execution, unless something else was faster."""
        kind, details, metric = ENDS[status]
        with self.turned:
            if not run.running:
                return False
            output = json.dumps(run.data) if status == "SUCCEEDED" else None
            facts = {"output": output} if output else {"error": error, "cause": cause}
            run.record.update(status=status, stopDate=self.stamp(), output=output, error=error, cause=cause)
            add_event(run.record, kind, {details: {key: value for key, value in facts.items() if value is not None}})
            self.turned.notify_all()
        with request_scope(run.account, run.region):
            self.measure(run, metric)
            self._announce(run)
        return True

    def pause(self, seconds: float) -> None:
        """Sleep on the cloud's clock; raises ``Ended`` if the execution ends meanwhile."""
        run, now = current(), self.cloud.clock.now
        with self.turned:
            due = run.due = now() + seconds
            self.turned.notify_all()
            while run.running and (left := due - now()) > 0:
                self.turned.wait(left)
            run.due, run.busy_since = None, time.monotonic()
        if not run.running:
            raise Ended

    @contextmanager
    def calling(self) -> Iterator[None]:
        """Do something as a task, when it is its turn; raises ``Ended`` if the execution ended before."""
        run = current()
        run.busy_since = float("inf")  # it waits for its turn
        with self._calls:
            run.busy_since = time.monotonic()
            if not run.running:
                raise Ended
            yield

    def tick(self, now: float) -> None:
        for run in [one for one in list(self.runs.values()) if one.running and one.deadline <= now]:
            self.end(run, "TIMED_OUT")
        with self.turned:
            self.turned.notify_all()

    def settle(self) -> None:
        """Wait until every execution waits for a later time; not for functions that take long."""

        def at_rest(run: Run) -> bool:
            waits = run.due is not None and run.due > self.cloud.clock.now()
            return waits or not run.running or time.monotonic() - run.busy_since > SETTLE_SECONDS

        with self.turned:
            while not all(map(at_rest, list(self.runs.values()))):
                self.turned.wait(0.1)

    def forget(self) -> None:
        """Every execution is gone, without an end."""
        with self.turned:
            for run in self.runs.values():
                run.record["status"] = "ABORTED"
            self.runs.clear()
            self.turned.notify_all()

    def stamp(self) -> str:
        return str(stepfunctions.now_iso())

    def measure(self, run: Run, metric: str) -> None:
        """https://docs.aws.amazon.com/step-functions/latest/dg/procedure-cw-metrics.html"""
        dimensions = {"StateMachineArn": run.record["stateMachineArn"]}
        cloudwatch.record_metric("AWS/States", metric, 1.0, "Count", dimensions)

    def redrivable(self, run: Run) -> str | None:
        """Why an execution cannot be redriven; None if it can."""
        record = run.record
        if record["status"] in ("RUNNING", "SUCCEEDED"):
            return f"Execution is {record['status']} and cannot be redriven"
        stopped = stepfunctions._timestamp_response_value(record["stopDate"])
        if self.cloud.clock.now() - stopped > REDRIVABLE_SECONDS:
            return "Execution redrivable period exceeded"
        return "Execution history event limit exceeded" if len(record["events"]) >= MAX_EVENTS else None

    def _walk(self, run: Run) -> None:
        _current.set(run)
        context = {
            "QueryLanguage": run.definition.get("QueryLanguage", "JSONPath"),
            "Execution": {
                "Id": run.record["executionArn"],
                "Input": json.loads(run.record["input"]),
                "Name": run.record["name"],
                "RoleArn": run.role,
                "StartTime": run.record["startDate"],
                "RedriveCount": run.redrives,
            },
            "StateMachine": {
                "Id": run.record["stateMachineArn"],
                "Name": run.record["stateMachineArn"].rsplit(":", 1)[-1],
            },
            "variables": {},
        }
        with request_scope(run.account, run.region):
            try:
                while run.state:
                    self._step(run, context)
                self.end(run, "SUCCEEDED")
            except stepfunctions._ExecutionError as error:
                self.end(run, "FAILED", error.error, error.cause)
            except Exception as error:
                log.exception("%s failed", run.record["executionArn"])
                self.end(run, "FAILED", "States.Runtime", str(error))

    def _step(self, run: Run, context: Record) -> None:
        name = str(run.state)
        state = run.definition["States"][name]
        self._go_on(run)
        context["State"] = {"Name": name, "EnteredTime": self.stamp(), "RetryCount": 0}
        kind = state["Type"]
        add_event(
            run.record,
            f"{kind}StateEntered",
            {"stateEnteredEventDetails": {"name": name, "input": json.dumps(run.data)}},
        )
        output, following = asl.handler(kind)(state, run.data, run.record, context)
        text = json.dumps(output)
        if len(text.encode()) > MAX_PAYLOAD_BYTES:
            raise stepfunctions._ExecutionError(
                "States.DataLimitExceeded",
                f"The state/task '{name}' returned a result with a size exceeding the maximum number of bytes.",
            )
        self._go_on(run)
        add_event(run.record, f"{kind}StateExited", {"stateExitedEventDetails": {"name": name, "output": text}})
        run.state, run.data = following, output

    def _go_on(self, run: Run) -> None:
        """A transition: where an execution ends whose state machine is deleted.

        https://docs.aws.amazon.com/step-functions/latest/apireference/API_DeleteStateMachine.html
        """
        if run.record["stateMachineArn"] not in stepfunctions._state_machines:
            self.end(run, "ABORTED")
        if not run.running:
            raise Ended

    def _announce(self, run: Run) -> None:
        """https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html"""
        record, why = run.record, self.redrivable(run)
        failed = record["status"] in ("FAILED", "TIMED_OUT", "ABORTED")
        detail = {
            **{key: record[key] for key in ("executionArn", "stateMachineArn", "name", "status")},
            **{key: stepfunctions._iso_to_epoch_ms(record[key]) for key in ("startDate", "stopDate")},
            **_payload("input", record["input"]),
            **_payload("output", record["output"]),
            "error": record.get("error") if failed else None,
            "cause": record.get("cause") if failed else None,
            "redriveCount": run.redrives,
            "redriveDate": stepfunctions._iso_to_epoch_ms(run.redriven_at),
            "redriveStatus": "NOT_REDRIVABLE" if why else "REDRIVABLE",
            "redriveStatusReason": why,
        }
        entry = {
            "Source": "aws.states",
            "DetailType": "Step Functions Execution Status Change",
            "Resources": [record["executionArn"]],
            "Detail": json.dumps(detail),
        }
        self.cloud.put_aws_event(run.account, run.region, entry)


def add_event(record: Record, kind: str, details: Record | None = None) -> Record:
    """A line of the history; the execution fails when it becomes too long."""
    events = record["events"]
    if len(events) >= MAX_EVENTS - 1 and kind not in {end[0] for end in ENDS.values()}:
        raise stepfunctions._ExecutionError(
            "States.Runtime", f"The execution reached the maximum number of history events ({MAX_EVENTS})."
        )
    event = {"id": len(events) + 1, "previousEventId": len(events), "type": kind, "timestamp": stepfunctions.now_iso()}
    events.append({**event, **(details or {})})
    return dict(events[-1])


def _payload(name: str, text: str | None) -> Record:
    fits = len(text or "") <= MAX_EVENT_PAYLOAD_BYTES
    return {name: text if fits else None, f"{name}Details": {"included": fits} if text is not None else None}
