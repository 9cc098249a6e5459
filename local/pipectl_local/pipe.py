# SPDX-License-Identifier: Apache-2.0
"""Pipes with auto-ingest: https://docs.snowflake.com/en/user-guide/data-load-snowpipe-auto-s3

A pipe has a queue in Snowflake's AWS account, subscribed to the topic as Snowflake's user. One thread
waits on the queue (long polling), another loads files; both end when the pipe goes.
"""
from __future__ import annotations

import datetime as dt
import json
import logging
import threading
import time
import urllib.parse
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import copy_into, ddl, errors, integration, notify, privileges, stage
from .catalog import Pipe, Stage, now
from .copy_into import Copy, Loaded, Loader
from .identity import AwsRefused
from .lexer import Cursor, display, reads_boolean, reads_string
from .result import Result, done, table

if TYPE_CHECKING:
    from .cloud import Cloud
    from .context import Context

LOG = logging.getLogger("snowflake.pipe")
WAIT_SECONDS = 10
RETRY_SECONDS = (1, 2, 4, 8, 15, 30)
REFRESH_DAYS = 7
OPTIONS = {"AUTO_INGEST": reads_boolean, "AWS_SNS_TOPIC": reads_string, "ERROR_INTEGRATION": lambda c: c.word_or_string(), "COMMENT": reads_string}


@dataclass
class Pending:
    key: str
    received: dt.datetime
    attempts: int = 0
    due: float = 0.0


