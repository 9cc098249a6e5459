# SPDX-License-Identifier: Apache-2.0
"""What rights IAM is asked for: on a sender's identity and its address, on a log group's streams, for a batch of messages."""
from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

TRUST = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]}


@pytest.fixture
def holder(auth_cloud: Any) -> Callable[..., Callable[[str], Any]]:
    """Clients of a role with one statement."""
    def make(name: str, action: str, resource: str, condition: dict[str, Any] | None = None) -> Callable[[str], Any]:
        iam, account = auth_cloud.aws("iam"), auth_cloud.info["account"]
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))
        statement = {"Effect": "Allow", "Action": action, "Resource": resource, **({"Condition": condition} if condition else {})}
        iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
        held = auth_cloud.aws("sts").assume_role(RoleArn=f"arn:aws:iam::{account}:role/{name}", RoleSessionName="test")["Credentials"]
        return lambda service: auth_cloud.aws(service, held["AccessKeyId"], held["SecretAccessKey"], held["SessionToken"])
    return make


def arn(cloud: Any, service: str, resource: str) -> str:
    return f"arn:aws:{service}:{cloud.info['region']}:{cloud.info['account']}:{resource}"


def refused(call: Callable[[], Any]) -> bool:
    try:
        call()
    except ClientError as error:
        assert "AccessDenied" in error.response["Error"]["Code"], error
        return True
    return False


def test_mail_is_a_right_on_the_identity_of_the_sender(auth_cloud: Any, holder: Any) -> None:
    # The forms of https://docs.aws.amazon.com/ses/latest/dg/control-user-access.html
    for identity in ("example.org", "alone@example.net"):
        auth_cloud.aws("sesv2").create_email_identity(EmailIdentity=identity)
    content = {"Simple": {"Subject": {"Data": "s"}, "Body": {"Text": {"Data": "t"}}}}
    address = {"StringEquals": {"ses:FromAddress": "alarms@example.org"}}
    by_domain = holder("by-domain", "ses:SendEmail", arn(auth_cloud, "ses", "identity/example.org"), address)("sesv2")
    by_address = holder("by-address", "ses:SendEmail", arn(auth_cloud, "ses", "identity/alone@example.net"))("sesv2")

    def send(client: Any, sender: str) -> Callable[[], Any]:
        return lambda: client.send_email(FromEmailAddress=sender, Destination={"ToAddresses": ["ops@example.com"]}, Content=content)

    assert not refused(send(by_domain, "alarms@example.org"))
    assert not refused(send(by_domain, "Alarms <alarms@example.org>"))
    assert refused(send(by_domain, "other@example.org"))
    assert refused(send(by_domain, "alone@example.net"))
    assert not refused(send(by_address, "alone@example.net"))
    assert refused(send(by_address, "alarms@example.org"))


def test_a_log_is_read_by_a_right_on_its_streams(auth_cloud: Any, holder: Any) -> None:
    logs = auth_cloud.aws("logs")
    for group in ("/aws/lambda/own", "/aws/lambda/own-too"):
        logs.create_log_group(logGroupName=group)
        logs.create_log_stream(logGroupName=group, logStreamName="one")
    reader = holder("log-reader", "logs:FilterLogEvents", arn(auth_cloud, "logs", "log-group:/aws/lambda/own:*"))("logs")
    assert not refused(lambda: reader.filter_log_events(logGroupName="/aws/lambda/own"))
    assert refused(lambda: reader.filter_log_events(logGroupName="/aws/lambda/own-too"))
    # The group alone is not what AWS asks for.
    short = holder("log-group-reader", "logs:FilterLogEvents", arn(auth_cloud, "logs", "log-group:/aws/lambda/own"))("logs")
    assert refused(lambda: short.filter_log_events(logGroupName="/aws/lambda/own"))
    writer = holder("log-writer", "logs:PutLogEvents", arn(auth_cloud, "logs", "log-group:/aws/lambda/own:log-stream:one"))("logs")
    event = [{"timestamp": 1, "message": "m"}]
    assert not refused(lambda: writer.put_log_events(logGroupName="/aws/lambda/own", logStreamName="one", logEvents=event))
    assert refused(lambda: writer.put_log_events(logGroupName="/aws/lambda/own", logStreamName="two", logEvents=event))


def test_a_batch_of_messages_is_the_right_to_one(auth_cloud: Any, holder: Any) -> None:
    sqs = auth_cloud.aws("sqs")
    url = sqs.create_queue(QueueName="batches")["QueueUrl"]
    client = holder("batcher", "sqs:SendMessage", arn(auth_cloud, "sqs", "batches"))("sqs")
    assert not refused(lambda: client.send_message_batch(QueueUrl=url, Entries=[{"Id": "1", "MessageBody": "m"}]))
    handle = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=2)["Messages"][0]["ReceiptHandle"]
    assert refused(lambda: client.delete_message_batch(QueueUrl=url, Entries=[{"Id": "1", "ReceiptHandle": handle}]))
