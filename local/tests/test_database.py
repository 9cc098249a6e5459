# SPDX-License-Identifier: Apache-2.0
"""RDS for MySQL of a template: a real server with the template's user, settings and TLS."""
from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import Cloud
from test_lambda import wait_for

SECRET = "{{resolve:secretsmanager:video-db:SecretString:password}}"


def template(**changes: Any) -> str:
    return json.dumps({"Resources": {
        "Secret": {"Type": "AWS::SecretsManager::Secret", "Properties": {"Name": "video-db", "GenerateSecretString": {
            "SecretStringTemplate": '{"username": "owner"}', "GenerateStringKey": "password", "PasswordLength": 32, "ExcludeCharacters": "\"@/\\'"}}},
        "Settings": {"Type": "AWS::RDS::DBParameterGroup", "Properties": {"Family": "mysql8.4", "Description": "d", "Parameters": {
            "binlog_row_metadata": "FULL", "binlog_format": "ROW", "require_secure_transport": "ON", **changes}}},
        "Db": {"Type": "AWS::RDS::DBInstance", "DependsOn": "Secret", "Properties": {
            "DBInstanceIdentifier": "video", "Engine": "mysql", "EngineVersion": "8.4", "DBName": "video", "DBInstanceClass": "db.t4g.micro", "AllocatedStorage": "20",
            "StorageEncrypted": True, "MasterUsername": "owner", "MasterUserPassword": SECRET, "DBParameterGroupName": {"Ref": "Settings"}}},
        "Attachment": {"Type": "AWS::SecretsManager::SecretTargetAttachment", "Properties": {
            "SecretId": {"Ref": "Secret"}, "TargetId": {"Ref": "Db"}, "TargetType": "AWS::RDS::DBInstance"}},
        "Rotation": {"Type": "AWS::SecretsManager::RotationSchedule", "DependsOn": "Attachment", "Properties": {
            "SecretId": {"Ref": "Secret"}, "RotationRules": {"AutomaticallyAfterDays": 30}, "HostedRotationLambda": {"RotationType": "MySQLSingleUser"}}}},
        "Outputs": {"Address": {"Value": {"Fn::GetAtt": ["Db", "Endpoint.Address"]}}, "Port": {"Value": {"Fn::GetAtt": ["Db", "Endpoint.Port"]}}}})


class Database:
    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    def deploy(self, body: str, update: bool = False) -> dict[str, str]:
        cloudformation = self.cloud.aws("cloudformation")
        (cloudformation.update_stack if update else cloudformation.create_stack)(StackName="db", TemplateBody=body)
        wait_for(lambda: not self.stack()["StackStatus"].endswith("IN_PROGRESS"))
        assert self.stack()["StackStatus"] in ("CREATE_COMPLETE", "UPDATE_COMPLETE"), self.reasons()
        return {o["OutputKey"]: o["OutputValue"] for o in self.stack()["Outputs"]}

    def stack(self) -> dict[str, Any]:
        found: dict[str, Any] = self.cloud.aws("cloudformation").describe_stacks(StackName="db")["Stacks"][0]
        return found

    def reasons(self) -> list[str]:
        events = self.cloud.aws("cloudformation").describe_stack_events(StackName="db")["StackEvents"]
        return [e.get("ResourceStatusReason", "") for e in events if "FAILED" in e["ResourceStatus"]]

    def secret(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.cloud.aws("secretsmanager").get_secret_value(SecretId="video-db")["SecretString"])
        return found

    def run(self, sql: str, *options: str, check: bool = True) -> str:
        secret = self.secret()
        client = shutil.which("mariadb") or shutil.which("mysql") or "mysql"
        done = subprocess.run([client, "--no-defaults", "--batch", "--skip-column-names", f"--host={secret['host']}", f"--port={secret['port']}", f"--user={secret['username']}",
                               *(options or (f"--ssl-ca={self.cloud.directory}/databases/ca.pem", "--ssl-verify-server-cert")), secret["dbname"], "-e", sql],
                              capture_output=True, text=True, env=os.environ | {"MYSQL_PWD": secret["password"]}, check=False)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout.strip() if check else done.stderr


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "cloud"


def test_an_instance_is_a_server(directory: Path) -> None:
    cloud = Cloud(directory)
    try:
        database = Database(cloud)
        outputs = database.deploy(template())
        secret = database.secret()
        assert outputs == {"Address": "127.0.0.1", "Port": str(secret["port"])}
        assert (secret["username"], secret["dbname"], secret["engine"], secret["host"]) == ("owner", "video", "mysql", "127.0.0.1")
        database.run("CREATE TABLE t (n INT PRIMARY KEY); INSERT INTO t VALUES (42)")
        assert database.run("SELECT @@log_bin, @@binlog_format, @@binlog_row_metadata, @@character_set_server") == "1\tROW\tFULL\tutf8mb4"
        assert "TLS" in database.run("SHOW STATUS LIKE 'ssl_cipher'")
        assert "ERROR" in database.run("SELECT 1", "--skip-ssl", check=False)
        # Neither the password nor root's door is left open.
        for path in directory.rglob("*"):
            if path.is_file() and "data" not in path.parts and "tmp" not in path.parts:
                assert secret["password"].encode() not in path.read_bytes(), path
        port = secret["port"]
        assert "denied" in subprocess.run(["mariadb", "--no-defaults", "-h127.0.0.1", f"-P{port}", "-uroot", "-e", "select 1"], capture_output=True, text=True, check=False).stderr.lower()
        database.deploy(template(binlog_row_image="MINIMAL"), update=True)
        assert [d["identifier"] for d in json.loads((directory / "databases/databases.json").read_text())] == ["video"]
    finally:
        cloud.stop()
    # What was stored is there again, under a new password.
    again = Cloud(directory)
    try:
        database = Database(again)
        database.deploy(template())
        assert database.secret()["password"] != secret["password"] and database.secret()["port"] == port
        assert database.run("SELECT n FROM t") == "42"
        again.aws("cloudformation").delete_stack(StackName="db")
        wait_for(lambda: not (directory / "databases/video").exists())
        assert json.loads((directory / "databases/databases.json").read_text()) == []
    finally:
        again.stop()


def test_a_machine_without_a_server_is_told_what_to_install(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPECTL_MYSQLD", "/nowhere/mysqld")
    cloud = Cloud(directory)
    try:
        database = Database(cloud)
        with pytest.raises(AssertionError, match="/nowhere/mysqld, which cannot be executed"):
            database.deploy(template())
    finally:
        cloud.stop()
