# SPDX-License-Identifier: Apache-2.0
"""Values on their way to DuckDB: casts, VARIANT access, and what is assigned to a column."""
from __future__ import annotations

import re

from sqlglot import exp

from . import errors
from .sftypes import MAX_TEXT, SfType, make

DTypes = exp.DataType.Type
TYPE_NAMES = {DTypes.DECIMAL: "NUMBER", DTypes.INT: "INT", DTypes.BIGINT: "INT", DTypes.SMALLINT: "INT", DTypes.TINYINT: "INT",
              DTypes.FLOAT: "FLOAT", DTypes.DOUBLE: "FLOAT", DTypes.VARCHAR: "VARCHAR", DTypes.TEXT: "VARCHAR",
              DTypes.CHAR: "CHAR", DTypes.NCHAR: "CHAR", DTypes.NVARCHAR: "VARCHAR", DTypes.BOOLEAN: "BOOLEAN",
              DTypes.DATE: "DATE", DTypes.TIME: "TIME", DTypes.TIMESTAMP: "TIMESTAMP_NTZ", DTypes.DATETIME: "TIMESTAMP_NTZ",
              DTypes.TIMESTAMPNTZ: "TIMESTAMP_NTZ", DTypes.TIMESTAMPLTZ: "TIMESTAMP_LTZ", DTypes.TIMESTAMPTZ: "TIMESTAMP_TZ",
              DTypes.VARIANT: "VARIANT", DTypes.OBJECT: "OBJECT", DTypes.ARRAY: "ARRAY", DTypes.BINARY: "BINARY",
              DTypes.VARBINARY: "BINARY", DTypes.STRUCT: "OBJECT", DTypes.JSON: "VARIANT"}


def call(name: str, *arguments: exp.Expression) -> exp.Anonymous:
    return exp.Anonymous(this=name, expressions=list(arguments))


def type_of(node: exp.DataType) -> SfType:
    name = TYPE_NAMES.get(node.this)
    if name is None:
        raise errors.compilation(f"Unsupported data type '{node.sql('snowflake')}'.", "002040", "42601")
    sizes = [p.this if isinstance(p, exp.DataTypeParam) else p for p in node.expressions]
    arguments = [int(p.name) for p in sizes if isinstance(p, exp.Expression) and p.name.isdigit()]
    return make(name, arguments)


def json_path(path: exp.JSONPath) -> str:
    parts = ["$"]
    for part in path.expressions:
        if isinstance(part, exp.JSONPathKey):
            parts.append('."' + str(part.this).replace("\\", "\\\\").replace('"', '\\"') + '"')
        elif isinstance(part, exp.JSONPathSubscript):
            parts.append(f"[{part.this}]" if not isinstance(part.this, str) else f'."{part.this}"')
        elif not isinstance(part, exp.JSONPathRoot):
            raise errors.unsupported(f"path {path.sql('snowflake')}")
    return "".join(parts)


def is_variant(node: exp.Expression) -> bool:
    while isinstance(node, exp.Paren):
        node = node.this
    return isinstance(node, exp.Anonymous) and node.name == "json_extract"


def text_of(node: exp.Expression) -> exp.Expression:
    if is_variant(node):
        while isinstance(node, exp.Paren):
            node = node.this
        return call("json_extract_string", *node.expressions)
    if isinstance(node, exp.Anonymous) and node.name in ("json_extract_string", "sf_text"):
        return node
    return node if isinstance(node, exp.Literal) and node.is_string else call("sf_text", node)


def plain_number(node: exp.Expression) -> bool:
    return (isinstance(node, exp.Literal) and not node.is_string) or isinstance(
        node, (exp.Binary, exp.Window, exp.AggFunc, exp.Neg, exp.Length, exp.Null)) and not is_variant(node)


def cast(value: exp.Expression, kind: SfType, safe: bool) -> exp.Expression:
    """CAST and TRY_CAST, https://docs.snowflake.com/en/sql-reference/functions/try_cast"""
    name = kind.kind
    if name == "TEXT":
        text = text_of(value)
        return text if kind.length in (None, MAX_TEXT) else call("left", text, exp.Literal.number(kind.length or 1))
    if name in ("FIXED", "REAL"):
        target = exp.DataType.build(kind.duck, dialect="duckdb")
        if safe:
            return exp.TryCast(this=call("sf_try_number", text_of(value)), to=target)
        return exp.Cast(this=value if plain_number(value) else call("sf_number_text", value), to=target)
    if name == "BOOLEAN":
        return call("sf_try_boolean" if safe else "sf_boolean", value)
    if name in ("DATE", "TIME", "TIMESTAMP_NTZ", "TIMESTAMP_LTZ", "TIMESTAMP_TZ"):
        macro = {"DATE": "date", "TIME": "time", "TIMESTAMP_NTZ": "ntz"}.get(name, "tz")
        return call(f"sf_try_{macro}" if safe else f"sf_{macro}", value)
    if name == "BINARY":
        return call("sf_hex" if safe else "sf_binary", value)
    return call("sf_variant", value)


