# SPDX-License-Identifier: Apache-2.0
"""Service users whom AWS vouches for, and STS's tokens."""
from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from conftest import Cloud, SqlError

ACCOUNT = "000000000000"
ISSUER = f"https://00000000-0000-4000-8000-{ACCOUNT}.tokens.sts.global.api.aws"
TRUST = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"}]}
MAY_ASK = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:GetWebIdentityToken", "Resource": "*"}]}


def arn(role: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:role/{role}"


def session(cloud: Cloud, role: str, may_ask: bool = True) -> Any:
    """STS as a session of a new role."""
    iam = cloud.aws("iam")
    iam.create_role(RoleName=role, AssumeRolePolicyDocument=json.dumps(TRUST))
    if may_ask:
        iam.put_role_policy(RoleName=role, PolicyName="ask", PolicyDocument=json.dumps(MAY_ASK))
    keys = cloud.aws("sts").assume_role(RoleArn=arn(role), RoleSessionName="session")["Credentials"]
    return cloud.aws("sts", keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])


def token(sts: Any, audience: str = "snowflakecomputing.com", seconds: int = 300) -> str:
    return str(sts.get_web_identity_token(Audience=[audience], SigningAlgorithm="ES384", DurationSeconds=seconds)["WebIdentityToken"])


def sign_in(cloud: Cloud, bearer: str, role: str = "PUBLIC") -> tuple[int, dict[str, Any]]:
    return cloud.request("POST", "/api/v2/statements", {"statement": "SELECT CURRENT_USER() || ' ' || CURRENT_ROLE() AS W", "role": role},
                         token=bearer, headers={"X-Snowflake-Authorization-Token-Type": "WORKLOAD_IDENTITY_FEDERATION"})


@pytest.fixture
def robot(either: Cloud) -> Iterator[Cloud]:
    either.run(f"""CREATE ROLE ROBOTS;
        CREATE USER ROBOT TYPE = SERVICE DEFAULT_ROLE = ROBOTS WORKLOAD_IDENTITY = (TYPE = AWS ARN = '{arn('robot')}' ISSUER = '{ISSUER}') COMMENT = 'c';
        GRANT ROLE ROBOTS TO USER ROBOT""")
    yield either
    either.run("DROP USER IF EXISTS ROBOT;\nDROP ROLE ROBOTS")
    iam = either.aws("iam")
    for role in iam.list_roles()["Roles"]:
        for name in iam.list_role_policies(RoleName=role["RoleName"])["PolicyNames"]:
            iam.delete_role_policy(RoleName=role["RoleName"], PolicyName=name)
        iam.delete_role(RoleName=role["RoleName"])


def test_the_role_that_aws_vouches_for_signs_in(robot: Cloud) -> None:
    sts = session(robot, "robot")
    good = token(sts)
    claims = jwt.decode(good, options={"verify_signature": False})
    assert (claims["sub"], claims["iss"], claims["aud"]) == (arn("robot"), ISSUER, "snowflakecomputing.com")
    status, body = sign_in(robot, f"WIF.AWS.{good}", "ROBOTS")
    assert (status, body["data"]) == (200, [["ROBOT ROBOTS"]])
    status, body = sign_in(robot, f"WIF.AWS.{good}", "ACCOUNTADMIN")
    assert (status, body["code"]) == (422, "390189")
    header, payload, _ = good.split(".")
    forged = jwt.encode({**claims, "exp": int(time.time()) + 300}, "a" * 64, algorithm="HS256")
    other = token(session(robot, "other"))
    for wrong in (f"WIF.AWS.{token(sts, 'somebody.else')}", f"WIF.AWS.{header}.{payload}.AAAA", f"WIF.AWS.{forged}", f"WIF.AWS.{other}",
                  f"WIF.OIDC.{good}", good, "WIF.AWS.", "nonsense"):
        assert sign_in(robot, wrong)[0] == 401, wrong
    robot.sql("ALTER USER ROBOT SET DISABLED = TRUE")
    assert sign_in(robot, f"WIF.AWS.{good}")[0] == 401
    robot.sql(f"ALTER USER ROBOT SET DISABLED = FALSE, WORKLOAD_IDENTITY = (TYPE = AWS ARN = '{arn('other')}' ISSUER = '{ISSUER}')")
    assert (sign_in(robot, f"WIF.AWS.{good}")[0], sign_in(robot, f"WIF.AWS.{other}")[0]) == (401, 200)
    robot.sql("DROP USER ROBOT")
    assert sign_in(robot, f"WIF.AWS.{other}")[0] == 401


def test_who_may_not_ask_gets_no_token(auth_cloud: Cloud) -> None:
    sts = session(auth_cloud, "mute", may_ask=False)
    with pytest.raises(Exception, match="AccessDenied"):
        token(sts)


def test_users_are_told_and_refused_as_snowflake_does(robot: Cloud) -> None:
    shown = [u for u in robot.sql("SHOW USERS LIKE 'ROB%'")][0]
    assert (shown["name"], shown["type"], shown["has_workload_identity"], shown["comment"], shown["owner"]) == ("ROBOT", "SERVICE", "true", "c", "ACCOUNTADMIN")
    robot.sql("CREATE USER IF NOT EXISTS ROBOT TYPE = SERVICE")
    for wrong, code in (("CREATE USER ROBOT", "002002"), ("CREATE USER X TYPE = ROBOT", "001008"), ("CREATE USER X PLANET = 'Mars'", "001420"),
                        ("CREATE USER X WORKLOAD_IDENTITY = (TYPE = AWS ARN = 'a')", "001003"),
                        ("CREATE USER X TYPE = SERVICE WORKLOAD_IDENTITY = (TYPE = AWS)", "001003"), ("ALTER USER NOBODY SET COMMENT = 'c'", "002003"),
                        ("DROP USER PIPECTL", "003001")):
        with pytest.raises(SqlError, match=code):
            robot.sql(wrong)
    robot.sql("GRANT ROLE ROBOTS TO USER PIPECTL")
    with pytest.raises(SqlError, match="003001"):
        robot.sql("CREATE USER X TYPE = SERVICE", role="ROBOTS")
    assert [u["type"] for u in robot.sql("SHOW USERS LIKE 'ROBOT'", role="ROBOTS")] == [None]
