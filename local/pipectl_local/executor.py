# SPDX-License-Identifier: Apache-2.0
"""One statement: found in a table by its first words, run by the module of its object kind."""
from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import (comment, copy_into, database, ddl, errors, grants, integration, pipe, privileges, procedure, query, roles, scripting, sequence, show,
               stage, stream, table, task, users, view, warehouse)
from .lexer import STRING, WORD, Cursor
from .result import Result, done, status

if TYPE_CHECKING:
    from .context import Context

LOG = logging.getLogger("snowflake.sql")
Handler = Callable[["Context", Cursor], Result]
Creator = Callable[["Context", Cursor, str], Result]

CREATE: dict[tuple[str, ...], Creator] = {
    ("ROLE",): roles.create, ("WAREHOUSE",): warehouse.create, ("STORAGE", "INTEGRATION"): integration.create_storage,
    ("NOTIFICATION", "INTEGRATION"): integration.create_notification, ("DATABASE",): database.create_database, ("SCHEMA",): database.create_schema,
    ("FILE", "FORMAT"): stage.create_format, ("STAGE",): stage.create, ("TABLE",): table.create,
    ("TRANSIENT", "TABLE"): lambda c, k, m: table.create(c, k, m, transient=True), ("VIEW",): view.create, ("PIPE",): pipe.create,
    ("STREAM",): stream.create, ("TASK",): task.create, ("SEQUENCE",): sequence.create, ("PROCEDURE",): procedure.create,
    ("USER",): users.create,
}
ALTER: dict[tuple[str, ...], Handler] = {
    ("ROLE",): roles.alter, ("WAREHOUSE",): warehouse.alter, ("STORAGE", "INTEGRATION"): lambda c, k: integration.alter(c, k, "STORAGE"),
    ("NOTIFICATION", "INTEGRATION"): lambda c, k: integration.alter(c, k, "NOTIFICATION"), ("INTEGRATION",): integration.alter,
    ("DATABASE",): database.alter_database, ("SCHEMA",): database.alter_schema, ("FILE", "FORMAT"): stage.alter_format, ("STAGE",): stage.alter,
    ("TABLE",): table.alter, ("PIPE",): pipe.alter, ("STREAM",): stream.alter, ("TASK",): task.alter,
    ("PROCEDURE",): procedure.alter, ("USER",): users.alter,
}
DROP: dict[tuple[str, ...], Handler] = {
    ("ROLE",): roles.drop, ("WAREHOUSE",): warehouse.drop, ("INTEGRATION",): integration.drop, ("STORAGE", "INTEGRATION"): integration.drop,
    ("NOTIFICATION", "INTEGRATION"): integration.drop, ("DATABASE",): database.drop_database, ("SCHEMA",): database.drop_schema,
    ("FILE", "FORMAT"): lambda c, k: ddl.drop(c, k, "FILE FORMAT"), ("STAGE",): stage.drop, ("TABLE",): table.drop,
    ("VIEW",): lambda c, k: ddl.drop(c, k, "VIEW"), ("PIPE",): pipe.drop, ("STREAM",): stream.drop, ("TASK",): task.drop,
    ("SEQUENCE",): sequence.drop, ("PROCEDURE",): procedure.drop, ("USER",): users.drop,
}
DESCRIBE: dict[tuple[str, ...], Handler] = {
    ("INTEGRATION",): integration.describe, ("STORAGE", "INTEGRATION"): integration.describe, ("NOTIFICATION", "INTEGRATION"): integration.describe,
    ("TABLE",): table.describe, ("VIEW",): table.describe, ("STAGE",): stage.describe,
    ("PROCEDURE",): procedure.describe,
}


def match(cursor: Cursor, handlers: dict[tuple[str, ...], Any]) -> Any:
    """The handler whose words come next; they are consumed."""
    for words in sorted(handlers, key=len, reverse=True):
        if cursor.accept(*words):
            return handlers[words]
    raise cursor.unexpected()


def create(context: "Context", cursor: Cursor) -> Result:
    mode = ddl.PLAIN
    if cursor.accept("OR"):
        mode = cursor.accept_one(ddl.REPLACE, ddl.ALTER) or ""
        if not mode:
            raise cursor.unexpected()
    return match(cursor, CREATE)(context, cursor, mode)


def begin(context: "Context", cursor: Cursor) -> Result:
    cursor.accept_one("TRANSACTION", "WORK")
    if cursor.accept("NAME"):
        cursor.identifier()
    cursor.finish()
    context.session.begin()
    return done()


def commit(context: "Context", cursor: Cursor) -> Result:
    cursor.accept("WORK")
    cursor.finish()
    context.session.commit()
    return done()


def rollback(context: "Context", cursor: Cursor) -> Result:
    cursor.accept("WORK")
    cursor.finish()
    context.session.rollback()
    return done()


