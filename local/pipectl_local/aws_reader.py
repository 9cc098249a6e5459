# SPDX-License-Identifier: Apache-2.0
"""Stand-in: the server that reads a database's binary log is a process of this machine.

ministack writes an Auto Scaling group down and starts nothing. Here a group whose launch template has pipectl's user data
runs the program that the user data names: fetched from the artefact bucket and checked as there, with the settings written
there, as the role of its instance profile, its log in the log group. When it ends it is started again; it stops with its group.
"""
from __future__ import annotations

import base64
import hashlib
import io
import logging
import os
import re
import signal
import subprocess
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import aws_roles
from .aws_hooks import Finder

LOG = logging.getLogger("pipectl.reader")
MARK = "pipectl-reader.service"
PRINCIPAL = "ec2.amazonaws.com"
SETTING = re.compile(r"^([A-Za-z_]+)='([^']*)'$", re.MULTILINE)
START_AGAIN_SECONDS = 1.0
STOP_SECONDS = 10.0
GROUPS: dict[str, "Reader"] = {}


def settings_of(user_data: str) -> tuple[dict[str, str], dict[str, str]]:
    """What the script sets for itself, and what it writes down for the program."""
    before, _, rest = user_data.partition("cat > /etc/pipectl/reader.env <<'PIPECTL'\n")
    environment, _, _ = rest.partition("\nPIPECTL\n")
    return dict(SETTING.findall(before)), dict(SETTING.findall(environment))


class Reader:
    """One group: its program, and the thread that keeps it running. The thread makes every call, as ministack answers none
    while it provisions."""

    def __init__(self, account: str, group: str, arn: str, role: str, user_data: str) -> None:
        self.account, self.group, self.arn, self.role, self.user_data = account, group, arn, role, user_data
        self.own, self.environment = settings_of(user_data)
        self.region = self.own["region"]
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name=f"reader-{group}", daemon=True)
        self._thread.start()

    def _client(self, api: str) -> Any:
        return aws_roles.client(api, self.account, self.region, self.role, PRINCIPAL, self.arn)

    def _fetch(self) -> Path:
        """The program from the artefact bucket, if it is the one that its key names."""
        key = self.own["key"]
        body = self._client("s3").get_object(Bucket=self.own["bucket"], Key=key)["Body"].read()
        program = zipfile.ZipFile(io.BytesIO(body)).read("bootstrap")
        if not key.startswith(f"runtime/{hashlib.sha256(program).hexdigest()[:16]}-"):
            raise ValueError(f"the program in {key} is not the one that its key names")
        folder = Path(os.environ["PIPECTL_LOCAL_DATABASES"]).parent / "readers" / self.group
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / Path(key).stem
        if not path.exists():
            temporary = path.with_suffix(".new")
            temporary.write_bytes(program)
            temporary.chmod(0o700)
            temporary.replace(path)
        return path

    def _credentials(self) -> dict[str, str]:
        access, secret, token = aws_roles.credentials(self.account, self.region, self.role, PRINCIPAL, self.arn)
        found = {"AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": secret}
        return found | ({"AWS_SESSION_TOKEN": token} if token else {})

    def _run(self) -> None:
        from ministack.core.responses import request_scope

        with request_scope(self.account, self.region):
            while not self._stopping.is_set():
                try:
                    self._once()
                except Exception:
                    LOG.exception("reader %s", self.group)
                self._stopping.wait(START_AGAIN_SECONDS)

    def _once(self) -> None:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        program = self._fetch()
        environment = inherited | self.environment | self._credentials() | {"AWS_ENDPOINT_URL": os.environ["AWS_ENDPOINT_URL"]}
        self._process = subprocess.Popen([str(program), "binlog"], env=environment, stdin=subprocess.DEVNULL,
                                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if self._stopping.is_set():
            self._process.terminate()
        assert self._process.stdout is not None
        stream = f"i-{hashlib.sha256(self.group.encode()).hexdigest()[:17]}"
        for line in self._process.stdout:
            try:
                self._log(stream, line.decode("utf-8", "replace").rstrip("\n"))
            except Exception:
                LOG.exception("reader %s: its log", self.group)
        code = self._process.wait()
        if not self._stopping.is_set():
            LOG.warning("reader %s ended with %s and is started again", self.group, code)

    def _log(self, stream: str, line: str) -> None:
        logs, group = self._client("logs"), self.own["log_group"]
        event = {"timestamp": int(time.time() * 1000), "message": line}
        try:
            logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=[event])
        except logs.exceptions.ResourceNotFoundException:
            logs.create_log_stream(logGroupName=group, logStreamName=stream)
            logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=[event])

    def stop(self) -> None:
        """Has the program end. Nobody waits: it gives its lease back by calls that only whoever called this can answer."""
        self._stopping.set()
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            killer = threading.Timer(STOP_SECONDS, process.kill)
            killer.daemon = True
            killer.start()


