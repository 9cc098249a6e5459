# SPDX-License-Identifier: Apache-2.0
"""Runs task graphs. Time runs faster here: a schedule's interval is divided by the time scale.

https://docs.snowflake.com/en/user-guide/tasks-graphs
"""
from __future__ import annotations

import datetime as dt
import itertools
import logging
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import cron, errors, notify, scripting, task, warehouse
from .catalog import Task, now
from .result import Result

if TYPE_CHECKING:
    from .cloud import Cloud
    from .context import Context

LOG = logging.getLogger("snowflake.task")
TICK_SECONDS = 0.25
MINIMUM_SECONDS = 0.5
TRIGGER_SECONDS = 30
DEFAULT_FAILURES = 10
MANUAL = "EXECUTE TASK"
CONDITION_FALSE = ("0040003", "Conditional expression for task evaluated to false.")


@dataclass
class TaskRun:
    """One run of one task, as TASK_HISTORY shows it."""

    task: Task
    root: Task
    group_id: int
    scheduled: dt.datetime
    scheduled_from: str
    config: str | None = None
    state: str = "EXECUTING"
    started: dt.datetime | None = None
    completed: dt.datetime | None = None
    query_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    error_code: str | None = None
    error_message: str | None = None
    return_value: str | None = None
    last_group: int | None = None
    name: str = ""
    path: tuple[str, ...] = ()
    text: str = ""
    condition: str | None = None
    database: Any = None

    @property
    def seconds(self) -> float | None:
        """How long it ran; `None` while it does."""
        return round((self.completed - self.started).total_seconds(), 3) if self.started and self.completed else None

    def __post_init__(self) -> None:
        schema = self.task.parent
        self.database = schema.parent if schema else None
        self.name, self.path, self.text, self.condition = self.task.name, self.task.path, self.task.definition, self.task.condition


@dataclass
class Clock:
    """When a started root is due next."""

    due: float
    virtual: dt.datetime
    started_on: dt.datetime | None


