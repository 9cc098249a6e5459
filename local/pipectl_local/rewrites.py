# SPDX-License-Identifier: Apache-2.0
"""Functions that DuckDB has under another name, with other arguments or not at all."""
from __future__ import annotations

from sqlglot import exp

from . import errors
from .values import call, text_of

SEQUENCE_COLUMN = "__SEQ"
UNITS = {"YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE", "SECOND", "MILLISECOND", "MICROSECOND"}
UNIT_NAMES = {"Y": "YEAR", "YY": "YEAR", "YYYY": "YEAR", "YEARS": "YEAR", "QTR": "QUARTER", "Q": "QUARTER", "MM": "MONTH", "MON": "MONTH", "MONTHS": "MONTH",
              "W": "WEEK", "WK": "WEEK", "D": "DAY", "DD": "DAY", "DAYS": "DAY", "H": "HOUR", "HH": "HOUR", "HR": "HOUR", "HOURS": "HOUR", "M": "MINUTE",
              "MI": "MINUTE", "MIN": "MINUTE", "MINUTES": "MINUTE", "S": "SECOND", "SEC": "SECOND", "SECONDS": "SECOND", "MS": "MILLISECOND", "US": "MICROSECOND"}


def rewrite(node: exp.Expression) -> exp.Expression:
    """The node as DuckDB has it; the node itself when nothing is to be done."""
    if isinstance(node, (exp.DateTrunc, exp.TimestampTrunc)):
        return truncated(node)
    if isinstance(node, exp.ArrayContains):
        return call("sf_array_contains", node.this, node.expression)
    if isinstance(node, exp.ArrayToString):
        return call("sf_array_to_string", node.this, node.expression)
    if isinstance(node, exp.RegexpExtract):
        return substring(node)
    if isinstance(node, exp.HashAgg):
        return call("sf_hash_agg", call("hash", node.this, *node.expressions))
    if isinstance(node, (exp.Seq1, exp.Seq2, exp.Seq4, exp.Seq8)):
        return exp.column(SEQUENCE_COLUMN, quoted=True)
    if isinstance(node, exp.Window) and isinstance(node.this, exp.Anonymous):
        return conditional_event(node)
    return node


def hexadecimal(node: exp.Expression) -> exp.Expression:
    """TO_NUMBER with a format of X: https://docs.snowflake.com/en/sql-reference/sql-format-models"""
    form = node.args.get("format") if isinstance(node, exp.ToNumber) else None
    if not (isinstance(form, exp.Literal) and form.is_string and form.name and set(form.name.upper()) == {"X"}):
        return node
    number = call("sf_hexadecimal", text_of(node.this), exp.Literal.number(len(form.name)))
    return call("TRY", number) if node.args.get("safe") else number


def truncated(node: exp.Expression) -> exp.Expression:
    """DATE_TRUNC gives the type that it gets: https://docs.snowflake.com/en/sql-reference/functions/date_trunc"""
    given = node.args["unit"].name.upper()
    unit = UNIT_NAMES.get(given, given)
    if unit not in UNITS:
        raise errors.invalid_value(given, "date or time part")
    value = node.this
    if isinstance(value, exp.Literal) and value.is_string:
        value = call("sf_ntz", value)
    step, unit = ("3", "MONTH") if unit == "QUARTER" else ("7", "DAY") if unit == "WEEK" else ("1", unit)
    # Buckets of months begin with 2000-01-01, the others with 2000-01-03, a Monday.
    return call("time_bucket", exp.Interval(this=exp.Literal.string(step), unit=exp.Var(this=unit)), value)


def substring(node: exp.RegexpExtract) -> exp.Expression:
    """https://docs.snowflake.com/en/sql-reference/functions/regexp_substr"""
    flags = node.args["parameters"].name.lower() if node.args.get("parameters") else "c"
    group = node.args.get("group") or exp.Literal.number(0)
    if "e" in flags and group.name == "0":
        group = exp.Literal.number(1)
    options = "".join(sorted(set(flags) & set("cims"))) or "c"
    text = text_of(node.this)
    position = node.args.get("position")
    if position is not None and position.name != "1":
        text = call("substr", text, position)
    found = call("regexp_extract_all", text, node.expression, group, exp.Literal.string(options))
    return call("list_extract", found, node.args.get("occurrence") or exp.Literal.number(1))


def conditional_event(node: exp.Window) -> exp.Expression:
    """CONDITIONAL_CHANGE_EVENT and CONDITIONAL_TRUE_EVENT, over the rows so far."""
    name = node.this.name.upper()
    if name not in ("CONDITIONAL_CHANGE_EVENT", "CONDITIONAL_TRUE_EVENT"):
        return node
    value = node.this.expressions[0]
    node = node.copy()
    node.set("spec", exp.WindowSpec(kind="ROWS", start="UNBOUNDED", start_side="PRECEDING", end="CURRENT ROW"))
    if name == "CONDITIONAL_TRUE_EVENT":
        node.set("this", exp.CountIf(this=value.copy()))
        return node
    node.set("this", call("list", value.copy()))
    return call("sf_changes", node)


def generator(node: exp.Generator) -> str:
    """https://docs.snowflake.com/en/sql-reference/functions/generator"""
    count = node.args.get("rowcount")
    if node.args.get("timelimit") is not None or count is None:
        raise errors.unsupported("GENERATOR without ROWCOUNT")
    if not (isinstance(count, exp.Literal) and count.name.isdigit()):
        raise errors.compilation("argument 1 to function GENERATOR needs to be constant, found a variable", "001015")
    return f'(SELECT range AS "{SEQUENCE_COLUMN}" FROM range({count.name}))'


def split_to_table(node: exp.SplitToTable) -> exp.Lateral:
    """https://docs.snowflake.com/en/sql-reference/functions/split_to_table"""
    return exp.Lateral(this=call("sf_split_to_table", node.this, node.expression))
