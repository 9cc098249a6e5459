# SPDX-License-Identifier: Apache-2.0
"""Streams on tables: https://docs.snowflake.com/en/user-guide/streams-intro

An append-only stream reads the log of inserted rows after its offset; a standard one compares the
table with the snapshot at its offset. Both move when a committed DML reads them (see engine.py).
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import ddl, errors
from .catalog import Stream, Table
from .engine import ROW_ID, column_list
from .lexer import Cursor, reads_boolean, reads_string
from .result import Result, done

if TYPE_CHECKING:
    from .context import Context

OPTIONS = {"APPEND_ONLY": reads_boolean, "SHOW_INITIAL_ROWS": reads_boolean, "COMMENT": reads_string}


def create(context: "Context", cursor: Cursor, mode: str) -> Result:
    front = ddl.creation(context, cursor, "STREAM", mode)
    if cursor.accept("COPY", "GRANTS"):
        raise errors.unsupported("CREATE STREAM … COPY GRANTS")
    cursor.expect("ON")
    if not cursor.accept("TABLE"):
        raise errors.unsupported(f"STREAM ON {cursor.token.text}")
    source_path = context.path(cursor.name())
    options = cursor.options("STREAM", OPTIONS)
    cursor.finish()
    if front.skip:
        return ddl.skipped(front.name)
    source: Table = context.get("TABLE", source_path, "SELECT")
    append_only = options.get("APPEND_ONLY", False)
    initial_rows = options.get("SHOW_INITIAL_ROWS", False)
    if initial_rows and not append_only:
        raise errors.unsupported("SHOW_INITIAL_ROWS = TRUE of a standard stream")
    created = Stream(front.name, comment=options.get("COMMENT", ""), table=source, table_name=source.full_name,
                     mode="APPEND_ONLY" if append_only else "DEFAULT")
    session = context.session
    with session.defining():
        columns = column_list(source, with_id=True)
        if append_only:
            session.execute(f"CREATE TABLE IF NOT EXISTS store.l{source.physical} AS SELECT {columns} FROM store.t{source.physical} LIMIT 0")
        else:
            created.snapshot = f"s{context.engine.physical()}"
            session.execute(f"CREATE TABLE store.{created.snapshot} AS SELECT {columns} FROM store.t{source.physical}")
        created.offset = session.last_row_id()
        if initial_rows:
            # Rows from before the log began join it under their own ids; streams that are past those do not see them.
            session.execute(f"INSERT INTO store.l{source.physical} ({columns}) SELECT {columns} FROM store.t{source.physical} "
                            f"WHERE {ROW_ID} NOT IN (SELECT {ROW_ID} FROM store.l{source.physical})")
            created.offset = 0
        if front.existing is not None:
            discard(context, front.existing)
        context.add(front.schema, created)
    source.change_tracking = True
    return ddl.created("Stream", front.name)


def alter(context: "Context", cursor: Cursor) -> Result:
    lenient = ddl.if_exists(cursor)
    path = context.path(cursor.name())
    if lenient and context.account.find("STREAM", path) is None:
        return done()
    found: Stream = context.get("STREAM", path)
    if ddl.alter_comment(cursor, found):
        return done()
    raise cursor.unexpected()


def discard(context: "Context", found: Any) -> None:
    """Drop the snapshot; the log stays while another stream of the table reads it."""
    session = context.session
    if found.snapshot:
        with session.writing():
            session.execute(f"DROP TABLE IF EXISTS store.{found.snapshot}")


def drop(context: "Context", cursor: Cursor) -> Result:
    return ddl.drop(context, cursor, "STREAM", discard)
