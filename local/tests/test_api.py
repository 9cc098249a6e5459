# SPDX-License-Identifier: Apache-2.0
"""The SQL API as documented, the connector, roles of requests, and the process."""
from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import time
import uuid

import pytest
from conftest import LOCAL, Cloud
from test_lambda import wait_for
from test_statements import fails


def test_token_is_really_checked(cloud):
    now = int(time.time())
    for token in ("nonsense", cloud.token(exp=now - 120, iat=now - 3000), cloud.token(sub="LOCAL.NOBODY"), cloud.token(exp=now + 90_000),
                  cloud.token(iss="LOCAL.PIPECTL.SHA256:AAAA"), cloud.token()[:-6] + "AAAAAA", cloud.token(sub="OTHER.PIPECTL")):
        status, body = cloud.request("POST", "/api/v2/statements", {"statement": "SELECT 1"}, token=token)
        assert (status, body["code"]) == (401, "390144"), body


def test_asynchronous_idempotent_and_partitioned(cloud):
    cloud.run("CREATE DATABASE IF NOT EXISTS API;\nCREATE TABLE IF NOT EXISTS API.PUBLIC.T (N INT)")
    request = f"/api/v2/statements?requestId={uuid.uuid4()}&async=true&retry=true"
    status, body = cloud.request("POST", request, {"statement": "INSERT INTO API.PUBLIC.T SELECT 1"})
    assert status == 202 and body["code"] == "333334"
    status, again = cloud.request("POST", request, {"statement": "INSERT INTO API.PUBLIC.T SELECT 1"})
    assert status == 200 and again["statementHandle"] == body["statementHandle"] and again["stats"]["numRowsInserted"] == 1
    assert cloud.value("SELECT COUNT(*) FROM API.PUBLIC.T") == "1"
    status, body = cloud.request("GET", f"/api/v2/statements/{body['statementHandle']}")
    assert status == 200 and body["code"] == "090001" and body["data"] == [["1"]]
    cloud.sql("INSERT INTO API.PUBLIC.T SELECT a.N FROM (SELECT f.INDEX AS N FROM TABLE(FLATTEN(INPUT => SPLIT(REPEAT('x,', 24999), ','))) f) a")
    status, body = cloud.submit("SELECT N FROM API.PUBLIC.T")
    parts = body["resultSetMetaData"]["partitionInfo"]
    assert body["resultSetMetaData"]["numRows"] == 25001 and [p["rowCount"] for p in parts] == [10000, 10000, 5001] and len(body["data"]) == 10000
    status, last = cloud.request("GET", f"/api/v2/statements/{body['statementHandle']}?partition=2")
    assert len(last["data"]) == 5001
    assert cloud.request("GET", f"/api/v2/statements/{uuid.uuid4()}")[0] == 404
    slow = "SELECT COUNT(*) FROM API.PUBLIC.T a, API.PUBLIC.T b, API.PUBLIC.T c WHERE MOD(a.N * b.N + c.N, 7) = 9"
    status, body = cloud.request("POST", f"/api/v2/statements?requestId={uuid.uuid4()}&async=true", {"statement": slow})
    assert cloud.request("GET", f"/api/v2/statements/{body['statementHandle']}")[0] == 202
    assert cloud.request("POST", f"/api/v2/statements/{body['statementHandle']}/cancel")[0] == 200
    handle, began = body["statementHandle"], time.monotonic()
    while (status := cloud.request("GET", f"/api/v2/statements/{handle}")[0]) == 202:
        assert time.monotonic() - began < 90
        time.sleep(0.05)
    status, body = cloud.request("GET", f"/api/v2/statements/{handle}")
    assert (status, body["code"]) == (422, "000604")
    fails(cloud, "000604", slow, timeout=1)
    fails(cloud, "000008", "SELECT 1; SELECT 2")
    cloud.sql("DROP DATABASE API")