@dataclass
class Runner:
    """The moving part of one pipe."""

    cloud: "Cloud"
    pipe: Pipe
    queue_url: str = ""
    subscription: str = ""
    paused: bool = False
    altered: bool = False
    loaded: set[str] = field(default_factory=set)
    pending: list[Pending] = field(default_factory=list)
    held: list[Pending] = field(default_factory=list)  # what came while the pipe is paused
    condition: threading.Condition = field(default_factory=threading.Condition)
    stopped: bool = False
    busy: bool = False
    last: dict[str, Any] = field(default_factory=dict)

    def start(self) -> None:
        targets = [self._load_forever] + ([self._receive_forever] if self.queue_url else [])
        for target in targets:
            threading.Thread(target=target, name=f"pipe-{self.pipe.name}", daemon=True).start()

    def stop(self) -> None:
        with self.condition:
            self.stopped = True
            self.condition.notify_all()
        if self.subscription:
            self.cloud.identity.unsubscribe(self.subscription)
        if self.queue_url:
            try:
                self.cloud.identity.delete_queue(self.queue_url)
            except Exception as error:
                LOG.debug("delete queue: %s", error)

    def enqueue(self, keys: list[str]) -> None:
        with self.condition:
            waiting = {p.key for p in (*self.pending, *self.held)}
            for key in keys:
                if key not in waiting and key not in self.loaded:
                    (self.held if self.paused else self.pending).append(Pending(key, now()))
            self.condition.notify_all()

    def pause(self, paused: bool) -> None:
        """A paused pipe still loads what was queued before, and keeps what comes until it is resumed."""
        with self.condition:
            self.paused = paused
            if not paused:
                self.pending += self.held
                self.held.clear()
            self.condition.notify_all()

    def state(self) -> str:
        account = self.cloud.account
        copy: Copy = self.pipe.copy
        current = account.find("STAGE", copy.stage)
        if current is None or current.id != self.pipe.stage_id:
            return "STOPPED_STAGE_DROPPED"
        if self.altered:
            return "STOPPED_STAGE_ALTERED"
        if account.find("TABLE", copy.table) is None:
            return "STOPPED_MISSING_TABLE"
        format_name = (copy.options.get("FILE_FORMAT") or {}).get("name")
        if format_name and account.find("FILE FORMAT", format_name) is None:
            return "STOPPED_FILE_FORMAT_DROPPED"
        return "PAUSED" if self.paused else "RUNNING"

    # -- the queue

    def _receive_forever(self) -> None:
        sqs = self.cloud.identity.client("sqs")
        while not self.stopped:
            try:
                answer = sqs.receive_message(QueueUrl=self.queue_url, WaitTimeSeconds=WAIT_SECONDS, MaxNumberOfMessages=10)
            except Exception as error:
                if self.stopped:
                    return
                self._failed(f"Error reading the notification channel: {error}")
                time.sleep(1)
                continue
            for message in answer.get("Messages", []):
                self.last["lastReceivedMessageTimestamp"] = stamp(now())
                self.enqueue(self.keys_of(message["Body"]))
                sqs.delete_message(QueueUrl=self.queue_url, ReceiptHandle=message["ReceiptHandle"])

    def keys_of(self, body: str) -> list[str]:
        """Object keys of an S3 event, in or out of an SNS envelope, that this pipe loads."""
        try:
            event = json.loads(body)
            if isinstance(event, dict) and event.get("Type") == "Notification":
                event = json.loads(event["Message"])
            records = event.get("Records", [])
            stage_now = self.cloud.account.find("STAGE", self.pipe.copy.stage)
            if not isinstance(stage_now, Stage):
                return []
            bucket, prefix = stage.location(stage_now, self.pipe.copy.path)
            keys = []
            for record in records:
                if not record.get("eventName", "").startswith("ObjectCreated:") or record["s3"]["bucket"]["name"] != bucket:
                    continue
                key = urllib.parse.unquote_plus(record["s3"]["object"]["key"])
                if key.startswith(prefix):
                    keys.append(key)
                    self.last["lastForwardedMessageTimestamp"] = stamp(now())
                    self.last["lastForwardedFilePath"] = f"{bucket}/{key}"
            return keys
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            LOG.warning("pipe %s: message that is no S3 event: %s", self.pipe.full_name, error)
            return []

    # -- loading

    def _load_forever(self) -> None:
        while True:
            with self.condition:
                self.busy = False
                while not self.stopped and (item := self._ready()) is None:
                    self.condition.wait(self._patience())
                if self.stopped:
                    return
                self.busy = True
            try:
                self._load(item)
            except Exception:
                LOG.exception("pipe %s", self.pipe.full_name)
                self._failed("internal error, see snowflake.log")
                self._retry(item)

    def _ready(self) -> Pending | None:
        if not self.pending or self.state() not in ("RUNNING", "PAUSED"):
            return None
        moment = time.monotonic()
        return next((p for p in self.pending if p.due <= moment), None)

    def _patience(self) -> float | None:
        """Until the next retry; a stopped pipe looks again in a while (a table or stage may come back)."""
        if not self.pending:
            return None
        if self.state() not in ("RUNNING", "PAUSED"):
            return 1.0
        return max(0.01, min(p.due for p in self.pending) - time.monotonic())

    def _load(self, item: Pending) -> None:
        context = self.cloud.context(role=self.pipe.owner)
        try:
            if item.key in self.loaded:
                self._done(item)
                return
            try:
                loader = Loader(context, self.pipe.copy)
                if not loader.wants(item.key):
                    self._done(item)
                    return
                outcome = loader.load(item.key)
            except AwsRefused as error:
                self._failed(str(error))
                self.cloud.history.refused(self.pipe, item.key, str(error), item.received)
                self._retry(item)
                return
            except errors.SnowflakeError as error:
                self._failed(error.message)
                self.cloud.history.refused(self.pipe, item.key, error.message, item.received)
                self._retry(item)
                return
            self.cloud.history.copied(loader, item.key, outcome, self.pipe, item.received)
            self._finished(loader, item, outcome)
        finally:
            context.session.close()

    def _finished(self, loader: Loader, item: Pending, outcome: Loaded) -> None:
        if outcome.status == "LOAD_FAILED":
            self._failed(outcome.first_error or "load failed", fault=False)
            self._notify(loader, item, outcome)
        else:
            self.loaded.add(item.key)
            self.last["lastIngestedTimestamp"] = stamp(now())
            self.last["lastIngestedFilePath"] = loader.relative(item.key)
            self.last.pop("error", None)
        self._done(item)

    def _done(self, item: Pending) -> None:
        with self.condition:
            if item in self.pending:
                self.pending.remove(item)

    def _retry(self, item: Pending) -> None:
        with self.condition:
            item.due = time.monotonic() + RETRY_SECONDS[min(item.attempts, len(RETRY_SECONDS) - 1)]
            item.attempts += 1

    def _failed(self, message: str, fault: bool = True) -> None:
        LOG.warning("pipe %s: %s", self.pipe.full_name, message)
        self.last["lastPipeFaultTimestamp" if fault else "lastPipeErrorTimestamp"] = stamp(now())
        self.last["error"] = message

    def _notify(self, loader: Loader, item: Pending, outcome: Loaded) -> None:
        if not self.pipe.error_integration or loader.on_error != "SKIP_FILE":
            return
        notify.send(self.cloud, self.pipe.error_integration, notify.file_failed(
            self.cloud.account.name, self.pipe.full_name, loader.table.full_name, loader.stage.url,
            loader.relative(item.key), outcome.first_error or ""))


