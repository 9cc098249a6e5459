#!/usr/bin/env python3
"""How far a first deploy is from the fastest that the clouds allow, and how many calls a diff without a difference makes.

Usage: deploys.py [--target DIR] [--scale SECONDS] [--tables N …] [--timeline]
"""

import argparse
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from clouds import CriticalPath, Latencies, Rendered
from pipelines import ROOT, examples, generated
from simulated_cloud import SimulatedCloud

MOST = 1.05
# Statements that pipectl sends at once (`AT_ONCE` of src/apply/mod.rs).
AT_ONCE = 64
# What a statement takes of the local Snowflake itself, in seconds, on one slow core. As many as are sent at once must not
# take it longer than their latency.
OF_THE_LOCAL_CLOUD = 0.03
MOST_MEMORY = 64
MOST_RENDER = 200
MOST_PLAN = 150
MANY_TABLES = 1000
MEGABYTE = 1e6
# Bytes that ru_maxrss counts in.
UNIT = 1 if sys.platform == "darwin" else 1024


def told(what: str, measured: float, unit: str, target: float) -> None:
    """One line of the report."""
    verdict = "ok" if measured <= target else "OVER"
    print(f"  {what}: {measured:.3g} {unit} (target {target:g} {unit}: {verdict})")


@dataclass
class Run:
    """One command: how long it took, and the peak of its memory."""

    seconds: float
    peak: int
    output: str


