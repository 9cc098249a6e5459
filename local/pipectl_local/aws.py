# SPDX-License-Identifier: Apache-2.0
"""The AWS part: the one place that knows ministack.

Starts it as a child process in a process group of its own (Lambda functions with runtime
`provided.*` are processes in that group), waits until it answers, and makes clients for it.
"""
from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import aws_clock, aws_identity_token

ACCOUNT = "000000000000"
# Under AUTH a 12-digit access key id is the root of that account; ministack compares the secret with `test`.
ROOT_SECRET = "test"
START_SECONDS = 30.0
# A database that stands in for RDS writes its pages before it ends.
STOP_SECONDS = 8.0


@dataclass(frozen=True)
class Credentials:
    access_key_id: str
    secret_access_key: str
    session_token: str | None = None


def child_environment(directory: Path, port: int, region: str, auth: bool, time_scale: float, snowflake_port: int) -> dict[str, str]:
    """ministack's settings; nothing but 127.0.0.1, no docker, temporary files under `directory`."""
    scratch = directory / "tmp"
    scratch.mkdir(mode=0o700, exist_ok=True)
    databases = directory / "databases"
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "MINISTACK_", "SNOWFLAKE_"))}
    return inherited | {
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "MINISTACK_REGION": region,
        "AUTH": "true" if auth else "false",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_DEFAULT_REGION": region,
        "AWS_EC2_METADATA_DISABLED": "true",
        "DOCKER_HOST": f"unix://{scratch}/no-docker.sock",
        "LAMBDA_EXECUTOR": "local",
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        "PERSIST_STATE": "0",
        "STATE_DIR": str(scratch / "state"),
        "S3_DATA_DIR": str(scratch / "s3"),
        "TMPDIR": str(scratch),
        "LOG_LEVEL": "INFO",
        aws_clock.VARIABLE: str(time_scale),
        # An asynchronous call is tried again after one and two minutes: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
        "LAMBDA_ASYNC_RETRY_BASE_SECONDS": str(60 / time_scale),
        "LAMBDA_ASYNC_RETRY_MAX_SECONDS": str(300 / time_scale),
        "PIPECTL_LOCAL_DATABASES": str(databases),
        # Functions inherit it, and trust the certificate of the databases that stand in for RDS.
        "PIPECTL_DATABASE_CA": str(databases / "ca.pem"),
        # Functions that speak to Snowflake find this one.
        "PIPECTL_SNOWFLAKE_URL": f"http://127.0.0.1:{snowflake_port}",
        aws_identity_token.VARIABLE: str(directory / "token_key.pem"),
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])),
    }


class Aws:
    """A running ministack."""

    def __init__(self, directory: Path, port: int, region: str, auth: bool, time_scale: float, snowflake_port: int) -> None:
        self.directory = directory
        self.region = region
        self.auth = auth
        self.url = f"http://127.0.0.1:{port}"
        self._environment = child_environment(directory, port, region, auth, time_scale, snowflake_port)
        self._process: subprocess.Popen[bytes] | None = None
        self._session: Any = None

    @property
    def token_key(self) -> Path:
        """What STS signs its tokens with."""
        return Path(self._environment[aws_identity_token.VARIABLE])

    def start(self) -> None:
        aws_identity_token.make_key(self.token_key)
        log = open(self.directory / "aws.log", "ab")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pipectl_local.aws_launcher"],
            env=self._environment, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            start_new_session=True, cwd=self.directory,
        )
        log.close()

    def wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if not self.alive():
                raise RuntimeError(f"ministack ended while starting; see {self.directory / 'aws.log'}")
            try:
                with urllib.request.urlopen(f"{self.url}/_ministack/health", timeout=2):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.02)
        raise RuntimeError(f"ministack did not answer within {START_SECONDS:.0f} s; see {self.directory / 'aws.log'}")

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """SIGTERM, then the whole process group: Lambda processes are in it."""
        if self._process is None:
            return
        group = self._process.pid
        try:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(group, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        self._process.wait()

    def client(self, service: str, credentials: Credentials) -> Any:
        """A botocore client of this cloud; slow to make the first time, so callers keep it."""
        import botocore.session
        from botocore.config import Config

        if self._session is None:
            self._session = botocore.session.get_session()
        return self._session.create_client(
            service, region_name=self.region, endpoint_url=self.url,
            aws_access_key_id=credentials.access_key_id,
            aws_secret_access_key=credentials.secret_access_key,
            aws_session_token=credentials.session_token,
            config=Config(
                retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=40,
                s3={"addressing_style": "path"}, request_checksum_calculation="when_required",
                proxies={}, parameter_validation=False,
            ),
        )

    @property
    def root(self) -> Credentials:
        return Credentials(ACCOUNT, ROOT_SECRET)
