# SPDX-License-Identifier: Apache-2.0
"""Serve ministack with loopback standing in for TLS (child process of `serve`).

ministack decides `aws:SecureTransport` by the `x-forwarded-proto` header
(ministack/app.py, `pin_request_origin`). Templates that pipectl renders deny
whatever is not sent over TLS, and loopback is plain http: a request without the
header counts as https here, one that sends `x-forwarded-proto: http` stays plain,
so that a test can still prove the deny statement.
"""
from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

from . import aws_database, aws_reader, aws_stand_ins, simulation
from .process import die_with_parent, kill_group

FORWARDED_PROTO = b"x-forwarded-proto"


def as_tls(app: Any) -> Any:
    """Wrap an ASGI application: no `x-forwarded-proto` header means https."""

    async def wrapped(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            headers = scope.get("headers", [])
            if not any(name.lower() == FORWARDED_PROTO for name, _ in headers):
                scope = {**scope, "headers": [*headers, (FORWARDED_PROTO, b"https")]}
        await app(scope, receive, send)

    return wrapped


async def serve(bind: str) -> None:
    from hypercorn.asyncio import serve as hypercorn_serve
    from hypercorn.config import Config
    from ministack.app import app

    simulation.install()
    aws_stand_ins.install()
    config = Config()
    config.bind = [bind]
    config.keep_alive_timeout = 75
    config.loglevel = "WARNING"
    config.graceful_timeout = 0.5
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stopping.set)
    await hypercorn_serve(as_tls(app), config, shutdown_trigger=stopping.wait)


def main() -> None:
    die_with_parent()
    asyncio.run(serve(f"127.0.0.1:{os.environ['GATEWAY_PORT']}"))
    aws_reader.stop_all()
    aws_database.stop_all()
    # ministack's worker threads may still wait on Lambda processes; those are in this process group.
    sys.stdout.flush()
    if os.getpgid(0) == os.getpid():
        kill_group()
    os._exit(0)


if __name__ == "__main__":
    main()
