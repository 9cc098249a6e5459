#!/usr/bin/env python3
"""Measures what pipectl promises about speed, on this machine, in one run.

render   the example, as a whole process: wall time and peak memory, beside `python3 -c pass`
deploy   --env local on a local cloud that is up, onto nothing; then the same again, which changes nothing; then diff
rows     from the end of a put to the row in the typed table
demo     the times of the last `make demo`, when target/demo.log holds its output

The local cloud is one of its own, in a temporary folder; one that is up stays as it is.

Usage: bench.py [--target DIR] [--only PART ...] [--runs N]
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples" / "files" / "pipeline.toml"
TABLE = "CHINOOK_INVOICES_LOCAL.SHOP.INVOICE"
PARTS = ("render", "deploy", "rows", "demo")
MEGABYTE = 1 << 20

# Runs in the local cloud's own Python, which has boto3: puts one invoice and says when S3 had it.
PUT = """
import sys, time, boto3
bucket, number = sys.argv[1:]
client = boto3.client("s3")
record = ('{"InvoiceId": %s, "InvoiceDate": "2026-01-01T00:00:00", "Customer": {"CustomerId": 1}, "Total": 1.25}' % number)
client.put_object(Bucket=bucket, Key=f"invoices/bench-{number}.json", Body=record.encode())
print(time.time())
"""


@dataclass
class Line:
    """One line of the report. Without a target it says nothing about good or bad."""

    what: str
    measured: float
    unit: str
    target: float | None = None
    ratio: float | None = None

    def cells(self) -> list[str]:
        verdict = "" if self.target is None else "ok" if self.measured <= self.target else "OVER"
        target = "" if self.target is None else f"<= {self.target:g} {self.unit}"
        ratio = "" if self.ratio is None else f"{self.ratio:.2f} x"
        digits = 2 if self.unit == "s" else 1
        return [self.what, f"{self.measured:.{digits}f} {self.unit}", target, ratio, verdict]


@dataclass
class Cost:
    """What a process took."""

    seconds: float
    peak_bytes: int


def cost(command: list[str], environment: dict[str, str]) -> Cost:
    """Runs a command to its end. wait4 tells of this one child only."""
    silent = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]
    started = time.perf_counter()
    child = os.posix_spawnp(command[0], command, environment, file_actions=silent)
    _, status, usage = os.wait4(child, 0)
    seconds = time.perf_counter() - started
    if os.waitstatus_to_exitcode(status) != 0:
        sys.exit(f"bench: {' '.join(command)} failed")
    return Cost(seconds, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024))


def median_cost(command: list[str], environment: dict[str, str], runs: int) -> Cost:
    cost(command, environment)  # the first one reads the program from disk
    costs = [cost(command, environment) for _ in range(runs)]
    return Cost(statistics.median(c.seconds for c in costs), int(statistics.median(c.peak_bytes for c in costs)))


class Bench:
    """The programs of one build, and a local cloud of its own."""

    def __init__(self, target: Path, folder: Path, runs: int) -> None:
        self.target = target
        self.folder = folder
        self.runs = runs
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "SNOWFLAKE_", "PIPECTL_"))}
        self.environment = kept | {"PIPECTL_LOCAL_DIR": str(folder / "local")}
        self.profile = next((name for name in ("release", "debug") if self.program(name).is_file()), None)
        if self.profile is None:
            sys.exit(f"bench: there is no {self.program('debug')}; run `make build` first")

    def program(self, profile: str) -> Path:
        return self.target / profile / "pipectl"

    def pipectl(self, *arguments: str) -> str:
        command = [str(self.program(self.profile or "")), *arguments]
        ended = subprocess.run(command, env=self.environment, cwd=self.folder, capture_output=True, text=True)
        if ended.returncode != 0:
            sys.exit(f"bench: {' '.join(command)} failed with {ended.returncode}\n{ended.stdout}{ended.stderr}")
        return ended.stdout

    def timed(self, *arguments: str) -> float:
        started = time.perf_counter()
        self.pipectl(*arguments)
        return time.perf_counter() - started

    def example(self, *arguments: str) -> list[str]:
        return [*arguments, "--env", "local", "--file", str(EXAMPLE)]

    # -- the parts

    def render(self) -> list[Line]:
        """The targets are those of a release build; a debug build stands beside it for comparison."""
        nothing = median_cost([sys.executable, "-c", "pass"], self.environment, self.runs)
        # A child starts with the peak of the process that made it, so a smaller one cannot be seen.
        floor = median_cost(["true"], self.environment, self.runs)
        lines = [
            Line("python3 -c pass: wall time", nothing.seconds * 1e3, "ms"),
            Line("smallest peak memory that can be seen here", floor.peak_bytes / MEGABYTE, "MB"),
        ]
        for profile in ("release", "debug"):
            program = self.program(profile)
            if not program.is_file():
                continue
            command = [str(program), "render", "--file", str(EXAMPLE), "--output", str(self.folder / profile)]
            spent = median_cost(command, self.environment, self.runs)
            aims = (15.0, 30.0) if profile == "release" else (None, None)
            ratio = spent.seconds / nothing.seconds
            lines.append(Line(f"render, {profile} build: wall time", spent.seconds * 1e3, "ms", aims[0], ratio))
            lines.append(Line(f"render, {profile} build: peak memory", spent.peak_bytes / MEGABYTE, "MB", aims[1]))
        return lines

    def deploy(self) -> list[Line]:
        up = self.timed("local", "up")
        first = []
        for _ in range(3):
            first.append(self.timed(*self.example("deploy", "--yes")))
            self.pipectl(*self.example("destroy", "--yes", "--delete-data"))
        self.pipectl(*self.example("deploy", "--yes"))
        again = statistics.median(self.timed(*self.example("deploy", "--yes")) for _ in range(3))
        difference = statistics.median(self.timed(*self.example("diff")) for _ in range(3))
        return [
            Line("local up, its Python environment made before", up, "s"),
            Line("deploy onto nothing, median of 3", statistics.median(first), "s", 10.0),
            Line("deploy that changes nothing, median of 3", again, "s"),
            Line("diff without a difference, median of 3", difference, "s"),
        ]

    def rows(self) -> list[Line]:
        self.pipectl(*self.example("deploy", "--yes"))
        cloud = json.loads(self.pipectl("local", "env", "--format", "json"))
        bucket = f"chinook-invoices-local-raw-000000000000-{cloud['AWS_REGION']}"
        waits = [self.wait_for_row(cloud, bucket, 900_000 + n) for n in range(5)]
        return [
            Line("put to row in the typed table, median of 5", statistics.median(waits), "s", 5.0),
            Line("put to row in the typed table, slowest of 5", max(waits), "s"),
        ]

    def wait_for_row(self, cloud: dict[str, str], bucket: str, number: int) -> float:
        command = [cloud["PIPECTL_LOCAL_PYTHON"], "-c", PUT, bucket, str(number)]
        put = float(subprocess.run(command, env=self.environment | cloud, check=True, capture_output=True, text=True).stdout)
        question = f"select count(*) from {TABLE} where INVOICE_ID = {number}"
        while time.time() < put + 60:
            answer = json.loads(self.pipectl("local", "sql", "--format", "json", question))
            if answer["rows"][0][0] == "1":
                return time.time() - put
            time.sleep(0.05)
        sys.exit(f"bench: invoice {number} did not arrive within a minute")

    def demo(self) -> list[Line]:
        log = self.target / "demo.log"
        if not log.is_file():
            print(f"(no {log}: `make demo | tee {log}` makes one)")
            return []
        # `  demo: first deploy        9.8 s`, after the line that says what follows.
        _, _, times = log.read_text().partition("It took:")
        found = re.findall(r"^\s*(\S.*?)\s+([\d.]+) s\s*$", times, re.MULTILINE)
        return [Line(f"make demo: {name.removeprefix('demo: ')}", float(seconds), "s") for name, seconds in found]


def table(lines: list[Line]) -> str:
    rows = [["what", "measured", "target", "to python3", ""], *(line.cells() for line in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return "\n".join(
        "  ".join(cell.ljust(width) if column in (0, 4) else cell.rjust(width) for column, (cell, width) in enumerate(zip(row, widths)))
        .rstrip()
        for row in rows
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures pipectl.")
    parser.add_argument("--target", type=Path, default=ROOT / "target", help="cargo's target folder")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--runs", type=int, default=20, help="runs of render (default 20)")
    arguments = parser.parse_args()
    lines: list[Line] = []
    with tempfile.TemporaryDirectory(prefix="pipectl-bench-") as name:
        bench = Bench(arguments.target.resolve(), Path(name), arguments.runs)
        print(f"deploy and rows are measured with the {bench.profile} build; {os.cpu_count()} cores, "
              f"load {os.getloadavg()[0]:.1f}")
        parts: dict[str, Callable[[], list[Line]]] = {part: getattr(bench, part) for part in PARTS}
        try:
            for part in arguments.only:
                lines += parts[part]()
        finally:
            bench.pipectl("local", "down")
    print(table(lines))


if __name__ == "__main__":
    main()
