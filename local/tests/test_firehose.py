# SPDX-License-Identifier: Apache-2.0
"""Kinesis → Firehose → S3: partitions, batches, delimiters, transformation and what happens to bad records."""
from __future__ import annotations

import base64
import gzip
import json
import sys
import time
from typing import Any

import pytest
from test_lambda import wait_for, zipped

TRANSFORM = f"""#!{sys.executable}
import base64, json, os, urllib.request
api = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/invocation/"
while True:
    with urllib.request.urlopen(api + "next") as r:
        request, event = r.headers["Lambda-Runtime-Aws-Request-Id"], json.load(r)
    records = []
    for record in event["records"]:
        row = json.loads(base64.b64decode(record["data"]))
        if row["do"] == "forget":
            continue
        result = {{"keep": "Ok", "drop": "Dropped", "fail": "ProcessingFailed"}}[row["do"]]
        records.append({{"recordId": record["recordId"], "result": result, "data": base64.b64encode(json.dumps(row | {{"seen": True, "number": record["kinesisRecordMetadata"]["sequenceNumber"]}}).encode()).decode()}})
    urllib.request.urlopen(urllib.request.Request(api + request + "/response", data=json.dumps({{"records": records}}).encode(), method="POST"))
"""
JQ = {"Type": "MetadataExtraction", "Parameters": [
    {"ParameterName": "MetadataExtractionQuery", "ParameterValue": '{table: (.schema + "." + .table)}'},
    {"ParameterName": "JsonParsingEngine", "ParameterValue": "JQ-1.6"}]}
DELIMITER = {"Type": "AppendDelimiterToRecord", "Parameters": [{"ParameterName": "Delimiter", "ParameterValue": "\\n"}]}


class Stream:
    """A stream, its delivery stream, bucket and the role that both of its sides use."""

    def __init__(self, cloud: Any, name: str, rights: tuple[str, ...] = ("s3:PutObject", "lambda:InvokeFunction"), **settings: Any) -> None:
        account, region = cloud.info["account"], cloud.info["region"]
        self.name, self.bucket = name, f"{name}-bucket"
        self.s3, self.kinesis, self.firehose = cloud.aws("s3"), cloud.aws("kinesis"), cloud.aws("firehose")
        iam = cloud.aws("iam")
        iam.create_role(RoleName=f"{name}-role", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": {"Service": "firehose.amazonaws.com"}, "Action": "sts:AssumeRole"}]}))
        iam.put_role_policy(RoleName=f"{name}-role", PolicyName="p", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [
            # https://docs.aws.amazon.com/firehose/latest/dev/controlling-access.html#firehose-assume-role
            {"Effect": "Allow", "Action": ["kinesis:DescribeStream", "kinesis:GetShardIterator", "kinesis:GetRecords", "kinesis:ListShards"],
             "Resource": f"arn:aws:kinesis:{region}:{account}:stream/{name}"},
            {"Effect": "Allow", "Action": rights, "Resource": "*"}]}))
        self.role = f"arn:aws:iam::{account}:role/{name}-role"
        self.s3.create_bucket(Bucket=self.bucket, CreateBucketConfiguration={"LocationConstraint": region})
        self.kinesis.create_stream(StreamName=name, ShardCount=1)
        wait_for(lambda: self.kinesis.describe_stream(StreamName=name)["StreamDescription"]["StreamStatus"] == "ACTIVE")
        self.firehose.create_delivery_stream(
            DeliveryStreamName=name, DeliveryStreamType="KinesisStreamAsSource",
            KinesisStreamSourceConfiguration={"KinesisStreamARN": f"arn:aws:kinesis:{region}:{account}:stream/{name}", "RoleARN": self.role},
            ExtendedS3DestinationConfiguration={"BucketARN": f"arn:aws:s3:::{self.bucket}", "RoleARN": self.role, "ErrorOutputPrefix": "errors/!{firehose:error-output-type}/",
                                                "BufferingHints": {"IntervalInSeconds": 30, "SizeInMBs": 64}, **settings})

    def put(self, *records: Any) -> None:
        for start in range(0, len(records), 500):
            answer = self.kinesis.put_records(StreamName=self.name, Records=[
                {"PartitionKey": str(i), "Data": r if isinstance(r, bytes) else json.dumps(r).encode()} for i, r in enumerate(records[start:start + 500])])
            assert answer["FailedRecordCount"] == 0

    def objects(self, prefix: str) -> dict[str, bytes]:
        return {o["Key"]: self.s3.get_object(Bucket=self.bucket, Key=o["Key"])["Body"].read()
                for o in self.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix).get("Contents", [])}

    def rows(self, prefix: str) -> list[Any]:
        return [json.loads(line) for body in self.objects(prefix).values() for line in body.splitlines()]


