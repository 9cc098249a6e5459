# SPDX-License-Identifier: Apache-2.0
"""COMMENT ON: https://docs.snowflake.com/en/sql-reference/sql/comment"""
from __future__ import annotations

from typing import TYPE_CHECKING

from . import ddl, errors, privileges
from .catalog import Securable, Table, View
from .lexer import Cursor, display
from .result import Result, status

if TYPE_CHECKING:
    from .context import Context

IN_SCHEMA = ("FILE FORMAT", "TABLE", "VIEW", "STREAM", "STAGE", "PIPE", "TASK", "SEQUENCE")
DONE = "Statement executed successfully."


def run(context: "Context", cursor: Cursor) -> Result:
    lenient = ddl.if_exists(cursor)
    cursor.expect("ON")
    if cursor.accept("COLUMN"):
        return _column(context, cursor)
    kind = next((k for k in (*IN_SCHEMA, "ROLE", "WAREHOUSE", "DATABASE", "SCHEMA", "INTEGRATION") if cursor.accept(*k.split())), None)
    if kind is None:
        raise errors.unsupported(f"COMMENT ON {cursor.token.text}")
    parts = cursor.name()
    cursor.expect("IS")
    text = cursor.string()
    cursor.finish()
    found = _find(context, kind, parts)
    if found is None or not privileges.visible(context, found):
        if lenient:
            return status(DONE)
        raise errors.missing(kind, display(*parts))
    privileges.require(context, found, "OWNERSHIP")
    found.comment = text
    return status(DONE)


def _find(context: "Context", kind: str, parts: tuple[str, ...]) -> Securable | None:
    account = context.account
    if kind in IN_SCHEMA:
        return account.find(kind, context.path(parts))
    if kind == "SCHEMA":
        database, schema = context.path(parts, size=2)
        owner = account.databases.get(database)
        return owner.schemas.get(schema) if owner else None
    stores = {"ROLE": account.roles, "WAREHOUSE": account.warehouses, "DATABASE": account.databases, "INTEGRATION": account.integrations}
    return stores[kind].get(parts[0])


def _column(context: "Context", cursor: Cursor) -> Result:
    *above, name = cursor.name()
    cursor.expect("IS")
    text = cursor.string()
    cursor.finish()
    found = context.account.relation(context.path(tuple(above)))
    if not isinstance(found, (Table, View)) or not privileges.visible(context, found):
        raise errors.missing("TABLE", display(*above))
    privileges.require(context, found, "OWNERSHIP")
    column = next((c for c in found.columns if c.name == name), None)
    if column is None:
        raise errors.invalid_identifier(name)
    column.comment = text
    return status(DONE)
