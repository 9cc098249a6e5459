"""Chinook's SQL script as an sqlite database.

Only the INSERTs are read, and each table gets the columns that its INSERT names. Numbers with a decimal point become
text, so that money keeps its exact digits.
"""

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SQL = ROOT / "examples" / "chinook" / "Chinook_PostgreSql.sql"

# A string literal, with PostgreSQL's N for national characters; or a number with a decimal point.
_LITERAL = re.compile(r"N?('(?:[^']|'')*')|\b(\d+\.\d+)\b")
_INSERT = re.compile(r"INSERT INTO (\w+) (\([\w, ]+\)) VALUES")


def load(path: Path = SQL) -> sqlite3.Connection:
    """Reads the script into a database in memory."""
    database = sqlite3.connect(":memory:")
    for insert in _inserts(path.read_text(encoding="utf-8")):
        match = _INSERT.match(insert)
        if match is None:
            raise ValueError(f"{path}: not an INSERT that names its columns: {insert[:80]}")
        table, columns = match.groups()
        database.execute(f"CREATE TABLE IF NOT EXISTS {table} {columns}")
        database.execute(_LITERAL.sub(lambda m: m[1] or f"'{m[2]}'", insert))
    return database


def _inserts(script: str) -> Iterator[str]:
    """Yields each INSERT statement; one that holds a semicolon in a string stays whole."""
    statement = ""
    for line in script.splitlines(keepends=True):
        if statement or line.startswith("INSERT INTO "):
            statement += line
            if line.rstrip().endswith(";") and sqlite3.complete_statement(statement):
                yield statement
                statement = ""
