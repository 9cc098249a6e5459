#!/usr/bin/env python3
"""The data plane beside what people use for the same: extraction, start of a function, size of what is uploaded.

extract  1,000,000 rows of 10 columns to JSON lines, beside pymysql's server-side cursor with json.dumps, and beside
         `mariadb --batch --quick`, which only prints; then through the function into a stream: time and peak memory
start    exec of a function to its first answer, beside a Python handler that imports boto3 and pymysql
zip      the runtime of each processor that is built: bytes of its zip, and the newest glibc that it asks for

Needs a release build, `mariadbd` and `mariadb`; pymysql is fetched into target/bench-python on first use.

Usage: data_plane.py [--target DIR] [--only PART ...] [--rows N]
"""

import argparse
import os
import platform
import re
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

from lambda_cloud import LambdaCloud, first_answer

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("extract", "start", "zip")
COLUMNS = """id INT PRIMARY KEY, a VARCHAR(40), b VARCHAR(40), c INT, d DECIMAL(12,2), e DATETIME, f DOUBLE, g TEXT,
h BIGINT, at DATETIME, INDEX (at)"""
ROWS = """SELECT seq, CONCAT('name ', seq), MD5(seq), seq, seq / 100, '2026-01-01' + INTERVAL seq SECOND, seq / 7,
REPEAT('x', 60), seq * 1000, '2026-01-01' + INTERVAL seq SECOND FROM shop.seq_1_to_{rows}"""
PASSWORD = "a password of the bench"

# One connection, rows as they come, each of them a line of JSON: what the five systems' own scripts do.
PYMYSQL = """
import json, sys, pymysql, pymysql.cursors
connection = pymysql.connect(host="127.0.0.1", port=int(sys.argv[1]), user="bench", password=sys.argv[2], database="shop",
                             cursorclass=pymysql.cursors.SSDictCursor)
with connection.cursor() as cursor, open("/dev/null", "w") as out:
    cursor.execute("SELECT * FROM t ORDER BY id")
    for row in cursor:
        out.write(json.dumps(row, default=str) + "\\n")
"""

# What Lambda's own client for Python does: the handler's imports, then one invocation of the Runtime API.
HANDLER = """
import json, os, http.client
import boto3, pymysql
connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
connection.request("GET", "/2018-06-01/runtime/invocation/next")
answer = connection.getresponse()
event, number = json.load(answer), answer.headers["Lambda-Runtime-Aws-Request-Id"]
connection.request("POST", f"/2018-06-01/runtime/invocation/{number}/response", json.dumps({"batchItemFailures": event["Records"]}))
connection.getresponse().read()
"""

# The zip's limit of the project, bytes; AWS's own is 50 MB.
ZIP_MOST = 4e6
# What provided.al2023 has: https://docs.aws.amazon.com/linux/al2023/ug/core-glibc.html
GLIBC = (2, 34)
MEGABYTE = 1e6
MEBIBYTE = 1 << 20
MOST_MEMORY = 64


def told(what: str, measured: float, unit: str, target: float | None = None, at_least: bool = False) -> None:
    """One line of the report."""
    line = f"  {what}: {measured:.3g} {unit}"
    if target is not None:
        good = measured >= target if at_least else measured <= target
        line += f" (target {'>=' if at_least else '<='} {target:g} {unit}: {'ok' if good else 'MISSED'})"
    print(line, flush=True)


class Database:
    """A MariaDB of its own on 127.0.0.1, with the table `shop.t`."""

    def __init__(self, folder: Path, rows: int) -> None:
        self.socket = folder / "s"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        data, log = folder / "data", (folder / "log").open("w")
        subprocess.run(["mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={data}", "--skip-test-db",
                        "--auth-root-authentication-method=normal"], check=True, stdout=log, stderr=log)
        self.process = subprocess.Popen(
            [shutil.which("mariadbd") or "/usr/sbin/mariadbd", "--no-defaults", "--user=root", f"--datadir={data}",
             f"--port={self.port}", f"--socket={self.socket}", "--bind-address=127.0.0.1", f"--pid-file={folder / 'pid'}",
             "--innodb-buffer-pool-size=1G", "--innodb-flush-log-at-trx-commit=0"], stdout=log, stderr=log)
        while subprocess.run(self.client("SELECT 1"), capture_output=True).returncode:
            if self.process.poll() is not None:
                sys.exit(f"bench: mariadbd ended: {(folder / 'log').read_text()[-1000:]}")
            time.sleep(0.1)
        self.sql("CREATE DATABASE shop")
        self.sql(f"CREATE USER 'bench'@'%' IDENTIFIED BY '{PASSWORD}'; GRANT SELECT ON shop.* TO 'bench'@'%'")
        self.sql(f"CREATE TABLE shop.t ({COLUMNS}); INSERT INTO shop.t {ROWS.format(rows=rows)}")

    def client(self, statements: str) -> list[str]:
        return ["mariadb", "--no-defaults", "-uroot", f"--socket={self.socket}", "--execute", statements]

    def sql(self, statements: str) -> None:
        subprocess.run(self.client(statements), check=True)

    def close(self) -> None:
        self.process.terminate()
        self.process.wait()


