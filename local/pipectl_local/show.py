# SPDX-License-Identifier: Apache-2.0
"""SHOW <objects>: columns as Snowflake documents them, https://docs.snowflake.com/en/sql-reference/sql/show"""
from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import errors, grants, info_schema, privileges, task
from .catalog import Database, FileFormat, Pipe, Procedure, Schema, Securable, Stage, Stream, Table, Task, View, plain_type
from .lexer import Cursor, display
from .result import Result, table

if TYPE_CHECKING:
    from .context import Context

OWNER_TYPE = "ROLE"
# What would show more is refused: https://github.com/snowflakedb/snowflake-sqlalchemy/issues/274
MOST_ROWS = 10_000


@dataclass
class Scope:
    """LIKE, IN, STARTS WITH and LIMIT of a SHOW."""

    database: Database | None = None
    schema: Schema | None = None
    table: Table | None = None
    pattern: re.Pattern[str] | None = None
    prefix: str | None = None
    limit: int | None = None

    def wants(self, name: str) -> bool:
        return (self.pattern is None or self.pattern.fullmatch(name) is not None) and (self.prefix is None or name.startswith(self.prefix))


def like(pattern: str) -> re.Pattern[str]:
    """A LIKE pattern; SHOW compares without case. A backslash keeps % and _ literal."""
    parts, at = [], 0
    while at < len(pattern):
        char = pattern[at]
        if char == "\\" and at + 1 < len(pattern):
            at += 1
            parts.append(re.escape(pattern[at]))
        else:
            parts.append({"%": ".*", "_": "."}.get(char, re.escape(char)))
        at += 1
    return re.compile("".join(parts), re.I | re.S)


def read_scope(context: "Context", cursor: Cursor, tables: bool = False) -> Scope:
    scope = Scope()
    cursor.accept("HISTORY")
    if cursor.accept("LIKE"):
        scope.pattern = like(cursor.string())
    if cursor.accept("IN"):
        if cursor.accept("ACCOUNT"):
            pass
        elif cursor.accept("DATABASE"):
            scope.database = _database(context, cursor.identifier() if cursor.token.kind in ("word", "quoted") and not cursor.peek("STARTS") else context.database or "")
        elif tables and cursor.accept_one("TABLE", "VIEW"):
            scope.table = context.get("TABLE", cursor.name(), "SELECT", "REFERENCES", "OWNERSHIP")
        else:
            cursor.accept("SCHEMA")
            parts = cursor.name()
            if len(parts) == 1 and parts[0] in context.account.databases and context.database is None:
                scope.database = _database(context, parts[0])
            else:
                path = context.path(parts, size=2)
                scope.schema = context.schema_of((*path, ""))
    elif context.schema and context.database:
        scope.schema = context.account.schema(context.database, context.schema)
    elif context.database:
        scope.database = _database(context, context.database)
    if cursor.accept("STARTS", "WITH"):
        scope.prefix = cursor.string()
    if cursor.accept("LIMIT"):
        scope.limit = cursor.integer()
        if cursor.accept("FROM"):
            raise errors.unsupported("SHOW … LIMIT … FROM")
    cursor.finish()
    return scope


def _database(context: "Context", name: str) -> Database:
    found = context.account.databases.get(name)
    if found is None or not privileges.visible(context, found):
        raise errors.missing("DATABASE", display(name))
    return found


def schemas(context: "Context", scope: Scope) -> list[Schema]:
    if scope.schema is not None:
        return [scope.schema]
    databases = [scope.database] if scope.database else list(context.account.databases.values())
    return [s for d in databases if privileges.visible(context, d) for s in sorted(d.schemas.values(), key=lambda s: s.name) if privileges.visible(context, s)]


def members(context: "Context", scope: Scope, kind: type) -> Iterable[Any]:
    for schema in schemas(context, scope):
        for found in sorted((o for o in list(schema.objects.values()) if isinstance(o, kind)), key=lambda o: o.name):
            if scope.wants(found.name) and privileges.visible(context, found):
                yield found


def _finish(scope: Scope, columns: str, rows: Iterable[tuple[Any, ...]]) -> Result:
    found = list(rows)
    return table(columns.split(), found[:scope.limit] if scope.limit is not None else found)


def where(found: Securable) -> tuple[str, str]:
    path = found.path
    return path[0], path[1]


