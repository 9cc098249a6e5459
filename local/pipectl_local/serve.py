# SPDX-License-Identifier: Apache-2.0
"""Start both parts, say where they are in DIR/cloud.json, and stop them together."""
from __future__ import annotations

import fcntl
import gc
import json
import logging
import logging.handlers
import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

from .aws import ACCOUNT, ROOT_SECRET, Aws
from .process import free_port, write_private

LOG = logging.getLogger("snowflake")
LOG_BYTES = 10 * 1024 * 1024
WATCH_SECONDS = 0.5
ALREADY_RUNNING = 3
GARBAGE_OBJECTS = 20_000


def log_to(path: Path) -> None:
    handler = logging.handlers.RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=1)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s [%(name)s] %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    LOG.setLevel(logging.INFO)


def serve(directory: Path, auth: bool, region: str, time_scale: float) -> int:
    """Runs until SIGTERM, or until the AWS part dies."""
    directory = directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    os.chmod(directory, 0o700)
    lock = open(directory / "cloud.lock", "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        print(f"another local cloud runs in {directory}", file=sys.stderr)
        return ALREADY_RUNNING
    state = directory / "cloud.json"
    state.unlink(missing_ok=True)
    shutil.rmtree(directory / "tmp", ignore_errors=True)
    stopping = threading.Event()
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(signum, lambda *_: stopping.set())
    began = time.monotonic()
    log_to(directory / "snowflake.log")
    snowflake_port = free_port()
    aws = Aws(directory, free_port(), region, auth, time_scale, snowflake_port)
    aws.start()
    try:
        return _serve(directory, state, aws, snowflake_port, region, auth, time_scale, stopping, began)
    finally:
        state.unlink(missing_ok=True)
        aws.stop()
        shutil.rmtree(directory / "tmp", ignore_errors=True)


def package() -> str:
    """The folder that this package was unpacked to, which is named by its content."""
    return Path(__file__).resolve().parent.parent.name


def seldom_collected() -> None:
    """What is there now stays. The trees of a statement are many objects and no garbage: at Python's own threshold, a
    tenth of the time went into looking through them."""
    gc.freeze()
    gc.set_threshold(GARBAGE_OBJECTS, 20, 50)


def _serve(directory: Path, state: Path, aws: Aws, port: int, region: str, auth: bool, time_scale: float, stopping: threading.Event,
           began: float) -> int:
    # Imported while ministack starts.
    from . import jwt_auth
    from .catalog import User
    from .cloud import ROLE, USER, Cloud
    from .http_server import Server
    from .translate import fakesnow_transforms

    key_path = directory / "snowflake_key.p8"
    key = jwt_auth.load_or_make_key(key_path)
    user = User(USER, owner="ACCOUNTADMIN", default_role=ROLE, public_key=key.public_key(), fingerprint=jwt_auth.fingerprint(key.public_key()))
    cloud = Cloud(aws, user, time_scale)
    server = Server(port, cloud)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.5}, name="http", daemon=True).start()
    fakesnow_transforms()
    aws.wait()
    cloud.start()
    seldom_collected()
    about = json.dumps({
        "version": 1, "package": package(), "pid": os.getpid(), "aws_url": aws.url, "snowflake_url": f"http://127.0.0.1:{server.server_address[1]}",
        "account": ACCOUNT, "region": region, "auth": auth, "aws_access_key_id": ACCOUNT, "aws_secret_access_key": ROOT_SECRET,
        "snowflake_account": cloud.account.name, "snowflake_user": USER, "snowflake_role": ROLE, "snowflake_private_key_path": str(key_path),
        "time_scale": time_scale,
    }, indent=1).encode()
    write_private(state, about)
    LOG.info("ready after %.2f s", time.monotonic() - began)
    code = 0
    while not stopping.wait(WATCH_SECONDS):
        if not aws.alive():
            LOG.error("ministack ended; see aws.log")
            code = 1
            break
        if not state.exists():
            # Whoever removed it could start no other cloud here, and find this one no more.
            write_private(state, about)
    cloud.stop()
    return code
