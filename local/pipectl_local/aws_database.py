# SPDX-License-Identifier: Apache-2.0
"""Stand-in: an RDS instance for MySQL or MariaDB is a server of this machine.

ministack only writes down the instances of a template. Here each one starts `mysqld` or `mariadbd` on 127.0.0.1, with the
master user and password of the template, the settings of its parameter group and TLS by a certificate authority of this cloud.
Its data stays in DIR/databases/<identifier> between `down` and `up`, until its stack is deleted.
"""
from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import database_certificate
from .aws_hooks import Finder
from .process import free_port, write_private

LOG = logging.getLogger("pipectl.database")
START_SECONDS = 60.0
STOP_SECONDS = 10.0
LEAVE_OUT = {"port", "socket", "datadir", "basedir", "bind_address", "log_bin", "server_id"}
# What RDS grants its master user, without what only newer versions know.
# https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.MasterAccounts.html
PRIVILEGES = ("SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, RELOAD, PROCESS, REFERENCES, INDEX, ALTER, SHOW DATABASES, CREATE TEMPORARY TABLES, "
              "LOCK TABLES, EXECUTE, REPLICATION SLAVE, REPLICATION CLIENT, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, CREATE USER, EVENT, TRIGGER")
NO_SERVER = ("AWS::RDS::DBInstance needs a MySQL server on this machine, and none was found. Debian and Ubuntu: apt-get install mariadb-server-core "
             "mariadb-client (the service need not run); macOS: brew install mariadb; or set PIPECTL_MYSQLD to a mysqld or mariadbd elsewhere")
SERVERS: dict[str, "Server"] = {}


def root() -> Path:
    return Path(os.environ["PIPECTL_LOCAL_DATABASES"])


def find_server() -> Path:
    """The server's program; ValueError names the package that has it."""
    chosen = os.environ.get("PIPECTL_MYSQLD")
    if chosen:
        if not os.access(chosen, os.X_OK):
            raise ValueError(f"PIPECTL_MYSQLD is {chosen}, which cannot be executed")
        return Path(chosen)
    places = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin", "/usr/libexec"])
    for name in ("mysqld", "mariadbd"):
        if found := shutil.which(name, path=places):
            return Path(found).resolve()
    raise ValueError(NO_SERVER)


def is_mariadb(program: Path) -> bool:
    answer = subprocess.run([program, "--no-defaults", "--version"], capture_output=True, text=True, timeout=20, check=False)
    return "MariaDB" in answer.stdout


