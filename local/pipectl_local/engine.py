# SPDX-License-Identifier: Apache-2.0
"""DuckDB behind the local Snowflake: sessions, one writer at a time, rows that streams need.

Every Snowflake table is a physical table `store.t<N>` with a hidden row id. Physical names never
change, so renaming is a change of the catalog. `store.l<N>` is the log of inserted rows that
append-only streams read, `store.s<N>` the snapshot that a standard stream compares with.
One writer at a time stands in for Snowflake's table locks: DuckDB would abort the second of
two concurrent writers. Readers are never blocked.
"""
from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import duckdb

from . import errors, macros
from .catalog import Account, Stream, Table
from .lexer import quote

ROW_ID = "__row_id"
# Snowflake waits for 12 hours (https://docs.snowflake.com/en/sql-reference/parameters#lock-timeout); here a busy machine is waited for.
LOCK_TIMEOUT_SECONDS = 900.0


class Engine:
    """The one DuckDB of the process."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.connection = duckdb.connect(":memory:", config={"lambda_syntax": "ENABLE_SINGLE_ARROW"})
        self.connection.execute("SET GLOBAL TimeZone = 'UTC'")
        self.connection.execute("SET GLOBAL autoinstall_known_extensions = false")
        self.connection.execute("SET GLOBAL autoload_known_extensions = false")
        self.connection.execute("CREATE SCHEMA store")
        self.connection.execute("CREATE SEQUENCE store.row_ids")
        for statement in macros.STATEMENTS:
            self.connection.execute(statement)
        self._numbers = itertools.count(1)
        self._condition = threading.Condition()
        self._writer: "Session | None" = None
        self._waiting: "list[Session]" = []

    def physical(self) -> str:
        return str(next(self._numbers))

    def acquire(self, session: "Session") -> None:
        """Waits until this session is the one that writes; who waits longest is next."""
        deadline = time.monotonic() + LOCK_TIMEOUT_SECONDS
        with self._condition:
            if self._writer is session:
                return
            self._waiting.append(session)
            try:
                while self._writer is not None or self._waiting[0] is not session:
                    if not self._condition.wait(max(0.0, deadline - time.monotonic())):
                        raise errors.execution("Statement waited for another transaction's lock for too long.", "000625", "57014")
                self._writer = session
            finally:
                self._waiting.remove(session)
                self._condition.notify_all()

    def release(self, session: "Session") -> None:
        with self._condition:
            if self._writer is session:
                self._writer = None
                self._condition.notify_all()


class Session:
    """One connection with its transaction; used by one thread at a time."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.connection = engine.connection.cursor()
        self.in_transaction = False
        self._explicit = False
        self._consumed: dict[str, tuple[Stream, int]] = {}
        self._pending: dict[str, str] = {}
        self._horizon: int | None = None
        self._on_commit: list[Callable[[], None]] = []
        self._temporary = itertools.count(1)
        self._failed = False

    # -- transactions

    def begin(self, explicit: bool = True) -> None:
        if self.in_transaction:
            return
        self.engine.acquire(self)
        try:
            self.connection.execute("BEGIN TRANSACTION")
        except BaseException:
            self.engine.release(self)
            raise
        self.in_transaction, self._explicit, self._failed = True, explicit, False
        self._consumed, self._pending, self._horizon, self._on_commit = {}, {}, None, []

    def commit(self) -> None:
        if not self.in_transaction:
            return
        try:
            if self._failed:
                self.connection.execute("ROLLBACK")
                raise errors.execution("The transaction was aborted by an earlier error and is rolled back.", "100132")
            for stream, upto in self._consumed.values():
                self._advance_rows(stream)
            self.connection.execute("COMMIT")
            for stream, upto in self._consumed.values():
                stream.offset = upto
            for action in self._on_commit:
                action()
        except duckdb.Error:
            self._quiet_rollback()
            raise
        finally:
            self._end()

    def rollback(self) -> None:
        if self.in_transaction:
            self._quiet_rollback()
            self._end()

    def _quiet_rollback(self) -> None:
        try:
            self.connection.execute("ROLLBACK")
        except duckdb.Error:
            pass

    def _end(self) -> None:
        self.in_transaction = self._explicit = self._failed = False
        self._consumed, self._pending, self._horizon, self._on_commit = {}, {}, None, []
        self.engine.release(self)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One DML statement: inside the open transaction, or in one of its own."""
        if self.in_transaction:
            try:
                yield
            except duckdb.Error:
                self._failed = True
                raise
            return
        self.begin(explicit=False)
        try:
            yield
        except BaseException:
            self.rollback()
            raise
        self.commit()

    @contextmanager
    def defining(self) -> Iterator[None]:
        """One DDL statement: it commits an open transaction first, as Snowflake does."""
        self.commit()
        with self.writing():
            yield

    def on_commit(self, action: Callable[[], None]) -> None:
        self._on_commit.append(action)

    def close(self) -> None:
        self.rollback()
        self.connection.close()

    def execute(self, sql: str, parameters: list[Any] | None = None) -> duckdb.DuckDBPyConnection:
        return self.connection.execute(sql, parameters) if parameters else self.connection.execute(sql)

    def scalar(self, sql: str) -> Any:
        row = self.connection.execute(sql).fetchone()
        return row[0] if row else None

    # -- rows for streams

    def last_row_id(self) -> int:
        """The row id after which everything is new to this transaction."""
        return int(self.scalar("SELECT coalesce(max(last_value), 0) FROM duckdb_sequences() WHERE sequence_name = 'row_ids'") or 0)

    def horizon(self) -> int:
        """What a stream shows ends where the transaction began."""
        if self._horizon is None:
            self._horizon = self.last_row_id()
        return self._horizon

    def note_horizon(self) -> None:
        if self.in_transaction:
            self.horizon()

    def capture(self, table: Table, after: int) -> None:
        """Copy rows that a statement inserted into the change log that append-only streams read."""
        if any(s.table is table and s.mode == "APPEND_ONLY" for s in self.engine.account.all(Stream)):
            columns = column_list(table, with_id=True)
            self.execute(f"INSERT INTO store.l{table.physical} ({columns}) SELECT {columns} FROM store.t{table.physical} "
                         f"WHERE {ROW_ID} > {after}")

    def consume(self, stream: Stream) -> None:
        """The running DML reads this stream: it moves when the transaction commits."""
        self._consumed[stream.id] = (stream, self.horizon())

    def stream_rows(self, stream: Stream) -> str:
        """A FROM item with the stream's rows: the same each time within one transaction."""
        assert stream.table is not None
        table = stream.table
        if stream.mode == "APPEND_ONLY":
            upto = f" AND {ROW_ID} <= {self.horizon()}" if self.in_transaction else ""
            return (f"(SELECT {column_list(table)}, 'INSERT' AS \"METADATA$ACTION\", FALSE AS \"METADATA$ISUPDATE\", "
                    f"sha1({ROW_ID}::VARCHAR) AS \"METADATA$ROW_ID\" FROM store.l{table.physical} "
                    f"WHERE {ROW_ID} > {stream.offset}{upto})")
        if not self.in_transaction:
            return f"({self._difference(stream)})"
        if stream.id not in self._pending:
            name = f"temp.pending_{next(self._temporary)}"
            self.execute(f"CREATE TEMP TABLE {name.removeprefix('temp.')} AS {self._difference(stream, keep_id=True)}")
            self._pending[stream.id] = name
        return f"(SELECT * EXCLUDE ({ROW_ID}) FROM {self._pending[stream.id]})"

    def _difference(self, stream: Stream, keep_id: bool = False) -> str:
        assert stream.table is not None
        table = stream.table
        names = [quote(c.name) for c in table.columns]
        same = " AND ".join(f"s.{n} IS NOT DISTINCT FROM t.{n}" for n in names)
        hidden = f", {{side}}.{ROW_ID}" if keep_id else ""

        def side(alias: str, action: str) -> str:
            columns = ", ".join(f"{alias}.{n} AS {n}" for n in names)
            other = "s" if alias == "t" else "t"
            return (f"SELECT {columns}, '{action}' AS \"METADATA$ACTION\", {other}.{ROW_ID} IS NOT NULL AS \"METADATA$ISUPDATE\", "
                    f"sha1({alias}.{ROW_ID}::VARCHAR) AS \"METADATA$ROW_ID\"{hidden.format(side=alias)} "
                    f"FROM store.t{table.physical} t FULL JOIN store.{stream.snapshot} s ON s.{ROW_ID} = t.{ROW_ID} "
                    f"WHERE {alias}.{ROW_ID} IS NOT NULL AND ({other}.{ROW_ID} IS NULL OR NOT ({same}))")
        return f"{side('t', 'INSERT')} UNION ALL {side('s', 'DELETE')}"

    def _advance_rows(self, stream: Stream) -> None:
        """Bring a standard stream's snapshot to what was just read; prune what no stream needs."""
        table = stream.table
        assert table is not None
        if stream.mode != "APPEND_ONLY":
            if stream.id not in self._pending:
                self.stream_rows(stream)
            pending = self._pending[stream.id]
            columns = column_list(table, with_id=True)
            self.execute(f"DELETE FROM store.{stream.snapshot} WHERE {ROW_ID} IN (SELECT {ROW_ID} FROM {pending} "
                         f"WHERE \"METADATA$ACTION\" = 'DELETE')")
            self.execute(f"INSERT INTO store.{stream.snapshot} ({columns}) SELECT {columns} FROM {pending} "
                         f"WHERE \"METADATA$ACTION\" = 'INSERT'")
            return
        upto = self._consumed[stream.id][1]
        others = [self._consumed.get(s.id, (s, s.offset))[1] for s in self.engine.account.all(Stream)
                  if s.table is table and s.mode == "APPEND_ONLY"]
        self.execute(f"DELETE FROM store.l{table.physical} WHERE {ROW_ID} <= {min([upto, *others])}")


def column_list(table: Table, with_id: bool = False) -> str:
    names = [quote(c.name) for c in table.columns]
    return ", ".join([*names, ROW_ID] if with_id else names)
