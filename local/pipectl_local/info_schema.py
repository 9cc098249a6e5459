# SPDX-License-Identifier: Apache-2.0
"""INFORMATION_SCHEMA views and table functions, made from the catalog.

https://docs.snowflake.com/en/sql-reference/info-schema
"""
from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import errors, privileges
from .catalog import Pipe, Procedure, Stage, Table, View
from .history import STATUS
from .lexer import literal, quote, split_name

if TYPE_CHECKING:
    from .context import Context

TYPES = {"N": "DECIMAL(38,0)", "T": "TIMESTAMPTZ", "S": "VARCHAR", "B": "BOOLEAN"}


def constant(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, dt.datetime):
        return f"TIMESTAMPTZ {literal(value.isoformat(sep=' '))}"
    return literal(str(value))


def relation(columns: str, rows: Sequence[Sequence[Any]]) -> str:
    """A FROM item with these rows; `columns` is `NAME:T …` with the type's letter."""
    named = [c.split(":") for c in columns.split()]
    casts = ", ".join(f"CAST({quote(n)} AS {TYPES[t]}) AS {quote(n)}" for n, t in named)
    names = ", ".join(quote(n) for n, _ in named)
    values = rows or [[None] * len(named)]
    text = ", ".join("(" + ", ".join(constant(v) for v in row) + ")" for row in values)
    return f"(SELECT {casts} FROM (VALUES {text}) AS v({names}){'' if rows else ' WHERE FALSE'})"


def _objects(context: "Context", database: str, kind: type) -> list[Any]:
    found = context.account.database(database)
    return [o for s in list(found.schemas.values()) for o in list(s.objects.values()) if isinstance(o, kind) and privileges.visible(context, o)]


def row_count(context: "Context", table: Table) -> int:
    return int(context.session.scalar(f"SELECT count(*) FROM store.t{table.physical}"))


def tables(context: "Context", database: str) -> str:
    rows = [(database, t.parent.name, t.name, t.owner, "BASE TABLE", "NO", row_count(context, t), t.retention, t.created_on, t.created_on,
             t.comment or None) for t in _objects(context, database, Table)]
    rows += [(database, v.parent.name, v.name, v.owner, "VIEW", "NO", None, None, v.created_on, v.created_on, v.comment or None)
             for v in _objects(context, database, View)]
    return relation("TABLE_CATALOG:S TABLE_SCHEMA:S TABLE_NAME:S TABLE_OWNER:S TABLE_TYPE:S IS_TRANSIENT:S ROW_COUNT:N RETENTION_TIME:N "
                    "CREATED:T LAST_ALTERED:T COMMENT:S", rows)


def columns(context: "Context", database: str) -> str:
    rows = []
    for found in [*_objects(context, database, Table), *_objects(context, database, View)]:
        for position, c in enumerate(found.columns, 1):
            kind = {"FIXED": "NUMBER", "REAL": "FLOAT"}.get(c.type.kind, c.type.kind)
            text = c.type.length if c.type.kind in ("TEXT", "BINARY") else None
            rows.append((database, found.parent.name, found.name, c.name, position, c.default, "YES" if c.nullable else "NO", kind, text, text,
                         c.type.precision, 10 if c.type.kind == "FIXED" else None, c.type.scale if c.type.kind == "FIXED" else None,
                         c.type.scale if c.type.kind.startswith("TIME") else None, "YES" if c.autoincrement else "NO", c.comment or None))
    return relation("TABLE_CATALOG:S TABLE_SCHEMA:S TABLE_NAME:S COLUMN_NAME:S ORDINAL_POSITION:N COLUMN_DEFAULT:S IS_NULLABLE:S DATA_TYPE:S "
                    "CHARACTER_MAXIMUM_LENGTH:N CHARACTER_OCTET_LENGTH:N NUMERIC_PRECISION:N NUMERIC_PRECISION_RADIX:N NUMERIC_SCALE:N "
                    "DATETIME_PRECISION:N IS_IDENTITY:S COMMENT:S", rows)


def schemata(context: "Context", database: str) -> str:
    rows = [(database, s.name, s.owner, s.created_on, s.comment or None) for s in context.account.database(database).schemas.values()
            if privileges.visible(context, s)]
    return relation("CATALOG_NAME:S SCHEMA_NAME:S SCHEMA_OWNER:S CREATED:T COMMENT:S", rows)


def pipes(context: "Context", database: str) -> str:
    rows = [(database, p.parent.name, p.name, p.owner, p.definition, "YES" if p.auto_ingest else "NO", p.channel, p.created_on, p.comment or None)
            for p in _objects(context, database, Pipe)]
    return relation("PIPE_CATALOG:S PIPE_SCHEMA:S PIPE_NAME:S PIPE_OWNER:S DEFINITION:S IS_AUTOINGEST_ENABLED:S NOTIFICATION_CHANNEL_NAME:S "
                    "CREATED:T COMMENT:S", rows)


