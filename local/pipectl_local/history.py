# SPDX-License-Identifier: Apache-2.0
"""What was loaded and what ran: COPY_HISTORY, TASK_HISTORY and QUERY_HISTORY read from here."""
from __future__ import annotations

import datetime as dt
import threading
import uuid
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import errors
from .catalog import Pipe, now

if TYPE_CHECKING:
    from .context import Context
    from .copy_into import Loaded, Loader
    from .scheduler import TaskRun

KEPT_LOADS, KEPT_RUNS, KEPT_SKIPS, KEPT_QUERIES = 50_000, 20_000, 2_000, 20_000
LONGEST_TEXT = 10_000
STATUS = {"LOADED": "Loaded", "LOAD_FAILED": "Load failed", "PARTIALLY_LOADED": "Partially loaded"}


@dataclass
class CopyEntry:
    file: str
    location: str
    table: tuple[str, ...]
    pipe: tuple[str, ...] | None
    received: dt.datetime | None
    outcome: Any
    target: Any = None  # the table itself: one made anew has no history


@dataclass
class Query:
    """A statement that was run: by itself, by a task, or by a procedure."""

    query_id: str
    text: str
    user: str
    role: str
    warehouse: str | None
    start: dt.datetime
    finish: dt.datetime | None = None
    status: str = "RUNNING"
    error_code: str | None = None
    error_message: str | None = None

    def end(self, error: errors.SnowflakeError | None = None) -> None:
        self.finish, self.status = now(), "FAIL" if error else "SUCCESS"
        if error:
            self.error_code, self.error_message = error.code, error.message


class History:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loads: deque[CopyEntry] = deque(maxlen=KEPT_LOADS)
        self._runs: deque["TaskRun"] = deque(maxlen=KEPT_RUNS)
        self._skips: deque["TaskRun"] = deque(maxlen=KEPT_SKIPS)
        self._executing: dict[str, "TaskRun"] = {}
        self._queries: deque[Query] = deque(maxlen=KEPT_QUERIES)

    def query(self, context: "Context", text: str) -> Query:
        made = Query(str(uuid.uuid4()), text[:LONGEST_TEXT], context.user, context.role, context.warehouse, now())
        self._queries.append(made)
        return made

    def queries(self) -> list[Query]:
        """Newest first."""
        return list(self._queries)[::-1]

    def copied(self, loader: "Loader", key: str, outcome: "Loaded", pipe: Pipe | None, received: dt.datetime | None = None) -> None:
        entry = CopyEntry(loader.relative(key), loader.stage.url, loader.table.path, pipe.path if pipe else None, received, outcome, loader.table)
        with self._lock:
            self._loads.append(entry)

    def refused(self, pipe: Pipe, key: str, message: str, received: dt.datetime) -> None:
        """AWS refused the file: one entry per file and reason, however often it is tried again."""
        from .copy_into import Loaded
        outcome = Loaded("LOAD_FAILED", errors_seen=1, first_error=message)
        with self._lock:
            for entry in reversed(self._loads):
                if entry.pipe == pipe.path and entry.file == key and entry.outcome.first_error == message:
                    entry.outcome.time = now()
                    return
            self._loads.append(CopyEntry(key, "", pipe.copy.table, pipe.path, received, outcome))

    def loads(self) -> list[CopyEntry]:
        with self._lock:
            return list(self._loads)

    def task_started(self, run: "TaskRun") -> None:
        with self._lock:
            self._executing[run.query_id] = run

    def task_ended(self, run: "TaskRun") -> None:
        with self._lock:
            self._executing.pop(run.query_id, None)
            (self._skips if run.state == "SKIPPED" else self._runs).append(run)

    def runs(self) -> list["TaskRun"]:
        """Newest first."""
        with self._lock:
            found = [*self._runs, *self._skips, *self._executing.values()]
        return sorted(found, key=lambda r: (r.scheduled, r.started or r.scheduled), reverse=True)
