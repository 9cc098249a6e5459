# SPDX-License-Identifier: Apache-2.0
"""Tasks and task graphs, their DDL: https://docs.snowflake.com/en/sql-reference/sql/create-task

Running them is scheduler.py's part.
"""
from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from . import cron, ddl, errors, integration, privileges, scripting
from .catalog import Securable, Task, now
from .lexer import Cursor, display, reads_boolean, reads_integer, reads_name, reads_string
from .result import Result, done, status

if TYPE_CHECKING:
    from .context import Context

INTERVAL = re.compile(r"(\d+)\s+(SECOND|SECONDS|S|MINUTE|MINUTES|M|HOUR|HOURS|H)", re.I)
OPTIONS = {"WAREHOUSE": lambda c: c.word_or_string(), "SCHEDULE": reads_string, "ALLOW_OVERLAPPING_EXECUTION": reads_boolean,
           "SUSPEND_TASK_AFTER_NUM_FAILURES": reads_integer, "USER_TASK_TIMEOUT_MS": reads_integer, "ERROR_INTEGRATION": lambda c: c.word_or_string(),
           "COMMENT": reads_string, "FINALIZE": reads_name, "CONFIG": reads_string, "USER_TASK_MANAGED_INITIAL_WAREHOUSE_SIZE": lambda c: c.word_or_string(),
           "USER_TASK_MINIMUM_TRIGGER_INTERVAL_IN_SECONDS": reads_integer}
ROOT_ONLY = ("SCHEDULE", "ALLOW_OVERLAPPING_EXECUTION", "SUSPEND_TASK_AFTER_NUM_FAILURES", "CONFIG")
KEPT = ("SUSPEND_TASK_AFTER_NUM_FAILURES", "USER_TASK_TIMEOUT_MS", "USER_TASK_MINIMUM_TRIGGER_INTERVAL_IN_SECONDS")
MAX_PREDECESSORS, MAX_CHILDREN, MAX_GRAPH = 100, 100, 1000


def interval_seconds(schedule: str) -> int | None:
    """Seconds of an interval schedule; None for USING CRON."""
    found = INTERVAL.fullmatch(schedule.strip())
    if not found:
        return None
    unit = found.group(2)[0].upper()
    return int(found.group(1)) * {"S": 1, "M": 60, "H": 3600}[unit]


def check_schedule(schedule: str) -> None:
    if schedule.strip().upper().startswith("USING CRON"):
        cron.parse(schedule)
        return
    seconds = interval_seconds(schedule)
    if seconds is None or not 10 <= seconds <= 11520 * 60:
        raise errors.invalid_value(schedule, "SCHEDULE")


def by_name(context_or_account: Any, name: str) -> Task | None:
    from .lexer import split_name
    account = getattr(context_or_account, "account", context_or_account)
    found = account.find("TASK", split_name(name))
    return found if isinstance(found, Task) else None


def roots(account: Any, task: Task) -> list[Task]:
    """The root task of the graph a task is in; itself where it stands alone."""
    if task.finalizes:
        found = by_name(account, task.finalizes)
        return [found] if found else []
    if not task.predecessors:
        return [task]
    above = [p for p in (by_name(account, n) for n in task.predecessors) if p]
    return list({r.id: r for parent in above for r in roots(account, parent)}.values())


def children(account: Any, task: Task) -> list[Task]:
    return [t for t in account.all(Task) if task.full_name in t.predecessors]


def finalizer(account: Any, root: Task) -> Task | None:
    return next((t for t in account.all(Task) if t.finalizes == root.full_name), None)


def graph(account: Any, root: Task) -> list[Task]:
    """All tasks of a graph, parents before children, the finalizer last."""
    found: dict[str, Task] = {}
    waiting = [root]
    while waiting:
        current = waiting.pop(0)
        found.pop(current.id, None)
        found[current.id] = current
        if len(found) > MAX_GRAPH:
            raise errors.execution("A task graph may have at most 1000 tasks.", "091075", "55000")
        waiting += children(account, current)
    last = finalizer(account, root)
    return [*found.values(), *([last] if last else [])]


def require_suspended(account: Any, changed: Task) -> None:
    """Nothing of a graph changes while its root is started."""
    for root in roots(account, changed):
        if root.state == "started":
            raise errors.execution(f"Unable to update graph with root task {root.full_name} since that root task is not suspended.", "091090", "55000")


def read_condition(cursor: Cursor) -> str:
    start, depth = cursor.token.start, 0
    while not (depth == 0 and cursor.peek("AS")):
        if cursor.token.kind == "end":
            if depth == 0 and cursor.token.start > start:
                break
            raise cursor.unexpected()
        depth += (cursor.token.text == "(") - (cursor.token.text == ")")
        cursor.next()
    text = cursor.sql[start:cursor.token.start].strip()
    check_condition(text)
    return text


