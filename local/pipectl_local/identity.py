# SPDX-License-Identifier: Apache-2.0
"""Snowflake's side in AWS: one IAM user in an account of its own, and what it does there.

Snowflake reads files only with the credentials of the integration's role, assumed by that user with
the external id, and subscribes its queues as that user. Under AUTH ministack enforces it all; without
AUTH ministack allows anything, so trust and topic policies are evaluated here by the same evaluator
before the call is made.
https://docs.snowflake.com/en/user-guide/data-load-s3-config-storage-integration
"""
from __future__ import annotations

import datetime as dt
import json
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .aws import ROOT_SECRET, Aws, Credentials

SNOWFLAKE_ACCOUNT = "999999999999"
USER_NAME = "snowflake-local"
SESSION_NAME = "snowflake"
CREDENTIALS_SECONDS = 5.0
POLICY = {"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Resource": "*", "Action": [
        "sqs:CreateQueue", "sqs:DeleteQueue", "sqs:GetQueueUrl", "sqs:GetQueueAttributes", "sqs:ReceiveMessage", "sqs:DeleteMessage",
        "sqs:ChangeMessageVisibility", "sns:Subscribe", "sns:Unsubscribe", "sns:ListSubscriptionsByTopic", "sts:AssumeRole"]}]}


class AwsRefused(Exception):
    """AWS did not allow or could not do what Snowflake asked for."""


@dataclass(frozen=True)
class S3Object:
    key: str
    size: int
    etag: str
    modified: dt.datetime


