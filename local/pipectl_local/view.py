# SPDX-License-Identifier: Apache-2.0
"""Views: https://docs.snowflake.com/en/sql-reference/sql/create-view"""
from __future__ import annotations

from typing import TYPE_CHECKING

from . import ddl, errors
from .catalog import Column, View
from .lexer import Cursor, quote, reads_string
from .result import Result
from .table import query_columns

if TYPE_CHECKING:
    from .context import Context


def create(context: "Context", cursor: Cursor, mode: str) -> Result:
    """The query is bound when the view is made: later columns of its tables do not appear, as in Snowflake."""
    front = ddl.creation(context, cursor, "VIEW", mode)
    names: list[str] = []
    comments: dict[str, str] = {}
    if cursor.accept("("):
        while True:
            name = cursor.identifier()
            names.append(name)
            if cursor.accept("COMMENT"):
                comments[name] = cursor.string()
            if not cursor.accept(","):
                break
        cursor.expect(")")
    options = cursor.options("VIEW", {"COMMENT": reads_string}, stop=("AS", "COPY"))
    cursor.accept("COPY", "GRANTS")
    cursor.expect("AS")
    text = cursor.rest()
    if front.skip:
        return ddl.skipped(front.name)
    from . import query
    from .translate import Translation, parse
    sql = Translation(parse(text), query.SessionResolver(context, modifies=False)).sql()
    columns = query_columns(context, text)
    if names:
        if len(names) != len(columns):
            raise errors.compilation("Invalid column definition list", "002057", "42601")
        sql = f"SELECT * FROM ({sql}) AS v({', '.join(quote(n) for n in names)})"
        columns = [Column(n, c.type, comment=comments.get(n, "")) for n, c in zip(names, columns)]
    context.add(front.schema, View(front.name, comment=options.get("COMMENT", ""), text=cursor.sql, query=sql, columns=columns))
    return ddl.created("View", front.name)