def test_context_functions(cloud):
    row = cloud.sql("SELECT CURRENT_ACCOUNT() A, CURRENT_ROLE() B, CURRENT_USER() C, CURRENT_REGION() D, CURRENT_VERSION() E")[0]
    assert (row["A"], row["B"], row["C"], row["D"]) == ("LOCAL", "ACCOUNTADMIN", "PIPECTL", "AWS_EU_WEST_1") and row["E"]


def test_connector_sees_the_same_tables(cloud):
    import snowflake.connector
    host, port = cloud.info["snowflake_url"].removeprefix("http://").split(":")
    cloud.run("CREATE DATABASE IF NOT EXISTS CON;\nCREATE TABLE CON.PUBLIC.T (A NUMBER(10,2), B VARCHAR, C TIMESTAMP_NTZ, D DATE, E VARIANT, F BOOLEAN);\n"
              "INSERT INTO CON.PUBLIC.T SELECT 1.5, 'x', '2024-01-01 10:00:00', '2024-01-02', PARSE_JSON('[1]'), TRUE")
    connection = snowflake.connector.connect(host=host, port=int(port), protocol="http", account="LOCAL", user="PIPECTL", private_key=cloud.key,
                                             authenticator="SNOWFLAKE_JWT", database="CON", schema="PUBLIC")
    with connection.cursor() as cursor:
        row = cursor.execute("SELECT * FROM T WHERE B = %s", ("x",)).fetchone()
        assert str(row[0]) == "1.50" and row[1] == "x" and row[2].isoformat() == "2024-01-01T10:00:00" and row[3].isoformat() == "2024-01-02" and row[5] is True
        cursor.execute("BEGIN")
        cursor.execute("INSERT INTO T (B) VALUES ('y')")
        assert cursor.rowcount == 1
        cursor.execute("ROLLBACK")
        assert cursor.execute("SELECT COUNT(*) FROM T").fetchone() == (1,)
        with pytest.raises(snowflake.connector.errors.ProgrammingError, match="does not exist or not authorized"):
            cursor.execute("SELECT * FROM NOPE")
    connection.close()
    cloud.sql("DROP DATABASE CON")


