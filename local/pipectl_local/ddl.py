# SPDX-License-Identifier: Apache-2.0
"""What DDL statements have in common: prefixes, comments, creating and dropping schema objects."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import errors, privileges
from .catalog import Schema, Securable
from .lexer import Cursor, display
from .result import Result, done, status

if TYPE_CHECKING:
    from .context import Context

REPLACE, ALTER, PLAIN = "REPLACE", "ALTER", ""


@dataclass
class Creation:
    """The front of a CREATE statement on a schema object."""

    schema: Schema
    name: str
    existing: Securable | None
    mode: str
    skip: bool


def if_not_exists(cursor: Cursor) -> bool:
    return cursor.accept("IF", "NOT", "EXISTS")


def if_exists(cursor: Cursor) -> bool:
    return cursor.accept("IF", "EXISTS")


def refuse_modes(cursor: Cursor, mode: str, allowed: tuple[str, ...]) -> None:
    if mode and mode not in allowed:
        raise errors.unsupported(f"CREATE OR {mode}")


def creation(context: "Context", cursor: Cursor, kind: str, mode: str, allowed: tuple[str, ...] = (REPLACE,)) -> Creation:
    """Reads `[IF NOT EXISTS] name`; checks the schema, the privilege and the existing object."""
    refuse_modes(cursor, mode, allowed)
    lenient = if_not_exists(cursor)
    if lenient and mode:
        raise errors.compilation(f"options IF NOT EXISTS and OR {mode} are incompatible.", "002203", "42601")
    path = context.path(cursor.name())
    schema = context.schema_of(path)
    existing = schema.objects.get((kind, path[2]))
    if kind in ("TABLE", "VIEW"):
        other = schema.objects.get(("VIEW" if kind == "TABLE" else "TABLE", path[2]))
        if other is not None:
            raise errors.exists(path[2])
    if existing is not None:
        if mode:
            privileges.require(context, existing, "OWNERSHIP")
        elif not lenient:
            raise errors.exists(path[2])
    else:
        privileges.require_create(context, schema, kind)
    return Creation(schema, path[2], existing, mode, skip=existing is not None and lenient)


def created(kind: str, name: str) -> Result:
    return status(f"{kind} {name} successfully created.")


def skipped(name: str) -> Result:
    return status(f"{name} already exists, statement succeeded.")


def dropped(name: str) -> Result:
    return status(f"{name} successfully dropped.")


def drop(context: "Context", cursor: Cursor, kind: str, before: Callable[["Context", Any], None] | None = None) -> Result:
    """DROP of a schema object."""
    lenient = if_exists(cursor)
    path = context.path(cursor.name())
    cursor.accept_one("CASCADE", "RESTRICT")
    cursor.finish()
    found = context.account.find(kind, path)
    if found is None or not privileges.visible(context, found):
        if lenient:
            return status("Drop statement executed successfully (%s already dropped)." % display(path[-1]))
        raise errors.missing(kind, display(*path))
    privileges.require(context, found, "OWNERSHIP")
    if before:
        before(context, found)
    remove(context, found)
    return dropped(path[-1])


def remove(context: "Context", found: Securable) -> None:
    assert isinstance(found.parent, Schema)
    with context.account.lock:
        found.parent.objects.pop((found.kind, found.name), None)


def account_object(context: "Context", store: dict[str, Any], kind: str, name: str, *needed: str) -> Any:
    found = store.get(name)
    if found is None:
        raise errors.missing(kind, display(name))
    privileges.require(context, found, *(needed or ("OWNERSHIP",)))
    return found


def drop_account_object(context: "Context", cursor: Cursor, store: dict[str, Any], kind: str,
                        before: Callable[[Any], None] | None = None) -> Result:
    lenient = if_exists(cursor)
    name = cursor.identifier()
    cursor.accept_one("CASCADE", "RESTRICT")
    cursor.finish()
    if name not in store or not privileges.visible(context, store[name]):
        if lenient:
            return status("Drop statement executed successfully (%s already dropped)." % display(name))
        raise errors.missing(kind, display(name))
    found = account_object(context, store, kind, name)
    if before:
        before(found)
    with context.account.lock:
        store.pop(name, None)
    return dropped(name)


def alter_comment(cursor: Cursor, target: Securable) -> bool:
    """SET COMMENT = '…' alone, or UNSET COMMENT."""
    if cursor.peek("SET", "COMMENT", "="):
        cursor.at += 3
        target.comment = cursor.string()
        cursor.finish()
        return True
    if cursor.accept("UNSET", "COMMENT"):
        cursor.finish()
        target.comment = ""
        return True
    return False


def rename(context: "Context", cursor: Cursor, target: Securable) -> Result:
    """RENAME TO, within the account: the object keeps its identity."""
    path = context.path(cursor.name())
    cursor.finish()
    schema = context.schema_of(path)
    if (target.kind, path[2]) in schema.objects:
        raise errors.exists(path[2])
    if schema is not target.parent:
        privileges.require_create(context, schema, target.kind)
    remove(context, target)
    with context.account.lock:
        target.name, target.parent = path[2], schema
        schema.objects[(target.kind, target.name)] = target
    return done()
