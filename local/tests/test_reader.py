"""The stand-in for the server that reads a binary log takes its settings from the user data, and nothing from elsewhere."""
from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import zipfile
from pathlib import Path

import pytest

from pipectl_local.aws_reader import MARK, settings_of

SCRIPT = Path(__file__).parents[2] / "templates" / "reader" / "user-data.sh"


PROGRAM = b"#!/bin/sh\necho reads\n"


def user_data(key: str) -> str:
    own = f"region='eu-west-1'\nstack='people-local-reader'\nlog_group='/pipectl/x'\nbucket='artifacts'\nkey='{key}'"
    environment = "PIPECTL_TABLES='[{\"schema\":\"s\",\"table\":\"t$1\"}]'\nPIPECTL_STREAM='arn:aws:kinesis:x'"
    return SCRIPT.read_text().replace("@SETTINGS@", own).replace("@ENVIRONMENT@", environment)


def test_settings_are_those_of_the_user_data() -> None:
    own, environment = settings_of(user_data("runtime/0011223344556677-arm64.zip"))
    assert own == {"region": "eu-west-1", "stack": "people-local-reader", "log_group": "/pipectl/x", "bucket": "artifacts",
                   "key": "runtime/0011223344556677-arm64.zip"}
    assert environment == {"PIPECTL_TABLES": '[{"schema":"s","table":"t$1"}]', "PIPECTL_STREAM": "arn:aws:kinesis:x"}


def test_the_script_is_known_by_its_unit() -> None:
    assert MARK in user_data("runtime/0-arm64.zip")


def run(tmp_path: Path, key: str) -> list[str]:
    """What a server with these user data calls, its programs replaced by ones that write their arguments down."""
    for folder in ("bin", "etc/logrotate.d", "etc/systemd/system", "opt/aws/amazon-cloudwatch-agent/etc", "opt/aws/amazon-cloudwatch-agent/bin"):
        (tmp_path / folder).mkdir(parents=True)
    calls, kept = tmp_path / "calls", tmp_path / "kept.zip"
    with zipfile.ZipFile(kept, "w") as archive:
        archive.writestr("bootstrap", PROGRAM)
    stub = f'#!/bin/bash\necho "${{0##*/}} $*" >> {calls}\n'
    stubs = {"aws": f'{stub}if [[ "$1" == s3 ]]; then [[ "$4" != *none* ]] && cp {kept} "$5"; fi\n', "dnf": stub, "systemctl": stub,
             "ec2-metadata": "#!/bin/bash\necho 'instance-id: i-0abc'\n", "sleep": "#!/bin/bash\n",
             "../opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl": stub}
    for name, text in stubs.items():
        path = tmp_path / "bin" / name
        path.write_text(text)
        path.chmod(0o755)
    script = re.sub(r"(?<![\w-])/(opt|etc|var)/", rf"{tmp_path}/\1/", user_data(key))
    done = subprocess.run(["bash", "-c", script], env={"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return calls.read_text().splitlines()


def test_a_server_starts_the_program_that_its_key_names(tmp_path: Path) -> None:
    calls = run(tmp_path, f"runtime/{hashlib.sha256(PROGRAM).hexdigest()[:16]}-arm64.zip")
    assert calls[-2:] == ["systemctl enable --now pipectl-reader.service",
                          "aws cloudformation signal-resource --stack-name people-local-reader --logical-resource-id ReaderGroup --unique-id i-0abc --status SUCCESS"]
    assert (tmp_path / "opt/pipectl/pipectl-runtime").read_bytes() == PROGRAM
    assert json.loads((tmp_path / "opt/aws/amazon-cloudwatch-agent/etc/pipectl.json").read_text())["logs"]["logs_collected"]["files"]["collect_list"][0]["log_group_name"] == "/pipectl/x"


@pytest.mark.parametrize("key", ["runtime/0000000000000000-arm64.zip", "runtime/none.zip"])
def test_a_server_without_the_right_program_says_so_and_is_replaced(tmp_path: Path, key: str) -> None:
    calls = run(tmp_path, key)
    assert calls[-2].endswith("--status FAILURE") and calls[-1] == "systemctl start pipectl-unhealthy.service"
    assert not any("enable" in call for call in calls) and not (tmp_path / "opt/pipectl/pipectl-runtime").exists()
