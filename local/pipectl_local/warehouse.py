# SPDX-License-Identifier: Apache-2.0
"""Warehouses: recorded and shown; nothing is billed or bound by them here.

https://docs.snowflake.com/en/sql-reference/sql/create-warehouse
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import ddl, errors, privileges
from .catalog import Warehouse, now
from .lexer import Cursor, reads_boolean, reads_integer, reads_string, reads_word
from .result import Result, done

if TYPE_CHECKING:
    from .context import Context

SIZES = {"XSMALL": "X-Small", "X-SMALL": "X-Small", "SMALL": "Small", "MEDIUM": "Medium", "LARGE": "Large", "XLARGE": "X-Large",
         "X-LARGE": "X-Large", "XXLARGE": "2X-Large", "X2LARGE": "2X-Large", "2X-LARGE": "2X-Large", "XXXLARGE": "3X-Large",
         "X3LARGE": "3X-Large", "3X-LARGE": "3X-Large", "X4LARGE": "4X-Large", "4X-LARGE": "4X-Large"}


def reads_size(cursor: Cursor) -> str:
    word = cursor.word_or_string().upper()
    if word not in SIZES:
        raise errors.invalid_value(word, "WAREHOUSE_SIZE")
    return SIZES[word]


def reads_null_or_integer(cursor: Cursor) -> int:
    return 0 if cursor.accept("NULL") else reads_integer(cursor)


OPTIONS = {"WAREHOUSE_SIZE": reads_size, "WAREHOUSE_TYPE": reads_word, "AUTO_SUSPEND": reads_null_or_integer,
           "AUTO_RESUME": reads_boolean, "INITIALLY_SUSPENDED": reads_boolean, "COMMENT": reads_string,
           "MIN_CLUSTER_COUNT": reads_integer, "MAX_CLUSTER_COUNT": reads_integer, "SCALING_POLICY": reads_word,
           "ENABLE_QUERY_ACCELERATION": reads_boolean, "QUERY_ACCELERATION_MAX_SCALE_FACTOR": reads_integer,
           "STATEMENT_TIMEOUT_IN_SECONDS": reads_integer, "STATEMENT_QUEUED_TIMEOUT_IN_SECONDS": reads_integer,
           "MAX_CONCURRENCY_LEVEL": reads_integer, "RESOURCE_MONITOR": reads_word}


def apply(warehouse: Warehouse, options: dict[str, Any]) -> None:
    warehouse.size = options.pop("WAREHOUSE_SIZE", warehouse.size)
    warehouse.auto_suspend = options.pop("AUTO_SUSPEND", warehouse.auto_suspend)
    warehouse.auto_resume = options.pop("AUTO_RESUME", warehouse.auto_resume)
    warehouse.comment = options.pop("COMMENT", warehouse.comment)
    if options.pop("INITIALLY_SUSPENDED", False):
        warehouse.state = "SUSPENDED"
    warehouse.options |= options
    warehouse.updated_on = now()


def create(context: "Context", cursor: Cursor, mode: str) -> Result:
    ddl.refuse_modes(cursor, mode, (ddl.REPLACE,))
    lenient = ddl.if_not_exists(cursor)
    name = cursor.identifier()
    cursor.accept("WITH")
    options = cursor.options("WAREHOUSE", OPTIONS)
    cursor.finish()
    existing = context.account.warehouses.get(name)
    if existing is not None and not mode:
        if lenient:
            return ddl.skipped(name)
        raise errors.exists(name)
    privileges.require(context, context.account, "CREATE WAREHOUSE")
    warehouse = Warehouse(name, owner=context.role, parent=context.account)
    apply(warehouse, options)
    with context.account.lock:
        context.account.warehouses[name] = warehouse
    return ddl.created("Warehouse", name)


def alter(context: "Context", cursor: Cursor) -> Result:
    lenient = ddl.if_exists(cursor)
    name = cursor.identifier()
    if lenient and name not in context.account.warehouses:
        return done()
    warehouse = ddl.account_object(context, context.account.warehouses, "WAREHOUSE", name, "MODIFY", "OPERATE")
    if cursor.accept("SET"):
        options = cursor.options("WAREHOUSE", {k: v for k, v in OPTIONS.items() if k != "INITIALLY_SUSPENDED"})
        cursor.finish()
        apply(warehouse, options)
        return done()
    if word := cursor.accept_one("SUSPEND", "RESUME"):
        cursor.accept("IF", "SUSPENDED")
        cursor.finish()
        if word == "SUSPEND" and warehouse.state == "SUSPENDED":
            raise errors.execution(f"Invalid state. Warehouse '{name}' cannot be suspended.", "090064", "22000")
        warehouse.state = "SUSPENDED" if word == "SUSPEND" else "STARTED"
        return done()
    raise cursor.unexpected()


def drop(context: "Context", cursor: Cursor) -> Result:
    return ddl.drop_account_object(context, cursor, context.account.warehouses, "WAREHOUSE")


def use(context: "Context", name: str | None) -> None:
    """A statement or task runs in a warehouse that its role may use; a suspended one resumes."""
    if name is None:
        return
    warehouse = context.account.warehouses.get(name)
    if warehouse is None:
        raise errors.missing("WAREHOUSE", name)
    privileges.require(context, warehouse, "USAGE", "OPERATE")
    if warehouse.state == "SUSPENDED":
        if not warehouse.auto_resume:
            raise errors.execution("No active warehouse selected in the current session.", "000606", "57P03")
        warehouse.state = "STARTED"
        warehouse.resumed_on = now()