class Scheduler:
    def __init__(self, cloud: "Cloud", time_scale: float) -> None:
        self.cloud = cloud
        self.scale = time_scale
        self._clocks: dict[str, Clock] = {}
        self._running: dict[str, int] = {}
        self._lock = threading.Condition()
        self._stopping = threading.Event()
        self._groups = itertools.count(int(time.time() * 1000))
        self._last_group: dict[str, int] = {}

    def start(self) -> None:
        threading.Thread(target=self._forever, name="scheduler", daemon=True).start()

    def stop(self) -> None:
        self._stopping.set()

    # -- when

    def _forever(self) -> None:
        while not self._stopping.wait(TICK_SECONDS):
            try:
                self._tick()
            except Exception:
                LOG.exception("scheduler")

    def _tick(self) -> None:
        started = [t for t in self.cloud.account.all(Task) if t.state == "started" and not t.predecessors and not t.finalizes]
        moment = time.monotonic()
        with self._lock:
            self._clocks = {k: v for k, v in self._clocks.items() if k in {t.id for t in started}}
        for root in started:
            clock = self._clocks.get(root.id)
            if clock is None or clock.started_on != root.last_committed_on:
                self.resumed(root)
                continue
            if moment < clock.due:
                continue
            if self._running.get(root.id) and not root.overlapping:
                continue
            if root.schedule is None and not self._triggered(root):
                continue
            self._advance(root, clock)
            self._launch(root, "SCHEDULE" if root.schedule else "TRIGGER", None)

    def resumed(self, root: Task) -> None:
        """The first run comes one interval after the task is resumed; a triggered task looks at once."""
        clock = Clock(time.monotonic(), now(), root.last_committed_on)
        if root.schedule is not None:
            self._advance(root, clock)
        with self._lock:
            self._clocks[root.id] = clock

    def _advance(self, root: Task, clock: Clock) -> None:
        moment = time.monotonic()
        if root.schedule is None:
            seconds = root.options.get("USER_TASK_MINIMUM_TRIGGER_INTERVAL_IN_SECONDS", TRIGGER_SECONDS)
            clock.due = moment + max(MINIMUM_SECONDS, seconds / self.scale)
            return
        interval = task.interval_seconds(root.schedule)
        if interval is None:
            following = cron.parse(root.schedule).after(clock.virtual)
            interval = int((following - clock.virtual).total_seconds())
            clock.virtual = following
        step = max(MINIMUM_SECONDS, interval / self.scale)
        clock.due = max(clock.due + step, moment) if clock.due > moment - step else moment + step

    def _triggered(self, root: Task) -> bool:
        context = self.cloud.context(role=root.owner)
        try:
            return self._condition(context, root)
        except errors.SnowflakeError:
            return True  # the run will fail with it, visibly
        finally:
            context.session.close()

    def run_now(self, root: Task, config: str | None) -> None:
        self._launch(root, MANUAL, config)

    def run_all(self) -> list[TaskRun]:
        """Runs every started graph whose root's condition holds, one after another, and waits for them."""
        runs: list[TaskRun] = []
        roots = [t for t in self.cloud.account.all(Task) if t.state == "started" and not t.predecessors and not t.finalizes]
        for root in sorted(roots, key=lambda t: t.path):
            self._claim(root, wait=not root.overlapping)
            try:
                runs += self._graph(root, next(self._groups), now(), MANUAL, root.config)
            finally:
                self._release(root)
        return runs

    def _launch(self, root: Task, origin: str, config: str | None) -> None:
        if origin != MANUAL:
            self._claim(root)
        threading.Thread(target=self._run_graph, args=(root, origin, config), name=f"task-{root.name}", daemon=True).start()

    def busy(self, root: Task) -> bool:
        return bool(self._running.get(root.id))

    def _claim(self, root: Task, wait: bool = False) -> None:
        """Count a run of the graph; one that must not overlap waits for the others."""
        with self._lock:
            while wait and self._running.get(root.id):
                self._lock.wait()
            self._running[root.id] = self._running.get(root.id, 0) + 1

    # -- what

    def _run_graph(self, root: Task, origin: str, config: str | None) -> None:
        if origin == MANUAL:
            self._claim(root, wait=not root.overlapping)
        try:
            self._graph(root, next(self._groups), now(), origin, config or root.config)
        except Exception:
            LOG.exception("task graph %s", root.full_name)
        finally:
            self._release(root)

    def _release(self, root: Task) -> None:
        with self._lock:
            self._running[root.id] -= 1
            self._lock.notify_all()

    def _graph(self, root: Task, group: int, scheduled: dt.datetime, origin: str, config: str | None) -> list[TaskRun]:
        runs: list[TaskRun] = []

        def run(member: Task) -> str:
            made = TaskRun(member, root, group, scheduled, origin, config, last_group=self._last_group.get(root.id))
            runs.append(made)
            self._run_task(made)
            return made.state

        states = {root.full_name: run(root)}
        if states[root.full_name] == "SKIPPED":
            return runs
        last = task.finalizer(self.cloud.account, root)
        for member in task.graph(self.cloud.account, root):
            if member is root or member is last or member.state != "started":
                continue
            awake = [p for p in member.predecessors if (found := task.by_name(self.cloud.account, p)) and (found is root or found.state == "started")]
            if awake and all(states.get(p) == "SUCCEEDED" for p in awake):
                states[member.full_name] = run(member)
        if last is not None and last.state == "started":
            states[last.full_name] = run(last)
        if "FAILED" in states.values():
            self._count_failure(root)
        else:
            root.failures = 0
            self._last_group[root.id] = group
        return runs

    def _count_failure(self, root: Task) -> None:
        root.failures += 1
        limit = root.options.get("SUSPEND_TASK_AFTER_NUM_FAILURES", DEFAULT_FAILURES)
        if limit and root.failures >= limit and root.state == "started":
            root.state, root.last_suspended_on = "suspended", now()
            root.last_suspended_reason = "SUSPENDED_DUE_TO_ERRORS"
            LOG.warning("task %s is suspended after %d failed runs", root.full_name, root.failures)

    def _condition(self, context: "Context", member: Task) -> bool:
        from . import query
        return query.run(context, f"SELECT {member.condition}").rows[0][0] is True

    def _run_task(self, run: TaskRun) -> None:
        member = run.task
        context = self.cloud.context(role=member.owner, warehouse=member.warehouse)
        context.database, context.schema = run.path[0], run.path[1]
        context.task_run, context.query_id = run, run.query_id
        self.cloud.history.task_started(run)
        run.started = now()
        timeout = member.options.get("USER_TASK_TIMEOUT_MS") or run.root.options.get("USER_TASK_TIMEOUT_MS")
        timer = threading.Timer(timeout / 1000, context.cancel) if timeout else None
        try:
            if timer:
                timer.start()
            warehouse.use(context, member.warehouse)
            if member.condition and not self._condition(context, member):
                run.state = "SKIPPED"
                run.error_code, run.error_message = CONDITION_FALSE
                return
            self._body(context, run)
            run.state = "SUCCEEDED"
        except errors.SnowflakeError as error:
            self._fail(run, error)
        except Exception as error:
            LOG.exception("task %s", member.full_name)
            self._fail(run, errors.execution(f"SQL execution internal error: {error}", "000603", "XX000"))
        finally:
            if timer:
                timer.cancel()
            context.close()
            run.completed = now()
            self.cloud.history.task_ended(run)

    def _body(self, context: "Context", run: TaskRun) -> None:
        from .executor import execute
        if scripting.is_block(run.text):
            outcome: Result = scripting.run(context, run.text, execute)
            value = outcome.rows[0][0]
            run.return_value = run.return_value or value
        else:
            execute(context, run.text)
        context.session.rollback()

    def _fail(self, run: TaskRun, error: errors.SnowflakeError) -> None:
        run.state, run.error_code, run.error_message = "FAILED", error.code, error.message
        LOG.warning("task %s failed: %s", run.task.full_name, error.message)
        name = run.root.error_integration
        if name:
            message: dict[str, Any] = {"runId": str(run.group_id), "scheduledTime": _stamp(run.scheduled), "queryStartTime": _stamp(run.started),
                                       "completedTime": _stamp(now()), "queryId": run.query_id, "errorCode": error.code, "errorMessage": error.message}
            threading.Thread(target=notify.send, args=(self.cloud, name, notify.task_failed(self.cloud.account.name, run.task, run.root, message)),
                             daemon=True).start()


def _stamp(moment: dt.datetime | None) -> str | None:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z" if moment else None