def stages(context: "Context", database: str) -> str:
    rows = [(database, s.parent.name, s.name, s.url, "External Named", s.owner, s.comment or None, s.created_on)
            for s in _objects(context, database, Stage)]
    return relation("STAGE_CATALOG:S STAGE_SCHEMA:S STAGE_NAME:S STAGE_URL:S STAGE_TYPE:S STAGE_OWNER:S COMMENT:S CREATED:T", rows)


def procedures(context: "Context", database: str) -> str:
    """https://docs.snowflake.com/en/sql-reference/info-schema/procedures: the definition is its owner's to see"""
    rows = [(database, p.parent.name, p.name, p.owner, p.signature, p.returns, "SQL", p.body if privileges.holds(context, p, "OWNERSHIP") else None,
             p.created_on, p.comment or None) for p in _objects(context, database, Procedure)]
    return relation("PROCEDURE_CATALOG:S PROCEDURE_SCHEMA:S PROCEDURE_NAME:S PROCEDURE_OWNER:S ARGUMENT_SIGNATURE:S DATA_TYPE:S PROCEDURE_LANGUAGE:S "
                    "PROCEDURE_DEFINITION:S CREATED:T COMMENT:S", rows)


VIEWS = {"PROCEDURES": procedures, "TABLES": tables, "COLUMNS": columns, "SCHEMATA": schemata, "PIPES": pipes, "STAGES": stages}


def view(context: "Context", database: str, name: str) -> str:
    context.account.database(database)
    if name not in VIEWS:
        raise errors.missing("OBJECT", f"{database}.INFORMATION_SCHEMA.{name}")
    return VIEWS[name](context, database)


def _moment(value: Any, default: dt.datetime) -> dt.datetime:
    if value is None:
        return default
    if isinstance(value, str):
        value = dt.datetime.fromisoformat(value)
    return value if value.tzinfo else value.replace(tzinfo=dt.timezone.utc)


def copy_history(context: "Context", database: str, arguments: dict[str, Any]) -> str:
    """https://docs.snowflake.com/en/sql-reference/functions/copy_history"""
    _known("COPY_HISTORY", arguments, {"TABLE_NAME", "START_TIME", "END_TIME"}, {"TABLE_NAME", "START_TIME"})
    parts = split_name(str(arguments["TABLE_NAME"]))
    path = (database, context.schema or "PUBLIC", *parts) if len(parts) == 1 else (database, *parts) if len(parts) == 2 else parts
    target = context.account.find("TABLE", path)
    if target is None:
        raise errors.missing("TABLE", ".".join(path))
    start = _moment(arguments["START_TIME"], dt.datetime.min)
    end = _moment(arguments.get("END_TIME"), dt.datetime.max.replace(tzinfo=dt.timezone.utc))
    rows = []
    for e in context.cloud.history.loads():
        if e.table != path or e.target not in (None, target) or not start <= e.outcome.time <= end:
            continue
        pipe = e.pipe or (None, None, None)
        o = e.outcome
        rows.append((e.file, e.location, o.time, o.loaded, o.parsed, o.size, o.first_error, o.first_line, None, o.first_column, o.errors_seen, 1,
                     STATUS[o.status], *e.table, *pipe, e.received))
    return relation("FILE_NAME:S STAGE_LOCATION:S LAST_LOAD_TIME:T ROW_COUNT:N ROW_PARSED:N FILE_SIZE:N FIRST_ERROR_MESSAGE:S "
                    "FIRST_ERROR_LINE_NUMBER:N FIRST_ERROR_CHARACTER_POS:N FIRST_ERROR_COLUMN_NAME:S ERROR_COUNT:N ERROR_LIMIT:N STATUS:S "
                    "TABLE_CATALOG_NAME:S TABLE_SCHEMA_NAME:S TABLE_NAME:S PIPE_CATALOG_NAME:S PIPE_SCHEMA_NAME:S PIPE_NAME:S "
                    "PIPE_RECEIVED_TIME:T", rows)


