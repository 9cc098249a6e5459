# SPDX-License-Identifier: Apache-2.0
"""What was loaded and what ran: COPY_HISTORY and TASK_HISTORY read from here."""
from __future__ import annotations

import datetime as dt
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .catalog import Pipe, now

if TYPE_CHECKING:
    from .copy_into import Loaded, Loader
    from .scheduler import TaskRun

KEPT_LOADS, KEPT_RUNS, KEPT_SKIPS = 50_000, 20_000, 2_000
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


class History:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loads: deque[CopyEntry] = deque(maxlen=KEPT_LOADS)
        self._runs: deque["TaskRun"] = deque(maxlen=KEPT_RUNS)
        self._skips: deque["TaskRun"] = deque(maxlen=KEPT_SKIPS)
        self._executing: dict[str, "TaskRun"] = {}

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
