"""Pipelines to measure with: the examples, and generated ones of any number of tables."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# One feed, one pipe, one raw table and one typed table each: the most that a table can need.
TABLE = """[[table]]
name = "t{number}"
prefix = "t{number}/"
columns = [
    {{ name = "id", type = "NUMBER(10,0)", path = "$.Id", key = true, not_null = true }},
    {{ name = "changed", type = "TIMESTAMP_NTZ", path = "$.Changed", not_null = true }},
    {{ name = "name", type = "VARCHAR(40)", path = "$.Name" }},
    {{ name = "city", type = "VARCHAR(40)", path = "$.Address.City" }},
    {{ name = "total", type = "NUMBER(10,2)", path = "$.Total" }},
]

"""

HEAD = """version = 1

[pipeline]
name = "bench-{tables}"
description = "{tables} generated tables"

[aws]
account = "000000000000"
region = "eu-west-1"

[snowflake]
schema = "SHOP"
schedule = "1 minute"

[source]
type = "files"

"""


def generated(tables: int) -> str:
    """The text of a pipeline.toml with so many tables."""
    return HEAD.format(tables=tables) + "".join(TABLE.format(number=number) for number in range(1, tables + 1))


def examples() -> dict[str, Path]:
    """Every example that is a pipeline, by its name."""
    return {path.parent.name: path for path in sorted(ROOT.glob("examples/*/pipeline.toml"))}
