# SPDX-License-Identifier: Apache-2.0
"""Stand-in: EventBridge Scheduler's clock.

ministack looks every 10 s, in real time, and calls a target without role, retries or dead-letter queue. Here `rate()`
follows `--time-scale`, the target is called as the schedule's role, and what cannot be delivered is tried again and then
goes to the dead-letter queue: https://docs.aws.amazon.com/scheduler/latest/UserGuide/configuring-schedule-dlq.html
"""
from __future__ import annotations

import datetime as dt
import json
import logging
import random
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from . import aws_clock, aws_roles
from .aws_hooks import Finder

LOG = logging.getLogger("pipectl.scheduler")
TICK_SECONDS = 0.05
LEAST_INTERVAL_SECONDS = 0.5
# https://docs.aws.amazon.com/scheduler/latest/APIReference/API_RetryPolicy.html
MAX_ATTEMPTS, MAX_AGE_SECONDS = 185, 86400
FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS = 60.0, 3600.0
PRINCIPAL = "scheduler.amazonaws.com"
# Errors that a second attempt does not cure.
FINAL = {"ResourceNotFoundException", "AccessDeniedException", "AccessDenied", "AuthorizationError", "InvalidParameterValueException",
         "NotFound", "QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue"}


@dataclass(frozen=True)
class Invocation:
    account: str
    region: str
    schedule: dict[str, Any]
    scheduled: float

    @property
    def target(self) -> dict[str, Any]:
        target: dict[str, Any] = self.schedule["Target"]
        return target


