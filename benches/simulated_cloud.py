"""The local cloud with the latencies of the real ones, in a time that runs faster.

Stands between pipectl and the local cloud and passes everything on. Only the answers come later: a statement's after its
latency, and a stack is at work for as long as CloudFormation would be at work on the resources of its template. So every
check is the local cloud's own, and only time is simulated. It counts the calls that pass.
"""

import http.client
import json
import re
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import yaml
from clouds import Latencies, operation_seconds, resource_times

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}


class Answer:
    """What the local cloud answered."""

    def __init__(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body


class SimulatedCloud:
    """`scale` is how many real seconds a simulated one takes."""

    def __init__(self, aws_url: str, snowflake_url: str, latencies: Latencies, scale: float) -> None:
        self.latencies, self.scale = latencies, scale
        self.calls: Counter[str] = Counter()
        self.late: list[float] = []
        self._lock = threading.Lock()
        self._templates: dict[str, dict] = {}
        self._change_sets: dict[str, float] = {}
        self._stacks: dict[str, float] = {}
        self._resources: dict[str, dict[str, float]] = {}
        self._statements: dict[str, float] = {}
        self._servers = [self._serve(aws_url, self._aws), self._serve(snowflake_url, self._snowflake)]
        self.aws_url, self.snowflake_url = (f"http://127.0.0.1:{server.server_port}" for server in self._servers)

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def count(self) -> Counter[str]:
        """The calls since the last time."""
        with self._lock:
            counted, self.calls = self.calls, Counter()
        return counted

    def _serve(self, url: str, handle) -> ThreadingHTTPServer:
        upstream = urlsplit(url).netloc

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Without it an answer waits for the acknowledgement of its header.
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                self.connection_up = http.client.HTTPConnection(upstream, timeout=120)

            def do(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                answer = handle(self.command, self.path, dict(self.headers), body, self.forward)
                self.send_response_only(answer.status)
                for name, value in answer.headers:
                    if name.lower() not in HOP_BY_HOP:
                        self.send_header(name, value)
                if self.command != "HEAD":
                    self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer.body)

            do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do

            def forward(self, command: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
                for attempt in (1, 2):
                    try:
                        self.connection_up.request(command, path, body or None, headers)
                        answer = self.connection_up.getresponse()
                        return Answer(answer.status, answer.getheaders(), answer.read())
                    except (http.client.RemoteDisconnected, ConnectionError):
                        # A connection that was idle for too long; the request was not read.
                        self.connection_up.close()
                        if attempt == 2:
                            raise
                raise AssertionError("unreachable")

            def finish(self) -> None:
                super().finish()
                self.connection_up.close()

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    # -- AWS

    def _aws(self, command: str, path: str, headers: dict[str, str], body: bytes, forward) -> Answer:
        form = {}
        if "x-www-form-urlencoded" in {key.lower(): value for key, value in headers.items()}.get("content-type", ""):
            form = {key: values[0] for key, values in parse_qs(body.decode()).items()}
        action = form.get("Action") or next(
            (value.rsplit(".", 1)[-1] for key, value in headers.items() if key.lower() == "x-amz-target"), command)
        with self._lock:
            self.calls[f"aws {action}"] += 1
        arrived = time.monotonic()
        answer = forward(command, path, headers, body)
        stack = form.get("StackName", "")
        if answer.status == 200 and action == "CreateChangeSet":
            self._change_sets[form["ChangeSetName"]] = arrived + self.latencies.change_set * self.scale
            if "TemplateBody" in form:
                self._templates[stack] = yaml.safe_load(form["TemplateBody"])
        elif answer.status == 200 and action == "ExecuteChangeSet":
            template, latencies = self._templates[stack], self.latencies
            self._stacks[stack] = arrived + operation_seconds(template, latencies) * self.scale
            start = latencies.operation / 2
            self._resources[stack] = {name: arrived + complete * self.scale
                                      for name, (_, complete) in resource_times(template, latencies, start).items()}
        elif action == "DescribeChangeSet" and arrived < self._change_sets.get(form.get("ChangeSetName", ""), 0):
            answer.body = re.sub(rb"<Status>CREATE_COMPLETE</Status>", b"<Status>CREATE_IN_PROGRESS</Status>", answer.body)
        elif action == "DescribeStackEvents" and stack in self._stacks:
            answer.body = self._told(stack, answer.body, arrived)
        elif action == "DescribeStacks" and arrived < self._stacks.get(stack, 0):
            answer.body = re.sub(rb"<StackStatus>(CREATE|UPDATE)_COMPLETE</", rb"<StackStatus>\1_IN_PROGRESS</", answer.body)
        return answer

    def _told(self, stack: str, body: bytes, now: float) -> bytes:
        """The events without those of resources, and of the stack itself, that are not complete yet."""
        due = self._resources[stack] | {stack: self._stacks[stack]}

        def kept(event: re.Match[bytes]) -> bytes:
            name = re.search(rb"<LogicalResourceId>(.*?)</", event[0])
            complete = re.search(rb"<ResourceStatus>\w+_COMPLETE</", event[0])
            return b"" if name and complete and now < due.get(name[1].decode(), 0) else event[0]

        return re.sub(rb"<member>.*?</member>", kept, body, flags=re.DOTALL)

    # -- Snowflake

    def _snowflake(self, command: str, path: str, headers: dict[str, str], body: bytes, forward) -> Answer:
        arrived = time.monotonic()
        due = arrived + self.latencies.statement * self.scale
        parts = urlsplit(path)
        handle = parts.path.removeprefix("/api/v2/statements").strip("/")
        if command == "GET" and arrived < self._statements.get(handle, 0):
            pending = {"code": "333334", "message": "Asynchronous execution in progress.", "statementHandle": handle,
                       "statementStatusUrl": parts.path}
            return Answer(202, [("Content-Type", "application/json")], json.dumps(pending).encode())
        answer = forward(command, path, headers, body)
        if command == "POST" and not handle:
            with self._lock:
                self.calls["snowflake statement"] += 1
            if parse_qs(parts.query).get("async") == ["true"]:
                self._statements[json.loads(answer.body)["statementHandle"]] = due
                return answer
            left = due - time.monotonic()
            if left > 0:
                time.sleep(left)
            else:
                self.late.append(-left)
        return answer
