# SPDX-License-Identifier: Apache-2.0
"""Alarms: AWS's own table of missing data, metric math, and real alarms on real services."""
from __future__ import annotations

import json
import sys
import time
from typing import Any

import pytest
from pipectl_local.aws_alarms import decide
from pipectl_local.aws_metric_math import Unsupported, evaluate
from test_lambda import wait_for, zipped

POINTS = {"0": False, "X": True, "-": None}
RETAIN = "the current state"

# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html, both tables:
# the range, then the state for missing, ignore, breaching, notBreaching.
THREE_OF_THREE = [
    ("0 - X - X", "OK", "OK", "OK", "OK"),
    ("- - - - 0", "OK", "OK", "OK", "OK"),
    ("- - - - -", "INSUFFICIENT_DATA", RETAIN, "ALARM", "OK"),
    ("0 X X - X", "ALARM", "ALARM", "ALARM", "ALARM"),
    ("- - X - -", "ALARM", RETAIN, "ALARM", "OK"),
]
TWO_OF_THREE = [
    ("0 - X - X", "ALARM", "ALARM", "ALARM", "ALARM"),
    ("0 0 X 0 X", "ALARM", "ALARM", "ALARM", "ALARM"),
    ("0 - X - -", "OK", "OK", "ALARM", "OK"),
    ("- - - - 0", "OK", "OK", "ALARM", "OK"),
    ("- - - X -", "ALARM", RETAIN, "ALARM", "OK"),
]


@pytest.mark.parametrize(("needed", "row"), [*((3, r) for r in THREE_OF_THREE), *((2, r) for r in TWO_OF_THREE)])
@pytest.mark.parametrize("current", ["OK", "ALARM", "INSUFFICIENT_DATA"])
def test_missing_data(needed: int, row: tuple[str, ...], current: str) -> None:
    points = [POINTS[p] for p in row[0].split()]
    for treat, expected in zip(("missing", "ignore", "breaching", "notBreaching"), row[1:]):
        assert decide(points, 3, needed, treat, current) == (current if expected == RETAIN else expected), treat


# One of six, and points that come now and then: the same page's rules. While a breaching point is in the range it counts,
# even one before the evaluation periods, as long as fewer points than those are there.
@pytest.mark.parametrize(("points", "expected"), [
    ("- - - - - - - X", "ALARM"),
    ("- - X - - - - 0", "ALARM"),
    ("X - - - - 0 - -", "ALARM"),
    ("- - 0 - - - - -", "OK"),
    ("- - - - - - - -", "OK"),
    # Six points are there: the older ones do not count.
    ("X 0 0 0 0 0 0 -", "OK"),
    ("0 X 0 0 0 0 0 -", "ALARM"),
])
def test_one_of_many(points: str, expected: str) -> None:
    for current in ("OK", "ALARM", "INSUFFICIENT_DATA"):
        assert decide([POINTS[p] for p in points.split()], 6, 1, "notBreaching", current) == expected


# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
@pytest.mark.parametrize(("expression", "expected"), [
    ("a + b", [11.0, None, 33.0]),
    ("a / b * 100", [10.0, None, 10.0]),
    ("b - 5", [5.0, 15.0, 25.0]),
    ("FILL(a, 0) + b", [11.0, 20.0, 33.0]),
    ("FILL(a, REPEAT)", [1.0, 1.0, 3.0]),
    ("IF(b > 15, 1, 0)", [0.0, 1.0, 1.0]),
    ("SUM([a, b])", [11.0, 20.0, 33.0]),
    ("MAX(METRICS())", [10.0, 20.0, 30.0]),
    ("b > 15 AND b < 25", [0.0, 1.0, 0.0]),
    ("a / z", [None, None, None]),
])
def test_metric_math(expression: str, expected: list[float | None]) -> None:
    known: dict[str, list[float | None]] = {"a": [1.0, None, 3.0], "b": [10.0, 20.0, 30.0]}
    if "z" in expression:
        known["z"] = [0.0, 0.0, 0.0]
    assert evaluate(expression, known, 3) == expected


@pytest.mark.parametrize("expression", ["ANOMALY_DETECTION_BAND(a, 2)", "METRICS()", "a +", "unknown", "SEARCH('x', 'Sum')", "__import__('os')"])
def test_unknown_math_is_refused(expression: str) -> None:
    with pytest.raises(Unsupported):
        evaluate(expression, {"a": [1.0], "b": [2.0]}, 1)