class Clock:
    """Knows when each schedule fires next."""

    def __init__(self) -> None:
        self._next: dict[tuple[str, str, str], tuple[tuple[Any, ...], float | None]] = {}
        self._pool = ThreadPoolExecutor(max_workers=16, thread_name_prefix="schedule")

    def start(self) -> None:
        threading.Thread(target=self._run, name="scheduler-clock", daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                self.tick(time.time())
            except Exception:
                LOG.exception("the schedules could not be looked at")
            time.sleep(TICK_SECONDS)

    def tick(self, now: float) -> None:
        from ministack.services import scheduler

        current = dict(scheduler._schedules._data)
        for key in [k for k in self._next if k not in current]:
            del self._next[key]
        for key, schedule in current.items():
            identity = (schedule["ScheduleExpression"], schedule["State"], schedule["CreationDate"], schedule.get("ScheduleExpressionTimezone"))
            known = self._next.get(key)
            if known is None or known[0] != identity:
                self._next[key] = (identity, first_time(schedule, now))
                continue
            moment = known[1]
            if moment is None or now < moment:
                continue
            self._next[key] = (identity, next_time(schedule, moment, now))
            if schedule["State"] == "ENABLED" and in_range(schedule, now):
                invocation = Invocation(key[0], key[1], dict(schedule), moment)
                self._pool.submit(self._fire, invocation, window_seconds(schedule))
            if schedule["ScheduleExpression"].startswith("at(") and schedule.get("ActionAfterCompletion") == "DELETE":
                scheduler._schedules._data.pop(key, None)

    def _fire(self, invocation: Invocation, window: float) -> None:
        if window:
            time.sleep(random.uniform(0, window))
        try:
            deliver(invocation)
        except Exception:
            LOG.exception("schedule %s could not be delivered", invocation.schedule["Name"])


def window_seconds(schedule: dict[str, Any]) -> float:
    """The flexible window, real seconds."""
    flexible = schedule.get("FlexibleTimeWindow") or {}
    return aws_clock.real(60.0 * int(flexible.get("MaximumWindowInMinutes") or 0)) if flexible.get("Mode") == "FLEXIBLE" else 0.0


def in_range(schedule: dict[str, Any], now: float) -> bool:
    from ministack.services.scheduler import _to_epoch

    start, end = _to_epoch(schedule.get("StartDate")), _to_epoch(schedule.get("EndDate"))
    return (start is None or now >= start) and (end is None or now <= end)


def first_time(schedule: dict[str, Any], now: float) -> float | None:
    return next_time(schedule, now, now)


def next_time(schedule: dict[str, Any], last: float, now: float) -> float | None:
    """When it fires after `last`; a clock that fell behind goes on from now."""
    from ministack.services import eventbridge
    from ministack.services.scheduler import _at_time_epoch

    expression = schedule["ScheduleExpression"]
    if expression.startswith("at("):
        moment = _at_time_epoch(expression)
        return moment if moment is not None and moment >= now else None
    interval = eventbridge._parse_rate_seconds(expression)
    if interval is not None:
        width = aws_clock.real(interval, LEAST_INTERVAL_SECONDS)
        return max(last + width, now) if last < now else last + width
    fields = eventbridge._parse_cron_fields(expression)
    if fields is None:
        LOG.error("schedule %s: %r is not understood, and never fires", schedule["Name"], expression)
        return None
    following = eventbridge._cron_next_fire(fields, dt.datetime.fromtimestamp(now, dt.timezone.utc))
    return None if following is None else now + aws_clock.real(following.timestamp() - now, LEAST_INTERVAL_SECONDS)


def deliver(invocation: Invocation) -> None:
    from ministack.core.responses import request_scope

    target, schedule = invocation.target, invocation.schedule
    policy = target.get("RetryPolicy") or {}
    attempts = int(policy.get("MaximumRetryAttempts", MAX_ATTEMPTS))
    deadline = time.monotonic() + aws_clock.real(float(policy.get("MaximumEventAgeInSeconds", MAX_AGE_SECONDS)))
    execution = str(uuid.uuid4())
    with request_scope(invocation.account, invocation.region):
        attempt = 0
        while True:
            _count(schedule, "InvocationAttemptCount")
            try:
                call(invocation, execution, attempt + 1)
                return
            except Exception as error:
                code, message = explain(error)
            _count(schedule, "TargetErrorCount")
            LOG.warning("schedule %s, attempt %d: %s: %s", schedule["Name"], attempt + 1, code, message)
            delay = aws_clock.real(min(FIRST_RETRY_SECONDS * 2 ** min(attempt, 6), LONGEST_RETRY_SECONDS), 0.05)
            condition = None
            if code in FINAL or attempt >= attempts:
                condition = "MaximumRetryAttempts"
            elif time.monotonic() + delay > deadline:
                condition = "MaximumEventAgeInSeconds"
            if condition:
                _give_up(invocation, execution, attempt, code, message, condition)
                return
            attempt += 1
            time.sleep(delay)


def group_of(invocation: Invocation) -> str:
    """aws:SourceArn of the role's trust, which is the schedule's group and never the schedule itself:
    https://docs.aws.amazon.com/scheduler/latest/UserGuide/cross-service-confused-deputy-prevention.html"""
    return f"arn:aws:scheduler:{invocation.region}:{invocation.account}:schedule-group/{invocation.schedule['GroupName']}"


def call(invocation: Invocation, execution: str, attempt: int) -> None:
    arn, role = invocation.target["Arn"], invocation.target["RoleArn"]
    service = arn.split(":")[2]
    payload = payload_of(invocation, execution, attempt)
    if service not in ("lambda", "sqs", "sns"):
        from ministack.services import eventbridge

        eventbridge._invoke_target(invocation.target, {"Source": "aws.scheduler", "DetailType": "Scheduled Event", "Detail": "{}"}, invocation.schedule)
        return
    api = aws_roles.client(service, invocation.account, invocation.region, role, PRINCIPAL, group_of(invocation))
    if service == "lambda":
        api.invoke(FunctionName=arn, InvocationType="Event", Payload=payload.encode())
    elif service == "sqs":
        api.send_message(QueueUrl=queue_url(arn), MessageBody=payload)
    else:
        api.publish(TopicArn=arn, Message=payload)


def payload_of(invocation: Invocation, execution: str, attempt: int) -> str:
    """The target's Input with https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html"""
    scheduled = dt.datetime.fromtimestamp(invocation.scheduled, dt.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    text = str(invocation.target.get("Input") or "{}")
    for name, value in (("schedule-arn", invocation.schedule["Arn"]), ("scheduled-time", scheduled), ("execution-id", execution), ("attempt-number", str(attempt))):
        text = text.replace(f"<aws.scheduler.{name}>", value)
    return text


def queue_url(arn: str) -> str:
    import os

    _, _, _, _, account, name = arn.split(":")
    return f"{os.environ['AWS_ENDPOINT_URL']}/{account}/{name}"


def explain(error: Exception) -> tuple[str, str]:
    response = getattr(error, "response", None)
    if isinstance(response, dict) and "Error" in response:
        return str(response["Error"].get("Code")), str(response["Error"].get("Message"))
    return ("AccessDeniedException" if isinstance(error, aws_roles.Refused) else type(error).__name__), str(error)


def _give_up(invocation: Invocation, execution: str, attempt: int, code: str, message: str, condition: str) -> None:
    schedule = invocation.schedule
    _count(schedule, "InvocationDroppedCount")
    queue = (invocation.target.get("DeadLetterConfig") or {}).get("Arn")
    if not queue:
        LOG.error("schedule %s gave up after %d retries and has no dead-letter queue: %s", schedule["Name"], attempt, message)
        return
    attributes = {
        "ERROR_CODE": code, "ERROR_MESSAGE": message[:1024], "EXECUTION_ID": execution, "EXHAUSTED_RETRY_CONDITION": condition,
        "IS_PAYLOAD_TRUNCATED": "false", "RETRY_ATTEMPTS": str(attempt), "SCHEDULE_ARN": schedule["Arn"], "TARGET_ARN": invocation.target["Arn"],
        "SCHEDULED_TIME": dt.datetime.fromtimestamp(invocation.scheduled, dt.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")}
    try:
        api = aws_roles.client("sqs", invocation.account, invocation.region, invocation.target["RoleArn"], PRINCIPAL, group_of(invocation))
        api.send_message(QueueUrl=queue_url(queue), MessageBody=payload_of(invocation, execution, attempt + 1),
                         MessageAttributes={k: {"DataType": "String", "StringValue": v} for k, v in attributes.items()})
        _count(schedule, "InvocationsSentToDeadLetterCount")
    except Exception as error:
        _count(schedule, "InvocationsFailedToBeSentToDeadLetterCount")
        LOG.error("schedule %s: the dead-letter queue %s refused the message: %s", schedule["Name"], queue, error)


def _count(schedule: dict[str, Any], metric: str) -> None:
    from ministack.services import cloudwatch

    cloudwatch.record_metric("AWS/Scheduler", metric, 1, "Count", {"ScheduleGroup": schedule["GroupName"]})


def install(finder: Finder) -> None:
    """Puts this clock in the place of ministack's."""
    def hook(scheduler: Any) -> None:
        scheduler.start_scheduler = Clock().start

    finder.when("scheduler", hook)
