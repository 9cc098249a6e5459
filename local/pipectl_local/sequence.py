# SPDX-License-Identifier: Apache-2.0
"""Sequences: https://docs.snowflake.com/en/sql-reference/sql/create-sequence"""
from __future__ import annotations

from typing import TYPE_CHECKING

from . import ddl, errors
from .catalog import Sequence
from .lexer import Cursor
from .result import Result

if TYPE_CHECKING:
    from .context import Context


def create(context: "Context", cursor: Cursor, mode: str) -> Result:
    front = ddl.creation(context, cursor, "SEQUENCE", mode)
    made = Sequence(front.name)
    cursor.accept("WITH")
    while not cursor.done():
        if cursor.accept("START"):
            cursor.accept("WITH")
            cursor.accept("=")
            made.start = cursor.integer()
        elif cursor.accept("INCREMENT"):
            cursor.accept("BY")
            cursor.accept("=")
            made.increment = cursor.integer()
        elif (order := cursor.accept_one("ORDER", "NOORDER")) is not None:
            made.ordered = order == "ORDER"
        elif cursor.accept("COMMENT", "="):
            made.comment = cursor.string()
        else:
            raise cursor.unexpected()
    if made.increment == 0:
        raise errors.invalid_value("0", "INCREMENT")
    if front.skip:
        return ddl.skipped(front.name)
    made.physical = context.engine.physical()
    # DuckDB's limits follow the direction, and the start must lie inside.
    low, high = -(2**63), 2**63 - 1
    context.session.execute(f"CREATE SEQUENCE store.q{made.physical} INCREMENT BY {made.increment} MINVALUE {low} MAXVALUE {high} START WITH {made.start} NO CYCLE")
    context.add(front.schema, made)
    return ddl.created("Sequence", front.name)


def drop(context: "Context", cursor: Cursor) -> Result:
    """The rows of a sequence stay in DuckDB: a column's default may still name it."""
    return ddl.drop(context, cursor, "SEQUENCE")