class Inbox:
    """A topic that alarms may publish to, and a queue that gets what it says."""

    def __init__(self, cloud: Any, name: str, allowed: bool = True) -> None:
        self.sqs, account, region = cloud.aws("sqs"), cloud.info["account"], cloud.info["region"]
        sns = cloud.aws("sns")
        self.topic = sns.create_topic(Name=name)["TopicArn"]
        if allowed:
            sns.set_topic_attributes(TopicArn=self.topic, AttributeName="Policy", AttributeValue=json.dumps({"Version": "2012-10-17", "Statement": [{
                "Effect": "Allow", "Principal": {"Service": "cloudwatch.amazonaws.com"}, "Action": "sns:Publish", "Resource": self.topic,
                "Condition": {"StringEquals": {"aws:SourceAccount": account}}}]}))
        queue = f"arn:aws:sqs:{region}:{account}:{name}"
        self.queue = self.sqs.create_queue(QueueName=name, Attributes={"Policy": json.dumps({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": queue}]})})["QueueUrl"]
        sns.subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=queue)
        self.seen: list[Any] = []

    def states(self) -> list[str]:
        for message in self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get("Messages", []):
            envelope = json.loads(message["Body"])
            self.seen.append(json.loads(envelope["Message"]) | {"subject": envelope["Subject"]})
            self.sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])
        return [m["NewStateValue"] for m in self.seen]

    def actions(self) -> dict[str, list[str]]:
        return {"AlarmActions": [self.topic], "OKActions": [self.topic], "InsufficientDataActions": [self.topic]}


def test_a_dead_letter_raises_the_alarm_and_its_removal_ends_it(either: Any) -> None:
    inbox = Inbox(either, f"dlq-alarm{'-auth' if either.info['auth'] else ''}")
    dead = either.aws("sqs").create_queue(QueueName=f"{inbox.topic.rsplit(':', 1)[1]}-dead")["QueueUrl"]
    name = dead.rsplit("/", 1)[1]
    either.aws("cloudwatch").put_metric_alarm(
        AlarmName=name, AlarmDescription="letters", Namespace="AWS/SQS", MetricName="ApproximateNumberOfMessagesVisible", Statistic="Maximum", Period=60,
        EvaluationPeriods=1, Threshold=0, ComparisonOperator="GreaterThanThreshold", TreatMissingData="notBreaching",
        Dimensions=[{"Name": "QueueName", "Value": name}], **inbox.actions())
    wait_for(lambda: inbox.states() == ["OK"])
    either.aws("sqs").send_message(QueueUrl=dead, MessageBody="x")
    wait_for(lambda: inbox.states() == ["OK", "ALARM"])
    either.aws("sqs").purge_queue(QueueUrl=dead)
    wait_for(lambda: inbox.states() == ["OK", "ALARM", "OK"])
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Notify_Users_Alarm_Changes.html
    alarm = inbox.seen[1]
    assert alarm["subject"] == f'ALARM: "{name}" in EU (Ireland)'
    assert alarm["AlarmName"] == name and alarm["AlarmDescription"] == "letters" and alarm["OldStateValue"] == "OK" and alarm["Region"] == "EU (Ireland)"
    assert alarm["AWSAccountId"] == either.info["account"] and alarm["AlarmArn"].endswith(f":alarm:{name}")
    assert alarm["Trigger"]["Statistic"] == "MAXIMUM" and alarm["Trigger"]["Dimensions"] == [{"value": name, "name": "QueueName"}]
    assert alarm["NewStateReason"] == "Threshold Crossed: 1 out of the last 1 datapoints [1.0] was greater than the threshold (0.0)."


def test_absence_of_data_is_an_alarm(cloud: Any) -> None:
    inbox, cloudwatch = Inbox(cloud, "absence"), cloud.aws("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName="absence", Namespace="Pipeline", MetricName="Rows", Statistic="Sum", Period=60, EvaluationPeriods=2, Threshold=1,
        ComparisonOperator="LessThanThreshold", TreatMissingData="breaching", Dimensions=[{"Name": "Pipeline", "Value": "shop"}], **inbox.actions())
    wait_for(lambda: inbox.states() == ["ALARM"])
    # Another's data are not ours.
    cloudwatch.put_metric_data(Namespace="Pipeline", MetricData=[{"MetricName": "Rows", "Value": 9, "Dimensions": [{"Name": "Pipeline", "Value": "other"}]}])

    def rows_came() -> bool:
        cloudwatch.put_metric_data(Namespace="Pipeline", MetricData=[{"MetricName": "Rows", "Value": 9, "Dimensions": [{"Name": "Pipeline", "Value": "shop"}]}])
        return inbox.states()[:2] == ["ALARM", "OK"]

    wait_for(rows_came)
    wait_for(lambda: inbox.states()[:3] == ["ALARM", "OK", "ALARM"])
    assert "no datapoints were received for 2 periods and 2 missing datapoints were treated as [Breaching]" in inbox.seen[0]["NewStateReason"]


def test_math_in_a_template(cloud: Any) -> None:
    inbox, cloudwatch, cloudformation = Inbox(cloud, "math"), cloud.aws("cloudwatch"), cloud.aws("cloudformation")

    def metric(name: str) -> dict[str, Any]:
        return {"Id": name.lower(), "ReturnData": False, "MetricStat": {"Stat": "Sum", "Period": 60, "Metric": {"Namespace": "Math", "MetricName": name}}}

    template = {"Resources": {"Alarm": {"Type": "AWS::CloudWatch::Alarm", "Properties": {
        "AlarmName": "math", "EvaluationPeriods": 1, "Threshold": 0.5, "ComparisonOperator": "GreaterThanThreshold", "TreatMissingData": "notBreaching",
        "AlarmActions": [inbox.topic], "Metrics": [metric("Bad"), metric("All"), {"Id": "share", "Expression": "bad / all"}]}}}}
    cloudformation.create_stack(StackName="math", TemplateBody=json.dumps(template))
    wait_for(lambda: cloudformation.describe_stacks(StackName="math")["Stacks"][0]["StackStatus"] == "CREATE_COMPLETE")
    cloudwatch.put_metric_data(Namespace="Math", MetricData=[{"MetricName": "Bad", "Value": 3}, {"MetricName": "All", "Value": 4}])
    wait_for(lambda: inbox.states() == ["ALARM"])
    assert "[0.75]" in inbox.seen[0]["NewStateReason"]


def test_a_topic_that_does_not_let_cloudwatch_in_gets_nothing(auth_cloud: Any) -> None:
    open_door, shut = Inbox(auth_cloud, "door-open"), Inbox(auth_cloud, "door-shut", allowed=False)
    auth_cloud.aws("cloudwatch").put_metric_alarm(
        AlarmName="door", Namespace="Door", MetricName="Nothing", Statistic="Sum", Period=60, EvaluationPeriods=1, Threshold=1,
        ComparisonOperator="LessThanThreshold", TreatMissingData="breaching", AlarmActions=[shut.topic, open_door.topic])
    wait_for(lambda: open_door.states() == ["ALARM"])
    assert shut.states() == []


FAILING = f"""#!{sys.executable}
import json, os, time, urllib.request
api = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/invocation/"
while True:
    with urllib.request.urlopen(api + "next") as r:
        request, event = r.headers["Lambda-Runtime-Aws-Request-Id"], json.load(r)
    kind = "response"
    if event["do"] == "fail":
        kind = "error"
    elif event["do"] == "sleep":
        time.sleep(60)
    print(json.dumps({{"_aws": {{"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [
        {{"Namespace": "Own", "Dimensions": [["Table"]], "Metrics": [{{"Name": "Rows", "Unit": "Count"}}]}}]}}, "Table": "t", "Rows": 42}}), flush=True)
    urllib.request.urlopen(urllib.request.Request(api + request + "/" + kind, data=json.dumps({{"errorType": "E", "errorMessage": "m"}}).encode(), method="POST"))
"""


def test_functions_are_counted_limited_and_tried_again(cloud: Any) -> None:
    functions, cloudwatch, sqs, account, region = cloud.aws("lambda"), cloud.aws("cloudwatch"), cloud.aws("sqs"), cloud.info["account"], cloud.info["region"]
    dead = sqs.create_queue(QueueName="counted-dead")["QueueUrl"]
    functions.create_function(FunctionName="counted", Runtime="provided.al2023", Handler="bootstrap", Code={"ZipFile": zipped(FAILING)}, Timeout=1,
                              Role=f"arn:aws:iam::{account}:role/any", VpcConfig={"SubnetIds": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1"]},
                              DeadLetterConfig={"TargetArn": f"arn:aws:sqs:{region}:{account}:counted-dead"})

    def total(metric: str, statistic: str = "Sum", namespace: str = "AWS/Lambda", **dimensions: str) -> float:
        now = time.time()
        found = cloudwatch.get_metric_statistics(
            Namespace=namespace, MetricName=metric, Statistics=[statistic], Period=60, StartTime=now - 600, EndTime=now + 60,
            Dimensions=[{"Name": k, "Value": v} for k, v in (dimensions or {"FunctionName": "counted"}).items()])["Datapoints"]
        return float(sum(p[statistic] for p in found))

    assert "FunctionError" not in functions.invoke(FunctionName="counted", Payload=b'{"do": "answer"}')
    timed_out = functions.invoke(FunctionName="counted", Payload=b'{"do": "sleep"}')
    assert timed_out["FunctionError"] and b"timed out after 1.00 seconds" in timed_out["Payload"].read()
    assert (total("Invocations"), total("Errors")) == (2, 1)
    functions.invoke(FunctionName="counted", InvocationType="Event", Payload=b'{"do": "fail"}')
    letter = wait_for(lambda: sqs.receive_message(QueueUrl=dead).get("Messages"))[0]
    assert json.loads(letter["Body"])
    # The first attempt and two more: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
    assert (total("Invocations"), total("Errors")) == (5, 4)
    assert total("Duration", "Maximum") >= 1000
    assert total("Rows", namespace="Own", Table="t") >= 42
