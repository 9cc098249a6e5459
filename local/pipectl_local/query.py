# SPDX-License-Identifier: Apache-2.0
"""Queries and DML: names resolved in the catalog, privileges checked, streams read and moved."""
from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import duckdb
from sqlglot import exp

from . import errors, functions, info_schema, privileges, result
from .catalog import Sequence, Stream, Table, View
from .engine import column_list
from .lexer import display
from .result import Field, Result
from .sftypes import TEXT, SfType, of_duck
from .translate import NotMine, Translation, parse

if TYPE_CHECKING:
    from .context import Context

DML = (exp.Insert, exp.Update, exp.Delete, exp.Merge)


class SessionResolver:
    """Answers the translator from the catalog, for one statement of one session."""

    def __init__(self, context: "Context", modifies: bool) -> None:
        self.context = context
        self.modifies = modifies
        self.target_table: Table | None = None
        self.needed: tuple[str, ...] = ()

    def source(self, parts: tuple[str, ...]) -> str:
        if len(parts) >= 2 and parts[-2] == "INFORMATION_SCHEMA":
            return info_schema.view(self.context, self.context.path(parts)[0], parts[-1])
        path = self.context.path(parts)
        found = self.context.account.relation(path)
        if found is None:
            self.context.schema_of(path)
            raise errors.missing("OBJECT", display(*path))
        privileges.require(self.context, found, "SELECT")
        if isinstance(found, Table):
            return f"(SELECT {column_list(found)} FROM store.t{found.physical})"
        if isinstance(found, View):
            return f"({found.query})"
        assert isinstance(found, Stream)
        check_fresh(found)
        assert found.table is not None
        privileges.require(self.context, found.table, "SELECT")
        if self.modifies:
            self.context.session.consume(found)
        return self.context.session.stream_rows(found)

    def target(self, parts: tuple[str, ...]) -> tuple[str, dict[str, SfType]]:
        path = self.context.path(parts)
        found = self.context.account.find("TABLE", path)
        if found is None:
            raise errors.missing("TABLE", display(*path))
        assert isinstance(found, Table)
        for needed in self.needed:
            privileges.require(self.context, found, needed)
        self.target_table = found
        return f"store.t{found.physical}", {c.name: c.type for c in found.columns}

    def table_function(self, path: tuple[str, ...], arguments: dict[str, exp.Expression]) -> str:
        values = {k: self.evaluate(v) for k, v in arguments.items()}
        return info_schema.function(self.context, path, values)

    def stage(self, text: str) -> str:
        raise errors.unsupported("SELECT from a stage outside COPY INTO")

    def sequence(self, path: tuple[str, ...]) -> str:
        found = self.context.get("SEQUENCE", path, "USAGE")
        assert isinstance(found, Sequence)
        return f"store.q{found.physical}"

    def function(self, name: str, arguments: list[exp.Expression]) -> Any:
        return functions.evaluate(self.context, name, arguments, self.evaluate)

    def variable(self, name: str, bound: bool = False) -> Any:
        """A scripting variable: `:name` in SQL, also bare in the expressions of a block."""
        if name not in self.context.variables or not (bound or self.context.expression):
            raise NotMine
        return self.context.variables[name]

    def evaluate(self, expression: exp.Expression) -> Any:
        """The value of a constant expression."""
        if isinstance(expression, exp.Literal):
            return expression.name if expression.is_string else (int(expression.name) if expression.name.isdigit() else float(expression.name))
        select = exp.select(expression.copy())
        return self.context.session.scalar(Translation(select, self).sql())


def check_fresh(stream: Stream) -> None:
    if stream.stale_reason:
        raise errors.compilation(f"Base table '{stream.table_name}' dropped or replaced, cannot read from stream '{stream.name}'.", "091901", "55000")


def run(context: "Context", sql: str) -> Result:
    """Any statement that sqlglot parses into a query or DML."""
    return run_tree(context, parse(sql), sql)


def run_tree(context: "Context", tree: exp.Expression, sql: str) -> Result:
    if isinstance(tree, exp.TruncateTable):
        return truncate(context, tree)
    if isinstance(tree, DML):
        return modify(context, tree, sql)
    if isinstance(tree, exp.Query):
        return select(context, tree, sql)
    raise errors.syntax(1, 0, sql.split(None, 1)[0] if sql.split() else "<EOF>")