def partitioned(*processors: Any) -> dict[str, Any]:
    return {"Prefix": "data/!{partitionKeyFromQuery:table}/!{timestamp:yyyy/MM/dd}/", "DynamicPartitioningConfiguration": {"Enabled": True},
            "ProcessingConfiguration": {"Enabled": True, "Processors": [JQ, *processors]}}


def test_records_arrive_in_batches_by_table(either: Any) -> None:
    stream = Stream(either, f"batches{either.info['auth']}".lower(), **partitioned(DELIMITER))
    records = [{"schema": "video", "table": f"t{i % 3}", "i": i} for i in range(3000)]
    stream.put(*records, b"not json", {"schema": 5, "table": "number and string cannot be added"})
    wait_for(lambda: len(stream.rows("data/")) == 3000 and stream.objects("errors/"))
    by_table = {k.split("/")[1] for k in stream.objects("data/")}
    assert by_table == {"video.t0", "video.t1", "video.t2"}
    assert sorted(stream.rows("data/"), key=lambda r: r["i"]) == records
    assert sorted(r["i"] for r in stream.rows("data/video.t1/")) == [i for i in range(3000) if i % 3 == 1]
    assert len(stream.objects("data/")) <= 30, "batches, not one object a record"
    # https://docs.aws.amazon.com/firehose/latest/dev/data-transformation-failure-handling.html
    bad = wait_for(lambda: len(found := stream.rows("errors/processing-failed/")) == 2 and found)
    assert {base64.b64decode(r["rawData"])[:8] for r in bad} == {b"not json", b'{"schema'}
    assert all("Metadata extraction failed" in r["errorMessage"] for r in bad)


def test_a_transformation_decides_about_each_record(either: Any) -> None:
    name = f"transform{either.info['auth']}".lower()
    account, region = either.info["account"], either.info["region"]
    functions, iam = either.aws("lambda"), either.aws("iam")
    iam.create_role(RoleName=f"{name}-fn", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]}))
    functions.create_function(FunctionName=name, Runtime="provided.al2023", Handler="bootstrap", Code={"ZipFile": zipped(TRANSFORM)},
                              Role=f"arn:aws:iam::{account}:role/{name}-fn", Timeout=10)
    arn = f"arn:aws:lambda:{region}:{account}:function:{name}"
    stream = Stream(either, name, Prefix="data/", CompressionFormat="GZIP", ProcessingConfiguration={"Enabled": True, "Processors": [
        {"Type": "Lambda", "Parameters": [{"ParameterName": "LambdaArn", "ParameterValue": arn}, {"ParameterName": "BufferIntervalInSeconds", "ParameterValue": "12"}]},
        DELIMITER]})
    stream.put({"do": "keep", "n": 1}, {"do": "drop"}, {"do": "fail", "n": 2}, {"do": "forget", "n": 3}, {"do": "keep", "n": 4})
    objects = wait_for(lambda: stream.objects("data/") if stream.objects("errors/") else None)
    assert all(key.endswith(".gz") for key in objects)
    rows = [json.loads(line) for body in objects.values() for line in gzip.decompress(body).splitlines()]
    numbers = [row.pop("number") for row in rows]
    assert rows == [{"do": "keep", "n": 1, "seen": True}, {"do": "keep", "n": 4, "seen": True}]
    # https://docs.aws.amazon.com/lambda/latest/dg/services-kinesisfirehose.html: what tells the order of a stream's records.
    assert int(numbers[0]) < int(numbers[1]) and len(numbers[0]) == len(numbers[1])
    bad = [json.loads(line) for body in stream.objects("errors/processing-failed/").values() for line in gzip.decompress(body).splitlines()]
    assert [(b["errorCode"], json.loads(base64.b64decode(b["rawData"]))["n"], b["lambdaArn"]) for b in bad] == [
        ("Lambda.ProcessingFailedStatus", 2, arn), ("Lambda.MissingRecordId", 3, arn)]
    assert {b["attemptsMade"] for b in bad} == {1}, "an answer is final"
    stream.put({"do": "end with an error", "n": 5})
    given_up = wait_for(lambda: [b for body in stream.objects("errors/").values() for line in gzip.decompress(body).splitlines()
                                 if (b := json.loads(line))["errorCode"] == "Lambda.FunctionError"])
    # By default a failed invocation is tried three times more.
    assert [(b["attemptsMade"], json.loads(base64.b64decode(b["rawData"]))["n"]) for b in given_up] == [(4, 5)]


