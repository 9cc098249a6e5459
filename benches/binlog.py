#!/usr/bin/env python3
"""The reader of the service `binlog` beside what people use for the same: 1,000,000 row changes of a table of 10 columns.

500,000 rows inserted, 300,000 updated, 200,000 deleted, in transactions of 1,000 rows, on a MySQL of its own. Measured:
the changes to JSON lines by pipectl; the same by python-mysql-replication with json.dumps, for 40,000 of
the same and counted up; and `mysqlbinlog --read-from-remote-server --raw`, which only writes down what it receives. Times are the shortest of
some runs, which other work on the machine disturbs least.

Then one transaction of a few huge statements: how long, and the most memory that the reader ever had.

Needs a MySQL (scripts/mysql.sh) and cargo's release profile; Python's libraries are fetched into target/bench-python.

Usage: binlog.py [--target DIR] [--rows N] [--huge MEBIBYTES] [--runs N]
"""

import argparse
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from data_plane import MEBIBYTE, MOST_MEMORY, told

ROOT = Path(__file__).resolve().parents[1]
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "pipectl" / "mysql"
USER, PASSWORD = "bench", "a password of the bench"
TABLE = """id INT PRIMARY KEY, a VARCHAR(40), b VARCHAR(40), c INT, d DECIMAL(12,2), e DATETIME, f DOUBLE, g TEXT,
h BIGINT, at DATETIME(6)"""
# Rows of one transaction.
STEP = 1000
# Changes that python-mysql-replication reads, in the same mix.
SLICE = 40_000
# Times what python-mysql-replication needs.
TARGET = 100

PYTHON = """
import json, sys, time
from pymysqlreplication import BinLogStreamReader
from pymysqlreplication.row_event import DeleteRowsEvent, UpdateRowsEvent, WriteRowsEvent
stream = BinLogStreamReader({"unix_socket": sys.argv[1], "user": sys.argv[2], "passwd": sys.argv[3]}, server_id=4711,
                            log_file=sys.argv[4], log_pos=4, resume_stream=True, only_schemas=["shop"], only_tables=["t"],
                            only_events=[WriteRowsEvent, UpdateRowsEvent, DeleteRowsEvent])
rows, begin = 0, None
with open("/dev/null", "w") as out:
    for event in stream:
        begin = begin or (time.perf_counter(), time.process_time())
        for row in event.rows:
            out.write(json.dumps({"table": event.table, "row": row}, default=str) + "\\n")
            rows += 1
        if rows >= int(sys.argv[5]):
            break
print(time.perf_counter() - begin[0], time.process_time() - begin[1])
"""