def task_history(context: "Context", database: str, arguments: dict[str, Any]) -> str:
    """https://docs.snowflake.com/en/sql-reference/functions/task_history"""
    _known("TASK_HISTORY", arguments, {"SCHEDULED_TIME_RANGE_START", "SCHEDULED_TIME_RANGE_END", "RESULT_LIMIT", "TASK_NAME", "ERROR_ONLY",
                                       "ROOT_TASK_ID"}, set())
    start = _moment(arguments.get("SCHEDULED_TIME_RANGE_START"), dt.datetime.min.replace(tzinfo=dt.timezone.utc))
    end = _moment(arguments.get("SCHEDULED_TIME_RANGE_END"), dt.datetime.max.replace(tzinfo=dt.timezone.utc))
    limit = int(arguments.get("RESULT_LIMIT", 100))
    if not 1 <= limit <= 10000:
        raise errors.invalid_value(str(limit), "RESULT_LIMIT")
    name = split_name(str(arguments["TASK_NAME"]))[-1] if arguments.get("TASK_NAME") else None
    rows = []
    current = context.account.database(database)
    for r in context.cloud.history.runs():
        wrong = (r.database is not current or (name and r.name != name) or not start <= r.scheduled <= end
                 or (arguments.get("ROOT_TASK_ID") and r.root.id != arguments["ROOT_TASK_ID"])
                 or (str(arguments.get("ERROR_ONLY", False)).upper() == "TRUE" and r.state != "FAILED"))
        if wrong or not privileges.holds(context, r.task, "MONITOR", "OPERATE", "OWNERSHIP"):
            continue
        rows.append((r.query_id, r.name, r.path[0], r.path[1], r.text, r.condition, r.state, r.error_code, r.error_message, r.scheduled, r.started,
                     None, r.completed, r.root.id, 1, r.group_id, r.return_value, r.scheduled_from, 1, r.config, r.group_id))
        if len(rows) == limit:
            break
    return relation("QUERY_ID:S NAME:S DATABASE_NAME:S SCHEMA_NAME:S QUERY_TEXT:S CONDITION_TEXT:S STATE:S ERROR_CODE:S ERROR_MESSAGE:S "
                    "SCHEDULED_TIME:T QUERY_START_TIME:T NEXT_SCHEDULED_TIME:T COMPLETED_TIME:T ROOT_TASK_ID:S GRAPH_VERSION:N RUN_ID:N "
                    "RETURN_VALUE:S SCHEDULED_FROM:S ATTEMPT_NUMBER:N CONFIG:S GRAPH_RUN_GROUP_ID:N", rows)


def query_history(context: "Context", database: str, arguments: dict[str, Any]) -> str:
    """https://docs.snowflake.com/en/sql-reference/functions/query_history: of the user, or of everybody for an administrator"""
    _known("QUERY_HISTORY", arguments, {"END_TIME_RANGE_START", "END_TIME_RANGE_END", "RESULT_LIMIT"}, set())
    start = _moment(arguments.get("END_TIME_RANGE_START"), dt.datetime.min.replace(tzinfo=dt.timezone.utc))
    end = _moment(arguments.get("END_TIME_RANGE_END"), dt.datetime.max.replace(tzinfo=dt.timezone.utc))
    limit = int(arguments.get("RESULT_LIMIT", 100))
    if not 1 <= limit <= 10000:
        raise errors.invalid_value(str(limit), "RESULT_LIMIT")
    everybody = "ACCOUNTADMIN" in context.roles
    found = [q for q in context.cloud.history.queries() if (everybody or q.user == context.user) and start <= (q.finish or q.start) <= end]
    rows = [(q.query_id, q.text, q.user, q.role, q.warehouse, q.status, q.error_code, q.error_message, q.start, q.finish) for q in found[:limit]]
    return relation("QUERY_ID:S QUERY_TEXT:S USER_NAME:S ROLE_NAME:S WAREHOUSE_NAME:S EXECUTION_STATUS:S ERROR_CODE:S ERROR_MESSAGE:S START_TIME:T "
                    "END_TIME:T", rows)


def pipe_usage(context: "Context", database: str, arguments: dict[str, Any]) -> str:
    raise errors.unsupported("PIPE_USAGE_HISTORY")


FUNCTIONS = {"COPY_HISTORY": copy_history, "TASK_HISTORY": task_history, "QUERY_HISTORY": query_history, "PIPE_USAGE_HISTORY": pipe_usage}


def _known(function: str, arguments: dict[str, Any], known: set[str], required: set[str]) -> None:
    if wrong := set(arguments) - known:
        raise errors.compilation(f"invalid argument '{wrong.pop()}' for function '{function}'", "001044", "42P13")
    if absent := required - set(arguments):
        raise errors.compilation(f"missing argument '{absent.pop()}' for function '{function}'", "001044", "42P13")


def function(context: "Context", path: tuple[str, ...], arguments: dict[str, Any]) -> str:
    """A table function, with or without its database."""
    name = path[-1]
    if name not in FUNCTIONS or (len(path) > 1 and path[-2] != "INFORMATION_SCHEMA"):
        raise errors.unknown_function(".".join(path))
    database = path[0] if len(path) == 3 else context.database
    if database is None:
        raise errors.SnowflakeError("090105", "22000", "Cannot perform SELECT. This session does not have a current database. Call 'USE "
                                    "DATABASE', or use a qualified name.")
    context.account.database(database)
    return FUNCTIONS[name](context, database, arguments)