class Bench:
    def __init__(self, target: Path, folder: Path, rows: int) -> None:
        self.target, self.folder, self.rows = target, folder, rows
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "PIPECTL_"))}
        self.environment = kept
        # What is uploaded, or else what a plain build leaves.
        folder, machine = target / "release", {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
        programs = [folder / f"pipectl-runtime-{machine}", folder / "pipectl-runtime"]
        self.runtime = next((path for path in programs if path.is_file()), programs[-1])
        if not self.runtime.is_file():
            sys.exit(f"bench: there is no {self.runtime}; `scripts/bench.sh --release` builds it")

    def python(self) -> dict[str, str]:
        """The environment of a Python that has pymysql and boto3."""
        libraries = self.target / "bench-python"
        if not (libraries / "pymysql").is_dir():
            subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes",
                            "--target", libraries, "--requirement", ROOT / "benches" / "requirements.txt"], check=True)
        return self.environment | {"PYTHONPATH": str(libraries)}

    def seconds(self, command: list[str], environment: dict[str, str]) -> tuple[float, float]:
        """Wall and CPU time of a command whose output goes nowhere."""
        started = time.perf_counter()
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"bench: {command[0]} failed: {said.decode()[-1000:]}")
        return seconds, usage.ru_utime + usage.ru_stime

    # -- the parts

    def extract(self) -> None:
        lines = self.build_lines()
        folder = self.folder / "database"
        folder.mkdir()
        database = Database(folder, self.rows)
        try:
            own = [str(lines), str(database.port), "bench", "shop", "t", "id"]
            printing = ["mariadb", "--no-defaults", "--batch", "--quick", "-ubench", f"-p{PASSWORD}", "--skip-ssl", "-h127.0.0.1",
                        f"-P{database.port}", "--execute", "SELECT * FROM shop.t ORDER BY id"]
            python = [sys.executable, "-c", PYMYSQL, str(database.port), PASSWORD]
            with_password = self.environment | {"PIPECTL_BENCH_PASSWORD": PASSWORD}
            self.seconds(printing, self.environment)  # the first one reads the table into memory
            ours, printed = [], []
            for _ in range(5):
                ours.append(self.seconds(own, with_password))
                printed.append(self.seconds(printing, self.environment))
            slow = self.seconds(python, self.python())
            print(f"extraction of {self.rows:,} rows of 10 columns to JSON lines, medians of 5:")
            (wall, cpu), (by_client, client_cpu) = (tuple(statistics.median(run[part] for run in runs) for part in (0, 1))
                                                    for runs in (ours, printed))
            told("pipectl, wall", wall, "s")
            told("pipectl, CPU", cpu, "s")
            told("mariadb --batch --quick to /dev/null, wall", by_client, "s")
            told("mariadb --batch --quick to /dev/null, CPU", client_cpu, "s")
            told("pymysql and json.dumps, wall, one run", slow[0], "s")
            told("pymysql ÷ pipectl", slow[0] / wall, "x", 11, at_least=True)
            told("pipectl ÷ mariadb --batch", wall / by_client, "x", 1.1)
            self.stream(database)
        finally:
            database.close()

    def build_lines(self) -> Path:
        """The program of benches/extract.rs."""
        told_by_cargo = subprocess.run(
            ["cargo", "bench", "--quiet", "--locked", "--bench", "extract", "--no-run", "--message-format=json"],
            check=True, cwd=ROOT, env=self.environment | {"CARGO_TARGET_DIR": str(self.target)}, capture_output=True, text=True)
        found = re.findall(r'"executable":"([^"]+/extract-[0-9a-f]+)"', told_by_cargo.stdout)
        return Path(found[-1])

    def stream(self, database: Database) -> None:
        """The whole function, into a stream that takes everything at once."""
        event = {"do": "extract", "schema": "shop", "table": "t", "watermark": ["at"], "overlap": {"seconds": 60}}
        secret = {"host": "127.0.0.1", "port": database.port, "username": "bench", "password": PASSWORD}
        cloud = LambdaCloud(event, secret)
        try:
            seconds, peak = first_answer([str(self.runtime)], cloud.environment("extract"), cloud)
        finally:
            cloud.close()
        if cloud.records != self.rows or cloud.answer["body"].get("finished") is not True:
            sys.exit(f"bench: {cloud.records} records in the stream; the function said {cloud.answer}")
        print(f"the function `extract` with all {self.rows:,} rows, into a stream ({cloud.requests} requests):")
        told("wall, with a Python that plays the stream", seconds, "s")
        told("peak memory", peak / MEBIBYTE, "MiB", MOST_MEMORY)

    def certificates(self) -> dict[str, str]:
        """The system's certificates as Amazon Linux, on which functions run, has them: one file, alone in its folder.
        Debian has a file and a link for each one besides, and rustls reads them all:
        https://github.com/rustls/rustls-native-certs/pull/189"""
        folder = self.folder / "certs"
        folder.mkdir()
        bundle = folder / "ca-bundle.crt"
        shutil.copy(ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt", bundle)
        return {"SSL_CERT_FILE": str(bundle), "SSL_CERT_DIR": str(folder)}

    def start(self) -> None:
        event = {"Records": []}
        times: dict[str, list[float]] = {"copy": [], "extract": [], "python": []}
        certificates = self.certificates()
        python = self.python()
        for _ in range(11):
            for name in times:
                cloud = LambdaCloud(event)
                try:
                    command = [sys.executable, "-c", HANDLER] if name == "python" else [str(self.runtime)]
                    base = (python if name == "python" else {}) | certificates
                    handler = "copy" if name == "python" else name
                    times[name].append(first_answer(command, base | cloud.environment(handler), cloud)[0])
                finally:
                    cloud.close()
        middle = {name: statistics.median(all[1:]) * 1e3 for name, all in times.items()}
        print(f"exec of a function to its first answer, {self.runtime.name}, median of 10:")
        told("Python with boto3 and pymysql", middle["python"], "ms")
        for name in ("copy", "extract"):
            told(f"the runtime as `{name}`", middle[name], "ms")
            told(f"Python ÷ `{name}`", middle["python"] / middle[name], "x", 25, at_least=True)

    def zip(self) -> None:
        """Those that `scripts/runtime.sh` builds; the plain one where there is none."""
        folder = self.target / "release"
        found = [path for path in (folder / "pipectl-runtime-x86_64", folder / "pipectl-runtime-arm64") if path.is_file()]
        print("the runtime as it is uploaded:")
        if len(found) < 2:
            print("  (scripts/runtime.sh builds it for both processors, with an old enough glibc)")
        for path in found or [self.runtime]:
            content = path.read_bytes()
            # pipectl deflates at the same level; the zip's own headers are a few hundred bytes.
            told(f"{path.name}, zipped", len(zlib.compress(content, 6)) / MEGABYTE, "MB", ZIP_MOST / MEGABYTE)
            version = newest_glibc(path)
            verdict = "ok" if version <= GLIBC else "MISSED"
            print(f"  {path.name} asks for glibc {version[0]}.{version[1]} (target <= {GLIBC[0]}.{GLIBC[1]}: {verdict})")


def newest_glibc(path: Path) -> tuple[int, int]:
    """The newest version of glibc's symbols that a program asks for."""
    needs = subprocess.run(["readelf", "--version-info", "--wide", str(path)], check=True, capture_output=True, text=True).stdout
    return max((int(major), int(minor)) for major, minor in re.findall(r"GLIBC_(\d+)\.(\d+)", needs))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", type=Path, default=ROOT / "target", help="cargo's target folder")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows to extract (default 1,000,000)")
    arguments = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory(prefix="pipectl-bench-") as name:
        bench = Bench(arguments.target.resolve(), Path(name), arguments.rows)
        for part in arguments.only:
            getattr(bench, part)()


if __name__ == "__main__":
    main()
