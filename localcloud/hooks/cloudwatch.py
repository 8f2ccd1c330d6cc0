"""CloudWatch alarms as documented, the metrics of queues, and alarm state changes as events.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html
"""

import json
import math
from collections.abc import Callable
from typing import Any

from ministack.core.responses import request_scope
from ministack.services import cloudwatch, sqs

from localcloud.cloud import Cloud

Alarm = dict[str, Any]

LATE_SECONDS = 3600  # how far out of order data points may arrive and still count

COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": lambda value, threshold: value >= threshold,
    "GreaterThanThreshold": lambda value, threshold: value > threshold,
    "LessThanThreshold": lambda value, threshold: value < threshold,
    "LessThanOrEqualToThreshold": lambda value, threshold: value <= threshold,
}


def install(cloud: Cloud) -> None:
    alarms = _Alarms(cloud)
    cloudwatch._evaluate_alarm = alarms.evaluate
    cloudwatch._dispatch_alarm_actions = alarms.announce(cloudwatch._dispatch_alarm_actions)
    cloud.clock.on_tick(_QueueMetrics().record)
    cloud.clock.on_tick(lambda _now: _evaluate_everywhere())


def _evaluate_everywhere() -> None:
    for account, region in {key[:2] for key in list(cloudwatch._alarms._data)}:
        with request_scope(account, region):
            cloudwatch._evaluate_all_alarms()


class _Alarms:
    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    def evaluate(self, alarm: Alarm) -> None:
        """M out of the last N periods, of one series, missing ones treated as configured."""
        compare = COMPARISONS.get(alarm.get("ComparisonOperator", ""))
        if compare is None or not alarm.get("MetricName"):
            return
        values = self._periods(alarm)
        threshold, needed = float(alarm["Threshold"]), int(alarm.get("DatapointsToAlarm") or alarm["EvaluationPeriods"])
        breaching = sum(compare(value, threshold) for value in values if value is not None)
        missing = values.count(None)
        treat = alarm.get("TreatMissingData") or "missing"
        if treat == "breaching":
            breaching += missing
        if breaching >= needed:
            self._change(alarm, "ALARM", f"Threshold Crossed: {breaching} datapoints were breaching ({threshold}).")
        elif missing < len(values) or treat in ("notBreaching", "breaching"):
            self._change(alarm, "OK", f"Threshold Crossed: {breaching} of {needed} datapoints were breaching.")
        elif treat == "missing":
            self._change(alarm, "INSUFFICIENT_DATA", "Insufficient Data: no datapoints were received.")

    def announce(self, stock: Any) -> Any:
        """A state change goes to the alarm's actions and, as an event, to the account's default bus.

        https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch-and-eventbridge.html
        """

        def act(alarm: Alarm, old: str, new: str, reason: str) -> None:
            stock(alarm, old, new, reason)
            account, region = alarm["AlarmArn"].split(":")[4], alarm["AlarmArn"].split(":")[3]
            detail = {
                "alarmName": alarm["AlarmName"],
                "state": {"value": new, "reason": reason},
                "previousState": {"value": old},
            }
            entry = {
                "Source": "aws.cloudwatch",
                "DetailType": "CloudWatch Alarm State Change",
                "Resources": [alarm["AlarmArn"]],
                "Detail": json.dumps(detail),
            }
            self.cloud.put_aws_event(account, region, entry)

        return act

    def _periods(self, alarm: Alarm) -> list[float | None]:
        """The statistic of the last N periods, oldest first; the running period counts once it has data."""
        period, count = int(alarm.get("Period") or 60), int(alarm.get("EvaluationPeriods") or 1)
        dimensions = {one["Name"]: one["Value"] for one in alarm.get("Dimensions") or []}
        key = (alarm["Namespace"], alarm["MetricName"], cloudwatch._dims_key(dimensions))
        running = math.floor(self.cloud.clock.now() / period)
        oldest = (running - count) * period - LATE_SECONDS
        by_period: dict[int, list[Any]] = {}
        for point in reversed(cloudwatch._metrics.get(key) or []):
            if point["Timestamp"] < oldest:
                break
            by_period.setdefault(math.floor(point["Timestamp"] / period), []).append(point)
        last = running if running in by_period else running - 1
        return [self._statistic(alarm, by_period.get(number)) for number in range(last - count + 1, last + 1)]

    def _statistic(self, alarm: Alarm, points: list[Any] | None) -> float | None:
        if not points:
            return None
        name = alarm.get("ExtendedStatistic") or alarm.get("Statistic") or "Average"
        value = cloudwatch._stat_value(cloudwatch._calc_stats(points), name, points)
        return None if value is None else float(value)

    def _change(self, alarm: Alarm, new: str, reason: str) -> None:
        old = alarm["StateValue"]
        if old == new:
            return
        alarm.update(StateValue=new, StateReason=reason, StateUpdatedTimestamp=int(self.cloud.clock.now()))
        cloudwatch._record_history(alarm["AlarmName"], old, new, reason)
        cloudwatch._dispatch_alarm_actions(alarm, old, new, reason)
        cloudwatch._evaluate_parent_alarms(alarm)


class _QueueMetrics:
    """What SQS tells CloudWatch, once a minute.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
    """

    def __init__(self) -> None:
        self.minute = 0

    def record(self, now: float) -> None:
        minute = int(now // 60)
        if minute == self.minute:
            return
        self.minute = minute
        for (account, region, _url), queue in list(sqs._queues._data.items()):
            with request_scope(account, region):
                dimensions = {"QueueName": queue["attributes"]["QueueArn"].rsplit(":", 1)[-1]}
                sqs._refresh_counts(queue)
                counts = queue["attributes"]
                oldest = min((message["sent_at"] for message in queue["messages"]), default=now)
                for metric, value, unit in (
                    ("ApproximateNumberOfMessagesVisible", counts["ApproximateNumberOfMessages"], "Count"),
                    ("ApproximateNumberOfMessagesNotVisible", counts["ApproximateNumberOfMessagesNotVisible"], "Count"),
                    ("ApproximateAgeOfOldestMessage", now - oldest, "Seconds"),
                ):
                    cloudwatch.record_metric("AWS/SQS", metric, float(value), unit, dimensions)
