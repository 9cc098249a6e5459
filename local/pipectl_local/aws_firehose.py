# SPDX-License-Identifier: Apache-2.0
"""Stand-in: what Firehose does between a record and an object in S3.

ministack writes one object per record, knows a part of jq, and passes on what a transformation refused. Here records are
collected by partition until the buffering hints say so (the interval follows `--time-scale`), processors run in their
order with jq itself, bad records go to the error prefix, and reading, transforming and writing happen as the stream's roles:
https://docs.aws.amazon.com/firehose/latest/dev/dynamic-partitioning.html
https://docs.aws.amazon.com/firehose/latest/dev/data-transformation-failure-handling.html
"""
from __future__ import annotations

import base64
import functools
import gzip
import itertools
import json
import logging
import queue
import threading
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from . import aws_clock, aws_roles
from .aws_hooks import Finder

LOG = logging.getLogger("pipectl.firehose")
PRINCIPAL = "firehose.amazonaws.com"
MIB = 1024 * 1024
LEAST_INTERVAL_SECONDS = 0.2
RETRY_SECONDS = 5.0
# https://docs.aws.amazon.com/firehose/latest/APIReference/API_BufferingHints.html and API_ProcessorParameter.html
BUFFER_SECONDS, BUFFER_MIB, TRANSFORM_SECONDS, TRANSFORM_MIB, TRANSFORM_RETRIES = 300, 5, 60, 1, 3
IDLE_SECONDS = 0.5


@dataclass(frozen=True)
class Record:
    identity: str
    data: bytes
    arrived: float
    # What Firehose tells a function about a record of a Kinesis stream.
    origin: dict[str, Any] | None = None


@dataclass
class Buffer:
    """Records for one prefix."""

    began: float
    keys: tuple[tuple[str, str], ...]
    lambda_keys: tuple[tuple[str, str], ...]
    error: str | None = None
    size: int = 0
    records: list[Record] = field(default_factory=list)

    def add(self, record: Record) -> None:
        self.records.append(record)
        self.size += len(record.data)


def parameters(configuration: dict[str, Any], kind: str) -> dict[str, str] | None:
    """The parameters of a processor, or `None` without one."""
    processing = configuration.get("ProcessingConfiguration") or {}
    if str(processing.get("Enabled", False)).lower() != "true":
        return None
    for processor in processing.get("Processors") or []:
        if processor.get("Type") == kind:
            return {str(p["ParameterName"]): str(p["ParameterValue"]) for p in processor.get("Parameters") or []}
    return None


@functools.lru_cache(maxsize=256)
def _program(query: str) -> Any:
    import jq

    return jq.compile(query)


def partition_keys(query: str, data: bytes) -> tuple[tuple[str, str], ...]:
    """What a MetadataExtraction query finds in a record; ValueError says why it finds nothing."""
    text = data.decode("utf-8")
    found = _program(query).input_text(text).all()
    if len(found) != 1 or not isinstance(found[0], dict):
        raise ValueError("the query does not give one object")
    for key, value in found[0].items():
        if value is None or isinstance(value, (dict, list)) or value == "":
            raise ValueError(f"partition key {key} has no scalar value")
    return tuple((key, value if isinstance(value, str) else json.dumps(value)) for key, value in found[0].items())