def stop_all() -> None:
    """When the cloud ends. A lease that stays is of a process that is gone."""
    for reader in list(GROUPS.values()):
        reader.stop()
        if reader._process is not None:
            reader._process.kill()


def _template_of(group: dict[str, Any]) -> dict[str, Any]:
    """What the group's launch template says in its latest version."""
    from ministack.services import ec2

    found = ec2._launch_templates.get((group.get("LaunchTemplate") or {}).get("LaunchTemplateId", "")) or {}
    versions = found.get("Versions") or [{}]
    data: dict[str, Any] = versions[-1].get("LaunchTemplateData") or {}
    return data


def _role_of(profile: dict[str, Any]) -> str:
    from ministack.services import iam

    arn, name = profile.get("Arn"), profile.get("Name")
    for found in iam._instance_profiles.values():
        if found.get("Arn") == arn or found.get("InstanceProfileName") == name:
            role = found["Roles"][0]
            return str(role["Arn"] if isinstance(role, dict) else iam._roles[role]["Arn"])
    raise ValueError(f"the instance profile {arn or name} does not exist")


def _run(name: str) -> None:
    """Starts what the group runs, if that is ours, in the place of what it ran before."""
    from ministack.core.responses import get_account_id
    from ministack.services import autoscaling

    group = autoscaling._asgs[name]
    data = _template_of(group)
    user_data = base64.b64decode(data.get("UserData") or "").decode("utf-8", "replace")
    old = GROUPS.get(name)
    if old is not None and old.user_data == user_data:
        return
    if old is not None:
        GROUPS.pop(name).stop()
    if MARK in user_data and int(group.get("DesiredCapacity", 0)) > 0:
        role = _role_of(data.get("IamInstanceProfile") or {})
        GROUPS[name] = Reader(get_account_id(), name, group["AutoScalingGroupARN"], role, user_data)


def install(finder: Finder) -> None:
    finder.when("cloudformation.provisioners", hook)


def hook(provisioners: Any) -> None:
    handlers = provisioners._RESOURCE_HANDLERS
    ours = handlers["AWS::AutoScaling::AutoScalingGroup"]
    create, update, delete = provisioners._asg_create, ours["update"], provisioners._asg_delete

    def created(*arguments: Any) -> Any:
        answer = create(*arguments)
        _run(answer[0])
        return answer

    def updated(*arguments: Any, **named: Any) -> Any:
        answer = update(*arguments, **named)
        _run(answer[0])
        return answer

    def deleted(physical_id: str, props: dict[str, Any]) -> Any:
        reader = GROUPS.pop(physical_id, None)
        if reader is not None:
            reader.stop()
        return delete(physical_id, props)

    # A replacement inside the update calls these by name.
    provisioners._asg_create, provisioners._asg_delete = created, deleted
    handlers["AWS::AutoScaling::AutoScalingGroup"] = {**ours, "create": created, "update": updated, "delete": deleted}