class Identity:
    """The IAM user of the local Snowflake account, and clients in its name."""

    def __init__(self, aws: Aws) -> None:
        self.aws = aws
        self.user_arn = f"arn:aws:iam::{SNOWFLAKE_ACCOUNT}:user/{USER_NAME}"
        self._lock = threading.Lock()
        self._clients: dict[tuple[str, str], Any] = {}
        self._assumed: dict[tuple[str, str], tuple[float, Credentials]] = {}
        self.credentials = self._create_user()

    def _create_user(self) -> Credentials:
        iam = self.aws.client("iam", Credentials(SNOWFLAKE_ACCOUNT, ROOT_SECRET))
        iam.create_user(UserName=USER_NAME)
        iam.put_user_policy(UserName=USER_NAME, PolicyName="snowflake", PolicyDocument=json.dumps(POLICY))
        key = iam.create_access_key(UserName=USER_NAME)["AccessKey"]
        if self.aws.auth:
            return Credentials(key["AccessKeyId"], key["SecretAccessKey"])
        # Without AUTH ministack knows accounts only by 12-digit access keys.
        return Credentials(SNOWFLAKE_ACCOUNT, ROOT_SECRET)

    def client(self, service: str, credentials: Credentials | None = None) -> Any:
        """A client per service and credentials; botocore's clients are safe to share between threads."""
        chosen = credentials or self.credentials
        key = (service, chosen.access_key_id)
        with self._lock:
            if key not in self._clients:
                if len(self._clients) > 50:
                    self._clients.clear()
                self._clients[key] = self.aws.client(service, chosen)
            return self._clients[key]

    # -- roles

    def assume(self, role_arn: str, external_id: str) -> Credentials:
        """The role's credentials, kept for a moment as Snowflake keeps them for up to an hour."""
        import time
        key = (role_arn, external_id)
        cached = self._assumed.get(key)
        if cached and cached[0] > time.monotonic():
            return cached[1]
        if not self.aws.auth:
            self._check_trust(role_arn, external_id)
        try:
            answer = self.client("sts").assume_role(RoleArn=role_arn, RoleSessionName=SESSION_NAME, ExternalId=external_id)["Credentials"]
        except Exception as error:
            raise AwsRefused(f"Error assuming AWS_ROLE:\n{explain(error)}") from error
        credentials = Credentials(answer["AccessKeyId"], answer["SecretAccessKey"], answer["SessionToken"])
        self._assumed[key] = (time.monotonic() + CREDENTIALS_SECONDS, credentials)
        return credentials

    def forget(self) -> None:
        self._assumed.clear()

    def _check_trust(self, role_arn: str, external_id: str) -> None:
        from ministack.core.iam_evaluator import evaluate_trust_policy
        refusal = (f"Error assuming AWS_ROLE:\nUser: {self.user_arn} is not authorized to perform: sts:AssumeRole on resource: {role_arn}")
        owner = self.client("iam", Credentials(role_arn.split(":")[4], ROOT_SECRET))
        try:
            role = owner.get_role(RoleName=role_arn.rsplit("/", 1)[-1])["Role"]
        except Exception as error:
            raise AwsRefused(refusal) from error
        document = role["AssumeRolePolicyDocument"]
        context = self._evaluation("sts:AssumeRole", role_arn, {"sts:externalid": external_id, "sts:rolesessionname": SESSION_NAME})
        if role["Arn"] != role_arn or not evaluate_trust_policy(document, self.user_arn, context):
            raise AwsRefused(refusal)

    def _evaluation(self, action: str, resource: str, keys: dict[str, str]) -> Any:
        from ministack.core.iam_evaluator import EvalContext
        return EvalContext(principal_arn=self.user_arn, principal_type="User", principal_account=SNOWFLAKE_ACCOUNT, action=action,
                           resource_arn=resource, region=self.aws.region, source_ip="127.0.0.1", secure_transport=True,
                           service_context=keys)

    # -- files

    def list_objects(self, credentials: Credentials, bucket: str, prefix: str) -> Iterator[S3Object]:
        arguments: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix}
        while True:
            try:
                page = self.client("s3", credentials).list_objects_v2(**arguments)
            except Exception as error:
                raise AwsRefused(f"Failed to access remote file: access denied. Please check your credentials\n{explain(error)}") from error
            for item in page.get("Contents", []):
                yield S3Object(item["Key"], item["Size"], item["ETag"].strip('"'), item["LastModified"].astimezone(dt.timezone.utc))
            if not page.get("IsTruncated"):
                return
            arguments["ContinuationToken"] = page["NextContinuationToken"]

    def read_object(self, credentials: Credentials, bucket: str, key: str) -> tuple[bytes, S3Object]:
        try:
            answer = self.client("s3", credentials).get_object(Bucket=bucket, Key=key)
            body = answer["Body"].read()
        except Exception as error:
            raise AwsRefused(f"Failed to access remote file: access denied. Please check your credentials\n{explain(error)}") from error
        return body, S3Object(key, len(body), answer["ETag"].strip('"'), answer["LastModified"].astimezone(dt.timezone.utc))

    # -- queues and topics

    def create_queue(self, name: str, topic: str) -> tuple[str, str]:
        """A queue in Snowflake's account that the topic may send to: its URL and ARN."""
        arn = f"arn:aws:sqs:{self.aws.region}:{SNOWFLAKE_ACCOUNT}:{name}"
        policy = {"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": topic}}}]}
        url = self.client("sqs").create_queue(QueueName=name, Attributes={
            "Policy": json.dumps(policy), "VisibilityTimeout": "30", "MessageRetentionPeriod": "1209600"})["QueueUrl"]
        return url, arn

    def delete_queue(self, url: str) -> None:
        self.client("sqs").delete_queue(QueueUrl=url)

    def subscribe(self, topic: str, queue_arn: str) -> str:
        if not self.aws.auth:
            self._check_topic(topic)
        try:
            return str(self.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue_arn, ReturnSubscriptionArn=True)["SubscriptionArn"])
        except Exception as error:
            raise AwsRefused(explain(error)) from error

    def unsubscribe(self, subscription: str) -> None:
        try:
            self.client("sns").unsubscribe(SubscriptionArn=subscription)
        except Exception:
            owner = Credentials(subscription.split(":")[4], ROOT_SECRET)
            try:
                self.client("sns", owner).unsubscribe(SubscriptionArn=subscription)
            except Exception:
                pass  # the topic is gone, and its subscriptions with it

    def _check_topic(self, topic: str) -> None:
        from ministack.core.iam_evaluator import evaluate_resource_policy
        owner = self.client("sns", Credentials(topic.split(":")[4], ROOT_SECRET))
        try:
            policy = owner.get_topic_attributes(TopicArn=topic)["Attributes"].get("Policy")
        except Exception as error:
            raise AwsRefused(explain(error)) from error
        if evaluate_resource_policy(policy, self._evaluation("sns:Subscribe", topic, {"sns:protocol": "sqs"})).decision != "Allow":
            raise AwsRefused(f"User: {self.user_arn} is not authorized to perform: sns:Subscribe on resource: {topic}")

    def publish(self, role_arn: str, external_id: str, topic: str, subject: str, message: dict[str, Any]) -> None:
        """An error notification, sent as the integration's role."""
        credentials = self.assume(role_arn, external_id)
        try:
            self.client("sns", credentials).publish(TopicArn=topic, Subject=subject, Message=json.dumps(message))
        except Exception as error:
            raise AwsRefused(explain(error)) from error


def explain(error: Exception) -> str:
    """AWS's own words."""
    response = getattr(error, "response", None)
    if isinstance(response, dict) and "Error" in response:
        return f"{response['Error'].get('Message', error)} (Service: AWS, Status: {response['Error'].get('Code', '')})"
    return str(error)


def external_id(account: str) -> str:
    """In the form that Snowflake generates."""
    return f"{account}_SFCRole={uuid.uuid4().int % 10}_{uuid.uuid4().hex[:28]}="