def roles(context: "Context", cursor: Cursor) -> Result:
    scope = read_scope(context, cursor)
    account = context.account
    inherited = context.roles
    rows = []
    for r in sorted(account.roles.values(), key=lambda r: r.name):
        if scope.wants(r.name):
            below = sum(1 for other in account.roles.values() if r.name in other.granted_to_roles)
            rows.append((r.created_on, r.name, "N", "Y" if r.name == context.role else "N", "Y" if r.name in inherited and r.name != context.role else "N",
                         len(r.granted_to_users), len(r.granted_to_roles), below, r.owner, r.comment))
    return _finish(scope, "created_on name is_default is_current is_inherited assigned_to_users granted_to_roles granted_roles owner comment", rows)


def users(context: "Context", cursor: Cursor) -> Result:
    scope = read_scope(context, cursor)
    rows = []
    for u in context.account.users.values():
        if not scope.wants(u.name):
            continue
        # Whoever may not look at a user sees that it is there.
        told = (str(u.disabled).lower(), u.default_warehouse, u.default_role, u.owner, u.comment, str(u.public_key is not None).lower(), u.type,
                str(u.workload is not None).lower())
        rows.append((u.name, u.created_on, u.name, u.name, *(told if privileges.visible(context, u) else [None] * len(told))))
    return _finish(scope, "name created_on login_name display_name disabled default_warehouse default_role owner comment has_rsa_public_key type "
                   "has_workload_identity", rows)


def warehouses(context: "Context", cursor: Cursor) -> Result:
    scope = read_scope(context, cursor)
    rows = []
    for w in sorted(context.account.warehouses.values(), key=lambda w: w.name):
        if not (scope.wants(w.name) and privileges.visible(context, w)):
            continue
        o = w.options
        low, high = o.get("MIN_CLUSTER_COUNT", 1), o.get("MAX_CLUSTER_COUNT", 1)
        rows.append((w.name, w.state, o.get("WAREHOUSE_TYPE", "STANDARD"), w.size, low, high, 1 if w.state == "STARTED" else 0, 0, 0, "N",
                     "Y" if w.name == context.warehouse else "N", w.auto_suspend, str(w.auto_resume).lower(), "", "", "", "", w.created_on,
                     w.resumed_on, w.updated_on, w.owner, w.comment, str(o.get("ENABLE_QUERY_ACCELERATION", False)).lower(),
                     o.get("QUERY_ACCELERATION_MAX_SCALE_FACTOR", 8), o.get("RESOURCE_MONITOR", "null"), 0, 0, 0, 0, w.id,
                     o.get("SCALING_POLICY", "STANDARD"), None, OWNER_TYPE, None))
    return _finish(scope, "name state type size min_cluster_count max_cluster_count started_clusters running queued is_default is_current "
                   "auto_suspend auto_resume available provisioning quiescing other created_on resumed_on updated_on owner comment "
                   "enable_query_acceleration query_acceleration_max_scale_factor resource_monitor actives pendings failed suspended uuid "
                   "scaling_policy budget owner_role_type resource_constraint", rows)


def integrations(context: "Context", cursor: Cursor, category: str | None = None) -> Result:
    scope = read_scope(context, cursor)
    rows = [(i.name, "QUEUE - AWS_SNS" if i.category == "NOTIFICATION" else i.type, i.category, str(i.enabled).lower(), i.comment, i.created_on)
            for i in sorted(context.account.integrations.values(), key=lambda i: i.name)
            if scope.wants(i.name) and privileges.visible(context, i) and category in (None, i.category)]
    return _finish(scope, "name type category enabled comment created_on", rows)


def databases(context: "Context", cursor: Cursor) -> Result:
    cursor.accept("IN", "ACCOUNT")
    scope = read_scope(context, cursor)
    rows = [(d.created_on, d.name, "N", "Y" if d.name == context.database else "N", "", d.owner, d.comment, "", str(d.retention), "STANDARD", None,
             OWNER_TYPE) for d in sorted(context.account.databases.values(), key=lambda d: d.name)
            if scope.wants(d.name) and privileges.visible(context, d)]
    return _finish(scope, "created_on name is_default is_current origin owner comment options retention_time kind budget owner_role_type", rows)


def show_schemas(context: "Context", cursor: Cursor) -> Result:
    scope = read_scope(context, cursor)
    rows = [(s.created_on, s.name, "N", "Y" if (context.database, context.schema) == s.path else "N", s.path[0], s.owner, s.comment,
             "MANAGED ACCESS" if s.managed_access else "", str(s.retention), OWNER_TYPE, None)
            for s in schemas(context, Scope(database=scope.database or (scope.schema.parent if scope.schema else None)))  # type: ignore[arg-type]
            if scope.wants(s.name)]
    return _finish(scope, "created_on name is_default is_current database_name owner comment options retention_time owner_role_type budget", rows)


