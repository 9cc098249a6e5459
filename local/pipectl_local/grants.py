# SPDX-License-Identifier: Apache-2.0
"""GRANT, REVOKE and SHOW GRANTS: https://docs.snowflake.com/en/sql-reference/sql/grant-privilege"""
from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from . import errors, privileges, sftypes
from .catalog import Database, Grant, Procedure, Role, Schema, Securable, now
from .lexer import Cursor, display
from .result import Result, done, table

if TYPE_CHECKING:
    from .context import Context

ACCOUNT_PRIVILEGES = {"CREATE DATABASE", "CREATE ROLE", "CREATE USER", "CREATE WAREHOUSE", "CREATE INTEGRATION", "EXECUTE TASK",
                      "EXECUTE MANAGED TASK", "MANAGE GRANTS", "MONITOR USAGE", "MONITOR EXECUTION", "EXECUTE ALERT"}
SCHEMA_CREATES = {f"CREATE {k}" for k in ("TABLE", "VIEW", "STAGE", "FILE FORMAT", "PIPE", "STREAM", "TASK", "SEQUENCE", "FUNCTION", "PROCEDURE",
                                          "DYNAMIC TABLE", "MATERIALIZED VIEW", "EXTERNAL TABLE", "TAG", "ALERT")}
PRIVILEGES: dict[str, set[str]] = {
    "ACCOUNT": ACCOUNT_PRIVILEGES,
    "WAREHOUSE": {"USAGE", "OPERATE", "MONITOR", "MODIFY"},
    "INTEGRATION": {"USAGE", "USE_ANY_ROLE"},
    "DATABASE": {"USAGE", "MODIFY", "MONITOR", "CREATE SCHEMA", "CREATE DATABASE ROLE", "IMPORTED PRIVILEGES"},
    "SCHEMA": {"USAGE", "MODIFY", "MONITOR", *SCHEMA_CREATES},
    "TABLE": {"SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "EVOLVE SCHEMA"},
    "VIEW": {"SELECT", "REFERENCES"},
    "STREAM": {"SELECT"},
    "STAGE": {"USAGE", "READ", "WRITE"},
    "FILE FORMAT": {"USAGE"},
    "PIPE": {"OPERATE", "MONITOR"},
    "TASK": {"OPERATE", "MONITOR"},
    "PROCEDURE": {"USAGE"},
    "ROLE": {"USAGE"},
}
PLURALS = {"TABLES": "TABLE", "VIEWS": "VIEW", "STREAMS": "STREAM", "STAGES": "STAGE", "FILE FORMATS": "FILE FORMAT", "PIPES": "PIPE",
           "TASKS": "TASK", "PROCEDURES": "PROCEDURE", "SCHEMAS": "SCHEMA"}
SCHEMA_KINDS = ("FILE FORMAT", "TABLE", "VIEW", "STREAM", "STAGE", "PIPE", "TASK")


def read_privileges(cursor: Cursor) -> list[str]:
    """`priv, priv, …` up to ON."""
    found = [_privilege(cursor)]
    while cursor.accept(","):
        found.append(_privilege(cursor))
    return found


def _privilege(cursor: Cursor) -> str:
    words = []
    while cursor.token.kind == "word" and not cursor.peek("ON"):
        words.append(cursor.next().text)
    if not words:
        raise cursor.unexpected()
    text = " ".join(words)
    return "ALL" if text in ("ALL", "ALL PRIVILEGES") else text


def read_kind(cursor: Cursor, kinds: dict[str, str] | None = None) -> str:
    names = list(kinds) if kinds else [*PRIVILEGES]
    for name in sorted(names, key=len, reverse=True):
        if cursor.accept(*name.split()):
            return kinds[name] if kinds else name
    raise cursor.unexpected()


def locate(context: "Context", kind: str, cursor: Cursor) -> Securable:
    """The object that a grant names."""
    account = context.account
    if kind == "ACCOUNT":
        return account
    if kind in ("WAREHOUSE", "INTEGRATION", "DATABASE", "ROLE"):
        name = cursor.identifier()
        store: dict[str, Any] = {"WAREHOUSE": account.warehouses, "INTEGRATION": account.integrations, "DATABASE": account.databases,
                                 "ROLE": account.roles}[kind]
        if name not in store:
            raise errors.missing(kind, display(name))
        return store[name]
    if kind == "SCHEMA":
        return account.schema(*context.path(cursor.name(), size=2))
    path = context.path(cursor.name())
    found = account.find(kind, path)
    if isinstance(found, Procedure):
        # Arguments are part of its name.
        cursor.expect("(")
        given = [] if cursor.peek(")") else [sftypes.parse(cursor).kind]
        while cursor.accept(","):
            given.append(sftypes.parse(cursor).kind)
        cursor.expect(")")
        found = found if given == [kind.kind for _, kind, _ in found.arguments] else None
    if found is None and kind == "TABLE":
        found = account.find("VIEW", path)
    if found is None:
        raise errors.missing(kind, display(*path))
    return found


def may_grant(context: "Context", target: Securable, names: list[str] | None = None) -> None:
    """The owner; in a managed schema the schema's owner; who holds each of the privileges with the grant option; or MANAGE GRANTS."""
    roles = context.roles
    if privileges.holds(context, context.account, "MANAGE GRANTS"):
        return
    held = {name for (name, role), grant in list(target.grants.items()) if grant.grant_option and role in roles}
    if names and held.issuperset(names):
        return
    schema = target.parent if isinstance(target.parent, Schema) else None
    owner = schema.owner if schema is not None and schema.managed_access else target.owner
    if target.kind == "ACCOUNT" or owner not in roles:
        if not privileges.visible(context, target):
            raise errors.missing(target.kind, target.full_name)
        raise errors.denied(target.kind, target.name)


def check_privileges(kind: str, names: list[str]) -> list[str]:
    if names == ["ALL"]:
        return sorted(PRIVILEGES[kind] - {"IMPORTED PRIVILEGES", "USE_ANY_ROLE"})
    for name in names:
        if name not in PRIVILEGES[kind]:
            raise errors.compilation(f"Privilege '{name}' is not valid for object type '{kind}'.", "003008", "42601")
    return names


def targets(context: "Context", cursor: Cursor) -> tuple[str, list[Securable], Any]:
    """ON …: the kind, the objects, and the container where the grant is a future one."""
    if word := cursor.accept_one("ALL", "FUTURE"):
        kind = read_kind(cursor, PLURALS)
        cursor.expect("IN")
        container: Any
        if cursor.accept("SCHEMA"):
            container = context.account.schema(*context.path(cursor.name(), size=2))
        else:
            cursor.expect("DATABASE")
            container = context.account.database(cursor.identifier())
        if word == "FUTURE":
            return kind, [], container
        return kind, list(inside(container, kind)), None
    kind = read_kind(cursor)
    return kind, [locate(context, kind, cursor)], None


def inside(container: Database | Schema, kind: str) -> Iterator[Securable]:
    schemas = [container] if isinstance(container, Schema) else list(container.schemas.values())
    if kind == "SCHEMA":
        yield from schemas
        return
    for schema in schemas:
        yield from [o for o in list(schema.objects.values()) if o.kind == kind]


def _grantee(context: "Context", cursor: Cursor, word: str) -> str:
    cursor.expect(word)
    cursor.accept("ROLE")
    return context.account.role(cursor.identifier()).name


def grant(context: "Context", cursor: Cursor) -> Result:
    if cursor.peek("ROLE"):
        return grant_role(context, cursor)
    if cursor.accept("OWNERSHIP"):
        return grant_ownership(context, cursor)
    names = read_privileges(cursor)
    cursor.expect("ON")
    kind, objects, future = targets(context, cursor)
    role = _grantee(context, cursor, "TO")
    option = cursor.accept("WITH", "GRANT", "OPTION")
    cursor.finish()
    names = check_privileges(kind, names)
    if future is not None:
        _may_future(context, future)
        for name in names:
            future.future_grants.setdefault((name, kind, role), Grant(name, role, context.role, option, now()))
        return done()
    for target in objects:
        may_grant(context, target, names)
        for name in names:
            target.grant(name, role, context.role, option)
    return done()


def _may_future(context: "Context", container: Securable) -> None:
    if privileges.holds(context, context.account, "MANAGE GRANTS"):
        return
    managed = isinstance(container, Schema) and container.managed_access and container.owner in context.roles
    if not managed:
        raise errors.denied(container.kind, container.name)


def revoke(context: "Context", cursor: Cursor) -> Result:
    if cursor.peek("ROLE"):
        return revoke_role(context, cursor)
    cursor.accept("GRANT", "OPTION", "FOR")
    names = read_privileges(cursor)
    cursor.expect("ON")
    kind, objects, future = targets(context, cursor)
    role = _grantee(context, cursor, "FROM")
    cursor.accept_one("CASCADE", "RESTRICT")
    cursor.finish()
    names = check_privileges(kind, names)
    if future is not None:
        _may_future(context, future)
        for name in names:
            future.future_grants.pop((name, kind, role), None)
        return done()
    for target in objects:
        may_grant(context, target)
        for name in names:
            target.grants.pop((name, role), None)
    return done()


def grant_ownership(context: "Context", cursor: Cursor) -> Result:
    """https://docs.snowflake.com/en/sql-reference/sql/grant-ownership"""
    cursor.expect("ON")
    kind, objects, future = targets(context, cursor)
    role = _grantee(context, cursor, "TO")
    copy = cursor.accept("COPY", "CURRENT", "GRANTS")
    revoke_first = cursor.accept("REVOKE", "CURRENT", "GRANTS")
    cursor.finish()
    if future is not None:
        _may_future(context, future)
        future.future_grants[("OWNERSHIP", kind, role)] = Grant("OWNERSHIP", role, context.role, False, now())
        return done()
    for target in objects:
        if target.owner not in context.roles and not privileges.holds(context, context.account, "MANAGE GRANTS"):
            raise errors.denied(target.kind, target.name)
        outbound = [k for k in target.grants if k[1] != target.owner]
        if outbound and not copy and not revoke_first and target.owner != role:
            raise errors.execution(f"Dependent grant of privilege '{outbound[0][0]}' on securable '{target.full_name}' to role "
                                   f"'{outbound[0][1]}' exists. It must be revoked first. More than one dependent grant may exist: use 'SHOW "
                                   "GRANTS' command to view them. To revoke all dependent grants while transferring object ownership, use "
                                   "convenience command 'GRANT OWNERSHIP ON <target_objects> TO <target_role> REVOKE CURRENT GRANTS'.",
                                   "003036", "0A000")
        if revoke_first:
            target.grants.clear()
        target.owner = role
        if target.kind == "TASK":
            target.state = "suspended"  # type: ignore[attr-defined]
        if target.kind == "PIPE":
            target.runner.paused = True  # type: ignore[attr-defined]
    return done()


def grant_role(context: "Context", cursor: Cursor) -> Result:
    cursor.expect("ROLE")
    role = context.account.role(cursor.identifier())
    cursor.expect("TO")
    may_grant(context, role)
    if cursor.accept("USER"):
        name = _user(context, cursor.identifier())
        role.granted_to_users.setdefault(name, Grant("USAGE", name, context.role, False, now()))
    else:
        cursor.expect("ROLE")
        parent = context.account.role(cursor.identifier())
        if parent.name in context.account.inherited(role.name) - ({"PUBLIC"} if role.name != "PUBLIC" else set()):
            raise errors.compilation(f"Role '{role.name}' cannot be granted to '{parent.name}': the roles would form a cycle.", "003013", "0A000")
        role.granted_to_roles.setdefault(parent.name, Grant("USAGE", parent.name, context.role, False, now()))
    cursor.finish()
    return done()


def revoke_role(context: "Context", cursor: Cursor) -> Result:
    cursor.expect("ROLE")
    role = context.account.role(cursor.identifier())
    cursor.expect("FROM")
    may_grant(context, role)
    if cursor.accept("USER"):
        role.granted_to_users.pop(_user(context, cursor.identifier()), None)
    else:
        cursor.expect("ROLE")
        role.granted_to_roles.pop(context.account.role(cursor.identifier()).name, None)
    cursor.finish()
    return done()


def _user(context: "Context", name: str) -> str:
    if name not in context.account.users:
        raise errors.missing("USER", display(name))
    return name


def label(kind: str) -> str:
    return kind.replace(" ", "_")


def show(context: "Context", cursor: Cursor, future: bool = False) -> Result:
    """SHOW GRANTS …: https://docs.snowflake.com/en/sql-reference/sql/show-grants"""
    if future:
        return show_future(context, cursor)
    names = ("created_on", "privilege", "granted_on", "name", "granted_to", "grantee_name", "grant_option", "granted_by")
    if cursor.accept("OF", "ROLE"):
        role = context.account.role(cursor.identifier())
        cursor.finish()
        rows = [(g.created_on, role.name, kind, name, g.granted_by) for kind, store in (("ROLE", role.granted_to_roles), ("USER", role.granted_to_users))
                for name, g in list(store.items())]
        return table(("created_on", "role", "granted_to", "grantee_name", "granted_by"), rows)
    if cursor.accept("ON"):
        kind = read_kind(cursor)
        target = locate(context, kind, cursor)
        cursor.finish()
        if not privileges.visible(context, target) and not privileges.holds(context, context.account, "MANAGE GRANTS"):
            raise errors.missing(target.kind, target.full_name)
        return table(names, [r for r in _rows_on(target)])
    if cursor.accept("TO", "USER"):
        name = _user(context, cursor.identifier())
        cursor.finish()
        rows = [(g.created_on, r.name, "USER", name, g.granted_by) for r in context.account.roles.values() if (g := r.granted_to_users.get(name))]
        return table(("created_on", "role", "granted_to", "grantee_name", "granted_by"), rows)
    if cursor.accept("TO"):
        cursor.accept("ROLE")
        role = context.account.role(cursor.identifier())
        cursor.finish()
        return table(names, rows_to(context, role))
    if cursor.done():
        rows = [(g.created_on, r.name, "USER", context.user, g.granted_by) for r in context.account.roles.values()
                if (g := r.granted_to_users.get(context.user))]
        return table(("created_on", "role", "granted_to", "grantee_name", "granted_by"), rows)
    raise cursor.unexpected()


def _rows_on(target: Securable) -> Iterator[tuple[Any, ...]]:
    if target.owner and target.kind != "ACCOUNT":
        yield target.created_on, "OWNERSHIP", label(target.kind), target.full_name, "ROLE", target.owner, "true", target.owner
    for g in list(target.grants.values()):
        yield g.created_on, g.privilege, label(target.kind), target.full_name, "ROLE", g.role, str(g.grant_option).lower(), g.granted_by
    if isinstance(target, Role):
        for name, g in list(target.granted_to_roles.items()):
            yield g.created_on, "USAGE", "ROLE", target.full_name, "ROLE", name, "false", g.granted_by
        for name, g in list(target.granted_to_users.items()):
            yield g.created_on, "USAGE", "ROLE", target.full_name, "USER", name, "false", g.granted_by


def rows_to(context: "Context", role: Role) -> list[tuple[Any, ...]]:
    return [row for target in context.account.securables() for row in _rows_on(target) if row[5] == role.name and row[4] == "ROLE"]


def show_future(context: "Context", cursor: Cursor) -> Result:
    rows = []
    if cursor.accept("IN", "SCHEMA"):
        containers: list[Any] = [context.account.schema(*context.path(cursor.name(), size=2))]
    elif cursor.accept("IN", "DATABASE"):
        containers = [context.account.database(cursor.identifier())]
    elif cursor.accept("TO", "ROLE"):
        role = context.account.role(cursor.identifier())
        containers = [c for d in context.account.databases.values() for c in (d, *d.schemas.values())]
        cursor.finish()
        return table(FUTURE_NAMES, [r for c in containers for r in _future_rows(c) if r[5] == role.name])
    else:
        raise cursor.unexpected()
    cursor.finish()
    for container in containers:
        rows += _future_rows(container)
    return table(FUTURE_NAMES, rows)


FUTURE_NAMES = ("created_on", "privilege", "grant_on", "name", "grant_to", "grantee_name", "grant_option")


def _future_rows(container: Any) -> list[tuple[Any, ...]]:
    return [(g.created_on, privilege, label(kind), f"{container.full_name}.<{label(kind)}>", "ROLE", role, str(g.grant_option).lower())
            for (privilege, kind, role), g in list(container.future_grants.items())]
