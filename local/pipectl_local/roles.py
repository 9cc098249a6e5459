# SPDX-License-Identifier: Apache-2.0
"""Roles and users: https://docs.snowflake.com/en/sql-reference/sql/create-role"""
from __future__ import annotations

from typing import TYPE_CHECKING

from . import ddl, errors, privileges
from .catalog import Account, Role, User
from .lexer import Cursor, reads_string
from .result import Result, done

if TYPE_CHECKING:
    from .context import Context

SYSTEM_ROLES = {"SYSADMIN": "ACCOUNTADMIN", "SECURITYADMIN": "ACCOUNTADMIN", "USERADMIN": "SECURITYADMIN"}
ACCOUNT_GRANTS = {
    "SYSADMIN": ("CREATE DATABASE", "CREATE WAREHOUSE"),
    "SECURITYADMIN": ("MANAGE GRANTS",),
    "USERADMIN": ("CREATE ROLE", "CREATE USER"),
}


def install(account: Account, user: User) -> None:
    """The roles that every Snowflake account has."""
    for name in ("ACCOUNTADMIN", "SYSADMIN", "SECURITYADMIN", "USERADMIN", "PUBLIC"):
        role = Role(name, owner="", parent=account)
        role.system = True
        account.roles[name] = role
    for child, parent in SYSTEM_ROLES.items():
        account.roles[child].granted_to_roles[parent] = _grant("USAGE", parent)
    for name, held in ACCOUNT_GRANTS.items():
        for privilege in held:
            account.grant(privilege, name, "")
    account.users[user.name] = user
    account.roles["ACCOUNTADMIN"].granted_to_users[user.name] = _grant("USAGE", user.name)


def _grant(privilege: str, grantee: str, by: str = "ACCOUNTADMIN"):  # type: ignore[no-untyped-def]
    from .catalog import Grant, now
    return Grant(privilege, grantee, by, False, now())


def create(context: "Context", cursor: Cursor, mode: str) -> Result:
    ddl.refuse_modes(cursor, mode, ())
    lenient = ddl.if_not_exists(cursor)
    name = cursor.identifier()
    options = cursor.options("ROLE", {"COMMENT": reads_string})
    cursor.finish()
    if name in context.account.roles:
        if lenient:
            return ddl.skipped(name)
        raise errors.exists(name)
    privileges.require(context, context.account, "CREATE ROLE")
    role = Role(name, owner=context.role, comment=options.get("COMMENT", ""), parent=context.account)
    with context.account.lock:
        context.account.roles[name] = role
    return ddl.created("Role", name)


def alter(context: "Context", cursor: Cursor) -> Result:
    lenient = ddl.if_exists(cursor)
    name = cursor.identifier()
    if lenient and name not in context.account.roles:
        return done()
    role = ddl.account_object(context, context.account.roles, "ROLE", name)
    if ddl.alter_comment(cursor, role):
        return done()
    raise cursor.unexpected()


def drop(context: "Context", cursor: Cursor) -> Result:
    def before(role: Role) -> None:
        if role.system:
            raise errors.denied("ROLE", role.name)
        for target in context.account.securables():
            for key in [k for k in target.grants if k[1] == role.name]:
                target.grants.pop(key, None)
            if target.owner == role.name:
                target.owner = context.role
        for other in list(context.account.roles.values()):
            other.granted_to_roles.pop(role.name, None)
        for database in context.account.databases.values():
            for holder in (database, *database.schemas.values()):
                for key in [k for k in holder.future_grants if k[2] == role.name]:
                    holder.future_grants.pop(key, None)
    return ddl.drop_account_object(context, cursor, context.account.roles, "ROLE", before)
