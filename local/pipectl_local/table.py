# SPDX-License-Identifier: Apache-2.0
"""Tables: https://docs.snowflake.com/en/sql-reference/sql/create-table"""
from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import duckdb

from . import ddl, errors, sftypes
from .catalog import Column, Stream, Table
from .engine import ROW_ID
from .lexer import Cursor, quote, reads_boolean, reads_integer, reads_string
from .result import Result, done, table
from .sftypes import SfType, of_duck

if TYPE_CHECKING:
    from .context import Context

OPTIONS = {"COMMENT": reads_string, "DATA_RETENTION_TIME_IN_DAYS": reads_integer, "MAX_DATA_EXTENSION_TIME_IN_DAYS": reads_integer,
           "CHANGE_TRACKING": reads_boolean, "ENABLE_SCHEMA_EVOLUTION": reads_boolean}
PROPERTY_WORDS = ("NOT", "NULL", "DEFAULT", "COMMENT", "PRIMARY", "UNIQUE", "AUTOINCREMENT", "IDENTITY", "CONSTRAINT", "REFERENCES", "COLLATE")
RELY_WORDS = ("ENFORCED", "NOT", "RELY", "NORELY", "ENABLE", "DISABLE", "VALIDATE", "NOVALIDATE", "DEFERRABLE", "INITIALLY", "DEFERRED")


@dataclass
class Shape:
    """What stands between the parentheses of CREATE TABLE."""

    columns: list[Column] = field(default_factory=list)
    primary_key: list[str] = field(default_factory=list)
    rely: bool = False
    foreign_keys: list[str] = field(default_factory=list)


def _constraint_properties(cursor: Cursor) -> bool:
    rely = False
    while cursor.peek("NOT", "ENFORCED") or cursor.peek("NOT", "DEFERRABLE") or (cursor.token.text in RELY_WORDS and not cursor.peek("NOT")):
        rely |= cursor.token.text == "RELY"
        cursor.next()
    return rely


def _names(cursor: Cursor) -> list[str]:
    cursor.expect("(")
    names = [cursor.identifier()]
    while cursor.accept(","):
        names.append(cursor.identifier())
    cursor.expect(")")
    return names


def _references(cursor: Cursor) -> str:
    start = cursor.token.start
    cursor.expect("REFERENCES")
    cursor.name()
    if cursor.peek("("):
        _names(cursor)
    end = cursor.tokens[cursor.at - 1].end
    _constraint_properties(cursor)
    return cursor.sql[start:end]


def read_column(cursor: Cursor, shape: Shape) -> Column:
    column = Column(cursor.identifier(), sftypes.parse(cursor))
    while cursor.token.text in PROPERTY_WORDS and cursor.token.kind == "word":
        if cursor.accept("NOT", "NULL"):
            column.nullable = False
        elif cursor.accept("NULL"):
            pass
        elif cursor.accept("COMMENT"):
            column.comment = cursor.string()
        elif cursor.accept("DEFAULT"):
            column.default = _expression(cursor)
        elif cursor.accept_one("AUTOINCREMENT", "IDENTITY"):
            column.autoincrement = _increment(cursor)
        elif cursor.accept("COLLATE"):
            raise errors.unsupported("COLLATE")
        else:
            if cursor.accept("CONSTRAINT"):
                cursor.identifier()
            if cursor.accept("PRIMARY", "KEY"):
                shape.primary_key.append(column.name)
                column.nullable = False
                shape.rely |= _constraint_properties(cursor)
            elif cursor.accept("UNIQUE"):
                _constraint_properties(cursor)
            elif cursor.accept("FOREIGN", "KEY") or cursor.peek("REFERENCES"):
                shape.foreign_keys.append(f"({quote(column.name)}) {_references(cursor)}")
            else:
                raise cursor.unexpected()
    return column


def _increment(cursor: Cursor) -> str:
    start, step = 1, 1
    if cursor.accept("("):
        start = cursor.integer()
        cursor.expect(",")
        step = cursor.integer()
        cursor.expect(")")
    elif cursor.accept("START"):
        cursor.accept("WITH")
        cursor.accept("=")
        start = cursor.integer()
        cursor.expect("INCREMENT")
        cursor.accept("BY")
        cursor.accept("=")
        step = cursor.integer()
    cursor.accept_one("ORDER", "NOORDER")
    return f"IDENTITY START {start} INCREMENT {step} NOORDER"


