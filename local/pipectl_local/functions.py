# SPDX-License-Identifier: Apache-2.0
"""Context functions and SYSTEM$ functions: https://docs.snowflake.com/en/sql-reference/functions-system"""
from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from . import errors
from .catalog import Stream
from .lexer import split_name
from .translate import NotMine

if TYPE_CHECKING:
    from .context import Context

VERSION = "9.38.1"
CONTEXT: dict[str, Callable[["Context"], Any]] = {
    "CURRENT_ACCOUNT": lambda c: c.account.name,
    "CURRENT_ACCOUNT_NAME": lambda c: c.account.name,
    "CURRENT_ORGANIZATION_NAME": lambda c: "LOCAL",
    "CURRENT_ROLE": lambda c: c.role,
    "CURRENT_PRIMARY_ROLE": lambda c: c.role,
    "CURRENT_AVAILABLE_ROLES": lambda c: json.dumps(sorted(c.account.user_roles(c.user))),
    "CURRENT_SECONDARY_ROLES": lambda c: json.dumps({"roles": "", "value": ""}),
    "CURRENT_USER": lambda c: c.user,
    "CURRENT_WAREHOUSE": lambda c: c.warehouse,
    "CURRENT_DATABASE": lambda c: c.database,
    "CURRENT_SCHEMA": lambda c: c.schema,
    "CURRENT_VERSION": lambda c: VERSION,
    "CURRENT_REGION": lambda c: f"AWS_{c.account.region.upper().replace('-', '_')}",
    "CURRENT_SESSION": lambda c: str(id(c.session)),
    "CURRENT_CLIENT": lambda c: "SQL API",
    "CURRENT_IP_ADDRESS": lambda c: "127.0.0.1",
}


def stream_has_data(context: "Context", name: str) -> bool:
    from .query import check_fresh
    stream = context.get("STREAM", split_name(name), "SELECT")
    assert isinstance(stream, Stream)
    check_fresh(stream)
    return bool(context.session.scalar(f"SELECT EXISTS (SELECT 1 FROM {context.session.stream_rows(stream)})"))


def sns_policy(context: "Context", topic: str) -> str:
    """https://docs.snowflake.com/en/sql-reference/functions/system_get_aws_sns_iam_policy"""
    return json.dumps({"Version": "2012-10-17", "Statement": [{
        "Sid": "1", "Effect": "Allow", "Principal": {"AWS": context.cloud.identity.user_arn},
        "Action": ["sns:Subscribe"], "Resource": [topic]}]}, separators=(",", ":"))


def validate_integration(context: "Context", name: str, path: str, file: str, action: str) -> str:
    from . import integration
    return integration.validate(context, name, path, file, action)


def pipe_status(context: "Context", name: str) -> str:
    from . import pipe
    return pipe.status_json(context, split_name(name))


def force_resume(context: "Context", name: str, options: str = "") -> str:
    from . import pipe
    return pipe.force_resume(context, split_name(name))


def dependents_enable(context: "Context", name: str) -> str:
    from . import task
    return task.enable_dependents(context, split_name(name))


def task_runtime_info(context: "Context", key: str) -> Any:
    from . import task
    return task.runtime_info(context, key)


def set_return_value(context: "Context", value: str) -> None:
    if context.task_run is None:
        raise errors.execution("Function SYSTEM$SET_RETURN_VALUE must be called from within a task.", "100183")
    context.task_run.return_value = value


WAIT_UNITS = {"DAYS": 86400.0, "HOURS": 3600.0, "MINUTES": 60.0, "SECONDS": 1.0, "MILLISECONDS": 1e-3, "MICROSECONDS": 1e-6, "NANOSECONDS": 1e-9}


def wait(context: "Context", amount: Any, unit: str = "SECONDS") -> str:
    """https://docs.snowflake.com/en/sql-reference/functions/system_wait"""
    if unit.upper() not in WAIT_UNITS:
        raise errors.invalid_value(unit, "time_unit")
    if context.cancelled.wait(float(amount) * WAIT_UNITS[unit.upper()]):
        raise errors.execution("SQL execution canceled", "000604", "57014")
    return f"waited {amount} {unit.lower()}"


def typeof(context: "Context", value: Any) -> str:
    return type(value).__name__.upper()


SYSTEM: dict[str, Callable[..., Any]] = {
    "SYSTEM$STREAM_HAS_DATA": stream_has_data,
    "SYSTEM$GET_AWS_SNS_IAM_POLICY": sns_policy,
    "SYSTEM$VALIDATE_STORAGE_INTEGRATION": validate_integration,
    "SYSTEM$PIPE_STATUS": pipe_status,
    "SYSTEM$PIPE_FORCE_RESUME": force_resume,
    "SYSTEM$TASK_DEPENDENTS_ENABLE": dependents_enable,
    "SYSTEM$TASK_RUNTIME_INFO": task_runtime_info,
    "SYSTEM$SET_RETURN_VALUE": set_return_value,
    "SYSTEM$WAIT": wait,
}


def evaluate(context: "Context", name: str, arguments: list[exp.Expression],
             constant: Callable[[exp.Expression], Any]) -> Any:
    """The function's value; NotMine when DuckDB should have it."""
    if name in CONTEXT:
        return CONTEXT[name](context)
    if name == "LAST_QUERY_ID":
        return context.variables.get("$LAST_QUERY_ID")
    if not name.startswith("SYSTEM$"):
        raise NotMine
    if name not in SYSTEM:
        raise errors.unknown_function(name)
    try:
        return SYSTEM[name](context, *(constant(a) for a in arguments))
    except TypeError as error:
        if "positional argument" not in str(error):
            raise
        raise errors.compilation(f"not enough or too many arguments for function [{name}]", "000938", "22023") from error