class Worker:
    """Carries the records of one delivery stream, in a thread of its own."""

    def __init__(self, account: str, region: str, name: str) -> None:
        self.account, self.region, self.name = account, region, name
        self.incoming: queue.SimpleQueue[Record] = queue.SimpleQueue()
        self.buffers: dict[Any, Buffer] = {}
        self.untransformed: list[Record] = []
        self.source_checked = False
        self._retry_at = 0.0
        threading.Thread(target=self._run, name=f"firehose-{name}", daemon=True).start()

    # -- what is known of the stream

    def _stream(self) -> dict[str, Any] | None:
        from ministack.services import firehose

        found: dict[str, Any] | None = firehose._streams.get_scoped(self.account, self.region, self.name)
        return found

    def oldest(self) -> float | None:
        """When the oldest record arrived that is not in S3 yet."""
        times = [r.arrived for r in self.untransformed[:1]] + [b.records[0].arrived for b in list(self.buffers.values()) if b.records]
        return min(times, default=None)

    def _client(self, stream: dict[str, Any], api: str, role: str) -> Any:
        return aws_roles.client(api, self.account, self.region, role, PRINCIPAL, stream["arn"])

    def _count(self, metric: str, value: float, unit: str = "Count") -> None:
        from ministack.services import cloudwatch

        cloudwatch.record_metric("AWS/Firehose", metric, value, unit, {"DeliveryStreamName": self.name})

    # -- the loop

    def _run(self) -> None:
        from ministack.core.responses import request_scope

        with request_scope(self.account, self.region):
            while (stream := self._stream()) is not None:
                try:
                    self._step(stream)
                except Exception:
                    LOG.exception("firehose %s", self.name)
                    time.sleep(IDLE_SECONDS)
            WORKERS.pop((self.account, self.region, self.name), None)

    def _step(self, stream: dict[str, Any]) -> None:
        arrived = self._take()
        destination = next((d for d in stream["destinations"] if d["type"] in ("ExtendedS3", "S3")), None)
        if destination is None:
            return
        configuration = destination["config"]
        if arrived:
            self._count("IncomingRecords", len(arrived))
            self._count("IncomingBytes", sum(len(r.data) for r in arrived), "Bytes")
        self.untransformed.extend(arrived)
        if self.untransformed and time.monotonic() >= self._retry_at and self._may_read(stream):
            self._transform(stream, configuration)
        if time.monotonic() >= self._retry_at:
            self._flush(stream, configuration)

    def _take(self) -> list[Record]:
        """What has come in; waits a moment for the first."""
        taken: list[Record] = []
        busy = bool(self.untransformed or self.buffers)
        try:
            taken.append(self.incoming.get(timeout=0.02 if busy else IDLE_SECONDS))
            while len(taken) < 10_000:
                taken.append(self.incoming.get_nowait())
        except queue.Empty:
            pass
        return taken

    def _may_read(self, stream: dict[str, Any]) -> bool:
        """Reads the source stream once as the source role: a role without the right never gets a record."""
        source = stream.get("kinesis_source")
        if not source or self.source_checked:
            return True
        try:
            kinesis = self._client(stream, "kinesis", source["RoleARN"])
            shards = kinesis.describe_stream(StreamName=source["KinesisStreamARN"].rsplit("/", 1)[-1])["StreamDescription"]["Shards"]
            iterator = kinesis.get_shard_iterator(StreamName=source["KinesisStreamARN"].rsplit("/", 1)[-1], ShardId=shards[0]["ShardId"], ShardIteratorType="LATEST")
            # ministack finds the stream for the role's policy by its ARN only, AWS by the iterator too.
            kinesis.get_records(StreamARN=source["KinesisStreamARN"], ShardIterator=iterator["ShardIterator"], Limit=1)
        except Exception as error:
            self._failed(f"cannot read {source['KinesisStreamARN']}: {error}")
            return False
        self.source_checked = True
        return True

    def _failed(self, why: str) -> None:
        LOG.error("firehose %s: %s", self.name, why)
        self._retry_at = time.monotonic() + aws_clock.real(RETRY_SECONDS, 0.2)

    # -- processors

    def _transform(self, stream: dict[str, Any], configuration: dict[str, Any]) -> None:
        settings = parameters(configuration, "Lambda")
        if settings is None:
            batch, self.untransformed = self.untransformed, []
            for record in batch:
                self._sort_in(configuration, record, ())
            return
        limit = float(settings.get("BufferSizeInMBs", TRANSFORM_MIB)) * MIB
        interval = aws_clock.real(float(settings.get("BufferIntervalInSeconds", TRANSFORM_SECONDS)), LEAST_INTERVAL_SECONDS)
        while self.untransformed:
            batch, size = [], 0
            for record in self.untransformed:
                if batch and size + len(record.data) > limit:
                    break
                batch.append(record)
                size += len(record.data)
            if len(batch) == len(self.untransformed) and size < limit and time.time() - batch[0].arrived < interval:
                return
            self._transform_batch(stream, configuration, settings, batch)
            self.untransformed = self.untransformed[len(batch):]

    def _transform_batch(self, stream: dict[str, Any], configuration: dict[str, Any], settings: dict[str, str], batch: list[Record]) -> None:
        arn = settings["LambdaArn"]
        answer, problem, attempts = None, ("", ""), 0
        # A function that fails is asked again; an answer is final, whatever is wrong with it.
        while answer is None and attempts <= int(settings.get("NumberOfRetries", TRANSFORM_RETRIES)):
            attempts += 1
            try:
                answer = self._call_lambda(stream, settings.get("RoleArn") or configuration.get("RoleARN", ""), arn, batch)
            except TransformFailed as error:
                problem = (error.code, str(error))
            except Exception as error:
                problem = ("Lambda.InvokeAccessDenied" if isinstance(error, aws_roles.Refused) or "AccessDenied" in str(error) else "Lambda.FunctionError", str(error))
            self._count("ExecuteProcessing.Success", 0 if answer is None else 1)
        for record in batch:
            bad = functools.partial(self._bad, configuration, record, attempts=attempts, function=arn)
            result = (answer or {}).get(record.identity)
            if answer is None:
                bad(*problem)
            elif result is None:
                bad("Lambda.MissingRecordId", "One or more record Ids were not returned. Ensure that the Lambda function returns all received record Ids.")
            elif result.get("result") == "ProcessingFailed":
                bad("Lambda.ProcessingFailedStatus", "ProcessingFailed status set for record")
            elif result.get("result") == "Ok":
                keys = ((result.get("metadata") or {}).get("partitionKeys") or {}).items()
                data = base64.b64decode(result.get("data") or "")
                self._sort_in(configuration, Record(record.identity, data, record.arrived), tuple((str(k), str(v)) for k, v in keys))

    def _call_lambda(self, stream: dict[str, Any], role: str, arn: str, batch: list[Record]) -> dict[str, dict[str, Any]]:
        event = {
            "invocationId": str(uuid.uuid4()), "deliveryStreamArn": stream["arn"], "region": self.region,
            "records": [{"recordId": r.identity, "approximateArrivalTimestamp": int(r.arrived * 1000), "data": base64.b64encode(r.data).decode(),
                         **({"kinesisRecordMetadata": r.origin} if r.origin else {})} for r in batch]}
        source = (stream.get("kinesis_source") or {}).get("KinesisStreamARN")
        if source:
            event["sourceKinesisStreamArn"] = source
        answer = self._client(stream, "lambda", role).invoke(FunctionName=arn, Payload=json.dumps(event).encode())
        body = answer["Payload"].read()
        if answer.get("FunctionError"):
            LOG.warning("firehose %s: %s", self.name, body.decode("utf-8", "replace")[:1000])
            raise TransformFailed("Lambda.FunctionError", "The Lambda function was successfully invoked but it returned an error result.")
        try:
            return {r["recordId"]: r for r in json.loads(body)["records"]}
        except (ValueError, KeyError, TypeError):
            return {}

    def _sort_in(self, configuration: dict[str, Any], record: Record, lambda_keys: tuple[tuple[str, str], ...]) -> None:
        from ministack.services import firehose

        keys: tuple[tuple[str, str], ...] = ()
        dynamic = str((configuration.get("DynamicPartitioningConfiguration") or {}).get("Enabled", False)).lower() == "true"
        if dynamic and (extraction := parameters(configuration, "MetadataExtraction")) is not None:
            try:
                keys = partition_keys(extraction["MetadataExtractionQuery"], record.data)
            except Exception as error:
                self._bad(configuration, record, "DynamicPartitioning.MetadataExtractionFailed", f"Metadata extraction failed: {error}")
                return
        place = (keys, lambda_keys)
        if place not in self.buffers:
            try:
                firehose._evaluate_prefix(configuration.get("Prefix", ""), time.gmtime(), dict(keys), dict(lambda_keys))
            except firehose._DeliveryError as error:
                self._bad(configuration, record, "DynamicPartitioning.PrefixEvaluationFailed", error.message)
                return
            self.buffers[place] = Buffer(time.monotonic(), keys, lambda_keys)
        delimiter = parameters(configuration, "AppendDelimiterToRecord")
        if delimiter is not None:
            record = Record(record.identity, record.data + delimiter.get("Delimiter", "\\n").encode().decode("unicode_escape").encode(), record.arrived)
        self.buffers[place].add(record)

    def _bad(self, configuration: dict[str, Any], record: Record, code: str, message: str, attempts: int = 1, function: str | None = None) -> None:
        now = int(time.time() * 1000)
        document = {"attemptsMade": attempts, "arrivalTimestamp": int(record.arrived * 1000), "errorCode": code, "errorMessage": message,
                    "attemptEndingTimestamp": now, "rawData": base64.b64encode(record.data).decode()}
        if function:
            document["lambdaArn"] = function
        buffer = self.buffers.setdefault("processing-failed", Buffer(time.monotonic(), (), (), "processing-failed"))
        buffer.add(Record(record.identity, (json.dumps(document) + "\n").encode(), record.arrived))

    # -- S3

    def _flush(self, stream: dict[str, Any], configuration: dict[str, Any]) -> None:
        hints = configuration.get("BufferingHints") or {}
        limit = float(hints.get("SizeInMBs") or BUFFER_MIB) * MIB
        interval = aws_clock.real(float(hints.get("IntervalInSeconds", BUFFER_SECONDS)), LEAST_INTERVAL_SECONDS)
        for place, buffer in list(self.buffers.items()):
            if buffer.size < limit and time.monotonic() - buffer.began < interval:
                continue
            try:
                self._put(stream, configuration, buffer)
            except Exception as error:
                self._count("DeliveryToS3.Success", 0)
                self._failed(f"cannot write to {configuration.get('BucketARN')}: {error}")
                return
            del self.buffers[place]

    def _put(self, stream: dict[str, Any], configuration: dict[str, Any], buffer: Buffer) -> None:
        from ministack.services import firehose

        arrived = buffer.records[0].arrived
        moment = in_zone(arrived, configuration.get("CustomTimeZone"))
        bucket = firehose._s3_bucket_from_arn(configuration.get("BucketARN", ""))
        if buffer.error is None:
            prefix = firehose._evaluate_prefix(configuration.get("Prefix", ""), moment, dict(buffer.keys), dict(buffer.lambda_keys))
        elif configuration.get("ErrorOutputPrefix"):
            prefix = firehose._evaluate_prefix(configuration["ErrorOutputPrefix"], moment, error_type=buffer.error)
        else:
            prefix = f"{configuration.get('Prefix', '')}{buffer.error}/{firehose._java_time('yyyy/MM/dd/HH/', moment)}"
        for body, extension in self._bodies(configuration, buffer):
            name = f"{stream['name']}-{stream.get('version', 1)}-{firehose._java_time('yyyy-MM-dd-HH-mm-ss', moment)}-{uuid.uuid4()}{extension}"
            arguments = {"ContentEncoding": "gzip"} if extension == ".gz" else {}
            self._client(stream, "s3", configuration.get("RoleARN", "")).put_object(Bucket=bucket, Key=prefix + name, Body=body, **arguments)
        if buffer.error is None:
            self._count("DeliveryToS3.Records", len(buffer.records))
            self._count("DeliveryToS3.Bytes", buffer.size, "Bytes")
            self._count("DeliveryToS3.DataFreshness", (time.time() - arrived) * aws_clock.scale(), "Seconds")
        self._count("DeliveryToS3.Success", 1)

    def _bodies(self, configuration: dict[str, Any], buffer: Buffer) -> Iterable[tuple[bytes, str]]:
        from ministack.services import firehose

        conversion = configuration.get("DataFormatConversionConfiguration") or {}
        if buffer.error is None and conversion and conversion.get("Enabled", True):
            return [(firehose._convert_to_parquet(conversion, b"".join(r.data for r in buffer.records)), configuration.get("FileExtension") or ".parquet")]
        body = b"".join(r.data for r in buffer.records)
        kind = str(configuration.get("CompressionFormat") or "UNCOMPRESSED").upper()
        if kind == "GZIP":
            return [(gzip.compress(body, compresslevel=6), configuration.get("FileExtension") or ".gz")]
        if kind != "UNCOMPRESSED":
            raise ValueError(f"the local cloud does not compress by {kind}")
        return [(body, configuration.get("FileExtension") or "" if buffer.error is None else "")]


