# SPDX-License-Identifier: Apache-2.0
"""Snowflake's errors: code, SQLSTATE and message as its documentation and its own answers give them."""
from __future__ import annotations


class SnowflakeError(Exception):
    """What a statement fails with; `code` has six digits."""

    def __init__(self, code: str, sqlstate: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.sqlstate = sqlstate
        self.message = message


def compilation(message: str, code: str = "001003", sqlstate: str = "42000") -> SnowflakeError:
    return SnowflakeError(code, sqlstate, f"SQL compilation error:\n{message}")


def syntax(line: int, column: int, found: str) -> SnowflakeError:
    return compilation(f"syntax error line {line} at position {column} unexpected '{found}'.")


def missing(kind: str, name: str) -> SnowflakeError:
    """The object is not there, or the role may not know of it: Snowflake says the same for both."""
    label = {"DATABASE": "Database", "SCHEMA": "Schema", "ROLE": "Role", "WAREHOUSE": "Warehouse",
             "INTEGRATION": "Integration", "STAGE": "Stage", "FILE FORMAT": "File format", "PIPE": "Pipe",
             "STREAM": "Stream", "TASK": "Task", "TABLE": "Table", "USER": "User", "VIEW": "View"}.get(kind, "Object")
    sqlstate = "42S02" if kind in ("TABLE", "VIEW", "OBJECT", "STREAM") else "02000"
    return compilation(f"{label} '{name}' does not exist or not authorized.", "002003", sqlstate)


def exists(name: str) -> SnowflakeError:
    return compilation(f"Object '{name}' already exists.", "002002", "42710")


def denied(kind: str, name: str) -> SnowflakeError:
    return SnowflakeError(
        "003001", "42501", f"SQL access control error:\nInsufficient privileges to operate on {kind.lower()} '{name}'.")


def invalid_property(name: str, kind: str) -> SnowflakeError:
    return compilation(f"invalid property '{name}' for '{kind}'", "001420", "22023")


def invalid_value(value: str, name: str) -> SnowflakeError:
    return compilation(f"invalid value [{value}] for parameter '{name}'", "001008", "22023")


def invalid_identifier(name: str) -> SnowflakeError:
    return compilation(f"error line 1 at position 0\ninvalid identifier '{name}'", "000904", "42000")


def unknown_function(name: str) -> SnowflakeError:
    return compilation(f"Unknown function {name}", "002140", "42601")


def too_long_to_show(most: int) -> SnowflakeError:
    message = (f"The result set size exceeded the max number of rows({most}) supported for SHOW statements. "
               "Use LIMIT option to limit result set to a smaller number.")
    return SnowflakeError("090153", "22000", message)


def unsupported(feature: str) -> SnowflakeError:
    """Snowflake has it, the local cloud does not: said plainly, never ignored."""
    return compilation(f"Unsupported feature '{feature}' in the local cloud.", "000002", "0A000")


def execution(message: str, code: str = "100183", sqlstate: str = "P0000") -> SnowflakeError:
    return SnowflakeError(code, sqlstate, message)
