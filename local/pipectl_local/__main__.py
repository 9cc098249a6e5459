# SPDX-License-Identifier: Apache-2.0
"""`python -m pipectl_local serve --dir DIR`"""
from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(prog="pipectl_local", description="The local cloud of pipectl")
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="run until SIGTERM; DIR/cloud.json says where")
    serve.add_argument("--dir", type=Path, required=True, help="for cloud.json, the key, logs and temporary files")
    serve.add_argument("--auth", action="store_true", help="enforce IAM (ministack AUTH=true)")
    serve.add_argument("--region", default="eu-west-1")
    serve.add_argument("--time-scale", type=float, default=60.0, help="how much faster task schedules run (default 60: a minute is a second)")
    arguments = parser.parse_args()
    if arguments.time_scale <= 0:
        parser.error("--time-scale must be positive")
    from .serve import serve as run

    code = run(arguments.dir, arguments.auth, arguments.region, arguments.time_scale)
    sys.stdout.flush()
    # Daemon threads may wait on a queue or in DuckDB; nothing of theirs has to be kept.
    os._exit(code)


if __name__ == "__main__":
    main()