class Server:
    """A MySQL of its own on 127.0.0.1."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.socket = folder, folder / "s"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        data, self.log = folder / "data", (folder / "log").open("w")
        common = ["--user=root", f"--datadir={data}"]
        subprocess.run([*program("sbin/mysqld"), *common, "--initialize-insecure"], check=True, stdout=self.log, stderr=self.log)
        self.process = subprocess.Popen(
            [*program("sbin/mysqld"), *common, f"--port={self.port}", f"--socket={self.socket}", "--bind-address=127.0.0.1",
             f"--pid-file={folder / 'pid'}", "--mysqlx=OFF", "--secure-file-priv=NULL", "--innodb-buffer-pool-size=1G",
             "--innodb-flush-log-at-trx-commit=0", "--sync-binlog=0", "--server-id=7", "--binlog-row-metadata=FULL",
             "--gtid-mode=ON", "--enforce-gtid-consistency=ON", "--max-allowed-packet=64M",
             "--max-binlog-cache-size=8G", f"--tmpdir={folder}", f"--replica-load-tmpdir={folder}"],
            stdout=self.log, stderr=self.log)
        while subprocess.run([*self.client(), "--execute", "SELECT 1"], capture_output=True).returncode:
            if self.process.poll() is not None:
                sys.exit(f"bench: mysqld ended: {(folder / 'log').read_text()[-1000:]}")
            time.sleep(0.1)
        self.sql(f"CREATE DATABASE shop; CREATE USER '{USER}'@'%' IDENTIFIED BY '{PASSWORD}'; "
                 f"GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO '{USER}'@'%'; "
                 "CREATE TABLE shop.n (n INT PRIMARY KEY); SET cte_max_recursion_depth = 100000; "
                 f"INSERT INTO shop.n WITH RECURSIVE s (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM s WHERE n < {STEP - 1}) SELECT n FROM s")

    def client(self) -> list[str]:
        return ["mariadb", "--no-defaults", "-uroot", "-NB", "--skip-ssl", f"--socket={self.socket}"]

    def sql(self, statements: str) -> str:
        done = subprocess.run(self.client(), input=statements, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"bench: {done.stderr}")
        return done.stdout

    def new_file(self) -> str:
        """Begins a new file of the binlog and says its name."""
        self.sql("FLUSH BINARY LOGS")
        return self.sql("SHOW BINARY LOGS").splitlines()[-1].split("\t")[0]

    def binlog_bytes(self, first: str) -> int:
        sizes = (line.split("\t") for line in self.sql("SHOW BINARY LOGS").splitlines())
        return sum(int(size) for name, size, *_ in sizes if name >= first)

    def close(self) -> None:
        self.process.terminate()
        self.process.wait()


def program(name: str) -> list[str]:
    """A program of the MySQL that scripts/mysql.sh unpacked, under its own loader."""
    libraries = next(path for path in (CACHE / "usr/lib").iterdir() if (path / "libc.so.6").exists())
    loader = next(path for path in libraries.iterdir() if path.name.startswith("ld-linux"))
    paths = ":".join(str(path) for path in (libraries, libraries / "mysql" / "private") if path.exists())
    command = [str(loader), "--library-path", paths, str(CACHE / "usr" / name), "--no-defaults"]
    if name == "sbin/mysqld":
        share = CACHE / "usr/share/mysql"
        command += [f"--lc-messages-dir={share}", f"--character-sets-dir={share / 'charsets'}"]
    return command


class Bench:
    def __init__(self, target: Path, folder: Path, runs: int) -> None:
        self.target, self.folder, self.runs = target, folder, runs
        self.reader = self.built()
        self.environment = os.environ | {"PIPECTL_BENCH_PASSWORD": PASSWORD, "PYTHONPATH": str(self.python())}
        self.server = Server(folder)

    def built(self) -> Path:
        """The program of benches/binlog.rs."""
        told_by_cargo = subprocess.run(
            ["cargo", "bench", "--quiet", "--locked", "--bench", "binlog", "--no-run", "--message-format=json"],
            check=True, cwd=ROOT, env=os.environ | {"CARGO_TARGET_DIR": str(self.target)}, capture_output=True, text=True)
        return Path(re.findall(r'"executable":"([^"]+/binlog-[0-9a-f]+)"', told_by_cargo.stdout)[-1])

    def python(self) -> Path:
        libraries = self.target / "bench-python"
        if not (libraries / "pymysqlreplication").is_dir():
            subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes",
                            "--upgrade", "--target", libraries, "--requirement", ROOT / "benches" / "requirements.txt"], check=True)
        return libraries

    def run(self, command: list[str]) -> tuple[float, float, int, str]:
        """Wall time, CPU time, peak memory in bytes, and what was told."""
        with tempfile.TemporaryFile("w+") as told_to:
            begin = time.perf_counter()
            process = subprocess.Popen(command, env=self.environment, stdout=subprocess.DEVNULL, stderr=told_to)
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - begin
            process.returncode = os.waitstatus_to_exitcode(status)
            told_to.seek(0)
            said = told_to.read()
        if process.returncode:
            sys.exit(f"bench: {command[0]} failed: {said[-1000:]}")
        return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, said

    def read(self, first: str, table: str) -> tuple[float, float, int, int]:
        """Our reader: wall time, CPU time, peak memory, records."""
        command = [str(self.reader), str(self.server.port), USER, first, f"shop.{table}"]
        wall, cpu, peak, said = self.run(command)
        return wall, cpu, peak, int(said.split()[0])

    def mysqlbinlog(self, first: str) -> tuple[float, float]:
        raw = self.folder / "raw"
        raw.mkdir(exist_ok=True)
        command = [*program("bin/mysqlbinlog"), "--read-from-remote-server", "--host=127.0.0.1", f"--port={self.server.port}",
                   f"--user={USER}", f"--password={PASSWORD}", "--ssl-mode=DISABLED", "--get-server-public-key", "--raw",
                   "--to-last-log", f"--result-file={raw}/", first]
        wall, cpu, _, _ = self.run(command)
        for path in raw.iterdir():
            path.unlink()
        return wall, cpu

    # -- the parts

    def workload(self, rows: int) -> str:
        """Makes so many changes, and says where the binlog of them begins."""
        inserted, updated, deleted = (rows * part // 10 // STEP for part in (5, 3, 2))
        server = self.server
        server.sql(f"DROP TABLE IF EXISTS shop.t; CREATE TABLE shop.t ({TABLE})")
        first = server.new_file()
        statements = ["USE shop;"]
        for step in range(inserted):
            statements.append(
                f"INSERT INTO t SELECT {step * STEP} + n, CONCAT('name ', {step * STEP} + n), LEFT(SHA2(n, 256), 32), n, n / 100, '2026-01-01' + "
                f"INTERVAL n SECOND, n / 7, REPEAT('x', 60), n * 1000, NOW(6) FROM n;")
        of_step = "id BETWEEN {0} AND {1}"
        for step in range(updated):
            place = of_step.format(step * STEP, step * STEP + STEP - 1)
            statements.append(f"UPDATE t SET c = c + 1, d = d * 2, b = 'changed', at = NOW(6) WHERE {place};")
        for step in range(inserted - deleted, inserted):
            statements.append(f"DELETE FROM t WHERE {of_step.format(step * STEP, step * STEP + STEP - 1)};")
        server.sql("\n".join(statements))
        return first

    def changes(self, rows: int) -> None:
        python, python_cpu = (seconds * rows for seconds in self.by_python(self.workload(SLICE), SLICE))
        first, server = self.workload(rows), self.server
        size = server.binlog_bytes(first)
        print(f"{rows:,} row changes of 10 columns ({size / MEBIBYTE:.0f} MiB of binlog), the shortest of {self.runs} runs:")
        self.mysqlbinlog(first)  # the first one reads the files into memory
        ours, raw = [], []
        for _ in range(self.runs):
            ours.append(self.read(first, "t"))
            raw.append(self.mysqlbinlog(first))
        if any(run[3] != rows for run in ours):
            sys.exit(f"bench: {ours[0][3]} records of {rows} changes")
        wall, cpu = (min(run[part] for run in ours) for part in (0, 1))
        peak = max(run[2] for run in ours)
        raw_wall, raw_cpu = (min(run[part] for run in raw) for part in (0, 1))
        told("pipectl, wall", wall, "s")
        told("pipectl, CPU", cpu, "s")
        told("pipectl", rows / wall / 1e6, "million changes a second")
        told("pipectl, peak memory", peak / MEBIBYTE, "MiB", MOST_MEMORY)
        told("mysqlbinlog --read-from-remote-server --raw, wall", raw_wall, "s")
        told("mysqlbinlog --read-from-remote-server --raw, CPU", raw_cpu, "s")
        told("pipectl ÷ mysqlbinlog, wall", wall / raw_wall, "x", 1)
        told("python-mysql-replication and json.dumps, counted up", python, "s")
        told("python-mysql-replication ÷ pipectl", python / wall, "x", TARGET, at_least=True)
        told("python-mysql-replication ÷ pipectl, CPU", python_cpu / cpu, "x")

    def by_python(self, first: str, rows: int) -> tuple[float, float]:
        """Seconds for one change, of wall and of CPU time, without the start of Python and of the connection."""
        command = [sys.executable, "-c", PYTHON, str(self.server.socket), USER, PASSWORD, first, str(rows)]
        told_by_it = subprocess.run(command, env=self.environment, check=True, capture_output=True, text=True).stdout
        wall, cpu = (float(seconds) / rows for seconds in told_by_it.split())
        return wall, cpu

    def huge(self, size: int) -> None:
        """Rows of 1 MB each and rows of 1 KB each, half and half, in one transaction of two statements."""
        server = self.server
        server.sql("CREATE TABLE shop.large (id INT PRIMARY KEY, v LONGTEXT CHARACTER SET latin1)")
        first = server.new_file()
        large, small = size // 2, size // 2 * 1024
        server.sql(
            f"USE shop; SET cte_max_recursion_depth = 100000000; BEGIN; "
            f"INSERT INTO large WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {large}) "
            f"SELECT -n, REPEAT('x', 1048576) FROM s; "
            f"INSERT INTO large WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {small}) "
            f"SELECT n, REPEAT('y', 1024) FROM s; COMMIT")
        size_there = server.binlog_bytes(first)
        wall, cpu, peak, records = self.read(first, "large")
        if records != large + small:
            sys.exit(f"bench: {records} records of {large + small} changes")
        print(f"one transaction of {size_there / MEBIBYTE:.0f} MiB, two statements, {records:,} rows:")
        told("pipectl, wall", wall, "s")
        told("pipectl, CPU", cpu, "s")
        told("pipectl, peak memory", peak / MEBIBYTE, "MiB", MOST_MEMORY)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", type=Path, default=ROOT / "target", help="cargo's target folder")
    parser.add_argument("--rows", type=int, default=1_000_000, help="row changes (default 1,000,000)")
    parser.add_argument("--huge", type=int, default=2048, help="size of the large transaction, MiB (default 2,048; 0: none)")
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory(prefix="pipectl-bench-") as name:
        bench = Bench(arguments.target.resolve(), Path(name), arguments.runs)
        try:
            bench.changes(arguments.rows)
            if arguments.huge:
                bench.huge(arguments.huge)
        finally:
            bench.server.close()


if __name__ == "__main__":
    main()
