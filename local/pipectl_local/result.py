# SPDX-License-Identifier: Apache-2.0
"""What a statement answers, and its rendering in the two protocols' common form.

https://docs.snowflake.com/en/developer-guide/sql-api/reference (ResultSet, ResultSet_resultSetMetaData)
"""
from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .sftypes import TEXT, TIMESTAMP_LTZ, SfType, encoder, number

SELECT_TYPE, DDL_TYPE, DML_TYPE = 0x1000, 0x6000, 0x3000
INSERT_TYPE, UPDATE_TYPE, DELETE_TYPE, MERGE_TYPE = 0x3100, 0x3200, 0x3300, 0x3400
BOOLEAN = SfType("BOOLEAN")
NUMBER = number()


@dataclass(frozen=True)
class Field:
    name: str
    type: SfType = TEXT
    nullable: bool = True


@dataclass
class Result:
    fields: list[Field]
    rows: Sequence[tuple[Any, ...]]
    type_id: int = SELECT_TYPE
    stats: dict[str, int] | None = None
    _encoded: list[list[str | None]] | None = field(default=None, repr=False)

    def encoded(self) -> list[list[str | None]]:
        """Every value as a string or null."""
        if self._encoded is None:
            encoders = [encoder(f.type.kind) for f in self.fields]
            self._encoded = [[None if v is None else e(v) for e, v in zip(encoders, row)] for row in self.rows]
        return self._encoded

    def row_type(self) -> list[dict[str, Any]]:
        rendered = []
        for item in self.fields:
            kind = item.type.kind
            name = "binary" if kind == "BINARY" else kind.lower()
            length = item.type.length if kind in ("TEXT", "BINARY") else None
            rendered.append({
                "name": item.name, "database": "", "schema": "", "table": "", "type": name, "nullable": item.nullable,
                "precision": item.type.precision if kind == "FIXED" else (0 if kind.startswith("TIME") else None),
                "scale": item.type.scale if kind == "FIXED" or kind.startswith("TIME") else None,
                "length": length, "byteLength": length, "collation": None,
            })
        return rendered

    def dicts(self) -> list[dict[str, Any]]:
        return [dict(zip((f.name for f in self.fields), row)) for row in self.rows]


def status(text: str) -> Result:
    return Result([Field("status")], [(text,)], DDL_TYPE)


def done() -> Result:
    return status("Statement executed successfully.")


def infer(name: str, values: Iterable[Any]) -> Field:
    """The type of a SHOW column by what is in it."""
    for value in values:
        if isinstance(value, bool):
            return Field(name, BOOLEAN)
        if isinstance(value, int):
            return Field(name, NUMBER)
        if isinstance(value, dt.datetime):
            return Field(name, TIMESTAMP_LTZ)
        if value is not None:
            break
    return Field(name, TIMESTAMP_LTZ if name.endswith("_on") and not name.startswith("grant") else TEXT)


def table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> Result:
    """A result of Python values, as SHOW and DESC give."""
    tuples = [tuple(r) for r in rows]
    return Result([infer(n, (r[i] for r in tuples)) for i, n in enumerate(names)], tuples)
