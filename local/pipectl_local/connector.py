# SPDX-License-Identifier: Apache-2.0
"""The protocol of Snowflake's own connectors, as far as fakesnow's server speaks it, on the same data.

Logging in with key pair checks the token; with a password it accepts any, as fakesnow does: the
server listens on 127.0.0.1 only.
"""
from __future__ import annotations

import logging
import secrets
import threading
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import duckdb

from . import errors, executor, functions
from .context import Context
from .jwt_auth import Refused, verify
from .query import translate_error
from .result import Result
from .sql_api import binding

if TYPE_CHECKING:
    from .cloud import Cloud

LOG = logging.getLogger("snowflake.connector")


@dataclass
class ConnectorSession:
    context: Context
    lock: threading.Lock = field(default_factory=threading.Lock)


class Connector:
    def __init__(self, cloud: "Cloud") -> None:
        self.cloud = cloud
        self._sessions: dict[str, ConnectorSession] = {}

    def login(self, query: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
        data = body.get("data") or {}
        account = self.cloud.account
        name = str(data.get("LOGIN_NAME") or "").upper()
        if data.get("AUTHENTICATOR") == "SNOWFLAKE_JWT":
            try:
                name = verify(str(data.get("TOKEN")), account.name, account.users).name
            except Refused as error:
                return failure(error.code, str(error))
        if name not in account.users:
            return failure("390100", "Incorrect username or password was specified.")

        def unquoted(key: str) -> str | None:
            value = query.get(key)
            return None if not value else (value[1:-1] if value.startswith('"') else value.upper())
        role = unquoted("roleName") or account.users[name].default_role
        if role not in account.user_roles(name):
            return failure("390189", f"Role '{role}' specified in the connect string does not exist or not authorized.")
        context = self.cloud.context(role, name, unquoted("warehouse"), unquoted("databaseName"), unquoted("schemaName"))
        token = secrets.token_urlsafe(32)
        self._sessions[token] = ConnectorSession(context)
        return success({
            "token": token, "masterToken": secrets.token_urlsafe(32), "validityInSeconds": 3600, "masterValidityInSeconds": 14400,
            "displayUserName": name, "serverVersion": functions.VERSION, "sessionId": abs(hash(token)),
            "parameters": [{"name": "AUTOCOMMIT", "value": True}, {"name": "TIMEZONE", "value": "Etc/UTC"},
                           {"name": "CLIENT_SESSION_KEEP_ALIVE_HEARTBEAT_FREQUENCY", "value": 3600},
                           {"name": "CLIENT_STAGE_ARRAY_BINDING_THRESHOLD", "value": 0}],
            "sessionInfo": {"databaseName": context.database, "schemaName": context.schema, "warehouseName": context.warehouse, "roleName": role}})

    def query(self, token: str, body: dict[str, Any]) -> dict[str, Any]:
        session = self._sessions.get(token)
        if session is None:
            return failure("390104", "User must login again to access the service.")
        context = session.context
        with session.lock:
            context.query_id = str(uuid.uuid4())
            try:
                given = body.get("bindings") or {}
                context.bindings = [binding(given[k]) for k in sorted(given, key=int)]
                result = executor.execute(context, str(body.get("sqlText") or ""))
            except errors.SnowflakeError as error:
                return failure(error.code, error.message, error.sqlstate)
            except duckdb.Error as error:
                found = translate_error(error)
                return failure(found.code, found.message, found.sqlstate)
            except Exception as error:
                LOG.exception("query")
                return failure("000603", f"SQL execution internal error: {error}", "XX000")
            finally:
                context.bindings = []
            context.variables["$LAST_QUERY_ID"] = context.query_id
            return success({
                "parameters": [{"name": "TIMEZONE", "value": "Etc/UTC"}], "rowtype": result.row_type(), "rowset": rowset(result),
                "total": len(result.rows), "returned": len(result.rows), "queryId": context.query_id, "statementTypeId": result.type_id,
                "queryResultFormat": "json", "finalDatabaseName": context.database, "finalSchemaName": context.schema,
                "finalWarehouseName": context.warehouse, "finalRoleName": context.role, "stats": result.stats or {}})

    def end(self, token: str) -> dict[str, Any]:
        session = self._sessions.pop(token, None)
        if session is not None:
            with session.lock:
                session.context.session.close()
        return success(None)

    def alive(self, token: str) -> dict[str, Any]:
        return success(None) if token in self._sessions else failure("390104", "User must login again to access the service.")


def rowset(result: Result) -> list[list[str | None]]:
    """Rows as the connectors read them: as in the SQL API, but for booleans."""
    flags = {i for i, f in enumerate(result.fields) if f.type.kind == "BOOLEAN"}
    if not flags:
        return result.encoded()
    return [[("1" if v == "true" else "0") if v is not None and i in flags else v for i, v in enumerate(row)] for row in result.encoded()]


def success(data: Any) -> dict[str, Any]:
    return {"data": data, "code": None, "message": None, "success": True}


def failure(code: str, message: str, sqlstate: str | None = None) -> dict[str, Any]:
    return {"data": {"errorCode": code, "sqlState": sqlstate}, "code": code, "message": message, "success": False, "headers": None}