def check_condition(text: str) -> None:
    from .functions import SYSTEM
    from .translate import parse
    from sqlglot import exp
    tree = parse(f"SELECT {text}")
    for node in tree.find_all(exp.Anonymous):
        if node.name.upper().startswith("SYSTEM$") and node.name.upper() not in SYSTEM:
            raise errors.unknown_function(node.name.upper())
    if any(tree.find_all(exp.Table)):
        raise errors.compilation("Invalid expression for task condition expression. Expecting one of the following: "
                                 "[SYSTEM$STREAM_HAS_DATA, SYSTEM$GET_PREDECESSOR_RETURN_VALUE]", "090229")


def check_body(text: str) -> None:
    if not text.strip():
        raise errors.compilation("Missing task definition", "001003")
    if scripting.is_block(text):
        scripting.check(text)


def names_of(cursor: Cursor, context: "Context") -> list[str]:
    names = [display(*context.path(cursor.name()))]
    while cursor.accept(","):
        names.append(display(*context.path(cursor.name())))
    return names


def create(context: "Context", cursor: Cursor, mode: str) -> Result:
    front = ddl.creation(context, cursor, "TASK", mode, (ddl.REPLACE, ddl.ALTER))
    options: dict[str, Any] = {}
    after: list[str] = []
    condition = None
    while not cursor.peek("AS"):
        if cursor.accept("AFTER"):
            after = names_of(cursor, context)
        elif cursor.accept("WHEN"):
            condition = read_condition(cursor)
        else:
            before = cursor.at
            options |= cursor.options("TASK", OPTIONS, stop=("AFTER", "WHEN", "AS"))
            if cursor.at == before:
                raise cursor.unexpected()
    cursor.expect("AS")
    definition = unquote_body(cursor.rest())
    if front.skip:
        return ddl.skipped(front.name)
    check_body(definition)
    existing = front.existing if isinstance(front.existing, Task) else None
    wanted = existing if existing and mode == ddl.ALTER else Task(front.name)
    if existing:
        require_suspended(context.account, existing)
    wanted.parent = front.schema
    if existing is None or mode == ddl.REPLACE:
        wanted.owner = context.role
    validate(context, wanted, options, after, condition)
    apply(wanted, options, after, condition, definition, fresh=True)
    if wanted is not existing:
        context.add(front.schema, wanted)
    return ddl.created("Task", front.name) if wanted is not existing else status(f"Task {front.name} successfully altered.")


def unquote_body(text: str) -> str:
    if text.startswith("$$") and text.endswith("$$") and len(text) >= 4:
        return text[2:-2].strip()
    return text


def validate(context: "Context", wanted: Task, options: dict[str, Any], after: list[str], condition: str | None) -> None:
    finalizes = display(*context.path(options["FINALIZE"])) if "FINALIZE" in options else None
    options["FINALIZE"] = finalizes
    if finalizes and after:
        raise errors.compilation("A task cannot have both AFTER and FINALIZE.", "091078")
    for key in ROOT_ONLY:
        if (after or finalizes) and key in options:
            raise errors.compilation(f"Task {wanted.name} cannot have {key}: it is not the root task of its graph.", "091088")
    if (after or finalizes) and options.get("ERROR_INTEGRATION"):
        raise errors.compilation("ERROR_INTEGRATION can only be set on the root task.", "091088")
    if len(after) > MAX_PREDECESSORS:
        raise errors.compilation("A task may have at most 100 predecessors.", "091076")
    for parent in filter(None, (by_name(context.account, name) for name in after)):
        if len([child for child in children(context.account, parent) if child.full_name != wanted.full_name]) >= MAX_CHILDREN:
            raise errors.execution(f"Task {parent.full_name} may have at most {MAX_CHILDREN} child tasks.", "091077", "55000")
    if options.get("SCHEDULE"):
        check_schedule(options["SCHEDULE"])
    name = options.get("WAREHOUSE")
    if name:
        name = name.upper() if name.upper() in context.account.warehouses else name
        options["WAREHOUSE"] = name
        warehouse = context.account.warehouses.get(name)
        if warehouse is None:
            raise errors.missing("WAREHOUSE", name)
        privileges.require(context, warehouse, "USAGE", "OPERATE")
    if options.get("ERROR_INTEGRATION"):
        integration.find(context, options["ERROR_INTEGRATION"], "NOTIFICATION")
    for parent_name in [*after, *([finalizes] if finalizes else [])]:
        parent = by_name(context, parent_name)
        if parent is None:
            raise errors.missing("TASK", parent_name)
        if parent.parent is not wanted.parent:
            raise errors.compilation("All tasks of a graph must be in one schema.", "091080")
        if parent.owner != wanted.owner:
            raise errors.compilation("All tasks of a graph must have the same owner.", "091081")
        if finalizes and (parent.predecessors or parent.finalizes):
            raise errors.compilation(f"Task {parent_name} is not a root task.", "091082")
        if parent is wanted or wanted in [x for r in roots(context.account, parent) for x in ancestors(context.account, parent)]:
            raise errors.compilation("Task graph contains a cycle.", "091083")
        require_suspended(context.account, parent)
    if finalizes:
        existing = next((t for t in context.account.all(Task) if t.finalizes == finalizes and t is not wanted), None)
        if existing:
            raise errors.compilation(f"Root task {finalizes} already has the finalizer {existing.full_name}.", "091084")


