# SPDX-License-Identifier: Apache-2.0
"""Snowflake SQL API v2: https://docs.snowflake.com/en/developer-guide/sql-api/reference"""
from __future__ import annotations

import datetime as dt
import decimal
import json
import logging
import threading
import time
import uuid
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import duckdb

from . import errors, executor, warehouse
from .context import Context
from .lexer import split_statements
from .query import translate_error
from .result import Result

if TYPE_CHECKING:
    from .cloud import Cloud

LOG = logging.getLogger("snowflake.api")
PARTITION_ROWS = 10_000
SYNCHRONOUS_SECONDS = 45.0
KEPT_STATEMENTS = 2_000
EPOCH = dt.datetime(1970, 1, 1)


@dataclass
class Statement:
    """A submitted statement; `children` are those of a multi-statement request."""

    handle: str
    request_id: str
    user: str
    created: float = field(default_factory=time.time)
    finished: threading.Event = field(default_factory=threading.Event)
    result: Result | None = None
    error: errors.SnowflakeError | None = None
    children: list["Statement"] = field(default_factory=list)
    context: Context | None = None


@dataclass
class Answer:
    status: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)


def binding(given: dict[str, Any]) -> Any:
    """A bound value: https://docs.snowflake.com/en/developer-guide/sql-api/submitting-requests (bind variables)"""
    kind, value = str(given.get("type", "TEXT")).upper(), given.get("value")
    if value is None:
        return None
    try:
        if kind in ("FIXED", "INTEGER"):
            return int(value) if "." not in str(value) else decimal.Decimal(value)
        if kind == "REAL":
            return float(value)
        if kind == "BOOLEAN":
            return str(value).lower() == "true"
        if kind == "DATE":
            return (EPOCH + dt.timedelta(milliseconds=int(value))).date()
        if kind == "TIMESTAMP_NTZ":
            return EPOCH + dt.timedelta(microseconds=int(value) // 1000)
        if kind in ("TIMESTAMP_LTZ", "TIMESTAMP_TZ"):
            return (EPOCH + dt.timedelta(microseconds=int(str(value).split(" ")[0]) // 1000)).replace(tzinfo=dt.timezone.utc)
        if kind == "TIME":
            return (EPOCH + dt.timedelta(microseconds=int(value) // 1000)).time()
        if kind == "BINARY":
            return bytes.fromhex(value)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise errors.compilation(f"Bind variable of type {kind} has the invalid value '{value}'.", "002049", "42601") from error
    if kind in ("TEXT", "ANY"):
        return str(value)
    raise errors.compilation(f"Bind variable type {kind} is not supported.", "002049", "42601")


class SqlApi:
    def __init__(self, cloud: "Cloud") -> None:
        self.cloud = cloud
        self._lock = threading.Lock()
        self._statements: OrderedDict[str, Statement] = OrderedDict()
        self._requests: dict[str, str] = {}

    # -- requests

    def submit(self, user: str, query: dict[str, str], body: dict[str, Any]) -> Answer:
        """POST /api/v2/statements"""
        request_id = query.get("requestId") or str(uuid.uuid4())
        with self._lock:
            known = self._statements.get(self._requests.get(request_id, ""))
            if known is not None and query.get("retry", "").lower() == "true":
                statement, fresh = known, False
            else:
                statement, fresh = Statement(str(uuid.uuid4()), request_id, user), True
                self._remember(statement)
                self._requests[request_id] = statement.handle
        if fresh:
            threading.Thread(target=self._run, args=(statement, body), name=f"sql-{statement.handle[:8]}", daemon=True).start()
        if query.get("async", "").lower() == "true" and fresh:
            return self._pending(statement)
        statement.finished.wait(SYNCHRONOUS_SECONDS)
        return self.answer(statement, 0)

    def get(self, user: str, handle: str, query: dict[str, str]) -> Answer:
        """GET /api/v2/statements/{handle}"""
        statement = self._find(user, handle)
        if statement is None:
            return self._not_found(handle)
        try:
            partition = int(query.get("partition", "0"))
        except ValueError:
            return Answer(400, {"code": "391902", "message": "Invalid partition."})
        return self.answer(statement, partition)

    def cancel(self, user: str, handle: str) -> Answer:
        statement = self._find(user, handle)
        if statement is None:
            return self._not_found(handle)
        if statement.finished.is_set():
            return Answer(422, {"code": "000605", "sqlState": "57014", "message": "Identified SQL statement is not currently executing.",
                                "statementHandle": handle})
        if statement.context is not None:
            statement.context.cancel()
        return Answer(200, {"code": "000604", "sqlState": "57014", "message": "SQL execution canceled", "statementHandle": handle,
                            "statementStatusUrl": f"/api/v2/statements/{handle}"})

    def _remember(self, statement: Statement) -> None:
        self._statements[statement.handle] = statement
        while len(self._statements) > KEPT_STATEMENTS:
            _, old = self._statements.popitem(last=False)
            self._requests.pop(old.request_id, None)

    def _find(self, user: str, handle: str) -> Statement | None:
        with self._lock:
            found = self._statements.get(handle)
        return found if found is not None and found.user == user else None

    @staticmethod
    def _not_found(handle: str) -> Answer:
        return Answer(404, {"code": "390188", "message": f"Statement {handle} not found.", "statementHandle": handle})

    # -- running

    def _run(self, statement: Statement, body: dict[str, Any]) -> None:
        try:
            context = self._context(statement, body)
        except errors.SnowflakeError as error:
            statement.error = error
            statement.finished.set()
            return
        timeout = int(body.get("timeout") or 0)
        timer = threading.Timer(timeout, context.cancel) if timeout > 0 else None
        if timer:
            timer.daemon = True
            timer.start()
        try:
            self._execute(statement, context, body)
        except errors.SnowflakeError as error:
            statement.error = error
        except duckdb.Error as error:
            statement.error = translate_error(error)
        except Exception as error:
            LOG.exception("statement %s", statement.handle)
            statement.error = errors.execution(f"SQL execution internal error: {type(error).__name__}: {error}", "000603", "XX000")
        finally:
            if timer:
                timer.cancel()
            context.close()
            statement.context = None
            if statement.error is not None:
                LOG.info("[%s] failed with %s: %s", statement.handle[:8], statement.error.code, statement.error.message.replace("\n", " "))
            statement.finished.set()

    def _context(self, statement: Statement, body: dict[str, Any]) -> Context:
        account = self.cloud.account
        role = self._name(body.get("role")) or account.users[statement.user].default_role
        if role not in account.roles or role not in account.user_roles(statement.user):
            raise errors.SnowflakeError("390189", "08001", f"Role '{role}' specified in the connect string does not exist or not authorized. "
                                        "Contact your local system administrator, or attempt to login with another role, e.g. PUBLIC.")
        context = self.cloud.context(role, statement.user, None, self._name(body.get("database")), self._name(body.get("schema")))
        context.query_id = statement.handle
        statement.context = context
        try:
            name = self._name(body.get("warehouse"))
            if name:
                warehouse.use(context, name)
                context.warehouse = name
            given = body.get("bindings") or {}
            context.bindings = [binding(given[k]) for k in sorted(given, key=int)]
        except BaseException:
            context.session.close()
            raise
        return context

    @staticmethod
    def _name(text: Any) -> str | None:
        if not text:
            return None
        name = str(text)
        return name[1:-1].replace('""', '"') if name.startswith('"') and name.endswith('"') else name.upper()

    def _execute(self, statement: Statement, context: Context, body: dict[str, Any]) -> None:
        text = str(body.get("statement") or "")
        wanted = int(str((body.get("parameters") or {}).get("MULTI_STATEMENT_COUNT", "1")))
        parts = split_statements(text)
        if wanted not in (0, len(parts)) and parts:
            raise errors.SnowflakeError("000008", "0A000", f"Actual statement count {len(parts)} did not match the desired statement count {wanted}.")
        if len(parts) <= 1:
            LOG.info("%s [%s] %s", context.role, statement.handle[:8], " ".join(text.split())[:300])
            statement.result = executor.execute(context, parts[0] if parts else text)
            if context.session.in_transaction:
                context.session.rollback()
            return
        for part in parts:
            child = Statement(str(uuid.uuid4()), "", statement.user)
            with self._lock:
                self._remember(child)
            statement.children.append(child)
            LOG.info("%s [%s] %s", context.role, child.handle[:8], " ".join(part.split())[:300])
            try:
                child.result = executor.execute(context, part)
            except errors.SnowflakeError as error:
                child.error = error
                context.session.rollback()
                raise
            finally:
                child.finished.set()
        context.session.rollback()
        statement.result = Result([*executor.status("").fields], [("Multiple statements executed successfully.",)])

    # -- answers

    def _pending(self, statement: Statement) -> Answer:
        return Answer(202, {"code": "333334", "message": "Asynchronous execution in progress. Use provided query id to perform query monitoring and "
                                                         "management.", "statementHandle": statement.handle,
                            "statementStatusUrl": f"/api/v2/statements/{statement.handle}", "sqlState": "00000"})

    def answer(self, statement: Statement, partition: int) -> Answer:
        if not statement.finished.is_set():
            return self._pending(statement)
        base: dict[str, Any] = {"statementHandle": statement.handle, "createdOn": int(statement.created * 1000),
                                "statementStatusUrl": f"/api/v2/statements/{statement.handle}?requestId={statement.request_id}"}
        if statement.error is not None:
            return Answer(422, {"code": statement.error.code, "message": statement.error.message, "sqlState": statement.error.sqlstate} | base)
        assert statement.result is not None
        if statement.children:
            base["statementHandles"] = [c.handle for c in statement.children]
        rows = statement.result.encoded()
        count = max(1, -(-len(rows) // PARTITION_ROWS))
        if not 0 <= partition < count:
            return Answer(400, {"code": "391902", "message": f"Invalid partition {partition}: the result has {count}.", "statementHandle": statement.handle})
        chunk = rows[partition * PARTITION_ROWS:(partition + 1) * PARTITION_ROWS]
        if partition > 0:
            return Answer(200, {"data": chunk})
        sizes = [rows[i * PARTITION_ROWS:(i + 1) * PARTITION_ROWS] for i in range(count)]
        partitions = [{"rowCount": len(s), "uncompressedSize": len(json.dumps(s)) if len(s) < 1000 else len(s) * 100} for s in sizes]
        body: dict[str, Any] = base | {
            "resultSetMetaData": {"numRows": len(rows), "format": "jsonv2", "partitionInfo": partitions, "rowType": statement.result.row_type()},
            "data": chunk, "code": "090001", "sqlState": "00000", "message": "Statement executed successfully.",
        }
        if statement.result.stats is not None:
            body["stats"] = statement.result.stats
        return Answer(200, body)
