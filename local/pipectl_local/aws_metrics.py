# SPDX-License-Identifier: Apache-2.0
"""Stand-in: the metrics that AWS services measure of themselves.

ministack counts only functions called through the Lambda API. Here every invocation counts, whoever made it, a function's log
may carry metrics (https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html),
and queues, streams and delivery streams are measured once a minute of `--time-scale`. Ages are seconds of that time too,
so that a threshold of five minutes means the five seconds that pass for them; durations of functions are real.
"""
from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

from . import aws_clock, aws_firehose, aws_log_pattern
from .aws_hooks import Finder, loaded

LOG = logging.getLogger("pipectl.metrics")
# A point older than this before the window ends the search: points come nearly in order.
DISORDER_SECONDS = 120.0
EMF_MARK = '"_aws"'
# Minutes that a machine too busy to look every minute is measured for afterwards.
MOST_MINUTES = 120
# How long points stay: in AWS's time, and at least in real time.
KEEP_SECONDS, KEEP_REAL_SECONDS = 3 * 86400.0, 5400.0
FORGET_MINUTES = 360


def points_since(namespace: str, name: str, dimensions: dict[str, str], begin: float) -> list[dict[str, Any]]:
    """The data points of one metric of the current account and region since a time (real seconds)."""
    from ministack.services import cloudwatch

    found = []
    for point in reversed(cloudwatch._metrics.get((namespace, name, cloudwatch._dims_key(dimensions))) or []):
        if point["Timestamp"] >= begin:
            found.append(point)
        elif point["Timestamp"] < begin - DISORDER_SECONDS:
            break
    return found


def sample(after: int, until: int) -> None:
    """Measures once for each of AWS's minutes in `after <= minute < until`."""
    from ministack.core.responses import request_scope
    from ministack.services import cloudwatch

    now = time.time()
    if until // FORGET_MINUTES != after // FORGET_MINUTES:
        forget(now)
    measured = [*queues(now), *kinesis(now), *firehoses(now)]
    for account, region, namespace, name, value, unit, dimensions in measured:
        with request_scope(account, region):
            bucket = cloudwatch._metric_bucket((namespace, name, cloudwatch._dims_key(dimensions)))
            for minute in range(max(after, until - MOST_MINUTES), until):
                bucket.append({"Timestamp": (minute * 60 + 30) / aws_clock.scale(), "Value": value, "Unit": unit, "Dimensions": dimensions})


def forget(now: float) -> None:
    """Drops points that nobody asks for any more: this cloud measures 60 times as often as AWS."""
    from ministack.services import cloudwatch

    oldest = now - max(aws_clock.real(KEEP_SECONDS), KEEP_REAL_SECONDS)
    for points in list(cloudwatch._metrics._data.values()):
        points[:] = [p for p in points if p["Timestamp"] >= oldest]


Measured = tuple[str, str, str, str, float, str, dict[str, str]]


def queues(now: float) -> Iterator[Measured]:
    """https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html"""
    sqs = loaded("sqs")
    for (account, region, _), queue in list(sqs._queues._data.items()) if sqs else []:
        messages = list(queue["messages"])
        dimensions = {"QueueName": str(queue["attributes"]["QueueArn"]).rsplit(":", 1)[1]}
        visible = [m for m in messages if m.get("visible_at", 0) <= now]
        held = [m for m in messages if m.get("visible_at", 0) > now]
        # A message that was never received and is not visible yet is delayed, not in flight.
        delayed = [m for m in held if not m.get("receive_count", 0)]
        age = max((now - float(m.get("sent_at", now)) for m in messages), default=0.0) * aws_clock.scale()
        for name, value, unit in (("ApproximateNumberOfMessagesVisible", len(visible), "Count"),
                                  ("ApproximateNumberOfMessagesNotVisible", len(held) - len(delayed), "Count"),
                                  ("ApproximateNumberOfMessagesDelayed", len(delayed), "Count"), ("ApproximateAgeOfOldestMessage", age, "Seconds")):
            yield account, region, "AWS/SQS", name, float(value), unit, dimensions


def kinesis(now: float) -> Iterator[Measured]:
    """The age of what consumers have not read: functions with an event source mapping, and delivery streams.

    https://docs.aws.amazon.com/streams/latest/dev/monitoring-with-cloudwatch.html
    """
    firehose, streams, lambda_svc = loaded("firehose"), loaded("kinesis"), loaded("lambda_svc")
    ages: dict[tuple[str, str, str], list[float]] = {}
    if streams is None:
        return
    for (account, region, identity), mapping in list(lambda_svc._esms._data.items()) if lambda_svc else []:
        arn = str(mapping.get("EventSourceArn", ""))
        if ":kinesis:" not in arn:
            continue
        name = arn.split("/", 1)[1]
        stream = streams._streams.get_scoped(account, region, name)
        positions = lambda_svc._kinesis_positions.get_scoped(account, region, identity)
        if stream is None or positions is None:
            continue
        unread = [shard["records"][place:place + 1] for shard_id, shard in stream["shards"].items() if (place := positions.get(shard_id)) is not None]
        age = max((now - float(records[0]["ApproximateArrivalTimestamp"]) for records in unread if records), default=0.0)
        ages.setdefault((account, region, name), []).append(age)
        function = str(mapping.get("FunctionArn") or mapping.get("FunctionName")).rsplit(":function:", 1)[-1].split(":")[0]
        yield account, region, "AWS/Lambda", "IteratorAge", age * 1000 * aws_clock.scale(), "Milliseconds", {"FunctionName": function}
    for (account, region, name), delivery in list(firehose._streams._data.items()) if firehose else []:
        arn = str((delivery.get("kinesis_source") or {}).get("KinesisStreamARN", ""))
        if arn:
            # It reads as records come, so it is behind only when it may not read at all.
            carrier = aws_firehose.WORKERS.get((account, region, name))
            waiting = carrier.untransformed[:1] if carrier and not carrier.source_checked else []
            ages.setdefault((account, region, arn.split("/", 1)[1]), []).append(max((now - r.arrived for r in waiting), default=0.0))
    for (account, region, name), found in ages.items():
        yield account, region, "AWS/Kinesis", "GetRecords.IteratorAgeMilliseconds", max(found) * 1000 * aws_clock.scale(), "Milliseconds", {"StreamName": name}