def test_a_role_without_the_right_delivers_nothing(auth_cloud: Any) -> None:
    stream = Stream(auth_cloud, "unable", rights=("s3:ListBucket",), Prefix="data/")
    stream.put({"n": 1})
    cloudwatch = auth_cloud.aws("cloudwatch")

    def failures() -> list[float]:
        now = time.time()
        answer = cloudwatch.get_metric_statistics(Namespace="AWS/Firehose", MetricName="DeliveryToS3.Success", Statistics=["Minimum"], Period=60,
                                                  Dimensions=[{"Name": "DeliveryStreamName", "Value": "unable"}], StartTime=now - 300, EndTime=now + 60)
        return [p["Minimum"] for p in answer["Datapoints"]]

    wait_for(lambda: 0.0 in failures())
    assert stream.objects("") == {}
    auth_cloud.aws("iam").put_role_policy(RoleName="unable-role", PolicyName="p", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::unable-bucket/data/*"}]}))
    # Nothing is lost: it is written when it may be.
    assert wait_for(lambda: stream.rows("data/")) == [{"n": 1}]


def test_records_put_directly_are_batched_too(cloud: Any) -> None:
    s3, firehose = cloud.aws("s3"), cloud.aws("firehose")
    s3.create_bucket(Bucket="direct-bucket", CreateBucketConfiguration={"LocationConstraint": cloud.info["region"]})
    role = f"arn:aws:iam::{cloud.info['account']}:role/any"
    firehose.create_delivery_stream(DeliveryStreamName="direct", ExtendedS3DestinationConfiguration={
        "BucketARN": "arn:aws:s3:::direct-bucket", "RoleARN": role, "Prefix": "in/", "BufferingHints": {"IntervalInSeconds": 60, "SizeInMBs": 1}})
    firehose.put_record_batch(DeliveryStreamName="direct", Records=[{"Data": f"{i}\n".encode()} for i in range(400)])
    found = wait_for(lambda: s3.list_objects_v2(Bucket="direct-bucket", Prefix="in/").get("Contents"))
    lines = b"".join(s3.get_object(Bucket="direct-bucket", Key=o["Key"])["Body"].read() for o in found).split()
    assert lines == [str(i).encode() for i in range(400)]
    assert len(found) == 1


@pytest.mark.parametrize(("query", "expected"), [
    # jq 1.6 manual: https://jqlang.github.io/jq/manual/v1.6/
    ("{table: (.schema + \".\" + .table)}", (("table", "a.b"),)),
    ("{n: .n}", (("n", "7"),)),
    ("{year: (.at | strftime(\"%Y\"))}", (("year", "2024"),)),
    ("{t: (.missing // \"other\")}", (("t", "other"),)),
])
def test_partition_keys(query: str, expected: Any) -> None:
    from pipectl_local.aws_firehose import partition_keys

    assert partition_keys(query, b'{"schema": "a", "table": "b", "n": 7, "at": 1704067200}') == expected
