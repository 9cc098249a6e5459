# SPDX-License-Identifier: Apache-2.0
"""S3 → SNS → SQS → Lambda as pipectl's curated files use it; the function's calls are its role's."""
from __future__ import annotations

import io
import json
import stat
import sys
import time
import zipfile

BOOTSTRAP = f"""#!{sys.executable}
import json, os, urllib.request
import botocore.session
from botocore.config import Config
api = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/invocation/"
while True:
    with urllib.request.urlopen(api + "next") as r:
        request, event = r.headers["Lambda-Runtime-Aws-Request-Id"], json.load(r)
    s3 = botocore.session.get_session().create_client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"], region_name=os.environ["AWS_REGION"],
                                                       config=Config(s3={{"addressing_style": "path"}}))
    failures = []
    for record in event["Records"]:
        body = json.loads(record["body"])
        try:
            for e in body.get("Records", []):
                key = e["s3"]["object"]["key"]
                data = s3.get_object(Bucket=e["s3"]["bucket"]["name"], Key=key)["Body"].read()
                if data == b"poison":
                    raise ValueError("poison")
                s3.put_object(Bucket=os.environ["TARGET"], Key=key, Body=data.upper())
        except Exception as error:
            print(type(error), error, flush=True)
            failures.append({{"itemIdentifier": record["messageId"]}})
    answer = json.dumps({{"batchItemFailures": failures}}).encode()
    urllib.request.urlopen(urllib.request.Request(api + request + "/response", data=answer, method="POST"))
"""


def zipped(bootstrap: str) -> bytes:
    """A deployment package whose `bootstrap` is this text."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = zipfile.ZipInfo("bootstrap")
        info.external_attr = (stat.S_IFREG | 0o755) << 16
        archive.writestr(info, bootstrap)
    return buffer.getvalue()


def code() -> bytes:
    return zipped(BOOTSTRAP)


def wait_for(test, seconds=90):
    began = time.monotonic()
    while not (found := test()):
        assert time.monotonic() - began < seconds
        time.sleep(0.1)
    return found


def keys(s3, bucket):
    return [o["Key"] for o in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]


def test_copier(either):
    auth = either.info["auth"]
    name = f"copier-{'auth' if auth else 'open'}"
    account, region = either.info["account"], either.info["region"]
    s3, sqs, sns, iam, functions = (either.aws(s) for s in ("s3", "sqs", "sns", "iam", "lambda"))
    for bucket in (f"{name}-raw", f"{name}-curated"):
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": region})
    topic = sns.create_topic(Name=name)["TopicArn"]
    sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "sns:Publish", "Resource": topic,
         "Condition": {"ArnLike": {"aws:SourceArn": f"arn:aws:s3:::{name}-raw"}, "StringEquals": {"aws:SourceAccount": account}}}]}))
    arns = {}
    for queue in (name, f"{name}-dlq"):
        arns[queue] = f"arn:aws:sqs:{region}:{account}:{queue}"
    dlq = sqs.create_queue(QueueName=f"{name}-dlq")["QueueUrl"]
    url = sqs.create_queue(QueueName=name, Attributes={
        "VisibilityTimeout": "1", "RedrivePolicy": json.dumps({"deadLetterTargetArn": arns[f"{name}-dlq"], "maxReceiveCount": 2}),
        "Policy": json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"},
                              "Action": "sqs:SendMessage", "Resource": arns[name], "Condition": {"ArnEquals": {"aws:SourceArn": topic}}}]})})["QueueUrl"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arns[name], Attributes={"RawMessageDelivery": "true"})
    s3.put_bucket_notification_configuration(Bucket=f"{name}-raw", NotificationConfiguration={
        "TopicConfigurations": [{"TopicArn": topic, "Events": ["s3:ObjectCreated:*"]}]})
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]}))["Role"]["Arn"]

    def permit(write: bool) -> None:
        iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"], "Resource": arns[name]},
            {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{name}-raw/*"},
            {"Effect": "Allow", "Action": "s3:PutObject" if write else "s3:PutObjectTagging", "Resource": f"arn:aws:s3:::{name}-curated/*"}]}))
    permit(write=not auth)
    functions.create_function(FunctionName=name, Runtime="provided.al2023", Handler="bootstrap", Role=role, Code={"ZipFile": code()}, Timeout=10,
                              Environment={"Variables": {"TARGET": f"{name}-curated"}})
    functions.create_event_source_mapping(FunctionName=name, EventSourceArn=arns[name], BatchSize=10, FunctionResponseTypes=["ReportBatchItemFailures"])
    if auth:
        s3.put_object(Bucket=f"{name}-raw", Key="denied.json", Body=b"denied")
        wait_for(lambda: sqs.receive_message(QueueUrl=dlq, WaitTimeSeconds=1, VisibilityTimeout=0).get("Messages"))
        assert keys(s3, f"{name}-curated") == [], "a call that the role may not make is refused"
        permit(write=True)
    s3.put_object(Bucket=f"{name}-raw", Key="good.json", Body=b"good")
    wait_for(lambda: "good.json" in keys(s3, f"{name}-curated"))
    s3.put_object(Bucket=f"{name}-raw", Key="poison.json", Body=b"poison")
    s3.put_object(Bucket=f"{name}-raw", Key="good2.json", Body=b"good2")
    wait_for(lambda: "good2.json" in keys(s3, f"{name}-curated"))
    wait_for(lambda: any("poison.json" in m["Body"] for m in sqs.receive_message(QueueUrl=dlq, WaitTimeSeconds=1, VisibilityTimeout=0, MaxNumberOfMessages=10).get("Messages", [])))
    assert "poison.json" not in keys(s3, f"{name}-curated")
    sqs.delete_queue(QueueUrl=url)


def test_plain_http_is_denied_by_a_tls_only_bucket(auth_cloud):
    s3 = auth_cloud.aws("s3")
    s3.create_bucket(Bucket="tls-only", CreateBucketConfiguration={"LocationConstraint": auth_cloud.info["region"]})
    s3.put_bucket_policy(Bucket="tls-only", Policy=json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Principal": "*", "Action": "s3:*",
                         "Resource": ["arn:aws:s3:::tls-only", "arn:aws:s3:::tls-only/*"], "Condition": {"Bool": {"aws:SecureTransport": "false"}}}]}))
    s3.put_object(Bucket="tls-only", Key="a", Body=b"a")
    iam = auth_cloud.aws("iam")
    iam.create_user(UserName="reader")
    iam.put_user_policy(UserName="reader", PolicyName="p", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}))
    key = iam.create_access_key(UserName="reader")["AccessKey"]
    s3 = auth_cloud.aws("s3", key["AccessKeyId"], key["SecretAccessKey"])  # ministack lets an account's root pass an explicit Deny
    assert s3.get_object(Bucket="tls-only", Key="a")["Body"].read() == b"a"
    s3.meta.events.register("before-send.s3", lambda request, **_: request.headers.__setitem__("x-forwarded-proto", "http"))
    try:
        s3.get_object(Bucket="tls-only", Key="a")
        raise AssertionError("plain http went through")
    except s3.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] == "AccessDenied"
