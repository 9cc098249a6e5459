# SPDX-License-Identifier: Apache-2.0
"""Stored procedures in SQL: https://docs.snowflake.com/en/sql-reference/sql/create-procedure"""
from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import ddl, errors, functions, integration, notify, privileges, scripting, sftypes
from .catalog import Procedure
from .lexer import STRING, Cursor, display
from .result import Result, done, table

if TYPE_CHECKING:
    from .context import Context

Execute = Callable[["Context", str], Result]
RUN_TASKS = "SYSTEM$PIPECTL_RUN_TASKS"
MAX_DEPTH = 32


def create(context: "Context", cursor: Cursor, mode: str) -> Result:
    front = ddl.creation(context, cursor, "PROCEDURE", mode)
    made = Procedure(front.name)
    cursor.expect("(")
    while not cursor.accept(")"):
        if made.arguments:
            cursor.expect(",")
        name = cursor.identifier()
        kind = sftypes.parse(cursor)
        made.arguments.append((name, kind, _default(cursor) if cursor.accept("DEFAULT") else None))
    copies_grants = cursor.accept("COPY", "GRANTS")
    cursor.expect("RETURNS")
    if cursor.peek("TABLE"):
        raise errors.unsupported("RETURNS TABLE")
    start = cursor.token.start
    sftypes.parse(cursor)
    made.returns = cursor.sql[start:cursor.tokens[cursor.at - 1].end].upper()
    cursor.accept("NOT", "NULL")
    while not cursor.accept("AS"):
        _property(cursor, made)
    made.body = cursor.string() if cursor.token.kind == STRING else cursor.rest()
    cursor.finish()
    scripting.check(made.body)
    if front.skip:
        return ddl.skipped(front.name)
    if isinstance(front.existing, Procedure) and _types(front.existing) != _types(made):
        raise errors.unsupported(f"two procedures {front.name} with different arguments")
    context.add(front.schema, made)
    if copies_grants and isinstance(front.existing, Procedure):
        made.grants = front.existing.grants | made.grants
    return ddl.created("Function", front.name)


def _default(cursor: Cursor) -> str:
    start, depth = cursor.token.start, 0
    while depth or not (cursor.peek(",") or cursor.peek(")")):
        if cursor.done():
            raise cursor.unexpected()
        depth += cursor.peek("(") - cursor.peek(")")
        cursor.next()
    return cursor.sql[start:cursor.token.start].strip()


def _property(cursor: Cursor, made: Procedure) -> None:
    if cursor.accept("LANGUAGE"):
        language = cursor.identifier()
        if language != "SQL":
            raise errors.unsupported(f"LANGUAGE {language}")
    elif cursor.accept("EXECUTE", "AS"):
        who = cursor.accept_one("CALLER", "OWNER")
        if who is None:
            raise cursor.unexpected()
        made.as_caller = who == "CALLER"
    elif cursor.accept("COMMENT", "="):
        made.comment = cursor.string()
    elif cursor.accept("STRICT") or cursor.accept("RETURNS", "NULL", "ON", "NULL", "INPUT"):
        made.strict = True
    elif not (cursor.accept("CALLED", "ON", "NULL", "INPUT") or cursor.accept("VOLATILE") or cursor.accept("IMMUTABLE")):
        raise cursor.unexpected()


def _types(procedure: Procedure) -> list[str]:
    return [kind.kind for _, kind, _ in procedure.arguments]


def drop(context: "Context", cursor: Cursor) -> Result:
    lenient = ddl.if_exists(cursor)
    start = cursor.at
    name = cursor.name()[-1]
    cursor.at = start
    found = _named(context, cursor, lenient)
    cursor.finish()
    if found is None:
        return ddl.status(f"Drop statement executed successfully ({display(name)} already dropped).")
    privileges.require(context, found, "OWNERSHIP")
    ddl.remove(context, found)
    return ddl.dropped(name)


def _named(context: "Context", cursor: Cursor, lenient: bool) -> Procedure | None:
    """Reads `name(types)`; the procedure, if the role may see it."""
    path = context.path(cursor.name())
    kinds: list[str] = []
    cursor.expect("(")
    while not cursor.accept(")"):
        if kinds:
            cursor.expect(",")
        kinds.append(sftypes.parse(cursor).kind)
    found = context.account.find("PROCEDURE", path)
    if isinstance(found, Procedure) and privileges.visible(context, found) and _types(found) == kinds:
        return found
    if lenient:
        return None
    raise errors.missing("PROCEDURE", display(*path))


def alter(context: "Context", cursor: Cursor) -> Result:
    """https://docs.snowflake.com/en/sql-reference/sql/alter-procedure"""
    found = _named(context, cursor, ddl.if_exists(cursor))
    if found is None:
        return done()
    privileges.require(context, found, "OWNERSHIP")
    if ddl.alter_comment(cursor, found):
        return done()
    raise cursor.unexpected()


def describe(context: "Context", cursor: Cursor) -> Result:
    """https://docs.snowflake.com/en/sql-reference/sql/desc-procedure"""
    found = _named(context, cursor, lenient=False)
    cursor.finish()
    assert found is not None
    privileges.require(context, found, "USAGE")
    rows = [("signature", found.signature), ("returns", found.returns), ("language", "SQL"), ("null handling", "CALLED ON NULL INPUT"),
            ("volatility", "VOLATILE"), ("execute as", "CALLER" if found.as_caller else "OWNER")]
    rows += [("body", found.body)] if privileges.holds(context, found, "OWNERSHIP") else []
    return table(("property", "value"), rows)


