# SPDX-License-Identifier: Apache-2.0
"""Databases and schemas: https://docs.snowflake.com/en/sql-reference/sql/create-schema"""
from __future__ import annotations

from typing import TYPE_CHECKING

from . import ddl, errors, privileges
from .catalog import Database, Schema
from .lexer import Cursor, display, reads_integer, reads_string
from .result import Result, done

if TYPE_CHECKING:
    from .context import Context

OPTIONS = {"COMMENT": reads_string, "DATA_RETENTION_TIME_IN_DAYS": reads_integer, "MAX_DATA_EXTENSION_TIME_IN_DAYS": reads_integer}


def create_database(context: "Context", cursor: Cursor, mode: str) -> Result:
    ddl.refuse_modes(cursor, mode, (ddl.REPLACE,))
    lenient = ddl.if_not_exists(cursor)
    name = cursor.identifier()
    options = cursor.options("DATABASE", OPTIONS)
    cursor.finish()
    if name in context.account.databases and not mode:
        if lenient:
            return ddl.skipped(name)
        raise errors.exists(name)
    privileges.require(context, context.account, "CREATE DATABASE")
    if name in context.account.databases:
        privileges.require(context, context.account.databases[name], "OWNERSHIP")
        empty_database(context, context.account.databases[name])
    database = Database(name, owner=context.role, comment=options.get("COMMENT", ""), parent=context.account,
                        retention=options.get("DATA_RETENTION_TIME_IN_DAYS", 1))
    database.schemas["PUBLIC"] = Schema("PUBLIC", owner=context.role, parent=database)
    with context.account.lock:
        context.account.databases[name] = database
    return ddl.created("Database", name)


def alter_database(context: "Context", cursor: Cursor) -> Result:
    lenient = ddl.if_exists(cursor)
    name = cursor.identifier()
    if lenient and name not in context.account.databases:
        return done()
    database = ddl.account_object(context, context.account.databases, "DATABASE", name, "MODIFY")
    cursor.expect("SET")
    options = cursor.options("DATABASE", OPTIONS)
    cursor.finish()
    database.comment = options.get("COMMENT", database.comment)
    database.retention = options.get("DATA_RETENTION_TIME_IN_DAYS", database.retention)
    return done()


def drop_database(context: "Context", cursor: Cursor) -> Result:
    return ddl.drop_account_object(context, cursor, context.account.databases, "DATABASE",
                                   lambda database: empty_database(context, database))


def empty_database(context: "Context", database: Database) -> None:
    for schema in list(database.schemas.values()):
        empty_schema(context, schema)


def empty_schema(context: "Context", schema: Schema) -> None:
    """Stop and drop everything in the schema: tasks and pipes first."""
    from . import pipe, stage, stream, table, task
    order = {"TASK": task.discard, "PIPE": pipe.discard, "STREAM": stream.discard, "STAGE": stage.discard, "TABLE": table.discard}
    for kind in [*order, "FILE FORMAT", "VIEW"]:
        for found in [o for (k, _), o in list(schema.objects.items()) if k == kind]:
            if kind in order:
                order[kind](context, found)
            ddl.remove(context, found)


def create_schema(context: "Context", cursor: Cursor, mode: str) -> Result:
    ddl.refuse_modes(cursor, mode, (ddl.REPLACE,))
    lenient = ddl.if_not_exists(cursor)
    path = context.path(cursor.name(), size=2)
    managed = cursor.accept("WITH", "MANAGED", "ACCESS")
    options = cursor.options("SCHEMA", OPTIONS)
    cursor.finish()
    database = context.account.database(path[0])
    existing = database.schemas.get(path[1])
    if existing is not None and not mode:
        if lenient:
            return ddl.skipped(path[1])
        raise errors.exists(path[1])
    privileges.require(context, database, "CREATE SCHEMA")
    if existing is not None:
        empty_schema(context, existing)
    schema = Schema(path[1], owner=context.role, comment=options.get("COMMENT", ""), parent=database, managed_access=managed,
                    retention=options.get("DATA_RETENTION_TIME_IN_DAYS", database.retention))
    with context.account.lock:
        database.schemas[path[1]] = schema
    return ddl.created("Schema", path[1])


def alter_schema(context: "Context", cursor: Cursor) -> Result:
    lenient = ddl.if_exists(cursor)
    path = context.path(cursor.name(), size=2)
    database = context.account.databases.get(path[0])
    if lenient and (database is None or path[1] not in database.schemas):
        return done()
    schema = context.account.schema(*path)
    privileges.require(context, schema, "MODIFY")
    if word := cursor.accept_one("ENABLE", "DISABLE"):
        cursor.expect("MANAGED", "ACCESS")
        cursor.finish()
        schema.managed_access = word == "ENABLE"
        return done()
    cursor.expect("SET")
    options = cursor.options("SCHEMA", OPTIONS)
    cursor.finish()
    schema.comment = options.get("COMMENT", schema.comment)
    schema.retention = options.get("DATA_RETENTION_TIME_IN_DAYS", schema.retention)
    return done()


def drop_schema(context: "Context", cursor: Cursor) -> Result:
    lenient = ddl.if_exists(cursor)
    path = context.path(cursor.name(), size=2)
    cursor.accept_one("CASCADE", "RESTRICT")
    cursor.finish()
    database = context.account.databases.get(path[0])
    if database is None or path[1] not in database.schemas:
        if lenient:
            return done()
        raise errors.missing("SCHEMA", display(*path))
    schema = database.schemas[path[1]]
    privileges.require(context, schema, "OWNERSHIP")
    empty_schema(context, schema)
    with context.account.lock:
        database.schemas.pop(path[1], None)
    return ddl.dropped(path[1])