def ancestors(account: Any, task: Task) -> list[Task]:
    above = [p for p in (by_name(account, n) for n in task.predecessors) if p]
    return above + [a for p in above for a in ancestors(account, p)]


def apply(wanted: Task, options: dict[str, Any], after: list[str], condition: str | None, definition: str, fresh: bool) -> None:
    wanted.warehouse = options.get("WAREHOUSE")
    wanted.size = options.get("USER_TASK_MANAGED_INITIAL_WAREHOUSE_SIZE")
    wanted.schedule = options.get("SCHEDULE")
    wanted.overlapping = options.get("ALLOW_OVERLAPPING_EXECUTION", False)
    wanted.error_integration = options.get("ERROR_INTEGRATION")
    wanted.comment = options.get("COMMENT", "")
    wanted.config = options.get("CONFIG")
    wanted.finalizes = options.get("FINALIZE")
    wanted.predecessors = after
    wanted.condition = condition
    wanted.definition = definition
    wanted.options = {k: options[k] for k in KEPT if k in options}


def alter(context: "Context", cursor: Cursor) -> Result:
    lenient = ddl.if_exists(cursor)
    path = context.path(cursor.name())
    if lenient and context.account.find("TASK", path) is None:
        return done()
    found: Task = context.get("TASK", path, "OPERATE", "OWNERSHIP")
    if cursor.accept("SUSPEND"):
        cursor.finish()
        suspend(context, found)
        return done()
    if cursor.accept("RESUME"):
        cursor.finish()
        resume(context, found)
        return done()
    privileges.require(context, found, "OWNERSHIP")
    require_suspended(context.account, found)
    if cursor.accept("SET"):
        options = cursor.options("TASK", OPTIONS)
        cursor.finish()
        _set(context, found, options)
    elif cursor.accept("UNSET"):
        _unset(cursor, found)
    elif cursor.accept("MODIFY", "AS"):
        definition = unquote_body(cursor.rest())
        check_body(definition)
        found.definition = definition
    elif cursor.accept("MODIFY", "WHEN"):
        found.condition = read_condition(cursor)
    elif cursor.accept("REMOVE", "WHEN"):
        cursor.finish()
        found.condition = None
    elif cursor.accept("ADD", "AFTER"):
        names = names_of(cursor, context)
        cursor.finish()
        validate(context, found, {}, names, found.condition)
        found.schedule = None
        found.predecessors += [n for n in names if n not in found.predecessors]
    elif cursor.accept("REMOVE", "AFTER"):
        names = names_of(cursor, context)
        cursor.finish()
        found.predecessors = [n for n in found.predecessors if n not in names]
    else:
        raise cursor.unexpected()
    return done()


def _set(context: "Context", found: Task, options: dict[str, Any]) -> None:
    if "FINALIZE" not in options and found.finalizes:
        from .lexer import split_name
        options = {**options, "FINALIZE": split_name(found.finalizes)}
    validate(context, found, options, found.predecessors, found.condition)
    attributes = {"WAREHOUSE": "warehouse", "SCHEDULE": "schedule", "ALLOW_OVERLAPPING_EXECUTION": "overlapping", "COMMENT": "comment",
                  "ERROR_INTEGRATION": "error_integration", "CONFIG": "config", "FINALIZE": "finalizes",
                  "USER_TASK_MANAGED_INITIAL_WAREHOUSE_SIZE": "size"}
    for key, value in options.items():
        if key in KEPT:
            found.options[key] = value
        elif key != "FINALIZE" or value:
            setattr(found, attributes[key], value)


def _unset(cursor: Cursor, found: Task) -> None:
    defaults = {"WAREHOUSE": ("warehouse", None), "SCHEDULE": ("schedule", None), "ALLOW_OVERLAPPING_EXECUTION": ("overlapping", False),
                "COMMENT": ("comment", ""), "ERROR_INTEGRATION": ("error_integration", None), "CONFIG": ("config", None),
                "FINALIZE": ("finalizes", None)}
    while True:
        key = cursor.identifier()
        if key in defaults:
            setattr(found, *defaults[key])
        elif key in KEPT:
            found.options.pop(key, None)
        else:
            raise errors.invalid_property(key, "TASK")
        if not cursor.accept(","):
            break
    cursor.finish()