def firehoses(now: float) -> Iterator[Measured]:
    """https://docs.aws.amazon.com/firehose/latest/dev/monitoring-with-cloudwatch-metrics.html"""
    for (account, region, name), carrier in list(aws_firehose.WORKERS.items()):
        oldest = carrier.oldest()
        if oldest is not None:
            yield account, region, "AWS/Firehose", "DeliveryToS3.DataFreshness", (now - oldest) * aws_clock.scale(), "Seconds", {"DeliveryStreamName": name}


def counted(lambda_svc: Any, execute: Callable[[dict[str, Any], Any], dict[str, Any]]) -> Callable[[dict[str, Any], Any], dict[str, Any]]:
    """Counts an invocation as https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html says."""
    def run(function: dict[str, Any], event: Any) -> dict[str, Any]:
        from ministack.services import cloudwatch

        configuration = function.get("config") or function
        if lambda_svc._function_config_scope_mismatch(configuration):
            # It calls again under the function's own account, and is counted there.
            return execute(function, event)
        began = time.monotonic()
        result = execute(function, event)
        dimensions = {"FunctionName": str(configuration.get("FunctionName", "unknown"))}
        if result.get("throttle"):
            cloudwatch.record_metric("AWS/Lambda", "Throttles", 1, "Count", dimensions)
            return result
        for name, value, unit in (("Invocations", 1.0, "Count"), ("Errors", float(bool(result.get("error"))), "Count"), ("Throttles", 0.0, "Count"),
                                  ("Duration", (time.monotonic() - began) * 1000, "Milliseconds")):
            cloudwatch.record_metric("AWS/Lambda", name, value, unit, dimensions)
        return result

    return run


def embedded(text: str) -> Iterator[tuple[str, str, list[float], str, dict[str, str], float]]:
    """Namespace, name, values, unit, dimensions and time of each metric in a log."""
    for line in text.splitlines():
        if EMF_MARK not in line:
            continue
        try:
            document = json.loads(line[line.index("{"):])
            described = document["_aws"]
            for directive in described["CloudWatchMetrics"]:
                for names in directive.get("Dimensions") or [[]]:
                    dimensions = {n: str(document[n]) for n in names}
                    for metric in directive["Metrics"]:
                        value = document[metric["Name"]]
                        numbers = [float(v) for v in (value if isinstance(value, list) else [value])]
                        yield directive["Namespace"], metric["Name"], numbers, metric.get("Unit", "None"), dimensions, described["Timestamp"] / 1000
        except (ValueError, KeyError, TypeError) as error:
            LOG.warning("a log line looks like embedded metrics and is none: %s", error)


def filtered(group: str, text: str) -> Iterator[tuple[str, str, float]]:
    """Namespace, name and value of what the metric filters of a log group make of its lines."""
    from ministack.services import cloudwatch_logs

    filters = [f for f in list(cloudwatch_logs._metric_filters.values()) if f["logGroupName"] == group]
    for line in text.splitlines() if filters else []:
        for found in filters:
            hit = aws_log_pattern.matcher(found["filterPattern"])(line)
            for to in found["metricTransformations"]:
                value = to["metricValue"] if hit else to.get("defaultValue")
                if value is not None:
                    yield to["metricNamespace"], to["metricName"], float(value)


def install(finder: Finder) -> None:
    finder.when("lambda_svc", hook)


def hook(lambda_svc: Any) -> None:
    emit = lambda_svc._emit_lambda_logs

    def emit_logs(function: dict[str, Any], request_id: str, text: str, *others: Any, **named: Any) -> None:
        emit(function, request_id, text, *others, **named)
        from ministack.services import cloudwatch

        for namespace, name, numbers, unit, dimensions, moment in embedded(text or ""):
            bucket = cloudwatch._metric_bucket((namespace, name, cloudwatch._dims_key(dimensions)))
            bucket.extend({"Timestamp": moment, "Value": v, "Unit": unit, "Dimensions": dimensions} for v in numbers)
        configuration = function.get("config") or function
        group = (configuration.get("LoggingConfig") or {}).get("LogGroup") or f"/aws/lambda/{configuration.get('FunctionName', 'unknown')}"
        for namespace, name, value in filtered(group, text or ""):
            cloudwatch.record_metric(namespace, name, value, "None", {})

    lambda_svc._emit_lambda_logs = emit_logs
    lambda_svc._execute_function = counted(lambda_svc, lambda_svc._execute_function)
    lambda_svc._emit_lambda_metrics = lambda *arguments, **named: None