class Bench:
    def __init__(self, pipectl: Path, folder: Path, timeline: bool = False) -> None:
        self.pipectl, self.folder, self.timeline, self.scale = pipectl, folder, timeline, 1.0
        self.latencies = Latencies()
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "SNOWFLAKE_", "PIPECTL_"))}
        # The zip of the runtime is no part of what is measured: any program of this machine stands for it.
        self.environment = kept | {"PIPECTL_RUNTIME": shutil.which("true") or sys.executable}

    def show(self, timeline: list[tuple[float, float, str]]) -> None:
        """Every call of a deploy, from when to when in simulated seconds."""
        zero = min(began for began, _, _ in timeline)
        for began, ended, what in sorted(timeline):
            print(f"  {(began - zero) / self.scale:7.2f} {(ended - zero) / self.scale:7.2f}  {what}")

    def run(self, directory: Path, *arguments: str, codes: tuple[int, ...] = (0,)) -> Run:
        """Runs pipectl against the cloud of a folder. wait4 tells of this one child only."""
        out, err = self.folder / "out", self.folder / "err"
        actions = [(os.POSIX_SPAWN_OPEN, fd, str(path), os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
                   for fd, path in ((1, out), (2, err))]
        environment = self.environment | {"PIPECTL_LOCAL_DIR": str(directory)}
        started = time.perf_counter()
        child = os.posix_spawn(self.pipectl, [str(self.pipectl), *arguments], environment, file_actions=actions)
        _, status, usage = os.wait4(child, 0)
        seconds = time.perf_counter() - started
        if os.waitstatus_to_exitcode(status) not in codes:
            sys.exit(f"bench: pipectl {' '.join(arguments)} failed\n{out.read_text()[-3000:]}\n{err.read_text()[-3000:]}")
        return Run(seconds, usage.ru_maxrss * UNIT, out.read_text() + err.read_text())

    def trivial(self) -> float:
        """Seconds of a process that does nothing: how fast the machine is now."""
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        return time.perf_counter() - started

    def many(self, deploys: bool) -> None:
        """Time and memory of the command line with many tables; the targets are those of a release build."""
        file = self.folder / f"{MANY_TABLES}.toml"
        file.write_text(generated(MANY_TABLES))
        common = ("-f", str(file), "--env", "local")
        runs = [self.run(self.folder, *common, "render", "-o", str(self.folder / "many")) for _ in range(5)]
        trivial = sorted(self.trivial() for _ in range(5))[2]
        print(f"{MANY_TABLES} tables; `python3 -c pass` took {trivial * 1e3:.0f} ms beside them:")
        told("render, wall time", sorted(run.seconds for run in runs)[2] * 1e3, "ms", MOST_RENDER)
        told("render, peak memory", max(run.peak for run in runs) / MEGABYTE, "MB", MOST_MEMORY)
        if not deploys:
            return
        # Straight onto the local cloud: memory does not follow its latencies.
        cloud = self.folder / "many-cloud"
        self.run(cloud, *common, "local", "up")
        try:
            deploy = self.run(cloud, *common, "deploy", "--yes")
            diffs = [self.run(cloud, *common, "-v", "diff") for _ in range(3)]
        finally:
            self.run(cloud, "local", "down")
        plans = sorted(int(re.search(r"plan made in (\d+) ms", diff.output)[1]) for diff in diffs)
        told("diff, plan after the reads", plans[1], "ms", MOST_PLAN)
        told("diff, peak memory", max(diff.peak for diff in diffs) / MEGABYTE, "MB", MOST_MEMORY)
        told("deploy, peak memory", deploy.peak / MEGABYTE, "MB", MOST_MEMORY)

    def measure(self, name: str, file: Path, scale: float) -> int:
        """Deploys and compares one pipeline; how many calls a diff without a difference makes."""
        own, folder = self.folder / name / "cloud", self.folder / name
        self.scale = scale
        # pipectl's own half a second.
        self.environment["PIPECTL_POLL_SECONDS"] = str(scale / 2)
        folder.mkdir()
        rendered = self.run(own, "-f", str(file), "--env", "local", "render", "-o", str(folder / "rendered"))
        path = CriticalPath(Rendered(folder / "rendered"), self.latencies)
        (longest, chain), shortest = path.length(), path.bounded(AT_ONCE)
        self.run(own, "local", "up")
        cloud = None
        try:
            state = json.loads((own / "cloud.json").read_text())
            cloud = SimulatedCloud(state["aws_url"], state["snowflake_url"], self.latencies, self.scale)
            state |= {"aws_url": cloud.aws_url, "snowflake_url": cloud.snowflake_url}
            (folder / "cloud.json").write_text(json.dumps(state))
            deploy = self.run(folder, "-f", str(file), "--env", "local", "-v", "deploy", "--yes")
            made, late = cloud.count(), cloud.late
            cloud.late = []
            if self.timeline:
                self.show(cloud.timeline)
            took = deploy.seconds / scale
            ratio = took / shortest
            print(f"{name}, 1 simulated second is {scale:g} s: deploy {took:.1f} s simulated; critical path {longest:.1f} s, "
                  f"{shortest:.1f} s with at most {AT_ONCE} statements at once")
            print(f"  {' → '.join(chain)}")
            told("deploy ÷ critical path", ratio, "x", MOST)
            print(f"  {sum(made.values())} calls, {made['snowflake statement']} of them statements; the local cloud itself was "
                  f"late for {len(late)}, at most {max(late, default=0) / scale:.1f} s simulated")
            diff = self.run(folder, "-f", str(file), "--env", "local", "diff", codes=(0, 2))
            asked = cloud.count()
            print(f"  diff: {diff.output.strip().splitlines()[0] if diff.output.strip() else ''} "
                  f"{sum(asked.values())} calls: {dict(sorted(asked.items()))}")
            # A child starts with the peak of the process that made it.
            floor = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT / MEGABYTE
            print(f"  smallest peak memory that can be seen here: {floor:.0f} MB")
            for command, run in (("render", rendered), ("deploy", deploy), ("diff", diff)):
                told(f"{command}, peak memory", run.peak / MEGABYTE, "MB", MOST_MEMORY)
            sys.stdout.flush()
            return sum(asked.values())
        finally:
            if cloud:
                cloud.close()
            self.run(own, "local", "down")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", type=Path, default=ROOT / "target", help="cargo's target folder")
    parser.add_argument("--scale", type=float, default=0.25, help="real seconds of a simulated one (default 0.25); more where many statements are sent at once")
    parser.add_argument("--tables", type=int, nargs="*", default=[1, 200], help="generated pipelines (default 1 200)")
    parser.add_argument("--no-examples", action="store_true", help="generated pipelines only")
    parser.add_argument("--no-many", action="store_true", help=f"do not deploy {MANY_TABLES} tables, which takes minutes")
    parser.add_argument("--timeline", action="store_true", help="print every call of each deploy")
    arguments = parser.parse_args()
    builds = [arguments.target / profile / "pipectl" for profile in ("release", "debug")]
    pipectl = next((path for path in builds if path.is_file()), None)
    if pipectl is None:
        sys.exit(f"bench: there is no {builds[-1]}; run `make build` first")
    print(f"{pipectl.parent.name} build, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory(prefix="pipectl-bench-") as name:
        folder = Path(name)
        bench = Bench(pipectl.resolve(), folder, arguments.timeline)
        bench.many(not arguments.no_many)
        for label, file in {} if arguments.no_examples else examples().items():
            bench.measure(label, file, arguments.scale)
        calls = {}
        for tables in arguments.tables:
            file = folder / f"{tables}.toml"
            file.write_text(generated(tables))
            scale = max(arguments.scale, OF_THE_LOCAL_CLOUD * min(AT_ONCE, tables * 6))
            calls[tables] = bench.measure(f"{tables} tables", file, scale)
        if calls:
            print(f"calls of a diff without a difference, by tables: {calls} (target: equal)")


if __name__ == "__main__":
    main()
