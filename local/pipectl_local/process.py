# SPDX-License-Identifier: Apache-2.0
"""Process plumbing: free ports, children that die with their parent, atomic private files."""
from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1
PARENT_POLL_SECONDS = 1.0


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def die_with_parent() -> None:
    """End this process, and its process group, when the parent ends without saying so."""
    parent = os.getppid()
    if sys.platform == "linux":
        # The kernel's signal follows the thread that forked: the supervisor forks from its main thread.
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_POLL_SECONDS)
        kill_group()

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def kill_group() -> None:
    """Kill the own process group, so that Lambda processes go as well."""
    os.killpg(os.getpgid(0), signal.SIGKILL)


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner reads, all at once."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as handle:
        handle.write(content)
    os.replace(temporary, path)