def file_formats(context: "Context", cursor: Cursor) -> Result:
    scope = read_scope(context, cursor)
    rows = [(f.created_on, f.name, *where(f), f.type, f.owner, f.comment, json.dumps({"TYPE": f.type, **f.options}), OWNER_TYPE)
            for f in members(context, scope, FileFormat)]
    return _finish(scope, "created_on name database_name schema_name type owner comment format_options owner_role_type", rows)


def stages(context: "Context", cursor: Cursor) -> Result:
    scope = read_scope(context, cursor)
    rows = [(s.created_on, s.name, *where(s), s.url, "N", "N", s.owner, s.comment, context.account.region, "EXTERNAL", "AWS", None, s.integration,
             None, OWNER_TYPE, "N") for s in members(context, scope, Stage)]
    return _finish(scope, "created_on name database_name schema_name url has_credentials has_encryption_key owner comment region type cloud "
                   "notification_channel storage_integration endpoint owner_role_type directory_enabled", rows)


def on_off(value: bool) -> str:
    return "ON" if value else "OFF"


def tables(context: "Context", cursor: Cursor) -> Result:
    scope = read_scope(context, cursor)
    rows = []
    for t in members(context, scope, Table):
        count = info_schema.row_count(context, t)
        rows.append((t.created_on, t.name, *where(t), "TRANSIENT" if t.transient else "TABLE", t.comment, t.cluster_by, count, count * 100, t.owner,
                     str(t.retention), "OFF", on_off(t.change_tracking), "OFF", None, None, "N", "Y" if t.schema_evolution else "N", OWNER_TYPE,
                     "N", None, "N", "N", "N", "N"))
    return _finish(scope, "created_on name database_name schema_name kind comment cluster_by rows bytes owner retention_time "
                   "automatic_clustering change_tracking search_optimization search_optimization_progress search_optimization_bytes is_external "
                   "enable_schema_evolution owner_role_type is_event budget is_hybrid is_iceberg is_dynamic is_immutable", rows)


def views(context: "Context", cursor: Cursor) -> Result:
    scope = read_scope(context, cursor)
    rows = [(v.created_on, v.name, "", *where(v), v.owner, v.comment, v.text, "false", "false", OWNER_TYPE, "OFF") for v in members(context, scope, View)]
    return _finish(scope, "created_on name reserved database_name schema_name owner comment text is_secure is_materialized owner_role_type "
                   "change_tracking", rows)


def columns(context: "Context", cursor: Cursor) -> Result:
    scope = read_scope(context, cursor, tables=True)
    found = [scope.table] if scope.table else [*members(context, Scope(scope.database, scope.schema), Table), *members(context, Scope(scope.database, scope.schema), View)]
    rows = [(t.name, t.path[1], c.name, c.type.show(c.nullable), "true" if c.nullable else "NOT_NULL", c.default or "", "COLUMN", "", c.comment,
             t.path[0], c.autoincrement or "", None) for t in found for c in t.columns if scope.wants(c.name)]
    return _finish(scope, "table_name schema_name column_name data_type null? default kind expression comment database_name autoincrement "
                   "schema_evolution_record", rows)


def primary_keys(context: "Context", cursor: Cursor) -> Result:
    scope = read_scope(context, cursor, tables=True)
    found = [scope.table] if scope.table else members(context, scope, Table)
    rows = [(t.created_on, *where(t), t.name, name, i, f"SYS_CONSTRAINT_{t.id}", str(t.rely).lower(), None)
            for t in found for i, name in enumerate(t.primary_key, 1)]
    return _finish(scope, "created_on database_name schema_name table_name column_name key_sequence constraint_name rely comment", rows)


def pipes(context: "Context", cursor: Cursor) -> Result:
    scope = read_scope(context, cursor)
    rows = [(p.created_on, p.name, *where(p), p.definition, p.owner, p.channel, p.comment, None, p.copy.options.get("PATTERN"), p.error_integration,
             OWNER_TYPE, None, "STAGE") for p in members(context, scope, Pipe)]
    return _finish(scope, "created_on name database_name schema_name definition owner notification_channel comment integration pattern "
                   "error_integration owner_role_type invalid_reason kind", rows)


