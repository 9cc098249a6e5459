"""What a function talks to, as far as a measurement needs it: Lambda's Runtime API, Secrets Manager, SSM and Kinesis.

Everything is answered at once and from memory, so that a measurement is of the function and of nothing else.
"""

import json
import re
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PARTITION_KEY = re.compile(rb'"PartitionKey"')


class LambdaCloud:
    """One function's surroundings: it is given one event, and its answer is kept with the time it came at."""

    def __init__(self, event: dict[str, Any], secret: dict[str, Any] | None = None, seconds: float = 600) -> None:
        self.event, self.secret, self.seconds = event, secret or {}, seconds
        self.records, self.requests = 0, 0
        self.answer: dict[str, Any] = {}
        self.answered = threading.Event()
        self.answered_at = 0.0
        self._given = False
        self._lock = threading.Lock()
        cloud = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Without it an answer waits for the acknowledgement of its header.
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                self._reply(*cloud._next())

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self._reply(*cloud._take(self.path, self.headers.get("X-Amz-Target", ""), body))

            def _reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
                self.send_response_only(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A function that was killed leaves its connections."""

        self._server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.address = f"127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def environment(self, handler: str) -> dict[str, str]:
        """What Lambda and pipectl set for the function."""
        url = f"http://{self.address}"
        return {
            "_HANDLER": handler, "AWS_LAMBDA_RUNTIME_API": self.address, "AWS_LAMBDA_FUNCTION_NAME": handler,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256", "AWS_LAMBDA_FUNCTION_VERSION": "1", "AWS_REGION": "eu-west-1",
            "AWS_ACCESS_KEY_ID": "000000000000", "AWS_SECRET_ACCESS_KEY": "test", "AWS_ENDPOINT_URL": url,
            "PIPECTL_DATABASE_SECRET": "database", "PIPECTL_DATABASE_TLS": "off", "PIPECTL_WATERMARKS": "/bench/",
            "PIPECTL_STREAM": "arn:aws:kinesis:eu-west-1:000000000000:stream/bench",
            "PIPECTL_RAW_BUCKET": "raw", "PIPECTL_CURATED_BUCKET": "curated",
        }

    def _next(self) -> tuple[int, dict[str, str], bytes]:
        with self._lock:
            first, self._given = not self._given, True
        if not first:
            # Lambda freezes the function here.
            time.sleep(3600)
        deadline = int((time.time() + self.seconds) * 1000)
        arn = "arn:aws:lambda:eu-west-1:000000000000:function:bench"
        headers = {"Lambda-Runtime-Aws-Request-Id": "1", "Lambda-Runtime-Deadline-Ms": str(deadline),
                   "Lambda-Runtime-Invoked-Function-Arn": arn, "Content-Type": "application/json"}
        return 200, headers, json.dumps(self.event).encode()

    def _take(self, path: str, target: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        headers = {"Content-Type": "application/x-amz-json-1.1"}
        if path.startswith("/2018-06-01/runtime/"):
            self.answered_at = time.perf_counter()
            self.answer = {"path": path.rsplit("/", 1)[-1], "body": json.loads(body or b"null")}
            self.answered.set()
            return 202, headers, b"{}"
        action = target.rsplit(".", 1)[-1]
        if action == "GetSecretValue":
            return 200, headers, json.dumps({"SecretString": json.dumps(self.secret)}).encode()
        if action == "GetParameter":
            return 400, headers, b'{"__type": "ParameterNotFound"}'
        if action == "PutParameter":
            return 200, headers, b'{"Version": 1}'
        if action == "PutRecords":
            count = len(PARTITION_KEY.findall(body))
            with self._lock:
                self.records += count
                self.requests += 1
            record = b'{"SequenceNumber": "1", "ShardId": "shardId-000000000000"}'
            return 200, headers, b'{"FailedRecordCount": 0, "Records": [%s]}' % b",".join([record] * count)
        return 400, headers, json.dumps({"__type": "InvalidAction", "message": action}).encode()


def first_answer(command: list[str], environment: dict[str, str], cloud: LambdaCloud) -> tuple[float, int]:
    """Starts a function; seconds until its first answer, and the most memory that it had until then, in bytes (Linux)."""
    started = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        if not cloud.answered.wait(cloud.seconds):
            raise TimeoutError(f"{command[0]} does not answer")
        return cloud.answered_at - started, _peak(process.pid)
    finally:
        process.kill()
        process.wait()


def _peak(pid: int) -> int:
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return 0
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
    return int(found[1]) * 1024 if found else 0