def send_notification(context: "Context", message: str, integration_configuration: str) -> str:
    """JSON for a topic: https://docs.snowflake.com/en/sql-reference/stored-procedures/system_send_snowflake_notification"""
    try:
        contents, targets = json.loads(message), json.loads(integration_configuration)
        if list(contents) != ["application/json"] or not isinstance(targets, dict):
            raise errors.unsupported("SYSTEM$SEND_SNOWFLAKE_NOTIFICATION of anything but one JSON message to integrations")
        body = json.loads(contents["application/json"])
    except (ValueError, TypeError) as error:
        raise errors.invalid_value(message, "message") from error
    for name in targets:
        integration.find(context, name.upper(), "NOTIFICATION")
        threading.Thread(target=notify.send, args=(context.cloud, name.upper(), body), daemon=True).start()
    return "Enqueued notifications."


SYSTEM: dict[str, Callable[..., Any]] = {"SYSTEM$SEND_SNOWFLAKE_NOTIFICATION": send_notification, "SYSTEM$SET_RETURN_VALUE": functions.set_return_value}


def call(context: "Context", cursor: Cursor, execute: Execute) -> Result:
    """https://docs.snowflake.com/en/sql-reference/sql/call"""
    parts = cursor.name()
    given = _arguments(cursor)
    cursor.finish()
    if parts == (RUN_TASKS,):
        return run_tasks(context)
    if len(parts) == 1 and parts[0] in SYSTEM:
        frame = scripting.Frame(context, execute)
        return table((parts[0],), [(SYSTEM[parts[0]](context, *(frame.evaluate(text) for _, text in given)),)])
    found = context.get("PROCEDURE", parts, "USAGE")
    assert isinstance(found, Procedure)
    values = _bind(context, execute, found, given)
    if found.strict and None in values.values():
        return table((found.name,), [(None,)])
    return _run(context, execute, found, values)


def _arguments(cursor: Cursor) -> list[tuple[str | None, str]]:
    """The expressions between the parentheses, with their names if they have any (`name => value`)."""
    cursor.expect("(")
    given: list[tuple[str | None, str]] = []
    while not cursor.accept(")"):
        if given:
            cursor.expect(",")
        name = None
        if [t.text for t in cursor.tokens[cursor.at + 1:cursor.at + 2]] == ["=>"]:
            name = cursor.identifier()
            cursor.next()
        given.append((name, _default(cursor)))
    return given


def _bind(context: "Context", execute: Execute, procedure: Procedure, given: list[tuple[str | None, str]]) -> dict[str, Any]:
    frame = scripting.Frame(context, execute)
    texts: dict[str, str | None] = {name: default for name, _, default in procedure.arguments}
    bound: dict[str, list[Any]] = {}
    known, left = list(texts), list(context.bindings)
    for place, (name, text) in enumerate(given):
        target = name or (known[place] if place < len(known) else None)
        if target not in texts:
            raise errors.compilation(f"Invalid argument types for function '{procedure.name}'", "001044", "42P13")
        texts[target] = text
        marks = sum(token.text == "?" for token in Cursor(text).tokens)
        bound[target], left = left[:marks], left[marks:]
    missing = [name for name, text in texts.items() if text is None]
    if missing:
        raise errors.compilation(f"Invalid argument types for function '{procedure.name}': {', '.join(missing)} is missing", "001044", "42P13")
    values, bindings = {}, context.bindings
    try:
        for (name, kind, _), text in zip(procedure.arguments, texts.values()):
            context.bindings = bound.get(name, [])
            values[name] = frame.evaluate(f"CAST({text} AS {_sql(kind)})")
    finally:
        context.bindings = bindings
    return values


def _sql(kind: sftypes.SfType) -> str:
    simple = {"FIXED": f"NUMBER({kind.precision or 38},{kind.scale or 0})", "REAL": "FLOAT", "TEXT": "VARCHAR"}
    return simple.get(kind.kind, kind.kind)


def _run(context: "Context", execute: Execute, procedure: Procedure, values: dict[str, Any]) -> Result:
    """With its own variables; as its owner unless EXECUTE AS CALLER; in its own schema."""
    depth = int(context.variables.get("$DEPTH", 0)) + 1
    if depth > MAX_DEPTH:
        raise errors.execution("Stored procedure calls are nested too deeply.", "100351")
    before = (context.variables, context.role, context.database, context.schema, context.expression, context.bindings)
    context.variables = {**values, "$DEPTH": depth}
    context.expression, context.bindings = False, []
    if not procedure.as_caller:
        context.role, (context.database, context.schema) = procedure.owner, procedure.path[:2]
        context.forget_roles()
    try:
        outcome = scripting.run(context, procedure.body, execute, keep_transaction=context.session.in_transaction)
    finally:
        context.variables, context.role, context.database, context.schema, context.expression, context.bindings = before
        context.forget_roles()
    return table((procedure.name,), outcome.rows)


def run_tasks(context: "Context") -> Result:
    """Every started task graph whose condition holds, once, now: what `pipectl local run-tasks` asks for."""
    runs = context.cloud.scheduler.run_all()
    return table(("task", "state", "seconds", "return_value", "error_code", "error_message"), [
        (display(*run.path), run.state, run.seconds, run.return_value, run.error_code if run.state == "FAILED" else None,
         run.error_message if run.state == "FAILED" else None) for run in runs])