def streams(context: "Context", cursor: Cursor) -> Result:
    import datetime as dt
    scope = read_scope(context, cursor)
    rows = []
    for s in members(context, scope, Stream):
        days = max(s.table.retention, s.table.max_extension) if s.table else 14
        rows.append((s.created_on, s.name, *where(s), s.owner, s.comment, s.table.full_name if s.table and not s.stale_reason else s.table_name, "Table",
                     s.table.full_name if s.table and not s.stale_reason else s.table_name, "DELTA", "true" if s.stale_reason else "false", s.mode,
                     s.created_on + dt.timedelta(days=days), s.stale_reason or "N/A", OWNER_TYPE))
    return _finish(scope, "created_on name database_name schema_name owner comment table_name source_type base_tables type stale mode stale_after "
                   "invalid_reason owner_role_type", rows)


def tasks(context: "Context", cursor: Cursor) -> Result:
    scope = read_scope(context, cursor)
    rows = [(t.created_on, t.name, t.id, *where(t), t.owner, t.comment, t.warehouse, t.schedule, json.dumps(t.predecessors), t.state, t.definition,
             t.condition, str(t.overlapping).lower(), t.error_integration or "null", t.last_committed_on, t.last_suspended_on, OWNER_TYPE, t.config,
             None, task.relations(context.account, t), t.last_suspended_reason) for t in members(context, scope, Task)]
    return _finish(scope, "created_on name id database_name schema_name owner comment warehouse schedule predecessors state definition condition "
                   "allow_overlapping_execution error_integration last_committed_on last_suspended_on owner_role_type config budget "
                   "task_relations last_suspended_reason", rows)


def procedures(context: "Context", cursor: Cursor) -> Result:
    """https://docs.snowflake.com/en/sql-reference/sql/show-procedures: a comment is the `description`"""
    scope = read_scope(context, cursor)
    rows = []
    for p in members(context, scope, Procedure):
        database, schema = where(p)
        kinds = ", ".join(plain_type(kind) for _, kind, _ in p.arguments)
        least = sum(default is None for _, _, default in p.arguments)
        rows.append((p.created_on, p.name, schema, "N", "N", "N", least, len(p.arguments), f"{p.name}({kinds}) RETURN {p.returns}",
                     p.comment or "user-defined procedure", database, "N", "N", "N", None, None))
    return _finish(scope, "created_on name schema_name is_builtin is_aggregate is_ansi min_num_arguments max_num_arguments arguments description "
                   "catalog_name is_table_function valid_for_clustering is_secure secrets external_access_integrations", rows)


def parameters(context: "Context", cursor: Cursor) -> Result:
    """Of a task: what SHOW TASKS does not have."""
    scope = Scope()
    if cursor.accept("LIKE"):
        scope.pattern = like(cursor.string())
    cursor.accept("IN") or cursor.accept("FOR")
    cursor.expect("TASK")
    found: Task = context.get("TASK", cursor.name(), "MONITOR", "OPERATE", "OWNERSHIP")
    cursor.finish()
    defaults = {"SUSPEND_TASK_AFTER_NUM_FAILURES": 10, "USER_TASK_TIMEOUT_MS": 3600000, "USER_TASK_MINIMUM_TRIGGER_INTERVAL_IN_SECONDS": 30}
    rows = [(key, str(found.options.get(key, default)), str(default), "TASK" if key in found.options else "", "", "NUMBER")
            for key, default in defaults.items() if scope.wants(key)]
    return _finish(scope, "key value default level description type", rows)


SHOWS: dict[tuple[str, ...], Callable[..., Result]] = {
    ("GRANTS",): grants.show, ("FUTURE", "GRANTS"): lambda c, k: grants.show(c, k, future=True),
    ("ROLES",): roles, ("USERS",): users, ("WAREHOUSES",): warehouses, ("INTEGRATIONS",): integrations,
    ("STORAGE", "INTEGRATIONS"): lambda c, k: integrations(c, k, "STORAGE"),
    ("NOTIFICATION", "INTEGRATIONS"): lambda c, k: integrations(c, k, "NOTIFICATION"),
    ("DATABASES",): databases, ("SCHEMAS",): show_schemas, ("FILE", "FORMATS"): file_formats, ("STAGES",): stages, ("TABLES",): tables,
    ("VIEWS",): views, ("COLUMNS",): columns, ("PRIMARY", "KEYS"): primary_keys, ("PIPES",): pipes, ("STREAMS",): streams, ("TASKS",): tasks,
    ("PARAMETERS",): parameters, ("PROCEDURES",): procedures, ("USER", "PROCEDURES"): procedures,
}