class Server:
    """One instance: its folder, its process, and where it listens."""

    def __init__(self, identifier: str, user: str, password: str, database: str, settings: dict[str, str]) -> None:
        self.identifier, self.user, self.password, self.database = identifier, user, password, database
        self.settings = settings
        self.folder = root() / identifier
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    # -- start and stop

    def start(self) -> None:
        program = find_server()
        mariadb = is_mariadb(program)
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.chmod(root(), 0o700)
        data = self.folder / "data"
        if not (data / "mysql").is_dir():
            self._initialise(program, data, mariadb)
        self.port = self._port()
        certificate = database_certificate.make(root(), self.folder)
        first = self.folder / "init.sql"
        write_private(first, self._first_statements(mariadb).encode())
        log = open(self.folder / "server.log", "ab")
        try:
            self._process = subprocess.Popen(
                [str(program), "--no-defaults", *self._arguments(data, certificate, first)],
                stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env={k: v for k, v in os.environ.items() if not k.startswith("AWS_")})
            self._wait()
        except BaseException:
            self.stop()
            raise
        finally:
            log.close()
            # It has the password.
            first.unlink(missing_ok=True)
        LOG.info("%s listens on 127.0.0.1:%d (%s)", self.identifier, self.port, program)

    def _arguments(self, data: Path, certificate: database_certificate.Files, first: Path) -> list[str]:
        settings = {
            "log_bin": "binlog", "server_id": "1", "binlog_format": "ROW", "character_set_server": "utf8mb4",
            "loose_innodb_buffer_pool_size": "64M", "loose_performance_schema": "OFF", "skip_name_resolve": "ON", "loose_mysqlx": "0"}
        settings |= {f"loose_{name}": value for name, value in self.settings.items()}
        return [
            f"--datadir={data}", f"--socket={self._socket()}", f"--pid-file={self.folder / 'server.pid'}", f"--port={self.port}",
            "--bind-address=127.0.0.1", f"--init-file={first}", f"--ssl-ca={certificate.authority}", f"--ssl-cert={certificate.certificate}",
            f"--ssl-key={certificate.key}", *([f"--user={os.environ.get('USER') or 'root'}"] if os.geteuid() == 0 else []),
            *(f"--{name.replace('_', '-')}={value}" for name, value in settings.items())]

    def _socket(self) -> Path:
        # A socket's path has at most 107 bytes, and the folder's may be longer.
        path = self.folder / "server.sock"
        if len(os.fsencode(path)) < 100:
            return path
        import hashlib

        return Path("/tmp") / f"pipectl-{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}.sock"

    def _initialise(self, program: Path, data: Path, mariadb: bool) -> None:
        shutil.rmtree(data, ignore_errors=True)
        user = [f"--user={os.environ.get('USER') or 'root'}"] if os.geteuid() == 0 else []
        if mariadb:
            places = os.pathsep.join([str(program.parent), str(program.parent.parent / "bin"), str(program.parent.parent / "scripts"), os.environ.get("PATH", "")])
            tool = shutil.which("mariadb-install-db", path=places)
            if tool is None:
                raise ValueError(f"{program} was found, and mariadb-install-db beside it was not\n{NO_SERVER}")
            command = [tool, "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=socket", "--skip-test-db", *user]
        else:
            command = [str(program), "--no-defaults", "--initialize-insecure", f"--datadir={data}", *user]
        # Two that make their files at once would share names in one folder for temporary files.
        own = os.environ | {"TMPDIR": str(data.parent)}
        done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False, env=own)
        if done.returncode:
            shutil.rmtree(data, ignore_errors=True)
            raise ValueError(f"the database {self.identifier} could not be made: {command[0]}: {(done.stdout + done.stderr)[-1500:]}")

    def _first_statements(self, mariadb: bool) -> str:
        """Run by the server before it listens, one statement a line."""
        user, password = literal(self.user), literal(self.password)
        lines = ["ALTER USER 'root'@'localhost' ACCOUNT LOCK;", f"CREATE USER IF NOT EXISTS {user}@'%' IDENTIFIED BY {password};",
                 f"ALTER USER {user}@'%' IDENTIFIED BY {password};", f"GRANT {PRIVILEGES} ON *.* TO {user}@'%' WITH GRANT OPTION;"]
        if mariadb:
            lines.append(f"GRANT BINLOG MONITOR, REPLICATION SLAVE ADMIN ON *.* TO {user}@'%';")
        if self.database:
            lines.append(f"CREATE DATABASE IF NOT EXISTS `{self.database.replace('`', '``')}`;")
        return "\n".join(lines) + "\n"

    def _port(self) -> int:
        """The one of last time if it is free, so that saved connections go on working."""
        import socket

        kept = self.folder / "port"
        try:
            port = int(kept.read_text())
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
        except (OSError, ValueError):
            port = free_port()
        kept.write_text(str(port))
        return port

    def _wait(self) -> None:
        import socket

        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                    # The server's greeting: it is past its first statements.
                    if connection.recv(5):
                        return
            except OSError:
                time.sleep(0.02)
        tail = (self.folder / "server.log").read_text(errors="replace")[-1500:]
        raise ValueError(f"the database {self.identifier} did not start; the end of {self.folder / 'server.log'}:\n{tail}")

    def stop(self) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None


def literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''").replace("\n", "\\n").replace("\0", "") + "'"


def parameters_of(group: str | None) -> dict[str, str]:
    """What a parameter group sets; formulas of RDS ({DBInstanceClassMemory*3/4}) mean nothing here."""
    from ministack.services import rds

    found = (rds._param_groups.get(group) or {}).get("Parameters") or {} if group else {}
    values = {}
    for name, entry in found.items():
        value = str(entry.get("ParameterValue", "") if isinstance(entry, dict) else entry)
        if name not in LEAVE_OUT and value and not value.startswith("{") and name.replace("_", "").isalnum():
            values[name] = value
    return values


def publish() -> None:
    """DIR/databases/databases.json says where the databases are; passwords stay in Secrets Manager."""
    write_private(root() / "databases.json", json.dumps([
        {"identifier": s.identifier, "host": "127.0.0.1", "port": s.port, "user": s.user, "name": s.database, "ca": str(root() / "ca.pem")}
        for s in SERVERS.values()], indent=1).encode())


def stop_all() -> None:
    threads = [threading.Thread(target=s.stop) for s in list(SERVERS.values())]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _run(instance: dict[str, Any]) -> None:
    identifier = instance["DBInstanceIdentifier"]
    if not all(c.isalnum() or c == "-" for c in identifier):
        raise ValueError(f"{identifier!r} is no name of a DB instance")
    group = (instance.get("DBParameterGroups") or [{}])[0].get("DBParameterGroupName")
    name = instance["DBName"] if instance.get("_named") else ""
    server = Server(identifier, instance["MasterUsername"], instance["_MasterUserPassword"], name, parameters_of(group))
    if old := SERVERS.pop(identifier, None):
        old.stop()
    server.start()
    SERVERS[identifier] = server
    instance["Endpoint"] |= {"Address": "127.0.0.1", "Port": server.port}
    publish()


def _is_ours(props: dict[str, Any]) -> bool:
    return str(props.get("Engine", "")).lower() in ("mysql", "mariadb") and not props.get("DBClusterIdentifier")


def _managed_secret(instance: dict[str, Any]) -> str:
    """The secret of ManageMasterUserPassword: user and password only, as RDS writes it."""
    from ministack.services import secretsmanager

    name = f"rds!{instance['DbiResourceId']}"
    status, _, body = secretsmanager._create_secret({"Name": name, "SecretString": json.dumps(
        {"username": instance["MasterUsername"], "password": instance["_MasterUserPassword"]})})
    if status >= 400:
        raise ValueError(f"the secret of {instance['DBInstanceIdentifier']} could not be made: {body!r}")
    return str(json.loads(body)["ARN"])