def suspend(context: "Context", found: Task) -> None:
    if found not in roots(context.account, found):
        require_suspended(context.account, found)
    if found.state == "started":
        found.state, found.last_suspended_on, found.last_suspended_reason = "suspended", now(), "USER_SUSPENDED"


def resume(context: "Context", found: Task) -> None:
    """The owner needs EXECUTE TASK; a root needs a schedule or a stream to wait for."""
    is_root = found in roots(context.account, found)
    if not is_root:
        require_suspended(context.account, found)
    owner = context.account.inherited(found.owner)
    account = context.account
    allowed = "ACCOUNTADMIN" in owner or any(("EXECUTE TASK", r) in account.grants for r in owner)
    if not allowed:
        raise errors.execution("Cannot execute task , EXECUTE TASK privilege must be granted to owner role", "091089", "42501")
    if found.warehouse is None and not ("ACCOUNTADMIN" in owner or any(("EXECUTE MANAGED TASK", r) in account.grants for r in owner)):
        raise errors.execution("Cannot execute task , EXECUTE MANAGED TASK privilege must be granted to owner role", "091089", "42501")
    if is_root and not found.schedule and "SYSTEM$STREAM_HAS_DATA" not in (found.condition or "").upper():
        raise errors.execution(f"Task {found.name} has no schedule or trigger: it cannot be resumed.", "091086", "55000")
    if found.state != "started":
        found.state, found.last_committed_on, found.failures = "started", now(), 0
        context.cloud.scheduler.resumed(found)


def enable_dependents(context: "Context", name: tuple[str, ...]) -> str:
    """SYSTEM$TASK_DEPENDENTS_ENABLE: children first, the given task last."""
    found: Task = context.get("TASK", name, "OPERATE", "OWNERSHIP")
    for member in reversed(graph(context.account, found)):
        if member is not found:
            resume(context, member)
    resume(context, found)
    return "Statement executed successfully."


def execute(context: "Context", cursor: Cursor) -> Result:
    """EXECUTE TASK: https://docs.snowflake.com/en/sql-reference/sql/execute-task"""
    found: Task = context.get("TASK", cursor.name(), "OPERATE", "OWNERSHIP")
    config = None
    if cursor.accept("USING", "CONFIG", "="):
        config = cursor.string()
    cursor.finish()
    if found not in roots(context.account, found):
        raise errors.execution(f"Cannot execute task {found.name}: it is not the root task of its graph.", "091085", "55000")
    context.cloud.scheduler.run_now(found, config)
    return status(f"Task {found.name} is scheduled to run immediately.")


def discard(context: "Context", found: Securable) -> None:
    """Children of a dropped task lose it as a predecessor."""
    assert isinstance(found, Task)
    for child in children(context.account, found):
        child.predecessors.remove(found.full_name)
    found.state = "suspended"


def _before_drop(context: "Context", found: Any) -> None:
    if found not in roots(context.account, found):
        require_suspended(context.account, found)
    discard(context, found)


def drop(context: "Context", cursor: Cursor) -> Result:
    return ddl.drop(context, cursor, "TASK", _before_drop)


def runtime_info(context: "Context", key: str) -> Any:
    """https://docs.snowflake.com/en/sql-reference/functions/system_task_runtime_info"""
    run = context.task_run
    if run is None:
        raise errors.execution("Function SYSTEM$TASK_RUNTIME_INFO must be called from within a task.", "100183")
    values = {"CURRENT_TASK_NAME": run.task.full_name, "CURRENT_ROOT_TASK_NAME": run.root.full_name, "CURRENT_ROOT_TASK_UUID": run.root.id,
              "CURRENT_TASK_GRAPH_RUN_GROUP_ID": run.group_id, "CURRENT_TASK_GRAPH_ORIGINAL_SCHEDULED_TIMESTAMP": run.scheduled.isoformat(),
              "LAST_SUCCESSFUL_TASK_GRAPH_RUN_GROUP_ID": run.last_group, "LAST_SUCCESSFUL_TASK_GRAPH_ORIGINAL_SCHEDULED_TIMESTAMP": None}
    if key.upper() not in values:
        raise errors.invalid_value(key, "arg_name")
    return values[key.upper()]


def relations(account: Any, found: Task) -> str:
    value: dict[str, Any] = {"Predecessors": found.predecessors}
    last = finalizer(account, found)
    if last:
        value["FinalizerTask"] = last.full_name
    if found.finalizes:
        value["FinalizedRootTask"] = found.finalizes
    return json.dumps(value, separators=(",", ":"))
