# SPDX-License-Identifier: Apache-2.0
"""Queries and DML: from Snowflake's SQL to DuckDB's, by sqlglot, fakesnow's transforms and those here.

Names are resolved by the caller (`Resolver`); this module knows no catalog. Casts and VARIANT
paths are done here because DuckDB differs: text casts of JSON, zones dropped by TIMESTAMP_NTZ,
numbers in strings, FLATTEN with OUTER.
"""
from __future__ import annotations

import functools
import uuid
from collections.abc import Callable
from typing import Any, Protocol

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, TokenError, UnsupportedError

from . import errors, rewrites
from .sftypes import SfType, make
from .values import (call, cast, comparison, fit, fit_macro, formatted, is_variant, json_path, mismatch, object_construct, text_of, to_binary,
                     type_of)

_fakesnow: list[Callable[[exp.Expression], exp.Expression]] = []
ANONYMOUS_CASTS = {"TO_TIMESTAMP": "TIMESTAMP_NTZ", "TO_TIMESTAMP_NTZ": "TIMESTAMP_NTZ", "TO_TIMESTAMP_LTZ": "TIMESTAMP_LTZ",
                   "TO_TIMESTAMP_TZ": "TIMESTAMP_TZ", "TO_DATE": "DATE", "TO_TIME": "TIME", "TO_OBJECT": "OBJECT",
                   "TO_ARRAY": "ARRAY", "TO_VARIANT": "VARIANT"}
FLATTEN_COLUMNS = ("SEQ", "KEY", "PATH", "INDEX", "VALUE", "THIS")


class Resolver(Protocol):
    """What the translator asks the session."""

    def source(self, path: tuple[str, ...]) -> str: ...
    def target(self, path: tuple[str, ...]) -> tuple[str, dict[str, SfType]]: ...
    def table_function(self, path: tuple[str, ...], arguments: dict[str, exp.Expression]) -> str: ...
    def stage(self, text: str) -> str: ...
    def sequence(self, path: tuple[str, ...]) -> str: ...
    def function(self, name: str, arguments: list[exp.Expression]) -> Any: ...
    def variable(self, name: str, bound: bool = False) -> Any: ...


class NotMine(Exception):
    """The resolver does not know this function or variable."""


def parse(sql: str) -> exp.Expression:
    """The tree of a statement. Tasks and procedures run the same ones again and again, and a copy costs a quarter."""
    return _parse(sql).copy()


@functools.lru_cache(maxsize=256)
def _parse(sql: str) -> exp.Expression:
    try:
        found = sqlglot.parse_one(sql, read="snowflake")
    except (ParseError, TokenError) as error:
        detail = error.errors[0] if isinstance(error, ParseError) and error.errors else {}
        if detail.get("line"):
            raise errors.syntax(int(detail["line"]), int(detail.get("col") or 0), str(detail.get("highlight") or "<EOF>")) from None
        raise errors.compilation(f"syntax error: {str(error).splitlines()[0]}") from None
    return found


def quote_identifiers(tree: exp.Expression) -> None:
    for node in tree.find_all(exp.Identifier):
        if not node.quoted:
            node.set("this", node.this.upper())
            node.set("quoted", True)


def table_path(node: exp.Table) -> tuple[str, ...]:
    return tuple(i.name for i in (node.args.get("catalog"), node.args.get("db"), node.this) if i is not None)


def literal(value: Any) -> exp.Expression:
    """A Python value as an expression."""
    if value is None:
        return exp.Null()
    if isinstance(value, bool):
        return exp.Boolean(this=value)
    if isinstance(value, (int, float)) or type(value).__name__ == "Decimal":
        return exp.Literal.number(str(value)) if value >= 0 else exp.Neg(this=exp.Literal.number(str(-value)))
    return exp.Literal.string(str(value))