class TransformFailed(Exception):
    """The function was called and did not answer as it must."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def in_zone(moment: float, zone: str | None) -> time.struct_time:
    if not zone or zone == "UTC":
        return time.gmtime(moment)
    import datetime as dt
    from zoneinfo import ZoneInfo

    return dt.datetime.fromtimestamp(moment, ZoneInfo(zone)).timetuple()


WORKERS: dict[tuple[str, str, str], Worker] = {}
_lock = threading.Lock()


def worker(account: str, region: str, name: str) -> Worker:
    with _lock:
        found = WORKERS.get((account, region, name))
        if found is None:
            found = WORKERS[(account, region, name)] = Worker(account, region, name)
        return found


def from_kinesis(stream_arn: str, records: list[tuple[str, bytes]]) -> None:
    """ministack's hook for what was put on a Kinesis stream."""
    from ministack.services import cloudwatch, firehose, kinesis

    _, _, _, region, account, resource = stream_arn.split(":", 5)
    dimensions = {"StreamName": resource.split("/", 1)[1]}
    cloudwatch.record_metric("AWS/Kinesis", "IncomingRecords", len(records), "Count", dimensions)
    cloudwatch.record_metric("AWS/Kinesis", "IncomingBytes", sum(len(raw) for _, raw in records), "Bytes", dimensions)
    for (owner, place, name), stream in list(firehose._streams._data.items()):
        source = stream.get("kinesis_source") or {}
        if stream.get("status") == "ACTIVE" and source.get("KinesisStreamARN") == stream_arn:
            now = time.time()
            # ministack keeps the record's own number to itself: one made now is in the same order.
            origins = [{"sequenceNumber": kinesis._next_sequence_number(), "subsequenceNumber": 0, "partitionKey": key,
                        "shardId": "shardId-000000000000", "approximateArrivalTimestamp": int(now * 1000)} for key, _ in records]
            accept(owner, place, name, [(firehose._record_id(), raw) for _, raw in records], origins)


def accept(account: str, region: str, name: str, records: Iterable[tuple[str, bytes]], origins: Iterable[dict[str, Any] | None] = itertools.repeat(None)) -> None:
    carrier, now = worker(account, region, name), time.time()
    for (identity, raw), origin in zip(records, origins):
        carrier.incoming.put(Record(identity, raw, now, origin))


def from_producer(stream: dict[str, Any], destination: dict[str, Any], records: list[tuple[str, bytes]]) -> None:
    """ministack's hook for PutRecord and PutRecordBatch."""
    from ministack.core.responses import get_account_id, get_region

    destination["records"].clear()
    accept(get_account_id(), get_region(), stream["name"], records)


def install(finder: Finder) -> None:
    """Puts this delivery in the place of ministack's."""
    def hook(firehose: Any) -> None:
        firehose.ingest_from_kinesis_source = from_kinesis
        firehose._deliver_records_to_s3 = from_producer

    finder.when("firehose", hook)