def fit_macro(kind: SfType) -> str | None:
    """What converts a value on assignment; numbers and booleans convert by themselves."""
    if kind.kind == "TEXT":
        return "sf_fit" if kind.length and kind.length < MAX_TEXT else "sf_text"
    return {"DATE": "sf_date", "TIME": "sf_time", "TIMESTAMP_NTZ": "sf_ntz", "TIMESTAMP_LTZ": "sf_tz", "TIMESTAMP_TZ": "sf_tz", "BINARY": "sf_bytes",
            "VARIANT": "sf_variant", "OBJECT": "sf_variant", "ARRAY": "sf_variant"}.get(kind.kind)


def fit(value: exp.Expression, kind: SfType) -> exp.Expression:
    macro = fit_macro(kind)
    if macro is None or isinstance(value, exp.Null) or (isinstance(value, exp.Column) and value.name.upper() == "DEFAULT"):
        return value
    return call(macro, value, exp.Literal.number(kind.length or 0)) if macro == "sf_fit" else call(macro, value)


def mismatch(expected: int, found: int) -> errors.SnowflakeError:
    return errors.compilation(f"Insert value list does not match column list expecting {expected} but got {found}", "002020", "21S01")


FORMATS = {"YYYY": "%Y", "YY": "%y", "MM": "%m", "MON": "%b", "MMMM": "%B", "DD": "%d", "DY": "%a", "HH24": "%H", "HH12": "%I", "AM": "%p", "PM": "%p",
           "MI": "%M", "SS": "%S", "FF3": "%g", "FF6": "%f", "FF9": "%n", "TZHTZM": "%z"}
CLOCK = {"HH24", "HH12", "MI", "SS"}
CALENDAR = {"YYYY", "YY", "MM", "MON", "MMMM", "DD", "DY"}
FORMAT_TOKEN = re.compile("|".join(sorted(FORMATS, key=len, reverse=True)) + r'|"[^"]*"|[^A-Za-z0-9]', re.I)


def formatted(node: exp.ToChar) -> exp.Expression:
    """TO_CHAR of a date or timestamp: https://docs.snowflake.com/en/sql-reference/date-time-input-output"""
    wanted = node.args["format"]
    text = wanted.name if isinstance(wanted, exp.Literal) else ""
    tokens = FORMAT_TOKEN.findall(text)
    if not text or "".join(tokens) != text:
        raise errors.unsupported(f"TO_CHAR with the format {wanted.sql('snowflake')}")
    pattern = "".join(FORMATS.get(t.upper(), t.strip('"').replace("%", "%%")) for t in tokens)
    value = call("sf_moment", node.this) if set(tokens) & CLOCK and not set(tokens) & CALENDAR else call("sf_ntz", node.this)
    return call("strftime", value, exp.Literal.string(pattern))


def to_binary(node: exp.ToBinary) -> exp.Expression:
    """https://docs.snowflake.com/en/sql-reference/functions/to_binary"""
    form = node.args["format"].name.upper() if node.args.get("format") else "HEX"
    function = {"HEX": "unhex", "BASE64": "from_base64", "UTF-8": "encode", "UTF8": "encode"}.get(form)
    if function is None:
        raise errors.invalid_value(form, "format")
    decoded = call(function, text_of(node.this))
    return call("TRY", decoded) if node.args.get("safe") else decoded


def object_construct(node: exp.Expression) -> exp.Expression:
    """https://docs.snowflake.com/en/sql-reference/functions/object_construct"""
    keys, values = [], []
    for item in node.expressions:
        if isinstance(item, exp.Star):
            raise errors.unsupported("OBJECT_CONSTRUCT(*)")
        key, value = (item.this, item.expression)
        if not isinstance(item, (exp.PropertyEQ, exp.JSONKeyValue)):
            raise errors.unsupported(f"OBJECT_CONSTRUCT({item.sql('snowflake')})")
        keys.append(exp.Literal.string(key.name) if isinstance(key, exp.Identifier) else key)
        values.append(call("sf_variant", value))
    if not keys:
        return call("json_object")
    return call("sf_object", call("list_value", *keys), call("list_value", *values), exp.Boolean(this=isinstance(node, exp.JSONObject)))


def comparison(node: exp.Expression) -> exp.Expression:
    """A VARIANT compared with a constant is compared as that constant's type."""
    for side, other in (("this", "expression"), ("expression", "this")):
        value, constant = node.args[side], node.args[other]
        if is_variant(value):
            if isinstance(constant, exp.Literal) and not constant.is_string:
                node.set(side, exp.TryCast(this=text_of(value), to=exp.DataType(this=DTypes.DOUBLE)))
            elif isinstance(constant, exp.Boolean):
                node.set(side, call("sf_try_boolean", value))
            elif not is_variant(constant):
                node.set(side, text_of(value))
    return node
