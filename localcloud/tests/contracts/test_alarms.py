"""Alarms on a clock that can be turned.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html
"""

import json
from typing import Any

import pytest

from localcloud.testing.served import HUB, LocalCloud, allow, policy, unique


class Alarm:
    def __init__(self, cloud: LocalCloud, **settings: Any) -> None:
        self.cloud, self.name, self.metric = cloud, unique("alarm"), unique("Metric")
        self.cloudwatch = cloud.client("cloudwatch")
        defaults = {
            "Namespace": "Test",
            "MetricName": self.metric,
            "Statistic": "Sum",
            "Period": 60,
            "EvaluationPeriods": 1,
            "Threshold": 0,
            "ComparisonOperator": "GreaterThanThreshold",
        }
        self.cloudwatch.put_metric_alarm(AlarmName=self.name, **{**defaults, **settings})

    def put(self, value: float, **dimensions: str) -> None:
        named = [{"Name": name, "Value": text} for name, text in dimensions.items()]
        datum = {"MetricName": self.metric, "Value": value, "Dimensions": named, "Timestamp": self.cloud.control.now()}
        self.cloudwatch.put_metric_data(Namespace="Test", MetricData=[datum])

    def state(self) -> str:
        self.cloud.control.advance(0.001)
        return str(self.cloudwatch.describe_alarms(AlarmNames=[self.name])["MetricAlarms"][0]["StateValue"])


def test_an_alarm_recovers_when_nothing_more_happens(cloud: LocalCloud) -> None:
    alarm = Alarm(cloud, TreatMissingData="notBreaching")
    assert alarm.state() == "OK"
    alarm.put(1)
    assert alarm.state() == "ALARM"
    cloud.control.advance(180)
    assert alarm.state() == "OK"


@pytest.mark.parametrize(
    ("treatment", "state"),
    [("missing", "INSUFFICIENT_DATA"), ("ignore", "ALARM"), ("breaching", "ALARM"), ("notBreaching", "OK")],
)
def test_missing_data_counts_as_configured(cloud: LocalCloud, treatment: str, state: str) -> None:
    alarm = Alarm(cloud, TreatMissingData=treatment)
    alarm.put(1)
    assert alarm.state() == "ALARM"
    cloud.control.advance(180)
    assert alarm.state() == state


def test_an_alarm_watches_one_series(cloud: LocalCloud) -> None:
    alarm = Alarm(cloud, Dimensions=[{"Name": "Part", "Value": "a"}])
    alarm.put(1, Part="b")
    alarm.put(1)
    assert alarm.state() == "INSUFFICIENT_DATA"
    alarm.put(1, Part="a")
    assert alarm.state() == "ALARM"


def test_m_of_n_periods(cloud: LocalCloud) -> None:
    alarm = Alarm(cloud, EvaluationPeriods=3, DatapointsToAlarm=2, TreatMissingData="notBreaching")
    alarm.put(1)
    assert alarm.state() == "OK"
    cloud.control.advance(60)
    assert alarm.state() == "OK"
    alarm.put(1)
    assert alarm.state() == "ALARM"


def test_the_statistic_is_that_of_the_period(cloud: LocalCloud) -> None:
    alarm = Alarm(cloud, Statistic="Maximum", Threshold=5, Period=3600)
    alarm.put(3)
    alarm.put(3)
    assert alarm.state() == "OK"
    alarm.put(6)
    assert alarm.state() == "ALARM"


def test_queues_have_metrics(cloud: LocalCloud) -> None:
    """https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html"""
    url, arn = cloud.queue()
    dimensions = [{"Name": "QueueName", "Value": arn.rsplit(":", 1)[-1]}]
    watched = {"Namespace": "AWS/SQS", "Dimensions": dimensions, "Statistic": "Maximum"}
    depth = Alarm(cloud, MetricName="ApproximateNumberOfMessagesVisible", **watched)
    age = Alarm(cloud, MetricName="ApproximateAgeOfOldestMessage", Threshold=600, **watched)
    cloud.control.advance(60)
    assert (depth.state(), age.state()) == ("OK", "OK")
    cloud.client("sqs").send_message(QueueUrl=url, MessageBody="x")
    cloud.control.advance(120)
    assert (depth.state(), age.state()) == ("ALARM", "OK")
    cloud.control.advance(600)
    assert age.state() == "ALARM"


def test_a_state_change_is_an_event(cloud: LocalCloud) -> None:
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch-and-eventbridge.html"""
    alarm = Alarm(cloud)
    url, queue = cloud.queue()
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue,
    }
    cloud.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy(statement)})
    events, name = cloud.client("events"), unique("rule")
    pattern = {"source": ["aws.cloudwatch"], "detail": {"alarmName": [alarm.name]}}
    events.put_rule(Name=name, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=name, Targets=[{"Id": "one", "Arn": queue}])
    alarm.put(1)
    event = json.loads(cloud.received(url)["Body"])
    assert event["resources"] == [f"arn:aws:cloudwatch:us-east-1:{HUB}:alarm:{alarm.name}"]
    assert event["detail"]["state"]["value"] == "ALARM"
    events.disable_rule(Name=name)


def test_an_alarm_tells_its_topic_which_tells_a_queue_that_admits_it(cloud: LocalCloud) -> None:
    cloud.control.advance(5 * 86400, step=86400)  # more than the queue keeps: messages carry the cloud's time
    url, queue = cloud.queue()
    topic = cloud.client("sns").create_topic(Name=unique("topic"))["TopicArn"]
    statement = {**allow("sqs:SendMessage", queue), "Principal": {"Service": "sns.amazonaws.com"}}
    cloud.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy(statement)})
    cloud.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue)
    alarm = unique("alarm")
    cloud.client("cloudwatch").put_metric_alarm(
        AlarmName=alarm, Namespace="Test", MetricName="M", Statistic="Sum", Period=60, EvaluationPeriods=1, Threshold=0,
        ComparisonOperator="GreaterThanThreshold", AlarmActions=[topic],
    )  # fmt: skip
    cloud.client("cloudwatch").put_metric_data(Namespace="Test", MetricData=[{"MetricName": "M", "Value": 1}])
    message = json.loads(json.loads(cloud.received(url)["Body"])["Message"])
    assert (message["AlarmName"], message["NewStateValue"]) == (alarm, "ALARM")
    cloud.client("cloudwatch").delete_alarms(AlarmNames=[alarm])
