# SPDX-License-Identifier: Apache-2.0
"""EventBridge Scheduler, from templates and from clients: what fires, how often, as whom, and where failures go."""
from __future__ import annotations

import json
import re
import time
from typing import Any

from test_lambda import wait_for

TRUST = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "scheduler.amazonaws.com"}, "Action": "sts:AssumeRole"}]}


class Target:
    """A queue and a dead-letter queue, and the role that may send to them."""

    def __init__(self, cloud: Any, name: str, actions: list[str] | None = None, trust: Any = TRUST) -> None:
        self.name, self.account, self.region = f"{name}{'-auth' if cloud.info['auth'] else ''}", cloud.info["account"], cloud.info["region"]
        self.sqs, self.scheduler = cloud.aws("sqs"), cloud.aws("scheduler")
        iam = cloud.aws("iam")
        iam.create_role(RoleName=self.name, AssumeRolePolicyDocument=json.dumps(trust))
        iam.put_role_policy(RoleName=self.name, PolicyName="p", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Action": actions or ["sqs:SendMessage", "lambda:InvokeFunction"], "Resource": "*"}]}))
        self.role = f"arn:aws:iam::{self.account}:role/{self.name}"
        self.queue = self.sqs.create_queue(QueueName=self.name)["QueueUrl"]
        self.dead = self.sqs.create_queue(QueueName=f"{self.name}-dead")["QueueUrl"]

    def arn(self, service: str, resource: str) -> str:
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"

    def schedule(self, expression: str, arn: str | None = None, window: Any = None, **target: Any) -> None:
        self.scheduler.create_schedule(Name=self.name, ScheduleExpression=expression, FlexibleTimeWindow=window or {"Mode": "OFF"}, Target={
            "Arn": arn or self.arn("sqs", self.name), "RoleArn": self.role, "DeadLetterConfig": {"Arn": self.arn("sqs", f"{self.name}-dead")}, **target})

    def received(self, queue: str | None = None) -> list[Any]:
        found = []
        while batch := self.sqs.receive_message(QueueUrl=queue or self.queue, MaxNumberOfMessages=10, MessageAttributeNames=["All"]).get("Messages"):
            found += batch
        return found


def test_a_rate_fires_again_and_again_with_its_input(either: Any) -> None:
    target = Target(either, "rate")
    target.schedule("rate(1 minute)", Input=json.dumps({"do": "extract", "at": "<aws.scheduler.scheduled-time>", "try": "<aws.scheduler.attempt-number>"}))
    bodies: list[Any] = []
    wait_for(lambda: bodies.extend(json.loads(m["Body"]) for m in target.received()) or len(bodies) >= 3)
    assert {b["do"] for b in bodies} == {"extract"} and {b["try"] for b in bodies} == {"1"}
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", b["at"]) for b in bodies)


def test_one_of_a_stack_fires_and_stops_when_disabled_or_deleted(cloud: Any) -> None:
    target = Target(cloud, "stacked")
    cloudformation = cloud.aws("cloudformation")

    def template(state: str) -> str:
        return json.dumps({"Resources": {"Schedule": {"Type": "AWS::Scheduler::Schedule", "Properties": {
            "ScheduleExpression": "rate(1 minutes)", "FlexibleTimeWindow": {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 1}, "State": state,
            "Target": {"Arn": target.arn("sqs", target.name), "RoleArn": target.role, "Input": "{}"}}}}})

    def done(status: str) -> bool:
        return bool(cloudformation.describe_stacks(StackName="schedules")["Stacks"][0]["StackStatus"] == status)

    cloudformation.create_stack(StackName="schedules", TemplateBody=template("ENABLED"))
    wait_for(lambda: target.received())
    cloudformation.update_stack(StackName="schedules", TemplateBody=template("DISABLED"))
    wait_for(lambda: done("UPDATE_COMPLETE"))
    # One may be on its way in its window.
    wait_for(lambda: not target.received())
    cloudformation.delete_stack(StackName="schedules")
    wait_for(lambda: not cloud.aws("scheduler").list_schedules(NamePrefix="schedules")["Schedules"])


def test_what_cannot_be_delivered_goes_to_the_dead_letter_queue(either: Any) -> None:
    target = Target(either, "nobody")
    target.schedule("rate(1 minute)", target.arn("lambda", "function:nobody"), Input='{"n": 1}', RetryPolicy={"MaximumRetryAttempts": 2})
    message = wait_for(lambda: target.received(target.dead))[0]
    # https://docs.aws.amazon.com/scheduler/latest/UserGuide/configuring-schedule-dlq.html
    attributes = {k: v["StringValue"] for k, v in message["MessageAttributes"].items()}
    assert json.loads(message["Body"]) == {"n": 1}
    assert attributes["ERROR_CODE"] == "ResourceNotFoundException"
    assert attributes["TARGET_ARN"] == target.arn("lambda", "function:nobody")
    assert set(attributes) == {"ERROR_CODE", "ERROR_MESSAGE", "EXECUTION_ID", "EXHAUSTED_RETRY_CONDITION", "IS_PAYLOAD_TRUNCATED", "RETRY_ATTEMPTS",
                               "SCHEDULED_TIME", "SCHEDULE_ARN", "TARGET_ARN"}


def test_the_role_decides(auth_cloud: Any) -> None:
    def trust(service: str, **conditions: str) -> Any:
        return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole",
                                                        "Condition": {"StringEquals": {f"aws:{key}": value for key, value in conditions.items()}}}]}

    def source(resource: str) -> str:
        return f"arn:aws:scheduler:{auth_cloud.info['region']}:{auth_cloud.info['account']}:{resource}"

    account, service = auth_cloud.info["account"], "scheduler.amazonaws.com"
    unable = Target(auth_cloud, "unable-role", ["sqs:GetQueueUrl"])
    stranger = Target(auth_cloud, "stranger-role", trust=trust("lambda.amazonaws.com", SourceAccount=account))
    other = Target(auth_cloud, "other-role", trust=trust(service, SourceArn=source("schedule-group/other")))
    # https://docs.aws.amazon.com/scheduler/latest/UserGuide/cross-service-confused-deputy-prevention.html
    itself = Target(auth_cloud, "itself-role", trust=trust(service, SourceArn=source("schedule/default/itself-role-auth")))
    able = Target(auth_cloud, "able-role", trust=trust(service, SourceAccount=account, SourceArn=source("schedule-group/default")))
    refused = (unable, stranger, other, itself)
    for target in (*refused, able):
        target.schedule("rate(1 minute)", Input="{}")
    assert len(wait_for(lambda: able.received()))
    time.sleep(0.2)
    assert not any(target.received() for target in refused)