def _created(create: Callable[..., tuple[str, dict[str, Any]]], attributes: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[..., Any]:
    def made(logical_id: str, props: dict[str, Any], stack: str) -> tuple[str, dict[str, Any]]:
        from ministack.services import rds

        managed = str(props.get("ManageMasterUserPassword", False)).lower() == "true"
        if _is_ours(props):
            find_server()
            if managed:
                props = {**props, "MasterUserPassword": secrets.token_urlsafe(24)}
        identifier, found = create(logical_id, props, stack)
        instance = rds._instances[identifier]
        if not _is_ours(props):
            return identifier, found
        instance["_named"] = bool(props.get("DBName"))
        try:
            _run(instance)
        except Exception:
            rds._instances.pop(identifier, None)
            raise
        found = dict(attributes(instance))
        if managed:
            instance["MasterUserSecret"] = {"SecretArn": _managed_secret(instance), "SecretStatus": "active"}
            found["MasterUserSecret.SecretArn"] = instance["MasterUserSecret"]["SecretArn"]
        return identifier, found
    return made


def _updated(update: Callable[..., Any], attributes: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[..., Any]:
    def changed(physical_id: str, old_props: dict[str, Any], new_props: dict[str, Any], *others: Any, **named: Any) -> Any:
        from ministack.services import rds

        answer = update(physical_id, old_props, new_props, *others, **named)
        instance = rds._instances.get(answer[0])
        if instance is None or not _is_ours(new_props) or answer[0] != physical_id:
            return answer
        group = (instance.get("DBParameterGroups") or [{}])[0].get("DBParameterGroupName")
        server = SERVERS.get(physical_id)
        if server is None or server.password != instance["_MasterUserPassword"] or server.settings != parameters_of(group):
            _run(instance)
        elif instance["Endpoint"]["Port"] != server.port:
            instance["Endpoint"]["Port"] = server.port
        found = dict(attributes(instance))
        if instance.get("MasterUserSecret"):
            found["MasterUserSecret.SecretArn"] = instance["MasterUserSecret"]["SecretArn"]
        return physical_id, found
    return changed


def _deleted(delete: Callable[..., Any]) -> Callable[..., Any]:
    def gone(physical_id: str, props: dict[str, Any]) -> Any:
        server = SERVERS.pop(physical_id, None)
        if server is not None:
            server.stop()
            # Who reads the list finds no database in it that is half gone.
            publish()
            shutil.rmtree(server.folder, ignore_errors=True)
        return delete(physical_id, props)
    return gone


def _rotation(logical_id: str, props: dict[str, Any], stack: str) -> tuple[str, dict[str, Any]]:
    """A RotationSchedule is written on its secret; nothing rotates here."""
    from ministack.services import secretsmanager

    _, secret = secretsmanager._resolve(props.get("SecretId"))
    if not secret:
        raise ValueError("AWS::SecretsManager::RotationSchedule: Secrets Manager can't find the specified secret.")
    secret["RotationEnabled"] = True
    secret["RotationRules"] = {k: (int(v) if k == "AutomaticallyAfterDays" else v) for k, v in (props.get("RotationRules") or {}).items()}
    if props.get("RotationLambdaARN"):
        secret["RotationLambdaARN"] = props["RotationLambdaARN"]
    return str(secret["ARN"]), {}


def _rotation_update(physical_id: str, old_props: dict[str, Any], new_props: dict[str, Any], *others: Any, **named: Any) -> tuple[str, dict[str, Any]]:
    return _rotation("", new_props, "")


def _rotation_delete(physical_id: str, props: dict[str, Any]) -> None:
    from ministack.services import secretsmanager

    _, secret = secretsmanager._resolve(physical_id)
    if secret:
        secret["RotationEnabled"] = False


def install(finder: Finder) -> None:
    """Puts a real server behind every MySQL instance of a template, and takes rotation schedules."""
    root().mkdir(parents=True, exist_ok=True, mode=0o700)
    database_certificate.make_authority(root())
    publish()
    finder.when("cloudformation.provisioners", hook)


def hook(provisioners: Any) -> None:
    handlers = provisioners._RESOURCE_HANDLERS
    create = _created(provisioners._rds_db_instance_create, provisioners._rds_db_instance_attrs)
    delete = _deleted(provisioners._rds_db_instance_delete)
    # A replacement inside the update calls these by name.
    provisioners._rds_db_instance_create, provisioners._rds_db_instance_delete = create, delete
    update = _updated(provisioners._rds_db_instance_update, provisioners._rds_db_instance_attrs)
    handlers["AWS::RDS::DBInstance"] = {**handlers["AWS::RDS::DBInstance"], "create": create, "update": update, "delete": delete}
    handlers.setdefault("AWS::SecretsManager::RotationSchedule", {"create": _rotation, "update": _rotation_update, "delete": _rotation_delete})