def select(context: "Context", tree: exp.Expression, sql: str) -> Result:
    resolver = SessionResolver(context, modifies=False)
    try:
        context.session.note_horizon()
        text = Translation(tree, resolver).sql()
        cursor = context.session.execute(text, parameters(context, text))
        fields = [Field(d[0], of_duck(str(d[1]))) for d in cursor.description or []]
        return Result(fields, cursor.fetchall())
    except duckdb.Error as error:
        raise translate_error(error, sql) from error


MOMENTS = ("DATE", "TIME", "TIMESTAMP_NTZ", "TIMESTAMP_LTZ", "TIMESTAMP_TZ")
NUMBERS = ("FIXED", "REAL")
# Casts that Snowflake refuses and DuckDB tries: https://docs.snowflake.com/en/sql-reference/data-type-conversion
NO_CASTS = {*((m, n) for m in MOMENTS for n in (*NUMBERS, "BOOLEAN")), *(("BOOLEAN", m) for m in MOMENTS), *(("REAL", m) for m in MOMENTS),
            ("FIXED", "DATE"), ("FIXED", "TIME")}


def check_casts(context: "Context", tree: exp.Query) -> None:
    """Refuses casts in selections that no value can make."""
    for select in tree.find_all(exp.Select):
        for cast in [e.unalias() for e in select.expressions if isinstance(e.unalias(), exp.Cast)]:
            shown, probe = cast.sql("snowflake"), select.copy()
            probe.set("expressions", [exp.alias_(cast.this.copy(), "_V"), exp.alias_(cast.copy(), "_C")])
            text = Translation(probe, SessionResolver(context, modifies=False)).sql()
            found, wanted = (of_duck(str(row[1])) for row in context.session.execute(f"DESCRIBE {text}", parameters(context, text)).fetchall())
            if (found.kind, wanted.kind) in NO_CASTS:
                function = "TO_NUMBER" if wanted.kind in NUMBERS else f"TO_{wanted.kind}"
                raise errors.compilation(f"invalid type [{shown}] for parameter '{function}'", "001065", "22023")


def explain(context: "Context", sql: str) -> Result:
    """What DuckDB plans for a query; it binds names, functions and types, as Snowflake's compiler does."""
    tree = parse(sql)
    if not isinstance(tree, exp.Query):
        raise errors.unsupported("EXPLAIN of anything but a query")
    try:
        check_casts(context, tree)
        text = Translation(tree, SessionResolver(context, modifies=False)).sql()
        plan = context.session.execute(f"EXPLAIN {text}", parameters(context, text)).fetchall()
        return Result([Field("content", TEXT)], [("\n".join(str(row[-1]) for row in plan),)])
    except duckdb.Error as error:
        raise translate_error(error, sql) from error


def modify(context: "Context", tree: exp.Expression, sql: str) -> Result:
    resolver = SessionResolver(context, modifies=True)
    resolver.needed = needed_privileges(tree)
    session = context.session
    try:
        with session.writing():
            session.horizon()
            before = session.last_row_id()
            overwrite = isinstance(tree, exp.Insert) and tree.args.get("overwrite")
            if overwrite:
                tree.set("overwrite", False)
            text = Translation(tree, resolver).sql()
            table = resolver.target_table
            assert table is not None
            if overwrite:
                session.execute(f"DELETE FROM store.t{table.physical}")
            rows = session.execute(text, parameters(context, text)).fetchall()
            session.capture(table, before)
        return counted(tree, rows)
    except duckdb.Error as error:
        raise translate_error(error, sql) from error


def needed_privileges(tree: exp.Expression) -> tuple[str, ...]:
    if isinstance(tree, exp.Insert):
        return ("INSERT", "DELETE") if tree.args.get("overwrite") else ("INSERT",)
    if isinstance(tree, exp.Update):
        return ("UPDATE",)
    if isinstance(tree, exp.Delete):
        return ("DELETE",)
    needed = ["SELECT"]
    for when in tree.args["whens"].expressions:
        then = when.args["then"]
        needed.append("INSERT" if isinstance(then, exp.Insert) else "UPDATE" if isinstance(then, exp.Update) else "DELETE")
    return tuple(dict.fromkeys(needed))


