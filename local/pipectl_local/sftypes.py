# SPDX-License-Identifier: Apache-2.0
"""Snowflake's data types: parsing, what stores them in DuckDB, and how results encode them.

https://docs.snowflake.com/en/sql-reference/intro-summary-data-types
https://docs.snowflake.com/en/developer-guide/sql-api/handling-responses
"""
from __future__ import annotations

import datetime as dt
import decimal
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import errors
from .lexer import NUMBER, WORD, Cursor

MAX_TEXT = 16777216
MAX_BINARY = 8388608
INTEGERS = {"INT", "INTEGER", "BIGINT", "SMALLINT", "TINYINT", "BYTEINT"}
FIXED = {"NUMBER", "DECIMAL", "DEC", "NUMERIC"}
FLOATS = {"FLOAT", "FLOAT4", "FLOAT8", "DOUBLE", "REAL"}
TEXTS = {"VARCHAR", "STRING", "TEXT", "CHAR", "CHARACTER", "NVARCHAR", "NCHAR"}
ZONED = {"TIMESTAMP": "TIMESTAMP_NTZ", "DATETIME": "TIMESTAMP_NTZ", "TIMESTAMP_NTZ": "TIMESTAMP_NTZ",
         "TIMESTAMPNTZ": "TIMESTAMP_NTZ", "TIMESTAMP_LTZ": "TIMESTAMP_LTZ", "TIMESTAMPLTZ": "TIMESTAMP_LTZ",
         "TIMESTAMP_TZ": "TIMESTAMP_TZ", "TIMESTAMPTZ": "TIMESTAMP_TZ"}
SEMI = {"VARIANT", "OBJECT", "ARRAY"}
EPOCH = dt.datetime(1970, 1, 1)
EPOCH_DATE = dt.date(1970, 1, 1)


@dataclass(frozen=True)
class SfType:
    """`kind` is the canonical name: FIXED, REAL, TEXT, BOOLEAN, DATE, TIME, TIMESTAMP_*, VARIANT, OBJECT, ARRAY, BINARY."""

    kind: str
    precision: int | None = None
    scale: int | None = None
    length: int | None = None

    @property
    def duck(self) -> str:
        if self.kind == "FIXED":
            return f"DECIMAL({self.precision},{self.scale})"
        return {"REAL": "DOUBLE", "TEXT": "VARCHAR", "BOOLEAN": "BOOLEAN", "DATE": "DATE", "TIME": "TIME",
                "TIMESTAMP_NTZ": "TIMESTAMP", "TIMESTAMP_LTZ": "TIMESTAMPTZ", "TIMESTAMP_TZ": "TIMESTAMPTZ",
                "VARIANT": "JSON", "OBJECT": "JSON", "ARRAY": "JSON", "BINARY": "BLOB"}[self.kind]

    @property
    def sql(self) -> str:
        """As DESC TABLE and INFORMATION_SCHEMA spell it."""
        if self.kind == "FIXED":
            return f"NUMBER({self.precision},{self.scale})"
        if self.kind == "TEXT":
            return f"VARCHAR({self.length})"
        if self.kind == "BINARY":
            return f"BINARY({self.length})"
        if self.kind == "REAL":
            return "FLOAT"
        return f"{self.kind}({self.scale})" if self.kind.startswith("TIME") else self.kind

    def show(self, nullable: bool) -> str:
        """The JSON of SHOW COLUMNS' data_type column."""
        value: dict[str, Any] = {"type": self.kind}
        if self.kind == "FIXED":
            value |= {"precision": self.precision, "scale": self.scale}
        elif self.kind in ("TEXT", "BINARY"):
            length = self.length or MAX_TEXT
            value |= {"length": length, "byteLength": min(length * 4, MAX_TEXT) if self.kind == "TEXT" else length}
        elif self.kind.startswith("TIME"):
            value |= {"precision": 0, "scale": self.scale}
        value["nullable"] = nullable
        if self.kind in ("TEXT", "BINARY"):
            value["fixed"] = False
        return json.dumps(value, separators=(",", ":"))


def number(precision: int = 38, scale: int = 0) -> SfType:
    if not (1 <= precision <= 38 and 0 <= scale <= min(37, precision)):
        raise errors.compilation(f"Invalid precision or scale: NUMBER({precision},{scale}).", "001003")
    return SfType("FIXED", precision, scale)


TEXT = SfType("TEXT", length=MAX_TEXT)
VARIANT = SfType("VARIANT")
TIMESTAMP_LTZ = SfType("TIMESTAMP_LTZ", scale=9)


