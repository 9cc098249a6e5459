# SPDX-License-Identifier: Apache-2.0
"""A running local cloud per mode, and clients that speak to it as pipectl does."""
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization

LOCAL = Path(__file__).parents[1]
sys.path.insert(0, str(LOCAL))

from pipectl_local.jwt_auth import fingerprint  # noqa: E402


class SqlError(Exception):
    def __init__(self, body: dict[str, Any], status: int) -> None:
        super().__init__(f"{status} {body.get('code')} {body.get('message')}")
        self.body, self.status, self.code = body, status, body.get("code")


class Cloud:
    """One `serve` process."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self.directory = directory
        began = time.monotonic()
        self.process = subprocess.Popen([sys.executable, "-m", "pipectl_local", "serve", "--dir", str(directory), *arguments], cwd=LOCAL)
        path = directory / "cloud.json"
        while not path.exists():
            assert self.process.poll() is None, (directory / "snowflake.log").read_text()
            assert time.monotonic() - began < 120, "the local Snowflake does not start"
            time.sleep(0.02)
        self.info = json.loads(path.read_text())
        key = serialization.load_pem_private_key(Path(self.info["snowflake_private_key_path"]).read_bytes(), None)
        self.key = key
        self._token = self.token()

    def token(self, **changes: Any) -> str:
        now = int(time.time())
        subject = f"{self.info['snowflake_account']}.{self.info['snowflake_user']}"
        claims = {"iss": f"{subject}.{fingerprint(self.key.public_key())}", "sub": subject, "iat": now, "exp": now + 3000} | changes
        return jwt.encode(claims, self.key, algorithm="RS256")

    def request(self, method: str, path: str, body: Any = None, token: str | None = None, headers: dict[str, str] | None = None) -> tuple[int, dict[str, Any]]:
        request = urllib.request.Request(self.info["snowflake_url"] + path, method=method, data=None if body is None else json.dumps(body).encode(), headers={
            "Content-Type": "application/json", "Authorization": f"Bearer {token or self._token}", "X-Snowflake-Authorization-Token-Type": "KEYPAIR_JWT",
            **(headers or {})})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def submit(self, statement: str, query: str = "", **fields: Any) -> tuple[int, dict[str, Any]]:
        return self.request("POST", f"/api/v2/statements?requestId={uuid.uuid4()}{query}", {"statement": statement, **fields})

    def sql(self, statement: str, **fields: Any) -> list[dict[str, Any]]:
        status, body = self.submit(statement, **fields)
        if status != 200:
            raise SqlError(body, status)
        names = [c["name"] for c in body["resultSetMetaData"]["rowType"]]
        return [dict(zip(names, row)) for row in body["data"]]

    def run(self, script: str, **fields: Any) -> None:
        for statement in script.split(";\n"):
            if statement.strip():
                self.sql(statement.strip().removesuffix(";"), **fields)

    def value(self, statement: str, **fields: Any) -> Any:
        rows = self.sql(statement, **fields)
        return next(iter(rows[0].values())) if rows else None

    def wait(self, statement: str, expected: Callable[[Any], bool] | Any, seconds: float = 90) -> Any:
        began = time.monotonic()
        while True:
            found = self.value(statement)
            if expected(found) if callable(expected) else found == expected:
                return found
            assert time.monotonic() - began < seconds, f"{statement}: still {found!r}"
            time.sleep(0.05)

    def aws(self, service: str, key: str | None = None, secret: str | None = None, token: str | None = None) -> Any:
        import botocore.session
        from botocore.config import Config

        return botocore.session.get_session().create_client(
            service, region_name=self.info["region"], endpoint_url=self.info["aws_url"], aws_access_key_id=key or self.info["aws_access_key_id"],
            aws_secret_access_key=secret or self.info["aws_secret_access_key"], aws_session_token=token,
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}))

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(90)


def pytest_configure() -> None:
    # Whoever ends the tests ends their clouds, too.
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("ended by SIGTERM", 143))


def start(tmp_path_factory: pytest.TempPathFactory, *arguments: str) -> Cloud:
    return Cloud(tmp_path_factory.mktemp("cloud"), *arguments)


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """Without IAM."""
    made = start(tmp_path_factory)
    yield made
    made.stop()


@pytest.fixture(scope="session")
def auth_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """With IAM enforced."""
    made = start(tmp_path_factory, "--auth")
    yield made
    made.stop()


@pytest.fixture(params=["open", "auth"])
def either(request: pytest.FixtureRequest) -> Cloud:
    return request.getfixturevalue("cloud" if request.param == "open" else "auth_cloud")


class Landing:
    """Bucket, topic, role and integration, as pipectl's stacks make them."""

    def __init__(self, cloud: Cloud, name: str) -> None:
        self.cloud, self.name = cloud, name
        self.bucket = f"{name}-landing"
        self.external_id = f"{name}-external"
        self.role = f"arn:aws:iam::{cloud.info['account']}:role/{name}-snowflake"
        self.topic = f"arn:aws:sns:{cloud.info['region']}:{cloud.info['account']}:{name}-topic"
        self.integration = f"{name.upper().replace('-', '_')}_S3"
        self.database = name.upper().replace("-", "_")
        self.s3 = cloud.aws("s3")

    def make_integration(self) -> dict[str, str]:
        self.cloud.sql(f"""CREATE STORAGE INTEGRATION IF NOT EXISTS {self.integration} TYPE = EXTERNAL_STAGE STORAGE_PROVIDER = 'S3' ENABLED = TRUE
            STORAGE_AWS_ROLE_ARN = '{self.role}' STORAGE_AWS_EXTERNAL_ID = '{self.external_id}'
            STORAGE_ALLOWED_LOCATIONS = ('s3://{self.bucket}/data/') COMMENT = 'it''s ours'""")
        return {r["property"]: r["property_value"] for r in self.cloud.sql(f"DESC INTEGRATION {self.integration}")}

    def make_aws(self, user: str, external_id: str | None = None, principal: str | None = None, read: bool = True) -> None:
        """In the order that pipectl deploys: role, bucket, topic with its policy, notification."""
        trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": principal or user}, "Action": "sts:AssumeRole",
                 "Condition": {"StringEquals": {"sts:ExternalId": external_id or self.external_id}}}]}
        iam = self.cloud.aws("iam")
        iam.create_role(RoleName=self.role.rsplit("/", 1)[-1], AssumeRolePolicyDocument=json.dumps(trust))
        actions = ["s3:GetObject", "s3:GetObjectVersion"] if read else ["s3:GetObjectTagging"]
        policy = {"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": actions, "Resource": f"arn:aws:s3:::{self.bucket}/data/*"},
            {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{self.bucket}", "Condition": {"StringLike": {"s3:prefix": ["data/*"]}}}]}
        iam.put_role_policy(RoleName=self.role.rsplit("/", 1)[-1], PolicyName="read", PolicyDocument=json.dumps(policy))
        self.s3.create_bucket(Bucket=self.bucket, CreateBucketConfiguration={"LocationConstraint": self.cloud.info["region"]})
        deny = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Principal": "*", "Action": "s3:*",
                "Resource": [f"arn:aws:s3:::{self.bucket}", f"arn:aws:s3:::{self.bucket}/*"], "Condition": {"Bool": {"aws:SecureTransport": "false"}}}]}
        self.s3.put_bucket_policy(Bucket=self.bucket, Policy=json.dumps(deny))
        self.make_topic(json.loads(self.cloud.value(f"SELECT SYSTEM$GET_AWS_SNS_IAM_POLICY('{self.topic}')"))["Statement"])

    def make_topic(self, statements: list[dict[str, Any]]) -> None:
        sns = self.cloud.aws("sns")
        sns.create_topic(Name=self.topic.rsplit(":", 1)[-1])
        publish = {"Sid": "s3", "Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "sns:Publish", "Resource": self.topic,
                   "Condition": {"ArnLike": {"aws:SourceArn": f"arn:aws:s3:::{self.bucket}"}, "StringEquals": {"aws:SourceAccount": self.cloud.info["account"]}}}
        sns.set_topic_attributes(TopicArn=self.topic, AttributeName="Policy", AttributeValue=json.dumps({"Version": "2012-10-17", "Statement": [*statements, publish]}))
        self.s3.put_bucket_notification_configuration(Bucket=self.bucket, NotificationConfiguration={
            "TopicConfigurations": [{"TopicArn": self.topic, "Events": ["s3:ObjectCreated:*"]}]})

    def make_tables(self) -> None:
        d = self.database
        self.cloud.run(f"""
            CREATE DATABASE IF NOT EXISTS {d} COMMENT = 'db';
            CREATE SCHEMA IF NOT EXISTS {d}.RAW WITH MANAGED ACCESS COMMENT = 'raw';
            CREATE SCHEMA IF NOT EXISTS {d}.SALES WITH MANAGED ACCESS;
            CREATE FILE FORMAT IF NOT EXISTS {d}.RAW.JSON_LINES TYPE = JSON COMPRESSION = AUTO STRIP_OUTER_ARRAY = TRUE COMMENT = 'c';
            CREATE STAGE IF NOT EXISTS {d}.RAW.LANDING URL = 's3://{self.bucket}/data/' STORAGE_INTEGRATION = {self.integration}
              FILE_FORMAT = (FORMAT_NAME = '{d}.RAW.JSON_LINES') COMMENT = 'c';
            CREATE TABLE IF NOT EXISTS {d}.RAW.INVOICES (RECORD VARIANT NOT NULL COMMENT 'the record', FILE_NAME VARCHAR(1024) NOT NULL, FILE_ROW NUMBER(38,0) NOT NULL,
              FILE_MODIFIED TIMESTAMP_NTZ(9), LOADED_AT TIMESTAMP_LTZ(9)) COMMENT = 'raw';
        """.replace(";\n", ";\n"))

    def pipe_sql(self, extra: str = "", name: str = "INVOICE_PIPE") -> str:
        d = self.database
        return f"""CREATE PIPE IF NOT EXISTS {d}.RAW.{name} AUTO_INGEST = TRUE AWS_SNS_TOPIC = '{self.topic}' {extra} COMMENT = 'c' AS
            COPY INTO {d}.RAW.INVOICES (RECORD, FILE_NAME, FILE_ROW, FILE_MODIFIED, LOADED_AT)
            FROM (SELECT $1, METADATA$FILENAME, METADATA$FILE_ROW_NUMBER, METADATA$FILE_LAST_MODIFIED, METADATA$START_SCAN_TIME FROM @{d}.RAW.LANDING/invoices/)
            FILE_FORMAT = (FORMAT_NAME = '{d}.RAW.JSON_LINES') ON_ERROR = SKIP_FILE"""

    def put(self, key: str, *records: Any) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body="\n".join(r if isinstance(r, str) else json.dumps(r) for r in records).encode())


@pytest.fixture
def landing() -> Callable[[Cloud, str], Landing]:
    def make(cloud: Cloud, name: str) -> Landing:
        found = Landing(cloud, f"{name}{'-auth' if cloud.info['auth'] else ''}")
        properties = found.make_integration()
        found.make_aws(properties["STORAGE_AWS_IAM_USER_ARN"])
        found.make_tables()
        return found
    return make


os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