def stamp(moment: dt.datetime) -> str:
    return moment.astimezone(dt.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def create(context: "Context", cursor: Cursor, mode: str) -> Result:
    front = ddl.creation(context, cursor, "PIPE", mode)
    options = cursor.options("PIPE", OPTIONS, stop=("AS",))
    cursor.expect("AS")
    definition = cursor.rest()
    inner = Cursor(definition)
    inner.expect("COPY", "INTO")
    copy = copy_into.read(inner)
    if front.skip:
        return ddl.skipped(front.name)
    if "FORCE" in copy.options or "PURGE" in copy.options or "FILES" in copy.options:
        raise errors.compilation("Pipes do not support the FILES, FORCE and PURGE copy options.", "002140", "0A000")
    copy.table, copy.stage = context.path(copy.table), context.path(copy.stage)
    if isinstance(copy.options.get("FILE_FORMAT"), dict) and "name" in copy.options["FILE_FORMAT"]:
        copy.options["FILE_FORMAT"] = {"name": context.path(copy.options["FILE_FORMAT"]["name"])}
    copy.options.setdefault("ON_ERROR", "SKIP_FILE")
    if copy.options["ON_ERROR"] == "ABORT_STATEMENT":
        raise errors.compilation("Pipe does not support ON_ERROR = ABORT_STATEMENT.", "090088", "0A000")
    loader = Loader(context, copy)
    privileges.require(context, loader.table, "SELECT")
    created = Pipe(front.name, comment=options.get("COMMENT", ""), definition=definition, copy=copy, stage_id=loader.stage.id,
                   auto_ingest=options.get("AUTO_INGEST", False), topic=options.get("AWS_SNS_TOPIC"),
                   error_integration=error_integration(context, options.get("ERROR_INTEGRATION")))
    created.parent = front.schema
    runner = Runner(context.cloud, created)
    if created.auto_ingest:
        if not created.topic:
            raise errors.unsupported("AUTO_INGEST without AWS_SNS_TOPIC")
        if not integration.TOPIC_ARN.fullmatch(created.topic):
            raise errors.invalid_value(created.topic, "AWS_SNS_TOPIC")
        subscribe(context, runner, created)
    elif created.topic:
        raise errors.compilation("AWS_SNS_TOPIC requires AUTO_INGEST = TRUE.")
    if front.existing is not None:
        discard(context, front.existing)
    created.runner = runner
    context.add(front.schema, created)
    runner.start()
    return ddl.created("Pipe", front.name)


def subscribe(context: "Context", runner: Runner, created: Pipe) -> None:
    identity = context.cloud.identity
    runner.queue_url, created.channel = identity.create_queue(f"sf-snowpipe-{context.account.name}-{uuid.uuid4().hex[:20]}", created.topic or "")
    try:
        runner.subscription = identity.subscribe(created.topic or "", created.channel)
    except AwsRefused as error:
        identity.delete_queue(runner.queue_url)
        raise errors.execution(f"Pipe Notifications bind failure: Could not subscribe to the SNS topic '{created.topic}'. {error}", "090040", "22000") from error


def error_integration(context: "Context", name: str | None) -> str | None:
    if name is None:
        return None
    return integration.find(context, name, "NOTIFICATION").name


def discard(context: "Context", found: Any) -> None:
    if found.runner:
        found.runner.stop()


def drop(context: "Context", cursor: Cursor) -> Result:
    return ddl.drop(context, cursor, "PIPE", discard)


def alter(context: "Context", cursor: Cursor) -> Result:
    lenient = ddl.if_exists(cursor)
    path = context.path(cursor.name())
    if lenient and context.account.find("PIPE", path) is None:
        return done()
    found: Pipe = context.get("PIPE", path, "OPERATE", "OWNERSHIP")
    runner: Runner = found.runner
    if cursor.accept("REFRESH"):
        return refresh(context, cursor, found)
    if cursor.accept("UNSET"):
        key = cursor.accept_one("COMMENT", "ERROR_INTEGRATION", "PIPE_EXECUTION_PAUSED")
        if key is None:
            raise cursor.unexpected()
        cursor.finish()
        found.comment = "" if key == "COMMENT" else found.comment
        found.error_integration = None if key == "ERROR_INTEGRATION" else found.error_integration
        if key == "PIPE_EXECUTION_PAUSED":
            runner.pause(False)
        return done()
    cursor.expect("SET")
    known = {"PIPE_EXECUTION_PAUSED": reads_boolean, "COMMENT": reads_string, "ERROR_INTEGRATION": OPTIONS["ERROR_INTEGRATION"]}
    options = cursor.options("PIPE", known)
    cursor.finish()
    if set(options) - {"PIPE_EXECUTION_PAUSED"}:
        privileges.require(context, found, "OWNERSHIP")
    if "ERROR_INTEGRATION" in options:
        found.error_integration = error_integration(context, options["ERROR_INTEGRATION"])
    found.comment = options.get("COMMENT", found.comment)
    if "PIPE_EXECUTION_PAUSED" in options:
        runner.pause(options["PIPE_EXECUTION_PAUSED"])
    return done()


def refresh(context: "Context", cursor: Cursor, found: Pipe) -> Result:
    """Queues what was staged in the last seven days and is not loaded yet."""
    options = cursor.options("PIPE", {"PREFIX": reads_string, "MODIFIED_AFTER": reads_string})
    cursor.finish()
    after = now() - dt.timedelta(days=REFRESH_DAYS)
    if "MODIFIED_AFTER" in options:
        try:
            given = dt.datetime.fromisoformat(options["MODIFIED_AFTER"])
        except ValueError:
            raise errors.invalid_value(options["MODIFIED_AFTER"], "MODIFIED_AFTER") from None
        given = given if given.tzinfo else given.replace(tzinfo=dt.timezone.utc)
        if given < after:
            raise errors.compilation("MODIFIED_AFTER cannot be more than 7 days ago.", "001008", "22023")
        after = given
    runner: Runner = found.runner
    if runner.state() not in ("RUNNING", "PAUSED"):
        raise errors.execution(f"Pipe '{found.name}' is not running: {runner.state()}", "090044", "22000")
    owner = context.cloud.context(role=found.owner)
    try:
        loader = Loader(owner, found.copy)
        items = [o for o in loader.candidates(options.get("PREFIX", "")) if o.modified >= after.replace(microsecond=0)]
    except AwsRefused as error:
        raise errors.execution(str(error), "003167", "42601") from error
    finally:
        owner.session.close()
    chosen = [o.key for o in items if o.key not in runner.loaded]
    runner.enqueue(chosen)
    return table(("File", "Status"), [(key.removeprefix(loader.prefix), "SENT") for key in chosen])


def stage_altered(context: "Context", changed: Stage) -> None:
    for found in context.account.all(Pipe):
        if found.stage_id == changed.id and found.runner:
            found.runner.altered = True


def status_json(context: "Context", name: tuple[str, ...]) -> str:
    """https://docs.snowflake.com/en/sql-reference/functions/system_pipe_status"""
    found: Pipe = context.get("PIPE", name, "MONITOR", "OPERATE", "OWNERSHIP")
    runner: Runner = found.runner
    with runner.condition:
        pending = list(runner.pending)
    answer: dict[str, Any] = {"executionState": runner.state(), "pendingFileCount": len(pending)}
    if pending:
        answer["oldestPendingFilePath"] = pending[0].key
        answer["oldestFileTimestamp"] = stamp(pending[0].received)
    if found.channel:
        answer |= {"notificationChannelName": found.channel, "numOutstandingMessagesOnChannel": 0}
    return json.dumps(answer | runner.last)


def force_resume(context: "Context", name: tuple[str, ...]) -> str:
    found: Pipe = context.get("PIPE", name, "OPERATE", "OWNERSHIP")
    found.runner.pause(False)
    return f"Pipe {display(*found.path)} successfully resumed."
