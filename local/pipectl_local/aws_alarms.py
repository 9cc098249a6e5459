# SPDX-License-Identifier: Apache-2.0
"""Stand-in: CloudWatch's evaluation of alarms.

ministack looks at an alarm when somebody puts metric data, mixes the dimensions of a metric and knows neither missing data
nor M out of N. Here every alarm is evaluated once a minute of `--time-scale`, and its actions get CloudWatch's message:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
"""
from __future__ import annotations

import datetime as dt
import functools
import json
import logging
import threading
import time
import uuid
from dataclasses import dataclass
from typing import Any

from . import aws_clock, aws_metric_math, aws_metrics, aws_roles
from .aws_hooks import Finder

LOG = logging.getLogger("pipectl.alarms")
MINUTE = 60.0
# CloudWatch looks at more periods than EvaluationPeriods; its documentation shows 5 for 3.
FURTHER_PERIODS = 2
COMPARISONS = {
    "GreaterThanOrEqualToThreshold": lambda v, t: v >= t, "GreaterThanThreshold": lambda v, t: v > t,
    "LessThanThreshold": lambda v, t: v < t, "LessThanOrEqualToThreshold": lambda v, t: v <= t}
WORDS = {
    "GreaterThanOrEqualToThreshold": "greater than or equal to", "GreaterThanThreshold": "greater than",
    "LessThanThreshold": "less than", "LessThanOrEqualToThreshold": "less than or equal to"}
ALARM, OK, INSUFFICIENT = "ALARM", "OK", "INSUFFICIENT_DATA"


def decide(points: list[bool | None], periods: int, needed: int, treat: str, current: str) -> str:
    """The state of an alarm by the breaching (True), good (False) and missing points of its range, oldest first.

    `periods` is EvaluationPeriods, `needed` DatapointsToAlarm, `treat` TreatMissingData.
    """
    there = [p for p in points if p is not None]
    if len(there) >= periods:
        return ALARM if sum(there[-periods:]) >= needed else OK
    if not there:
        return {"breaching": ALARM, "notBreaching": OK, "ignore": current}.get(treat, INSUFFICIENT)
    breaching, filled = sum(there), periods - len(there)
    if treat in ("breaching", "notBreaching"):
        return ALARM if breaching + (filled if treat == "breaching" else 0) >= needed else OK
    if breaching >= needed:
        return ALARM
    if breaching == len(there):
        # Nothing but breaching points, fewer than needed: an alarm only when the oldest has waited long enough.
        oldest = len(points) - next(i for i, p in enumerate(points) if p is not None)
        return ALARM if treat == "missing" and oldest >= needed else current
    return OK


@dataclass(frozen=True)
class Query:
    """One metric of an alarm, or one expression."""

    identity: str
    returned: bool
    expression: str | None = None
    namespace: str = ""
    name: str = ""
    dimensions: tuple[tuple[str, str], ...] = ()
    statistic: str = "Average"
    period: int = 60


def queries(alarm: dict[str, Any]) -> list[Query]:
    def dimensions(found: Any) -> tuple[tuple[str, str], ...]:
        return tuple(sorted((str(d["Name"]), str(d["Value"])) for d in found or []))

    if not alarm.get("Metrics"):
        return [Query("m", True, None, alarm["Namespace"], alarm["MetricName"], dimensions(alarm.get("Dimensions")),
                      alarm.get("ExtendedStatistic") or alarm.get("Statistic") or "Average", int(alarm.get("Period", 60)))]
    found = []
    for entry in alarm["Metrics"]:
        returned = str(entry.get("ReturnData", True)).lower() != "false"
        if entry.get("Expression"):
            found.append(Query(entry["Id"], returned, entry["Expression"], period=int(entry.get("Period") or 0)))
        else:
            stat = entry["MetricStat"]
            metric = stat["Metric"]
            found.append(Query(entry["Id"], returned, None, metric["Namespace"], metric["MetricName"], dimensions(metric.get("Dimensions")),
                               stat.get("Stat") or "Average", int(stat.get("Period", 60))))
    return found