def _expression(cursor: Cursor) -> str:
    """A default: up to the next column property, comma or closing parenthesis."""
    start, depth = cursor.token.start, 0
    while True:
        token = cursor.token
        if token.kind == "end" or (depth == 0 and (token.text in (",", ")") or (token.kind == "word" and token.text in PROPERTY_WORDS
                                                                               and token.start > start and token.text != "NULL"))):
            return cursor.sql[start:token.start].strip()
        depth += (token.text == "(") - (token.text == ")")
        cursor.next()


def read_shape(cursor: Cursor) -> Shape:
    shape = Shape()
    cursor.expect("(")
    while True:
        if cursor.accept("CONSTRAINT"):
            cursor.identifier()
        if cursor.accept("PRIMARY", "KEY"):
            shape.primary_key = _names(cursor)
            shape.rely |= _constraint_properties(cursor)
        elif cursor.accept("UNIQUE"):
            _names(cursor)
            _constraint_properties(cursor)
        elif cursor.accept("FOREIGN", "KEY"):
            names = _names(cursor)
            shape.foreign_keys.append(f"({', '.join(quote(n) for n in names)}) {_references(cursor)}")
        else:
            shape.columns.append(read_column(cursor, shape))
        if not cursor.accept(","):
            break
    cursor.expect(")")
    seen: set[str] = set()
    for column in shape.columns:
        if column.name in seen:
            raise errors.compilation(f"duplicate column name '{column.name}'", "002025", "42S21")
        seen.add(column.name)
        if column.name in shape.primary_key:
            column.nullable = False
    for name in shape.primary_key:
        if name not in seen:
            raise errors.invalid_identifier(name)
    return shape


def default_sql(context: "Context", column: Column, physical: str) -> str:
    if column.autoincrement:
        return f" DEFAULT nextval('store.i{physical}_{len(column.name)}_{column.name.encode().hex()}')"
    if column.default is None:
        return ""
    from .query import SessionResolver
    from .translate import Translation, parse
    tree = parse(f"SELECT {column.default}")
    text = Translation(tree, SessionResolver(context, modifies=False)).sql()
    return f" DEFAULT ({text.removeprefix('SELECT ').rsplit(' AS ', 1)[0]})"


def column_sql(context: "Context", column: Column, physical: str) -> str:
    return f"{quote(column.name)} {column.type.duck}{default_sql(context, column, physical)}{'' if column.nullable else ' NOT NULL'}"


def store(context: "Context", created: Table) -> None:
    """The physical table; PRIMARY KEY is not enforced, as in Snowflake."""
    created.physical = context.engine.physical()
    session = context.session
    for column in created.columns:
        if column.autoincrement:
            words = column.autoincrement.split()
            session.execute(f"CREATE SEQUENCE store.i{created.physical}_{len(column.name)}_{column.name.encode().hex()} "
                            f"START WITH {int(words[2])} INCREMENT BY {int(words[4])}")
    columns = ", ".join(column_sql(context, c, created.physical) for c in created.columns)
    session.execute(f"CREATE TABLE store.t{created.physical} ({columns}, {ROW_ID} BIGINT DEFAULT nextval('store.row_ids'))")


