#!/usr/bin/env python3
"""Judges what `pipectl render` wrote with tools that pipectl did not write.

cfn-lint judges each template: no error, and no warning but those a template's own Metadata names. sqlfluff judges each
statement: nothing that its Snowflake dialect cannot parse. Bodies of tasks and procedures are judged as bare blocks, since
sqlfluff takes them for opaque text where they stand.

Usage: judge.py DIR      (holds cloudformation/*.yaml and snowflake/*.sql; exit 1 when there is a finding)
"""

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from sql_text import Piece, pieces

# What is right in Snowflake and unknown to sqlfluff 4.5.0: a pattern, what is judged in its place, and the reason.
# Snowflake's documentation is the authority; each entry cites it.
EXCEPTIONS: list[tuple[re.Pattern[str], str, str]] = [
    (
        re.compile(r"\bSTORAGE_AWS_EXTERNAL_ID\s*=\s*'(?:[^']|'')*'"),
        "",
        "option of storage integrations, https://docs.snowflake.com/en/sql-reference/sql/create-storage-integration",
    ),
]


class Finding(NamedTuple):
    """What a judge objects to, and where."""

    file: Path
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


def start_cfn_lint(templates: list[Path]) -> subprocess.Popen[str]:
    """Starts cfn-lint on all templates; it works beside sqlfluff."""
    program = Path(sys.executable).with_name("cfn-lint")  # of the same virtual environment
    command = [str(program), "--format", "parseable", "--", *map(str, templates)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def cfn_lint_findings(process: subprocess.Popen[str]) -> Iterator[Finding]:
    """Yields what cfn-lint printed as file:line:column:line:column:rule:message."""
    output, _ = process.communicate()
    for line in output.splitlines():
        match = re.match(r"(.+?):(\d+):\d+:\d+:\d+:(\w+):(.*)", line)
        if match is None:
            raise RuntimeError(f"cfn-lint failed:\n{output}")
        yield Finding(Path(match[1]), int(match[2]), f"cfn-lint {match[3]}: {match[4]}")
    if process.returncode and not output.strip():
        raise RuntimeError(f"cfn-lint ended with {process.returncode}")


def without_exceptions(sql: str) -> str:
    """Replaces what sqlfluff cannot know, and keeps the number of lines."""
    for pattern, replacement, _ in EXCEPTIONS:
        sql = pattern.sub(lambda match: replacement + "\n" * match[0].count("\n"), sql)
    return sql


def sqlfluff_findings(file: Path, statements: list[Piece]) -> Iterator[Finding]:
    """Yields what sqlfluff cannot parse."""
    from sqlfluff.core import FluffConfig, Linter  # imported here: it takes a while, in which cfn-lint already works

    linter = Linter(config=FluffConfig(overrides={"dialect": "snowflake", "templater": "raw"}))
    for piece in statements:
        parsed = linter.parse_string(without_exceptions(piece.sql), fname=str(file))
        for violation in parsed.violations:
            # Its message counts lines from the statement's start; the finding tells the file's.
            message = re.sub(r"^Line \d+, Position \d+: ", "", violation.desc())
            yield Finding(file, piece.line + violation.line_no - 1, f"sqlfluff {violation.rule_code()}: {message}")


def judge(folder: Path) -> list[Finding]:
    """Gives every finding in a rendered folder."""
    templates = sorted((folder / "cloudformation").glob("*.yaml"))
    scripts = sorted((folder / "snowflake").glob("*.sql"))
    if not templates and not scripts:
        raise SystemExit(f"{folder} holds no cloudformation/*.yaml and no snowflake/*.sql")
    process = start_cfn_lint(templates) if templates else None
    count = 0
    findings: list[Finding] = []
    for script in scripts:
        statements = list(pieces(script.read_text(encoding="utf-8")))
        count += len(statements)
        findings += sqlfluff_findings(script, statements)
    if process is not None:
        findings += cfn_lint_findings(process)
    print(f"judged {len(templates)} templates and {count} SQL statements and bodies in {len(scripts)} files", end=": ")
    return findings


def main() -> int:
    parser = argparse.ArgumentParser(description="Judges rendered templates and SQL.")
    parser.add_argument("folder", type=Path, metavar="DIR")
    started = time.monotonic()
    findings = judge(parser.parse_args().folder)
    print(f"{len(findings)} findings, {time.monotonic() - started:.1f} s")
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