class Translation:
    """One statement on its way to DuckDB."""

    def __init__(self, tree: exp.Expression, resolver: Resolver) -> None:
        self.tree = tree
        self.resolver = resolver
        self._raw: dict[str, str] = {}

    def sql(self) -> str:
        """The DuckDB statement."""
        self.tree = self.run(self.tree)
        return self.render(self.tree)

    def render(self, tree: exp.Expression) -> str:
        try:
            text = tree.sql(dialect="duckdb", copy=False, unsupported_level=sqlglot.ErrorLevel.RAISE)
        except UnsupportedError as error:
            raise errors.unsupported(str(error)) from error
        for token, raw in self._raw.items():
            text = text.replace(token, raw)
        return text

    def run(self, tree: exp.Expression) -> exp.Expression:
        self._name_projections(tree)
        quote_identifiers(tree)
        tree = self._functions(tree)
        self._flattens(tree)
        self._relations(tree)
        tree = self._dml(tree)
        tree = tree.transform(rewrites.hexadecimal, copy=False)
        for transform in fakesnow_transforms():
            tree = tree.transform(transform, copy=False)
        return self._values(tree)

    def raw(self, text: str) -> str:
        token = f"__raw_{uuid.uuid4().hex}"
        self._raw[f'"{token}"'] = text
        return token

    # -- names

    def _name_projections(self, tree: exp.Expression) -> None:
        """An expression without alias is named by its own text, as in Snowflake."""
        query = tree
        while isinstance(query, (exp.Union, exp.Subquery)):
            query = query.this
        if not isinstance(query, exp.Select):
            return
        named = []
        for item in query.expressions:
            plain = isinstance(item, (exp.Alias, exp.Column, exp.Star)) or item.is_star
            if isinstance(item, exp.Column) and isinstance(item.this, exp.Parameter):
                plain = False
            named.append(item if plain else exp.alias_(item, item.sql("snowflake").upper(), quoted=True))
        query.set("expressions", named)

    def _relations(self, tree: exp.Expression) -> None:
        common = {cte.alias for cte in tree.find_all(exp.CTE)}
        target = tree.this if isinstance(tree, (exp.Insert, exp.Update, exp.Delete, exp.Merge)) else None
        target = target.this if isinstance(target, exp.Schema) else target
        for column in tree.find_all(exp.Column):
            if column.args.get("db"):
                column.set("db", None)
                column.set("catalog", None)
        for node in list(tree.find_all(exp.Table)):
            if node is target or (not node.args.get("db") and node.name in common):
                continue
            if isinstance(node.this, exp.Var) and node.this.name.startswith("@"):
                self._stand_in(node, self.resolver.stage(node.this.name), None)
                continue
            if isinstance(node.this, exp.DynamicIdentifier):
                from .lexer import split_name
                path = split_name(node.this.this.name)
            elif isinstance(node.this, exp.Identifier):
                path = table_path(node)
            else:
                continue
            self._stand_in(node, self.resolver.source(path), path[-1])
        for node in list(tree.find_all(exp.TableFromRows)):
            self._table_function(node)

    def _stand_in(self, node: exp.Expression, text: str, name: str | None) -> None:
        alias = node.args.get("alias")
        if alias is None and name:
            alias = exp.TableAlias(this=exp.to_identifier(name, quoted=True))
        replacement = exp.Table(this=exp.to_identifier(self.raw(text), quoted=True), alias=alias)
        for key in ("joins", "laterals", "pivots", "sample"):
            if node.args.get(key):
                replacement.set(key, node.args[key])
        node.replace(replacement)

    def _table_function(self, node: exp.TableFromRows) -> None:
        if isinstance(node.this, exp.Explode):
            return
        if isinstance(node.this, exp.Generator):
            self._stand_in(node, rewrites.generator(node.this), "GENERATOR")
            return
        if isinstance(node.this, exp.SplitToTable):
            alias = node.args.get("alias") or exp.TableAlias(this=exp.to_identifier("SPLIT_TO_TABLE", quoted=True))
            split = rewrites.split_to_table(node.this)
            split.set("alias", exp.TableAlias(this=alias.this))
            node.replace(split)
            return
        path: list[str] = []
        function = node.this
        while isinstance(function, exp.Dot):
            path = ([function.expression.name] if not isinstance(function.expression, exp.Anonymous) else []) + path
            if isinstance(function.expression, exp.Anonymous):
                leaf = function.expression
            function = function.this
        if isinstance(function, exp.Anonymous):
            leaf = function
        elif isinstance(function, exp.Identifier):
            path.insert(0, function.name)
        else:
            raise errors.unsupported(f"TABLE({function.sql('snowflake')})")
        arguments = {a.this.name.upper(): a.expression for a in leaf.expressions if isinstance(a, exp.Kwarg)}
        positional = [a for a in leaf.expressions if not isinstance(a, exp.Kwarg)]
        arguments |= {str(i): a for i, a in enumerate(positional)}
        self._stand_in(node, self.resolver.table_function((*path, leaf.name.upper()), arguments), leaf.name.upper())

    def _flattens(self, tree: exp.Expression) -> None:
        for node in [n for n in tree.find_all(exp.Lateral, exp.TableFromRows) if isinstance(n.this, exp.Explode)]:
            explode = node.this
            arguments = {"INPUT": explode.this} if not isinstance(explode.this, exp.Kwarg) else {}
            listed = ([explode.this] if isinstance(explode.this, exp.Kwarg) else []) + list(explode.expressions)
            names = iter(("PATH", "OUTER", "RECURSIVE", "MODE"))
            for item in listed:
                if isinstance(item, exp.Kwarg):
                    arguments[item.this.name.upper()] = item.expression
                else:
                    arguments[next(names)] = item
            if unknown := set(arguments) - {"INPUT", "PATH", "OUTER", "RECURSIVE", "MODE"}:
                raise errors.compilation(f"invalid argument '{unknown.pop()}' for function 'FLATTEN'")
            if "RECURSIVE" in arguments and arguments["RECURSIVE"].sql().upper() == "TRUE":
                raise errors.unsupported("FLATTEN(RECURSIVE => TRUE)")
            mode = arguments["MODE"].name.upper() if "MODE" in arguments else "BOTH"
            source = arguments["INPUT"]
            if "PATH" in arguments:
                source = call("json_extract", source, exp.Literal.string(f"$.{arguments['PATH'].name}"))
            alias = node.args["alias"].this if node.args.get("alias") else exp.to_identifier(f"FLATTEN_{uuid.uuid4().hex[:8]}", quoted=True)
            flatten = call("sf_flatten", source, arguments.get("OUTER", exp.false()),
                           exp.Boolean(this=mode in ("BOTH", "ARRAY")), exp.Boolean(this=mode in ("BOTH", "OBJECT")))
            lateral = exp.Lateral(this=flatten, alias=exp.TableAlias(this=alias))
            if isinstance(node.parent, exp.Join) and (node.parent.side or node.parent.kind == "INNER") and not node.parent.args.get("on"):
                node.parent.set("on", exp.true())
            node.replace(lateral)

    # -- DML

    def _dml(self, tree: exp.Expression) -> exp.Expression:
        if isinstance(tree, exp.Insert):
            schema = tree.this if isinstance(tree.this, exp.Schema) else None
            table = schema.this if schema else tree.this
            physical, columns = self.resolver.target(table_path(table))
            given = [e for e in schema.expressions] if schema else [exp.to_identifier(c, quoted=True) for c in columns]
            self._check_columns([g.name for g in given], columns)
            tree.set("this", exp.Schema(this=exp.Table(this=exp.to_identifier(self.raw(physical), quoted=True)), expressions=given))
            self._fit_source(tree, [columns[g.name] for g in given])
        elif isinstance(tree, (exp.Update, exp.Delete)):
            table = tree.this
            physical, columns = self.resolver.target(table_path(table))
            self._alias_target(tree, table, physical)
            for item in tree.args.get("expressions") or [] if isinstance(tree, exp.Update) else []:
                item.this.set("table", None)
                self._check_columns([item.this.name], columns)
                item.set("expression", fit(item.expression, columns[item.this.name]))
        elif isinstance(tree, exp.Merge):
            physical, columns = self.resolver.target(table_path(tree.this))
            self._alias_target(tree, tree.this, physical)
            for when in tree.args["whens"].expressions:
                then = when.args["then"]
                if isinstance(then, exp.Update):
                    for item in then.expressions:
                        item.this.set("table", None)
                        self._check_columns([item.this.name], columns)
                        item.set("expression", fit(item.expression, columns[item.this.name]))
                elif isinstance(then, exp.Insert):
                    if then.this is None:
                        then.set("this", exp.Tuple(expressions=[exp.column(c, quoted=True) for c in columns]))
                    for column in then.this.expressions:
                        column.set("table", None) if isinstance(column, exp.Column) else None
                    self._check_columns([c.name for c in then.this.expressions], columns)
                    values = then.expression
                    if len(values.expressions) != len(then.this.expressions):
                        raise mismatch(len(then.this.expressions), len(values.expressions))
                    values.set("expressions", [fit(v, columns[c.name]) for v, c in zip(values.expressions, then.this.expressions)])
            tree.set("returning", exp.Returning(expressions=[exp.column("merge_action")]))
        return tree

    def _alias_target(self, tree: exp.Expression, table: exp.Table, physical: str) -> None:
        alias = table.args.get("alias") or exp.TableAlias(this=exp.to_identifier(table.name, quoted=True))
        tree.set("this", exp.Table(this=exp.to_identifier(self.raw(physical), quoted=True), alias=alias))

    @staticmethod
    def _fit_source(tree: exp.Insert, types: list[SfType]) -> None:
        """The rows to insert, converted as Snowflake converts what is assigned to a column."""
        source = tree.expression
        if source is None or all(fit_macro(t) is None for t in types) or any(v.name.upper() == "DEFAULT" for v in source.find_all(exp.Var, exp.Column)):
            return
        width = len(source.expressions[0].expressions) if isinstance(source, exp.Values) else len(source.selects)
        star = not isinstance(source, exp.Values) and any(s.is_star for s in source.selects)
        if width != len(types) and not star:
            raise mismatch(len(types), width)
        names = [f"__v{i}" for i in range(len(types))]
        alias = exp.TableAlias(this=exp.to_identifier("__source", quoted=True), columns=[exp.to_identifier(n, quoted=True) for n in names])
        inner = source.copy()
        if isinstance(inner, exp.Values):
            inner.set("alias", alias)
        else:
            inner = exp.Subquery(this=inner, alias=alias)
        tree.set("expression", exp.select(*(fit(exp.column(n, quoted=True), t) for n, t in zip(names, types))).from_(inner))

    @staticmethod
    def _check_columns(names: list[str], known: dict[str, SfType]) -> None:
        for name in names:
            if name not in known:
                raise errors.invalid_identifier(name)

    # -- functions and values

    def _functions(self, tree: exp.Expression) -> exp.Expression:
        def replace(node: exp.Expression) -> exp.Expression:
            if isinstance(node, exp.Column) and node.args.get("table") and node.name == "NEXTVAL":
                path = tuple(node.args[k].name for k in ("catalog", "db", "table") if node.args.get(k))
                return call("nextval", exp.Literal.string(self.resolver.sequence(path)))
            if isinstance(node, exp.Column) and not node.args.get("table") and isinstance(node.this, exp.Identifier):
                try:
                    return literal(self.resolver.variable(node.name))
                except NotMine:
                    return node
            if isinstance(node, exp.Placeholder) and isinstance(node.this, str) and not node.this.isdigit():
                try:
                    return literal(self.resolver.variable(node.this.upper(), bound=True))
                except NotMine:
                    raise errors.invalid_identifier(node.this.upper()) from None
            if isinstance(node, exp.Func) and not isinstance(node, (exp.Cast, exp.Case, exp.If)):
                name = node.name.upper() if isinstance(node, exp.Anonymous) else node.sql_name()
                arguments = list(node.expressions) if isinstance(node, exp.Anonymous) else []
                try:
                    return literal(self.resolver.function(name, arguments))
                except NotMine:
                    return node
            return node
        return tree.transform(replace, copy=False)

    def _values(self, tree: exp.Expression) -> exp.Expression:
        """Casts and VARIANT access, from the leaves up."""
        nodes = [n for n in tree.walk(bfs=True)]
        for node in reversed(nodes):
            replacement = self._value(node)
            if replacement is not node:
                if node is tree:
                    tree = replacement
                elif node.parent is not None:
                    node.replace(replacement)
        return tree

    def _value(self, node: exp.Expression) -> exp.Expression:
        if isinstance(node, (exp.JSONExtract, exp.GetExtract)):
            path = node.expression
            if isinstance(path, exp.JSONPath):
                return call("json_extract", node.this, exp.Literal.string(json_path(path)))
            return call("json_extract", node.this, path)
        if (rewritten := rewrites.rewrite(node)) is not node:
            return rewritten
        if isinstance(node, exp.Bracket) and node.expressions and isinstance(node.expressions[0], exp.Literal):
            key = node.expressions[0]
            path = f'$."{key.name}"' if key.is_string else f"$[{key.name}]"
            return call("json_extract", node.this, exp.Literal.string(path))
        if isinstance(node, (exp.Cast, exp.TryCast)):
            return cast(node.this, type_of(node.to), isinstance(node, exp.TryCast))
        if isinstance(node, exp.Anonymous):
            name = node.name.upper()
            safe = name.startswith("TRY_")
            if name.removeprefix("TRY_") in ANONYMOUS_CASTS and len(node.expressions) == 1:
                return cast(node.expressions[0], make(ANONYMOUS_CASTS[name.removeprefix("TRY_")], []), safe)
            return node
        if isinstance(node, exp.ToChar):
            return formatted(node) if node.args.get("format") else text_of(node.this)
        if isinstance(node, exp.TimeToStr) and isinstance(node.args.get("format"), exp.Literal):
            # Snowflake pads the day in either case; sqlglot takes `dd` for one without.
            pattern = node.args["format"].name.replace("%-d", "%d")
            node.set("format", exp.Literal.string(pattern))
            if not any(part[:1] in "YymdbBa" for part in pattern.split("%")[1:]):
                node.set("this", call("sf_moment", node.this))
            return node
        if isinstance(node, exp.ToDouble):
            return cast(node.this, make("FLOAT", []), bool(node.args.get("safe")))
        if isinstance(node, exp.ToBoolean):
            return call("sf_try_boolean" if node.args.get("safe") else "sf_boolean", node.this)
        if isinstance(node, exp.ToBinary):
            return to_binary(node)
        if isinstance(node, exp.ParseJSON):
            if node.args.get("safe"):
                return call("sf_try_parse_json", node.this)
            return call("sf_parse_json", node.this)
        if isinstance(node, exp.ToVariant):
            return call("sf_variant", node.this)
        if isinstance(node, exp.Typeof):
            return call("sf_typeof", node.this)
        if isinstance(node, exp.ArraySize):
            return call("sf_array_size", node.this)
        if isinstance(node, (exp.Struct, exp.JSONObject)) and isinstance(node.parent, exp.Expression) and not isinstance(node.parent, exp.Cast):
            return object_construct(node)
        if isinstance(node, exp.Array):
            return call("json_array", *node.expressions)
        if isinstance(node, (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE)):
            return comparison(node)
        if isinstance(node, exp.In) and is_variant(node.this):
            node.set("this", text_of(node.this))
        if isinstance(node, (exp.Lower, exp.Upper, exp.Length, exp.Trim, exp.Like, exp.ILike, exp.Concat, exp.DPipe, exp.Substring, exp.SHA2, exp.MD5)):
            for child in list(node.iter_expressions()):
                if is_variant(child):
                    child.replace(text_of(child.copy()))
        return node


def fakesnow_transforms() -> list[Callable[[exp.Expression], exp.Expression]]:
    """fakesnow's rewrites that are about expressions, loaded on first use."""
    if not _fakesnow:
        from fakesnow import transforms as t
        _fakesnow.extend([t.regex_replace, t.values_columns, t.to_decimal, t.sample, t.array_agg_within_group,
                          t.array_agg, t.object_agg, t.dateadd_date_cast, t.dateadd_string_literal_timestamp_cast,
                          t.datediff_string_literal_timestamp_cast, t.random, t.split, t.sha256, t.haversine,
                          t.alias_in_join])
    return _fakesnow
