#!/usr/bin/env python3
"""How far a first deploy is from the fastest that the clouds allow, and how many calls a diff without a difference makes.

Usage: deploys.py [--target DIR] [--scale SECONDS] [--tables N …]
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from clouds import CriticalPath, Latencies, Rendered
from pipelines import ROOT, examples, generated
from simulated_cloud import SimulatedCloud

MOST = 1.05
MEGABYTE = 1e6


@dataclass
class Run:
    """One command: how long it took, and the peak of its memory."""

    seconds: float
    peak: int
    output: str


class Bench:
    def __init__(self, pipectl: Path, folder: Path, scale: float) -> None:
        self.pipectl, self.folder, self.scale = pipectl, folder, scale
        self.latencies = Latencies()
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "SNOWFLAKE_", "PIPECTL_"))}
        # The zip of the runtime is no part of what is measured: any program of this machine stands for it.
        self.environment = kept | {"PIPECTL_RUNTIME": shutil.which("true") or sys.executable,
                                   "PIPECTL_POLL_SECONDS": str(scale)}

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
        return Run(seconds, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024), out.read_text() + err.read_text())

    def measure(self, name: str, file: Path) -> None:
        own, told = self.folder / name / "cloud", self.folder / name
        told.mkdir()
        rendered = self.run(own, "-f", str(file), "--env", "local", "render", "-o", str(told / "rendered"))
        shortest, chain = CriticalPath(Rendered(told / "rendered"), self.latencies).length()
        self.run(own, "local", "up")
        cloud = None
        try:
            state = json.loads((own / "cloud.json").read_text())
            cloud = SimulatedCloud(state["aws_url"], state["snowflake_url"], self.latencies, self.scale)
            state |= {"aws_url": cloud.aws_url, "snowflake_url": cloud.snowflake_url}
            (told / "cloud.json").write_text(json.dumps(state))
            deploy = self.run(told, "-f", str(file), "--env", "local", "-v", "deploy", "--yes")
            made, late = cloud.count(), cloud.late
            cloud.late = []
            took = deploy.seconds / self.scale
            ratio = took / shortest
            verdict = "ok" if ratio <= MOST else "above target"
            print(f"{name}: deploy {took:.1f} s simulated, critical path {shortest:.1f} s: ratio {ratio:.2f} "
                  f"(target {MOST}: {verdict})")
            print(f"  critical path: {' → '.join(chain)}")
            print(f"  {sum(made.values())} calls, {made['snowflake statement']} of them statements; the local cloud itself was "
                  f"late for {len(late)}, at most {max(late, default=0) / self.scale:.1f} s simulated")
            diff = self.run(told, "-f", str(file), "--env", "local", "diff", codes=(0, 2))
            asked = cloud.count()
            print(f"  diff: {diff.output.strip().splitlines()[0] if diff.output.strip() else ''} "
                  f"{sum(asked.values())} calls: {dict(sorted(asked.items()))}")
            for command, run in (("render", rendered), ("deploy", deploy), ("diff", diff)):
                print(f"  {command}: {run.seconds * 1e3:.0f} ms real, {run.peak / MEGABYTE:.0f} MB")
            sys.stdout.flush()
        finally:
            if cloud:
                cloud.close()
            self.run(own, "local", "down")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", type=Path, default=ROOT / "target", help="cargo's target folder")
    parser.add_argument("--scale", type=float, default=0.25, help="real seconds of a simulated one (default 0.25)")
    parser.add_argument("--tables", type=int, nargs="*", default=[1, 200], help="generated pipelines (default 1 200)")
    parser.add_argument("--no-examples", action="store_true", help="generated pipelines only")
    arguments = parser.parse_args()
    builds = [arguments.target / profile / "pipectl" for profile in ("release", "debug")]
    pipectl = next((path for path in builds if path.is_file()), None)
    if pipectl is None:
        sys.exit(f"bench: there is no {builds[-1]}; run `make build` first")
    print(f"{pipectl.parent.name} build, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
          f"1 simulated second is {arguments.scale} s")
    with tempfile.TemporaryDirectory(prefix="pipectl-bench-") as name:
        folder = Path(name)
        bench = Bench(pipectl.resolve(), folder, arguments.scale)
        for label, file in {} if arguments.no_examples else examples().items():
            bench.measure(label, file)
        for tables in arguments.tables:
            file = folder / f"{tables}.toml"
            file.write_text(generated(tables))
            bench.measure(f"{tables} tables", file)


if __name__ == "__main__":
    main()