def create(context: "Context", cursor: Cursor, mode: str, transient: bool = False) -> Result:
    front = ddl.creation(context, cursor, "TABLE", mode, (ddl.REPLACE, ddl.ALTER))
    query = None
    shape = Shape()
    if cursor.peek("("):
        shape = read_shape(cursor)
    options = cursor.options("TABLE", OPTIONS, stop=("AS", "CLUSTER"))
    if cursor.accept("CLUSTER", "BY"):
        cluster = f"LINEAR({cursor.parenthesised()})"
    else:
        cluster = ""
    options |= cursor.options("TABLE", OPTIONS, stop=("AS",))
    if cursor.accept("AS"):
        query = cursor.rest()
    cursor.finish()
    if front.skip:
        return ddl.skipped(front.name)
    if not shape.columns and query is None:
        raise errors.compilation("Missing column specification", "002028", "42601")
    if mode == ddl.ALTER and front.existing is not None:
        assert isinstance(front.existing, Table)
        return reshape(context, front.existing, shape, options)
    created = Table(front.name, comment=options.get("COMMENT", ""), columns=shape.columns, primary_key=shape.primary_key, rely=shape.rely,
                    foreign_keys=shape.foreign_keys, transient=transient, cluster_by=cluster)
    created.parent = front.schema
    apply(created, options)
    with context.session.defining():
        if query is not None and not shape.columns:
            created.columns = query_columns(context, query)
        store(context, created)
    if front.existing is not None:
        discard(context, front.existing)
    context.add(front.schema, created)
    if query is not None:
        from . import query as queries
        queries.run(context, f"INSERT INTO {created.full_name} {query}")
    return ddl.created("Table", front.name)


def query_columns(context: "Context", text: str) -> list[Column]:
    from . import query
    from .translate import Translation, parse
    sql = Translation(parse(text), query.SessionResolver(context, modifies=False)).sql()
    try:
        described = context.session.execute(f"SELECT * FROM ({sql}) LIMIT 0").description or []
    except duckdb.Error as error:
        raise query.translate_error(error, text) from error
    return [Column(d[0], of_duck(str(d[1]))) for d in described]


def apply(target: Table, options: dict[str, Any]) -> None:
    target.comment = options.get("COMMENT", target.comment)
    target.retention = options.get("DATA_RETENTION_TIME_IN_DAYS", target.retention)
    target.max_extension = options.get("MAX_DATA_EXTENSION_TIME_IN_DAYS", target.max_extension)
    target.change_tracking = options.get("CHANGE_TRACKING", target.change_tracking)
    target.schema_evolution = options.get("ENABLE_SCHEMA_EVOLUTION", target.schema_evolution)
    if not 0 <= target.retention <= 90:
        raise errors.invalid_value(str(target.retention), "DATA_RETENTION_TIME_IN_DAYS")


def reshape(context: "Context", target: Table, shape: Shape, options: dict[str, Any]) -> Result:
    """CREATE OR ALTER: rows stay; omitted columns go, new ones come, types change where they may."""
    wanted = {c.name: c for c in shape.columns}
    with context.session.defining():
        for column in list(target.columns):
            if column.name not in wanted:
                drop_column(context, target, column)
        for column in shape.columns:
            existing = next((c for c in target.columns if c.name == column.name), None)
            if existing is None:
                add_column(context, target, column)
                continue
            if existing.type != column.type:
                change_type(context, target, existing, column.type)
            if existing.nullable != column.nullable:
                set_nullable(context, target, existing, column.nullable)
            existing.comment = column.comment
    target.columns.sort(key=lambda c: list(wanted).index(c.name))
    target.primary_key, target.rely, target.foreign_keys = shape.primary_key, shape.rely, shape.foreign_keys
    target.comment = options.get("COMMENT", "")
    apply(target, options)
    return ddl.created("Table", target.name)


def side_tables(context: "Context", target: Table) -> list[str]:
    """Logs and snapshots of streams, which follow the table's columns."""
    streams = [s for s in context.account.all(Stream) if s.table is target]
    names = [f"store.{s.snapshot}" for s in streams if s.snapshot]
    return names + ([f"store.l{target.physical}"] if any(s.mode == "APPEND_ONLY" for s in streams) else [])


def everywhere(context: "Context", target: Table, change: str) -> None:
    for name in [f"store.t{target.physical}", *side_tables(context, target)]:
        context.session.execute(f"ALTER TABLE {name} {change}")


