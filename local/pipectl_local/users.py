# SPDX-License-Identifier: Apache-2.0
"""Users, as far as service users need them: https://docs.snowflake.com/en/sql-reference/sql/create-user"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import ddl, errors, privileges
from .catalog import User
from .lexer import Cursor, reads_boolean, reads_string, reads_word
from .result import Result, done
from .workload import reads_identity

if TYPE_CHECKING:
    from .context import Context

TYPES = ("PERSON", "SERVICE")


def _reads_type(cursor: Cursor) -> str:
    word = reads_word(cursor)
    if word not in TYPES:
        raise errors.invalid_value(word, "TYPE")
    return word


def _reads_identifier(cursor: Cursor) -> str:
    return cursor.word_or_string()


OPTIONS = {"TYPE": _reads_type, "DEFAULT_ROLE": _reads_identifier, "DEFAULT_WAREHOUSE": _reads_identifier, "DISABLED": reads_boolean,
           "WORKLOAD_IDENTITY": reads_identity, "COMMENT": reads_string}


def create(context: "Context", cursor: Cursor, mode: str) -> Result:
    ddl.refuse_modes(cursor, mode, ())
    lenient = ddl.if_not_exists(cursor)
    name = cursor.identifier()
    options = cursor.options("USER", OPTIONS)
    cursor.finish()
    if name in context.account.users:
        if lenient:
            return ddl.skipped(name)
        raise errors.exists(name)
    privileges.require(context, context.account, "CREATE USER")
    user = User(name, owner=context.role, parent=context.account)
    _set(context, user, options)
    with context.account.lock:
        context.account.users[name] = user
    return ddl.created("User", name)


def _set(context: "Context", user: User, options: dict[str, Any]) -> None:
    if options.get("WORKLOAD_IDENTITY"):
        if options.get("TYPE", user.type) != "SERVICE":
            raise errors.compilation("WORKLOAD_IDENTITY is for users of TYPE = SERVICE.")
        same = options["WORKLOAD_IDENTITY"]
        if any(other.workload == same and other is not user for other in context.account.users.values()):
            raise errors.compilation(f"Workload identity {same} belongs to another user.")
    user.comment = options.get("COMMENT", user.comment)
    user.type = options.get("TYPE", user.type)
    user.default_role = options.get("DEFAULT_ROLE", user.default_role)
    user.default_warehouse = options.get("DEFAULT_WAREHOUSE", user.default_warehouse)
    user.disabled = options.get("DISABLED", user.disabled)
    user.workload = options.get("WORKLOAD_IDENTITY", user.workload)


def alter(context: "Context", cursor: Cursor) -> Result:
    lenient = ddl.if_exists(cursor)
    name = cursor.identifier()
    if lenient and name not in context.account.users:
        return done()
    user = ddl.account_object(context, context.account.users, "USER", name)
    cursor.expect("SET")
    options = cursor.options("USER", OPTIONS)
    cursor.finish()
    if not options:
        raise cursor.unexpected()
    _set(context, user, options)
    return done()


def drop(context: "Context", cursor: Cursor) -> Result:
    def before(user: User) -> None:
        if user.name == context.user:
            raise errors.denied("USER", user.name)
        for role in context.account.roles.values():
            role.granted_to_users.pop(user.name, None)
    return ddl.drop_account_object(context, cursor, context.account.users, "USER", before)