def values(alarm: dict[str, Any], end: float) -> tuple[list[float | None], int]:
    """An alarm's value for each period of its range, oldest first, up to `end` (scaled seconds); and the period."""
    from ministack.services import cloudwatch

    asked = queries(alarm)
    period = max(q.period for q in asked) or 60
    count = int(alarm.get("EvaluationPeriods", 1)) + FURTHER_PERIODS
    scale = aws_clock.scale()
    known: dict[str, list[float | None]] = {}
    for query in (q for q in asked if q.expression is None):
        begin = (end - count * period) / scale
        buckets: list[list[dict[str, Any]]] = [[] for _ in range(count)]
        for point in aws_metrics.points_since(query.namespace, query.name, dict(query.dimensions), begin):
            place = int((point["Timestamp"] - begin) * scale // period)
            if 0 <= place < count:
                buckets[place].append(point)
        known[query.identity] = [cloudwatch._stat_value(cloudwatch._calc_stats(b), query.statistic, b) if b else None for b in buckets]
    waiting = [q for q in asked if q.expression is not None]
    while waiting:
        ready = [q for q in waiting if not any(o.identity != q.identity and mentions(q, o) for o in waiting)]
        if not ready:
            raise aws_metric_math.Unsupported("the expressions of the alarm need each other")
        for query in ready:
            known[query.identity] = aws_metric_math.evaluate(query.expression or "", known, count)
        waiting = [q for q in waiting if q not in ready]
    return known[next((q for q in asked if q.returned), asked[-1]).identity], period


def mentions(query: Query, other: Query) -> bool:
    import re

    return re.search(rf"\b{re.escape(other.identity)}\b", query.expression or "") is not None


class Evaluator:
    """Measures and evaluates once a minute of AWS's time."""

    def start(self) -> None:
        threading.Thread(target=self._run, name="alarms", daemon=True).start()

    def _run(self) -> None:
        done = int(time.time() * aws_clock.scale() // MINUTE)
        while True:
            minute = int(time.time() * aws_clock.scale() // MINUTE)
            if minute == done:
                time.sleep(min(aws_clock.real(MINUTE) / 5, 1.0))
                continue
            try:
                aws_metrics.sample(done, minute)
                evaluate_all(minute * MINUTE)
            except Exception:
                LOG.exception("the alarms could not be evaluated")
            done = minute


def evaluate_all(end: float) -> None:
    from ministack.core.responses import request_scope
    from ministack.services import cloudwatch

    for (account, region, _), alarm in list(cloudwatch._alarms._data.items()):
        with request_scope(account, region):
            try:
                evaluate(alarm, end)
            except Exception as error:
                LOG.error("alarm %s: %s", alarm.get("AlarmName"), error)


def evaluate(alarm: dict[str, Any], end: float) -> None:
    from ministack.services import cloudwatch

    compare = COMPARISONS.get(str(alarm.get("ComparisonOperator")))
    if compare is None:
        raise ValueError(f"{alarm.get('ComparisonOperator')} needs anomaly detection, which the local cloud does not have")
    measured, period = values(alarm, end)
    periods = int(alarm.get("EvaluationPeriods", 1))
    needed = int(alarm.get("DatapointsToAlarm") or periods)
    threshold = float(alarm.get("Threshold", 0))
    old = alarm["StateValue"]
    new = decide([None if v is None else compare(v, threshold) for v in measured], periods, needed, alarm.get("TreatMissingData") or "missing", old)
    if new == old:
        return
    reason = explain(alarm, measured, periods, needed, threshold, new)
    alarm["StateValue"], alarm["StateReason"], alarm["StateUpdatedTimestamp"] = new, reason, int(time.time())
    LOG.info("alarm %s: %s to %s: %s", alarm["AlarmName"], old, new, reason)
    cloudwatch._record_history(alarm["AlarmName"], old, new, reason)
    notify(alarm, old, new, reason)
    cloudwatch._evaluate_parent_alarms(alarm)


def explain(alarm: dict[str, Any], measured: list[float | None], periods: int, needed: int, threshold: float, new: str) -> str:
    there = [v for v in measured if v is not None][-periods:]
    if not there:
        treat = alarm.get("TreatMissingData") or "missing"
        if new == INSUFFICIENT:
            return f"Insufficient Data: {periods} datapoint{'s were' if periods > 1 else ' was'} unknown."
        return f"Threshold Crossed: no datapoints were received for {periods} period{'s' if periods > 1 else ''} and {periods} missing datapoint{'s were' if periods > 1 else ' was'} treated as [{'Breaching' if treat == 'breaching' else 'NonBreaching'}]."
    shown = ", ".join(f"{v}" for v in reversed(there))
    verb = ("was" if len(there) == 1 else "were") + ("" if new == ALARM else " not")
    return (f"Threshold Crossed: {needed if new == ALARM else len(there)} out of the last {periods} datapoints [{shown}] {verb} "
            f"{WORDS[alarm['ComparisonOperator']]} the threshold ({threshold}).")


def notify(alarm: dict[str, Any], old: str, new: str, reason: str) -> None:
    """Publishes CloudWatch's message to the topics of the new state."""
    from ministack.core.responses import get_account_id, get_region
    from ministack.services import cloudwatch, sns

    if not alarm.get("ActionsEnabled", True):
        return
    field = {ALARM: "AlarmActions", OK: "OKActions", INSUFFICIENT: "InsufficientDataActions"}[new]
    account, region = get_account_id(), get_region()
    text = json.dumps(message(alarm, old, new, reason, account, region))
    subject = f'{new}: "{alarm["AlarmName"]}" in {region_name(region)}'[:100]
    for arn in alarm.get(field) or []:
        if not cloudwatch._is_sns_action_arn(arn):
            LOG.error("alarm %s: the local cloud only publishes to topics, not to %s", alarm["AlarmName"], arn)
            continue
        topic = sns._topic_by_arn_any_scope(arn)
        if topic is None:
            LOG.error("alarm %s: topic %s does not exist", alarm["AlarmName"], arn)
        elif not aws_roles.service_may((topic.get("attributes") or {}).get("Policy"), "cloudwatch.amazonaws.com", "sns:Publish", arn, alarm["AlarmArn"], account, region):
            LOG.error("alarm %s: the policy of topic %s does not let cloudwatch.amazonaws.com publish", alarm["AlarmName"], arn)
        else:
            sns._fanout(arn, str(uuid.uuid4()), text, subject)


def message(alarm: dict[str, Any], old: str, new: str, reason: str, account: str, region: str) -> dict[str, Any]:
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Notify_Users_Alarm_Changes.html"""
    trigger: dict[str, Any] = {
        "Period": alarm.get("Period", 60), "EvaluationPeriods": alarm.get("EvaluationPeriods", 1), "ComparisonOperator": alarm.get("ComparisonOperator", ""),
        "Threshold": alarm.get("Threshold", 0), "TreatMissingData": alarm.get("TreatMissingData") or "missing", "EvaluateLowSampleCountPercentile": ""}
    if alarm.get("DatapointsToAlarm"):
        trigger["DatapointsToAlarm"] = alarm["DatapointsToAlarm"]
    if alarm.get("Metrics"):
        trigger["Metrics"] = alarm["Metrics"]
    elif alarm.get("MetricName"):
        extended = alarm.get("ExtendedStatistic")
        trigger |= {
            "MetricName": alarm["MetricName"], "Namespace": alarm["Namespace"], "StatisticType": "ExtendedStatistic" if extended else "Statistic",
            "Unit": alarm.get("Unit"), "Dimensions": [{"value": d["Value"], "name": d["Name"]} for d in alarm.get("Dimensions") or []],
            "ExtendedStatistic" if extended else "Statistic": extended or str(alarm.get("Statistic") or "Average").upper()}
    return {
        "AlarmName": alarm["AlarmName"], "AlarmDescription": alarm.get("AlarmDescription") or None, "AWSAccountId": account,
        "AlarmConfigurationUpdatedTimestamp": moment(alarm.get("AlarmConfigurationUpdatedTimestamp") or time.time()),
        "NewStateValue": new, "NewStateReason": reason, "StateChangeTime": moment(time.time()), "Region": region_name(region), "AlarmArn": alarm["AlarmArn"],
        "OldStateValue": old, "OKActions": alarm.get("OKActions") or [], "AlarmActions": alarm.get("AlarmActions") or [],
        "InsufficientDataActions": alarm.get("InsufficientDataActions") or [], "Trigger": trigger}


def moment(seconds: float) -> str:
    return dt.datetime.fromtimestamp(float(seconds), dt.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000"


@functools.cache
def region_name(region: str) -> str:
    """`EU (Ireland)` for eu-west-1, as CloudWatch writes it."""
    import botocore.session

    for partition in botocore.session.get_session().get_data("endpoints")["partitions"]:
        if region in partition["regions"]:
            return str(partition["regions"][region]["description"]).replace("Europe (", "EU (")
    return region


def install(finder: Finder) -> None:
    """Puts this evaluation in the place of ministack's, and lets templates and clients make alarms on metric math."""
    finder.when("cloudwatch", evaluate_here)
    finder.when("cloudformation.provisioners", math_in_templates)


def math_in_templates(provisioners: Any) -> None:
    record_of = provisioners._cw_metric_alarm_record

    def template_record(name: str, props: dict[str, Any]) -> dict[str, Any]:
        metrics = props.get("Metrics")
        if not metrics:
            return dict(record_of(name, props))
        alarm = dict(record_of(name, {**props, "Metrics": None, "MetricName": "-", "Namespace": "-"}))
        return alarm | {"Metrics": metrics, "MetricName": "", "Namespace": "", "Statistic": "", "Period": max(q.period for q in queries({"Metrics": metrics})) or 60}

    provisioners._cw_metric_alarm_record = template_record


def evaluate_here(cloudwatch: Any) -> None:
    put = cloudwatch._put_metric_alarm

    def put_alarm(params: Any, cbor: dict[str, Any], is_cbor: bool, is_json: bool = False) -> Any:
        answer = put(params, cbor, is_cbor, is_json)
        if (is_cbor or is_json) and cbor.get("Metrics") and cbor.get("AlarmName") in cloudwatch._alarms:
            cloudwatch._alarms[cbor["AlarmName"]] |= {"Metrics": cbor["Metrics"], "MetricName": "", "Namespace": ""}
        return answer

    cloudwatch._put_metric_alarm = put_alarm
    cloudwatch._evaluate_alarm = lambda alarm: None
    cloudwatch._evaluate_all_alarms = lambda: None
    cloudwatch._dispatch_alarm_actions = notify
    Evaluator().start()