def add_column(context: "Context", target: Table, column: Column) -> None:
    if any(c.name == column.name for c in target.columns):
        raise errors.compilation(f"column '{column.name}' already exists", "001430", "42601")
    if column.autoincrement:
        raise errors.unsupported("ALTER TABLE ADD COLUMN with IDENTITY")
    default = default_sql(context, column, target.physical)
    everywhere(context, target, f"ADD COLUMN {quote(column.name)} {column.type.duck}{default}")
    if not column.nullable:
        if not default and context.session.scalar(f"SELECT EXISTS (SELECT 1 FROM store.t{target.physical})"):
            raise errors.compilation(f"Non-nullable column '{column.name}' cannot be added to non-empty table '{target.name}' unless it has a "
                                     "non-null default value.", "002029", "42601")
        context.session.execute(f"ALTER TABLE store.t{target.physical} ALTER COLUMN {quote(column.name)} SET NOT NULL")
    target.columns.append(copy.copy(column))


def drop_column(context: "Context", target: Table, column: Column) -> None:
    if len(target.columns) == 1:
        raise errors.compilation("Cannot drop the only column of a table.", "002026", "42601")
    everywhere(context, target, f"DROP COLUMN {quote(column.name)}")
    target.columns.remove(column)
    if column.name in target.primary_key:
        target.primary_key = []


def change_type(context: "Context", target: Table, column: Column, wanted: SfType) -> None:
    """Longer text and bytes, and another precision that holds every value:
    https://docs.snowflake.com/en/sql-reference/sql/alter-table-column"""
    old = column.type
    same = old.kind == wanted.kind
    longer = old.kind in ("TEXT", "BINARY") and same
    wider = old.kind == "FIXED" and same and old.scale == wanted.scale
    if not (longer or wider or old == wanted):
        raise errors.compilation(f"cannot change column {column.name} from type {old.sql} to {wanted.sql}", "002108", "22000")
    whole = (wanted.precision or 0) - (wanted.scale or 0)
    overflows = wider and (wanted.precision or 0) < (old.precision or 0) and context.session.scalar(
        f"SELECT EXISTS (SELECT 1 FROM store.t{target.physical} WHERE abs({quote(column.name)}) >= {10 ** whole})")
    if overflows or longer and (wanted.length or 0) < (old.length or 0):
        raise errors.compilation(f"cannot change column {column.name} from type {old.sql} to {wanted.sql} because reducing the "
                                 "length or precision of a column is not supported.", "002108", "22000")
    if wanted.duck != old.duck:
        everywhere(context, target, f"ALTER COLUMN {quote(column.name)} SET DATA TYPE {wanted.duck}")
    column.type = wanted


def set_nullable(context: "Context", target: Table, column: Column, nullable: bool) -> None:
    context.session.execute(f"ALTER TABLE store.t{target.physical} ALTER COLUMN {quote(column.name)} {'DROP' if nullable else 'SET'} NOT NULL")
    column.nullable = nullable


def alter(context: "Context", cursor: Cursor) -> Result:
    lenient = ddl.if_exists(cursor)
    path = context.path(cursor.name())
    if lenient and context.account.find("TABLE", path) is None:
        return done()
    target: Table = context.get("TABLE", path)
    try:
        with context.session.defining():
            return _alter(context, cursor, target)
    except duckdb.Error as error:
        from .query import translate_error
        raise translate_error(error) from error


