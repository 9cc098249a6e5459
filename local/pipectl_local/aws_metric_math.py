# SPDX-License-Identifier: Apache-2.0
"""Metric math of alarms, over one list of values per period (`None`: no data point).

The part that alarms of a pipeline use; anything else is refused by name.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
"""
from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

Series = list[float | None]
BINARY: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv, ast.Pow: operator.pow}
COMPARE: dict[type[ast.cmpop], Callable[[float, float], bool]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge}
EACH: dict[str, Callable[[float], float]] = {"ABS": abs, "CEIL": math.ceil, "FLOOR": math.floor}
OVER: dict[str, Callable[[list[float]], float]] = {"SUM": sum, "MIN": min, "MAX": max, "AVG": lambda v: sum(v) / len(v)}


class Unsupported(ValueError):
    """An expression that the local cloud does not know."""


def evaluate(expression: str, known: Mapping[str, Series], length: int) -> Series:
    """The values of an expression over `length` periods; `known` has the series by id."""
    text = re.sub(r"\bAND\b|&&", " and ", expression)
    text = re.sub(r"\bOR\b|\|\|", " or ", text).replace("^", "**")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        found = _value(tree, known, length)
    except (SyntaxError, KeyError) as error:
        raise Unsupported(f"metric math {expression!r}: {error}") from error
    if isinstance(found, float):
        return [found] * length
    if found and isinstance(found[0], list):
        raise Unsupported(f"metric math {expression!r} gives several time series, and an alarm needs one")
    return found


def _value(node: ast.expr, known: Mapping[str, Series], length: int) -> Any:
    match node:
        case ast.Constant(value=bool() | int() | float() as number):
            return float(number)
        case ast.Name(id=name):
            return list(known[name])
        case ast.List(elts=parts):
            return [_wide(_value(p, known, length), length) for p in parts]
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return _each(lambda v: -v, _value(inner, known, length))
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in BINARY:
            return _both(_safe(BINARY[type(sign)]), _value(left, known, length), _value(right, known, length))
        case ast.Compare(left=left, ops=[sign], comparators=[right]) if type(sign) in COMPARE:
            compare = COMPARE[type(sign)]
            return _both(lambda a, b: float(compare(a, b)), _value(left, known, length), _value(right, known, length))
        case ast.BoolOp(op=sign, values=parts):
            join: Callable[[float, float], float] = (lambda a, b: float(bool(a) and bool(b))) if isinstance(sign, ast.And) else (lambda a, b: float(bool(a) or bool(b)))
            found = _value(parts[0], known, length)
            for part in parts[1:]:
                found = _both(join, found, _value(part, known, length))
            return found
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
            return _call(name.upper(), arguments, known, length)
    raise Unsupported(f"metric math: {ast.unparse(node)} is not known to the local cloud")


def _call(name: str, arguments: list[ast.expr], known: Mapping[str, Series], length: int) -> Any:
    if name == "METRICS" and not arguments:
        return [list(series) for series in known.values()]
    if name == "FILL" and len(arguments) == 2:
        series = _wide(_value(arguments[0], known, length), length)
        if isinstance(arguments[1], ast.Name) and arguments[1].id == "REPEAT":
            return _repeat(series)
        filler = _wide(_value(arguments[1], known, length), length)
        return [f if v is None else v for v, f in zip(series, filler)]
    if name == "IF" and len(arguments) in (2, 3):
        condition, *choices = (_wide(_value(a, known, length), length) for a in arguments)
        otherwise = choices[1] if len(choices) == 2 else [None] * length
        return [None if c is None else (y if c else n) for c, y, n in zip(condition, choices[0], otherwise)]
    if name in EACH and len(arguments) == 1:
        return _each(EACH[name], _value(arguments[0], known, length))
    if name in OVER and len(arguments) == 1:
        found = _value(arguments[0], known, length)
        if isinstance(found, list) and found and isinstance(found[0], list):
            return [OVER[name](there) if (there := [v for v in column if v is not None]) else None for column in zip(*found)]
        there = [v for v in _wide(found, length) if v is not None]
        return [OVER[name](there)] * length if there else [None] * length
    raise Unsupported(f"metric math: the function {name} with {len(arguments)} arguments is not known to the local cloud")


def _safe(compute: Callable[[float, float], float]) -> Callable[[float, float], float | None]:
    def computed(a: float, b: float) -> float | None:
        try:
            return compute(a, b)
        except ZeroDivisionError:
            return None
    return computed


def _repeat(series: Series) -> Series:
    last: float | None = None
    filled: Series = []
    for value in series:
        last = value if value is not None else last
        filled.append(last)
    return filled


def _wide(value: Any, length: int) -> Any:
    return [value] * length if isinstance(value, float) else value


def _each(compute: Callable[[float], float], value: Any) -> Any:
    if isinstance(value, float):
        return compute(value)
    return [_each(compute, v) if isinstance(v, list) else (None if v is None else compute(v)) for v in value]


def _both(compute: Callable[[float, float], float | None], left: Any, right: Any) -> Any:
    if isinstance(left, float) and isinstance(right, float):
        return compute(left, right)
    length = len(left) if isinstance(left, list) else len(right)
    return [None if a is None or b is None else compute(a, b) for a, b in zip(_wide(left, length), _wide(right, length))]