def use(context: "Context", cursor: Cursor) -> Result:
    """Only sessions of the connector keep it; a request of the SQL API ends with its statement."""
    kind = cursor.accept_one("ROLE", "WAREHOUSE", "DATABASE", "SCHEMA")
    parts = cursor.name()
    cursor.finish()
    if kind == "ROLE":
        context.account.role(parts[0])
        if parts[0] not in context.account.user_roles(context.user):
            raise errors.execution(f"Requested role '{parts[0]}' is not assigned to the executing user. Specify another role to activate.", "003013", "42501")
        context.role = parts[0]
        context.forget_roles()
    elif kind == "WAREHOUSE":
        warehouse.use(context, parts[0])
        context.warehouse = parts[0]
    elif kind == "DATABASE" or (kind is None and len(parts) == 1):
        found = context.account.database(parts[0])
        if not privileges.visible(context, found):
            raise errors.missing("DATABASE", parts[0])
        context.database, context.schema = parts[0], "PUBLIC" if "PUBLIC" in found.schemas else None
    else:
        path = context.path(parts, size=2)
        context.schema_of((*path, ""))
        context.database, context.schema = path
    return status("Statement executed successfully.")


def execute_verb(context: "Context", cursor: Cursor) -> Result:
    if cursor.accept("TASK"):
        return task.execute(context, cursor)
    if cursor.accept("IMMEDIATE"):
        if cursor.token.kind != STRING:
            raise errors.unsupported("EXECUTE IMMEDIATE of anything but a string")
        text = cursor.string()
        cursor.finish()
        return execute(context, text)
    raise cursor.unexpected()


def copy(context: "Context", cursor: Cursor) -> Result:
    cursor.expect("INTO")
    return copy_into.run(context, cursor)


def show_verb(context: "Context", cursor: Cursor) -> Result:
    cursor.accept("TERSE")
    shown = match(cursor, show.SHOWS)(context, cursor)
    if len(shown.rows) > show.MOST_ROWS:
        raise errors.too_long_to_show(show.MOST_ROWS)
    return shown


def describe(context: "Context", cursor: Cursor) -> Result:
    if cursor.token.kind == WORD and any(cursor.peek(*words) for words in DESCRIBE):
        return match(cursor, DESCRIBE)(context, cursor)
    raise errors.unsupported(f"DESCRIBE {cursor.token.text}")


def alter_session(context: "Context", cursor: Cursor) -> Result:
    """What clients set on connecting; nothing here depends on it but the time zone, which stays UTC."""
    cursor.rest()
    return done()


def explain(context: "Context", cursor: Cursor) -> Result:
    """https://docs.snowflake.com/en/sql-reference/sql/explain: compiles without running, and needs no warehouse."""
    if cursor.accept("USING") and cursor.accept_one("TABULAR", "JSON", "TEXT") != "TEXT":
        raise errors.unsupported("EXPLAIN in another form than USING TEXT")
    return query.explain(context, cursor.rest())


ALTER[("SESSION",)] = alter_session
VERBS: dict[str, Handler] = {
    "CREATE": create, "ALTER": lambda c, k: match(k, ALTER)(c, k), "DROP": lambda c, k: match(k, DROP)(c, k), "SHOW": show_verb,
    "DESC": describe, "DESCRIBE": describe, "GRANT": grants.grant, "REVOKE": grants.revoke, "BEGIN": begin, "START": begin, "COMMIT": commit,
    "CALL": lambda c, k: procedure.call(c, k, execute), "COMMENT": comment.run, "ROLLBACK": rollback, "USE": use, "EXECUTE": execute_verb, "COPY": copy, "EXPLAIN": explain, "LIST": stage.list_files, "LS": stage.list_files,
}
DDL = ("CREATE", "ALTER", "DROP", "GRANT", "REVOKE", "COMMENT")
NEEDS_WAREHOUSE: tuple[str, ...] = ("INSERT", "UPDATE", "DELETE", "MERGE", "COPY")


def execute(context: "Context", sql: str) -> Result:
    """Run one statement, or one anonymous block; the history of queries has it, whatever becomes of it."""
    entry = context.cloud.history.query(context, sql)
    try:
        done = _execute(context, sql)
    except errors.SnowflakeError as error:
        entry.end(error)
        raise
    entry.end()
    return done


def _execute(context: "Context", sql: str) -> Result:
    if scripting.is_block(sql):
        return scripting.run(context, sql, execute)
    cursor = Cursor(sql)
    if cursor.done():
        raise errors.compilation("Empty SQL statement.", "000900")
    verb = cursor.token.text if cursor.token.kind == WORD else ""
    if verb not in VERBS:
        return query.run(context, sql.rstrip().removesuffix(";"))
    cursor.next()
    if verb in DDL:
        context.session.commit()
        with context.account.lock:
            return VERBS[verb](context, cursor)
    return VERBS[verb](context, cursor)