def _alter(context: "Context", cursor: Cursor, target: Table) -> Result:
    if cursor.accept("RENAME", "TO"):
        return ddl.rename(context, cursor, target)
    if cursor.accept("RENAME", "COLUMN"):
        column = target.column(cursor.identifier())
        cursor.expect("TO")
        name = cursor.identifier()
        cursor.finish()
        if any(c.name == name for c in target.columns):
            raise errors.compilation(f"column '{name}' already exists", "001430", "42601")
        everywhere(context, target, f"RENAME COLUMN {quote(column.name)} TO {quote(name)}")
        target.primary_key = [name if k == column.name else k for k in target.primary_key]
        column.name = name
        return done()
    if cursor.accept("ADD"):
        if cursor.accept("CONSTRAINT"):
            cursor.identifier()
        if cursor.accept("PRIMARY", "KEY"):
            target.primary_key = _names(cursor)
            target.rely = _constraint_properties(cursor)
            cursor.finish()
            return done()
        if cursor.accept("FOREIGN", "KEY"):
            names = _names(cursor)
            target.foreign_keys.append(f"({', '.join(quote(n) for n in names)}) {_references(cursor)}")
            cursor.finish()
            return done()
        cursor.accept("COLUMN")
        missing = ddl.if_not_exists(cursor)
        while True:
            column = read_column(cursor, Shape())
            if not (missing and any(c.name == column.name for c in target.columns)):
                add_column(context, target, column)
            if not cursor.accept(","):
                break
        cursor.finish()
        return done()
    if cursor.accept("DROP"):
        if cursor.accept("PRIMARY", "KEY"):
            target.primary_key = []
            return done()
        cursor.accept("COLUMN")
        missing = ddl.if_exists(cursor)
        names = [cursor.identifier()]
        while cursor.accept(","):
            names.append(cursor.identifier())
        cursor.finish()
        for name in names:
            if not (missing and all(c.name != name for c in target.columns)):
                drop_column(context, target, target.column(name))
        return done()
    if cursor.accept_one("ALTER", "MODIFY"):
        return _alter_column(context, cursor, target)
    if cursor.accept("SET"):
        options = cursor.options("TABLE", OPTIONS)
        cursor.finish()
        apply(target, options)
        return done()
    if cursor.accept("UNSET", "COMMENT"):
        cursor.finish()
        target.comment = ""
        return done()
    raise cursor.unexpected()


def _alter_column(context: "Context", cursor: Cursor, target: Table) -> Result:
    parenthesis = cursor.accept("(")
    while True:
        cursor.accept("COLUMN")
        column = target.column(cursor.identifier())
        if cursor.accept("DROP", "NOT", "NULL"):
            if column.name in target.primary_key:
                raise errors.compilation(f"Column '{column.name}' is part of a primary key and cannot be nullable.", "001003")
            set_nullable(context, target, column, True)
        elif cursor.accept("SET", "NOT", "NULL"):
            set_nullable(context, target, column, False)
        elif cursor.accept("COMMENT"):
            column.comment = cursor.string()
        elif cursor.accept("UNSET", "COMMENT"):
            column.comment = ""
        elif cursor.accept("DROP", "DEFAULT"):
            context.session.execute(f"ALTER TABLE store.t{target.physical} ALTER COLUMN {quote(column.name)} DROP DEFAULT")
            column.default = None
        else:
            if cursor.accept("SET"):
                cursor.expect("DATA")
            elif cursor.accept("DATA"):
                pass
            cursor.accept("TYPE")
            change_type(context, target, column, sftypes.parse(cursor))
        if not cursor.accept(","):
            break
    if parenthesis:
        cursor.expect(")")
    cursor.finish()
    return done()


def discard(context: "Context", found: Any) -> None:
    """Forget the rows; streams on the table become stale."""
    for stream in context.account.all(Stream):
        if stream.table is found:
            stream.stale_reason = "Base table dropped or replaced"
    with context.session.defining():
        context.session.execute(f"DROP TABLE IF EXISTS store.t{found.physical}")
        context.session.execute(f"DROP TABLE IF EXISTS store.l{found.physical}")


def drop(context: "Context", cursor: Cursor) -> Result:
    return ddl.drop(context, cursor, "TABLE", discard)


def describe(context: "Context", cursor: Cursor) -> Result:
    """https://docs.snowflake.com/en/sql-reference/sql/desc-table"""
    cursor.accept_one("TABLE", "VIEW")
    path = context.path(cursor.name())
    cursor.finish()
    found = context.account.find("TABLE", path) or context.account.find("VIEW", path)
    if found is None:
        raise errors.missing("TABLE", ".".join(path))
    found = context.get(found.kind, path, "SELECT", "REFERENCES")
    keys = getattr(found, "primary_key", [])
    rows = [(c.name, c.type.sql, "COLUMN", "Y" if c.nullable else "N", c.default, "Y" if c.name in keys else "N", "N", None, None,
             c.comment or None, None, None) for c in found.columns]
    return table(("name", "type", "kind", "null?", "default", "primary key", "unique key", "check", "expression", "comment", "policy name",
                  "privacy domain"), rows)
