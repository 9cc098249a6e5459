#!/usr/bin/env python3
"""Stands for the GitHub CLI: the calls that the workflow makes, on a folder instead of GitHub.

The folder (GH_FOLDER) has comments.json, pulls.json, runs.json and artifacts/RUN/NAME/. Its `--jq` is done by jq itself.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(os.environ["GH_FOLDER"])


def option(name: str) -> str | None:
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else None


def kept(name: str) -> list[dict[str, object]]:
    file = FOLDER / name
    return json.loads(file.read_text()) if file.is_file() else []


def answer(value: object) -> None:
    subprocess.run(["jq", "-r", option("--jq") or "."], input=json.dumps(value), text=True, check=True)


def api() -> None:
    path = next(word for word in sys.argv[2:] if word.startswith("repos/"))
    comments = kept("comments.json")
    field = option("--field")
    body = Path(field.removeprefix("body=@")).read_text() if field else None
    if body and len(body) > 65_536:
        sys.exit("HTTP 422: body is too long (maximum is 65536 characters)")
    if re.fullmatch(r"repos/o/r/commits/\w+/pulls", path):
        return answer(kept("pulls.json"))
    if option("--method") == "POST" and path == "repos/o/r/issues/7/comments":
        comments.append({"id": len(comments) + 1, "user": {"type": "Bot"}, "body": body})
    elif option("--method") == "PATCH" and (found := re.fullmatch(r"repos/o/r/issues/comments/(\d+)", path)):
        next(comment for comment in comments if comment["id"] == int(found[1]))["body"] = body
    elif path == "repos/o/r/issues/7/comments":
        return answer(comments)
    else:
        sys.exit(f"gh: unknown {sys.argv}")
    (FOLDER / "comments.json").write_text(json.dumps(comments))
    return None


def run_list() -> None:
    assert option("--workflow") == "pipectl.yml" and option("--status") == "success"
    found = [run for run in kept("runs.json") if run["headSha"] == option("--commit") and run["event"] == option("--event")]
    answer(found[: int(option("--limit") or 20)])


def run_download() -> None:
    source = FOLDER / "artifacts" / sys.argv[3] / (option("--name") or "")
    if not source.is_dir():
        sys.exit("no valid artifacts found to download")
    shutil.copytree(source, option("--dir") or ".", dirs_exist_ok=True)


match sys.argv[1:3]:
    case ["api", _]:
        api()
    case ["run", "list"]:
        run_list()
    case ["run", "download"]:
        run_download()
    case _:
        sys.exit(f"gh: unknown {sys.argv}")