def counted(tree: exp.Expression, rows: list[tuple[Any, ...]]) -> Result:
    """https://docs.snowflake.com/en/developer-guide/sql-api/reference (stats)"""
    stats = {"numRowsInserted": 0, "numRowsUpdated": 0, "numRowsDeleted": 0, "numDuplicateRowsUpdated": 0}
    number = result.NUMBER
    if isinstance(tree, exp.Merge):
        counts = Counter(action for (action,) in rows)
        stats |= {"numRowsInserted": counts["INSERT"], "numRowsUpdated": counts["UPDATE"], "numRowsDeleted": counts["DELETE"]}
        kinds = [w.args["then"] for w in tree.args["whens"].expressions]
        shown = [("inserted", "numRowsInserted", any(isinstance(k, exp.Insert) for k in kinds)),
                 ("updated", "numRowsUpdated", any(isinstance(k, exp.Update) for k in kinds)),
                 ("deleted", "numRowsDeleted", any(isinstance(k, exp.Var) for k in kinds))]
        fields = [Field(f"number of rows {label}", number) for label, _, present in shown if present]
        return Result(fields, [tuple(stats[key] for _, key, present in shown if present)], result.MERGE_TYPE, stats)
    count = int(rows[0][0]) if rows else 0
    if isinstance(tree, exp.Insert):
        return Result([Field("number of rows inserted", number)], [(count,)], result.INSERT_TYPE, stats | {"numRowsInserted": count})
    if isinstance(tree, exp.Update):
        return Result([Field("number of rows updated", number), Field("number of multi-joined rows updated", number)],
                      [(count, 0)], result.UPDATE_TYPE, stats | {"numRowsUpdated": count})
    return Result([Field("number of rows deleted", number)], [(count,)], result.DELETE_TYPE, stats | {"numRowsDeleted": count})


def truncate(context: "Context", tree: exp.TruncateTable) -> Result:
    from .translate import quote_identifiers, table_path
    quote_identifiers(tree)
    for node in tree.expressions:
        table = context.get("TABLE", table_path(node), "TRUNCATE", "DELETE")
        with context.session.writing():
            context.session.execute(f"DELETE FROM store.t{table.physical}")
        table.copied_files.clear()
    return result.done()


def parameters(context: "Context", text: str) -> list[Any] | None:
    return context.bindings if context.bindings and ("?" in text or "$" in text) else None


NUMBER_ERROR = re.compile(r"Could not convert string ['\"](.*?)['\"] to (\S+)", re.S)
COLUMN_ERROR = re.compile(r'(?:Referenced (?:column|table) "(.*?)" not found|does not have a column named "(.*?)"|column "(.*?)" not found)', re.S)
FUNCTION_ERROR = re.compile(r"(?:Scalar|Aggregate|Table|Macro) [Ff]unction with name (\S+) does not exist")
NULL_ERROR = re.compile(r"NOT NULL constraint failed: \S*?\.?(\w+)$")
RECOGNISED = {"Boolean": "100037", "Timestamp": "100035", "Date": "100040", "Time": "100108"}


def translate_error(error: duckdb.Error, sql: str = "") -> errors.SnowflakeError:
    """DuckDB's error as Snowflake words it."""
    text = str(error).split("\n\nLINE")[0]
    if isinstance(error, duckdb.InterruptException):
        return errors.execution("SQL execution canceled", "000604", "57014")
    if found := NUMBER_ERROR.search(text):
        value, kind = found.groups()
        if re.fullmatch(r"\s*[+-]?[\d.]+(?:[eE][+-]?\d+)?\s*", value):
            return errors.execution(f"Numeric value '{value}' is out of range", "100039", "22003")
        return errors.execution(f"Numeric value '{value}' is not recognized", "100038", "22018")
    if found := COLUMN_ERROR.search(text):
        return errors.invalid_identifier(next(g for g in found.groups() if g))
    if found := FUNCTION_ERROR.search(text):
        return errors.unknown_function(found.group(1).upper())
    if isinstance(error, duckdb.ConstraintException):
        found = NULL_ERROR.search(text.strip())
        return errors.execution(f"NULL result in a non-nullable column: {found.group(1) if found else text}", "100072", "22000")
    if "cannot affect the same target row" in text:
        return errors.execution("Duplicate row detected during DML action", "100090", "42P18")
    if "would be truncated" in text:
        return errors.execution(text.split("Error: ", 1)[-1], "100078", "22000")
    if "Values were not provided" in text:
        return errors.compilation("Bind variable is not set, or a numbered column is used outside COPY.", "002049", "42601")
    if "is not recognized" in text:
        message = text.split("Error: ", 1)[-1]
        return errors.execution(message, RECOGNISED.get(message.split(" ", 1)[0], "100038"), "22007")
    if isinstance(error, (duckdb.OutOfRangeException, duckdb.ConversionException)):
        return errors.execution(f"Numeric value is out of range: {text}", "100039", "22003")
    if isinstance(error, (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException)):
        return errors.compilation(text)
    return errors.execution(f"SQL execution internal error: {text}", "000603", "XX000")
