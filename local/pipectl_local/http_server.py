# SPDX-License-Identifier: Apache-2.0
"""One HTTP server with two faces: the SQL API and the connectors' protocol. Loopback only."""
from __future__ import annotations

import gzip
import json
import logging
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from .connector import Connector
from .jwt_auth import Refused, verify
from .sql_api import Answer, SqlApi
from .workload import verify as verify_workload

if TYPE_CHECKING:
    from .cloud import Cloud

LOG = logging.getLogger("snowflake.http")
STATEMENTS = "/api/v2/statements"
MAX_BODY = 64 * 1024 * 1024
COMPRESS_BYTES = 4096


class Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 1024

    def __init__(self, port: int, cloud: "Cloud") -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.cloud = cloud
        self.api = SqlApi(cloud)
        self.connector = Connector(cloud)

    def handle_error(self, request: Any, client_address: Any) -> None:
        LOG.debug("connection of %s ended", client_address, exc_info=True)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        LOG.debug(format, *args)

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def _serve(self, method: str) -> None:
        url = urllib.parse.urlsplit(self.path)
        query = {k: v[-1] for k, v in urllib.parse.parse_qs(url.query).items()}
        try:
            body = self._body()
            answer = self._route(method, url.path.rstrip("/"), query, body)
        except Refused as error:
            answer = Answer(401, {"code": error.code, "message": str(error), "data": None, "success": False, "headers": None})
        except (ValueError, UnicodeDecodeError) as error:
            answer = Answer(400, {"code": "390142", "message": f"Incoming request does not contain a valid payload: {error}"})
        except Exception:
            LOG.exception("%s %s", method, self.path)
            answer = Answer(500, {"code": "000603", "message": "internal error, see snowflake.log"})
        self._send(answer)

    def _body(self) -> dict[str, Any]:
        length = int(self.headers.get("Content-Length") or 0)
        if length > MAX_BODY:
            raise ValueError("too large")
        raw = self.rfile.read(length)
        if self.headers.get("Content-Encoding", "").lower() == "gzip":
            raw = gzip.decompress(raw)
        found = json.loads(raw) if raw.strip() else {}
        if not isinstance(found, dict):
            raise ValueError("not an object")
        return found

    def _route(self, method: str, path: str, query: dict[str, str], body: dict[str, Any]) -> Answer:
        if path == STATEMENTS and method == "POST":
            return self.server.api.submit(self._user(), query, body)
        if path.startswith(STATEMENTS + "/"):
            parts = path.removeprefix(STATEMENTS + "/").split("/")
            if len(parts) == 1 and method == "GET":
                return self.server.api.get(self._user(), parts[0], query)
            if len(parts) == 2 and parts[1] == "cancel" and method == "POST":
                return self.server.api.cancel(self._user(), parts[0])
        connector = self.server.connector
        if method == "POST" and path == "/session/v1/login-request":
            return Answer(200, connector.login(query, body))
        if method == "POST" and path == "/queries/v1/query-request":
            return Answer(200, connector.query(self._token(), body))
        if path == "/session":
            return Answer(200, connector.end(self._token()) if query.get("delete") else connector.alive(self._token()))
        if path == "/session/heartbeat":
            return Answer(200, connector.alive(self._token()))
        if path in ("/queries/v1/abort-request", "/telemetry/send"):
            return Answer(200, {"data": None, "success": True, "code": None, "message": None})
        if path == "/_pipectl/ready":
            return Answer(200, {"ready": True})
        return Answer(404, {"code": "390404", "message": f"{method} {path} is not part of the local cloud."})

    def _user(self) -> str:
        """The user of a SQL API request, proven by its token."""
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Refused("390101", "Authorization header not found in the request data.")
        kind = self.headers.get("X-Snowflake-Authorization-Token-Type", "KEYPAIR_JWT")
        account = self.server.cloud.account
        if kind == "KEYPAIR_JWT":
            return verify(token.strip(), account.name, account.users).name
        if kind == "WORKLOAD_IDENTITY_FEDERATION":
            return verify_workload(token.strip(), self.server.cloud.aws.token_key, account.users).name
        raise Refused("390303", f"Invalid authorization token type {kind}: the local cloud knows KEYPAIR_JWT and WORKLOAD_IDENTITY_FEDERATION.")

    def _token(self) -> str:
        return self.headers.get("Authorization", "").removeprefix('Snowflake Token="').removesuffix('"')

    def _send(self, answer: Answer) -> None:
        raw = json.dumps(answer.body).encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json")
        if len(raw) > COMPRESS_BYTES and "gzip" in self.headers.get("Accept-Encoding", ""):
            raw = gzip.compress(raw, 1)
            self.send_header("Content-Encoding", "gzip")
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)