def test_roles_are_enforced(cloud):
    cloud.run("""CREATE ROLE IF NOT EXISTS G_OWNER;
        CREATE ROLE IF NOT EXISTS G_READER;
        GRANT ROLE G_OWNER TO ROLE SYSADMIN;
        GRANT ROLE G_READER TO ROLE SYSADMIN;
        CREATE DATABASE IF NOT EXISTS G;
        GRANT OWNERSHIP ON DATABASE G TO ROLE G_OWNER COPY CURRENT GRANTS;
        CREATE WAREHOUSE IF NOT EXISTS G_WH""")
    cloud.run("CREATE SCHEMA IF NOT EXISTS G.S WITH MANAGED ACCESS;\nCREATE TABLE G.S.T (A INT);\nINSERT INTO G.S.T VALUES (1)", role="G_OWNER")
    fails(cloud, "002003", "SELECT * FROM G.S.T", role="G_READER")
    fails(cloud, "002003", "SHOW TABLES IN DATABASE G", role="G_READER")
    cloud.run("GRANT USAGE ON DATABASE G TO ROLE G_READER;\nGRANT USAGE ON SCHEMA G.S TO ROLE G_READER;\nGRANT SELECT ON ALL TABLES IN SCHEMA G.S TO ROLE G_READER;\n"
              "GRANT SELECT ON FUTURE TABLES IN SCHEMA G.S TO ROLE G_READER", role="G_OWNER")
    assert cloud.value("SELECT A FROM G.S.T", role="G_READER") == "1"
    cloud.sql("CREATE TABLE G.S.LATER (A INT)", role="G_OWNER")
    assert cloud.sql("SELECT * FROM G.S.LATER", role="G_READER") == []
    fails(cloud, "003001", "INSERT INTO G.S.T VALUES (2)", role="G_READER")
    fails(cloud, "003001", "CREATE TABLE G.S.NO (A INT)", role="G_READER")
    fails(cloud, "003001", "DROP TABLE G.S.T", role="G_READER")
    fails(cloud, "003001", "CREATE ROLE NO", role="G_READER")
    fails(cloud, "002003", "SELECT 1", role="G_READER", warehouse="G_WH")
    fails(cloud, "390189", "SELECT 1", role="NOPE")
    cloud.run("CREATE ROLE G_ALONE;\nREVOKE ROLE G_READER FROM ROLE SYSADMIN")
    fails(cloud, "390189", "SELECT 1", role="G_ALONE")
    fails(cloud, "390189", "SELECT 1", role="G_READER")
    cloud.run("GRANT CREATE TASK ON SCHEMA G.S TO ROLE G_OWNER;\nGRANT USAGE ON WAREHOUSE G_WH TO ROLE G_OWNER")
    cloud.sql("CREATE TASK G.S.K WAREHOUSE = G_WH SCHEDULE = '1 MINUTE' AS SELECT 1", role="G_OWNER")
    fails(cloud, "091089", "ALTER TASK G.S.K RESUME", role="G_OWNER")
    cloud.sql("GRANT EXECUTE TASK ON ACCOUNT TO ROLE G_OWNER")
    cloud.sql("ALTER TASK G.S.K RESUME", role="G_OWNER")
    cloud.sql("ALTER TASK G.S.K SUSPEND", role="SYSADMIN")
    future = cloud.sql("SHOW FUTURE GRANTS IN SCHEMA G.S")
    assert [(f["privilege"], f["grant_on"], f["grantee_name"]) for f in future] == [("SELECT", "TABLE", "G_READER")]
    cloud.run("DROP DATABASE G;\nDROP WAREHOUSE G_WH;\nDROP ROLE G_OWNER;\nDROP ROLE G_READER;\nDROP ROLE G_ALONE")


def children(pid: int) -> list[int]:
    out = subprocess.run(["ps", "-eo", "pid,ppid"], capture_output=True, text=True).stdout.split("\n")[1:]
    return [int(p.split()[0]) for p in out if p.split() and int(p.split()[1]) == pid]


def test_start_stop_and_death(tmp_path):
    made = Cloud(tmp_path)
    try:
        for name in ("cloud.json", "snowflake_key.p8"):
            assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
        pids = [made.process.pid, *children(made.process.pid)]
        listening = subprocess.run(["ss", "-ltnpH"], capture_output=True, text=True).stdout.split("\n")
        ours = [line.split()[3] for line in listening if any(f"pid={p}," in line for p in pids)]
        assert len(ours) == 2 and all(a.startswith("127.0.0.1:") for a in ours), ours
        second = subprocess.run([*made.process.args], cwd=LOCAL, capture_output=True, text=True, timeout=90)
        assert second.returncode == 3 and "another local cloud" in second.stderr and (tmp_path / "cloud.json").exists()
        # A cloud that nobody finds could be neither used nor stopped, and its folder not be used for another one.
        told = (tmp_path / "cloud.json").read_text()
        assert json.loads(told)["package"] == LOCAL.name
        (tmp_path / "cloud.json").unlink()
        wait_for(lambda: (tmp_path / "cloud.json").exists() and (tmp_path / "cloud.json").read_text() == told)
        made.stop()
        assert made.process.returncode == 0
        assert not (tmp_path / "cloud.json").exists() and not any(os.path.exists(f"/proc/{p}") for p in pids)
        key = (tmp_path / "snowflake_key.p8").read_bytes()
        again = Cloud(tmp_path)
        assert (tmp_path / "snowflake_key.p8").read_bytes() == key
        kids = children(again.process.pid)
        again.process.send_signal(signal.SIGKILL)
        again.process.wait()
        wait_for(lambda: not any(os.path.exists(f"/proc/{p}") for p in kids))
    finally:
        made.stop()