def make(name: str, arguments: list[int]) -> SfType:
    """The type of a name and its parameters."""
    name = name.upper()
    if name in FIXED:
        return number(*(arguments or [38])[:2])
    if name in INTEGERS:
        return number()
    if name in FLOATS or name == "DOUBLE PRECISION":
        return SfType("REAL")
    if name in TEXTS:
        return SfType("TEXT", length=arguments[0] if arguments else (1 if name in ("CHAR", "CHARACTER", "NCHAR") else MAX_TEXT))
    if name in ZONED:
        return SfType(ZONED[name], scale=arguments[0] if arguments else 9)
    if name == "TIME":
        return SfType("TIME", scale=arguments[0] if arguments else 9)
    if name in ("BINARY", "VARBINARY"):
        return SfType("BINARY", length=arguments[0] if arguments else MAX_BINARY)
    if name in SEMI or name in ("BOOLEAN", "DATE"):
        return SfType(name)
    raise errors.compilation(f"Unsupported data type '{name}'.", "002040", "42601")


def parse(cursor: Cursor) -> SfType:
    """Reads a type at the cursor."""
    if cursor.token.kind != WORD:
        raise cursor.unexpected()
    name = cursor.next().text
    if name == "DOUBLE" and cursor.accept("PRECISION"):
        name = "DOUBLE PRECISION"
    arguments: list[int] = []
    if cursor.peek("(") and cursor.tokens[cursor.at + 1].kind == NUMBER:
        cursor.expect("(")
        arguments.append(cursor.integer())
        while cursor.accept(","):
            arguments.append(cursor.integer())
        cursor.expect(")")
    return make(name, arguments)


def parse_text(text: str) -> SfType:
    cursor = Cursor(text)
    found = parse(cursor)
    cursor.finish()
    return found


def of_duck(name: str) -> SfType:
    """The Snowflake type that a DuckDB result column stands for."""
    if name.startswith("DECIMAL"):
        precision, scale = name[name.index("(") + 1:-1].split(",")
        return SfType("FIXED", int(precision), int(scale))
    simple = {"BIGINT": number(), "INTEGER": number(), "HUGEINT": number(), "UBIGINT": number(), "SMALLINT": number(),
              "TINYINT": number(), "UINTEGER": number(), "UHUGEINT": number(), "USMALLINT": number(), "UTINYINT": number(),
              "DOUBLE": SfType("REAL"), "FLOAT": SfType("REAL"), "BOOLEAN": SfType("BOOLEAN"), "DATE": SfType("DATE"),
              "TIME": SfType("TIME", scale=9), "JSON": VARIANT, "BLOB": SfType("BINARY", length=MAX_BINARY),
              "TIMESTAMP": SfType("TIMESTAMP_NTZ", scale=9), "TIMESTAMP_NS": SfType("TIMESTAMP_NTZ", scale=9),
              "TIMESTAMP WITH TIME ZONE": TIMESTAMP_LTZ}
    if name in simple:
        return simple[name]
    return VARIANT if name.endswith("]") or name.startswith(("STRUCT", "MAP")) else TEXT


def _seconds(delta: dt.timedelta) -> str:
    micros = (delta.days * 86400 + delta.seconds) * 1_000_000 + delta.microseconds
    sign, micros = ("-", -micros) if micros < 0 else ("", micros)
    return f"{sign}{micros // 1_000_000}.{micros % 1_000_000:06d}000"


def _timestamp(value: dt.datetime) -> str:
    naive = value.astimezone(dt.timezone.utc).replace(tzinfo=None) if value.tzinfo else value
    return _seconds(naive - EPOCH)


def _number(value: Any) -> str:
    return format(value, "f") if isinstance(value, decimal.Decimal) else str(int(value))


def _variant(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def encoder(kind: str) -> Callable[[Any], str]:
    """How a value of this type reads in a result (never called with None)."""
    return {
        "FIXED": _number,
        "REAL": lambda v: repr(float(v)),
        "BOOLEAN": lambda v: "true" if v else "false",
        "DATE": lambda v: str((v - EPOCH_DATE).days),
        "TIME": lambda v: _seconds(dt.timedelta(hours=v.hour, minutes=v.minute, seconds=v.second, microseconds=v.microsecond)),
        "TIMESTAMP_NTZ": _timestamp,
        "TIMESTAMP_LTZ": _timestamp,
        "TIMESTAMP_TZ": lambda v: f"{_timestamp(v)} 1440",
        "BINARY": lambda v: bytes(v).hex().upper(),
        "VARIANT": _variant, "OBJECT": _variant, "ARRAY": _variant,
    }.get(kind, str)
