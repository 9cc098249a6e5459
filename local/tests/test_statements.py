# SPDX-License-Identifier: Apache-2.0
"""Every statement that pipectl renders, what SHOW then says, and Snowflake's errors."""
from __future__ import annotations

import json

import pytest
from conftest import SqlError


def fails(cloud, code, statement, **fields):
    with pytest.raises(SqlError) as caught:
        cloud.sql(statement, **fields)
    assert caught.value.code == code, str(caught.value)
    return caught.value.body["message"]


def show(cloud, statement, **fields):
    return {r["name"]: r for r in cloud.sql(statement, **fields)}


def test_roles_and_warehouses(cloud):
    cloud.run("""CREATE ROLE IF NOT EXISTS ACME_OWNER COMMENT = 'it''s';
        CREATE ROLE IF NOT EXISTS ACME_OWNER COMMENT = 'again';
        CREATE ROLE IF NOT EXISTS ACME_READER COMMENT = 'r';
        GRANT ROLE ACME_READER TO ROLE ACME_OWNER;
        GRANT ROLE ACME_OWNER TO ROLE SYSADMIN;
        GRANT ROLE ACME_OWNER TO USER PIPECTL;
        CREATE WAREHOUSE IF NOT EXISTS ACME_WH WAREHOUSE_SIZE = 'XSMALL' AUTO_SUSPEND = 60 AUTO_RESUME = TRUE INITIALLY_SUSPENDED = TRUE COMMENT = 'c';
        ALTER WAREHOUSE ACME_WH SET WAREHOUSE_SIZE = 'SMALL' COMMENT = 'd'""")
    roles = show(cloud, "SHOW ROLES LIKE 'ACME%'")
    assert set(roles) == {"ACME_OWNER", "ACME_READER"} and roles["ACME_OWNER"]["comment"] == "it's"
    cloud.sql("ALTER ROLE ACME_OWNER SET COMMENT = 'new'")
    assert show(cloud, "SHOW ROLES LIKE 'acme_owner'")["ACME_OWNER"]["comment"] == "new"
    warehouse = show(cloud, "SHOW WAREHOUSES LIKE 'ACME_WH'")["ACME_WH"]
    assert (warehouse["size"], warehouse["state"], warehouse["auto_suspend"], warehouse["comment"]) == ("Small", "SUSPENDED", "60", "d")
    cloud.sql("GRANT USAGE, OPERATE ON WAREHOUSE ACME_WH TO ROLE ACME_OWNER")
    cloud.sql("GRANT EXECUTE TASK, CREATE DATABASE ON ACCOUNT TO ROLE ACME_OWNER")
    grants = {(g["privilege"], g["granted_on"], g["name"]) for g in cloud.sql("SHOW GRANTS TO ROLE ACME_OWNER")}
    assert grants == {("USAGE", "WAREHOUSE", "ACME_WH"), ("OPERATE", "WAREHOUSE", "ACME_WH"), ("EXECUTE TASK", "ACCOUNT", "LOCAL"),
                      ("CREATE DATABASE", "ACCOUNT", "LOCAL"), ("USAGE", "ROLE", "ACME_READER")}
    cloud.sql("REVOKE OPERATE ON WAREHOUSE ACME_WH FROM ROLE ACME_OWNER")
    assert "OPERATE" not in {g["privilege"] for g in cloud.sql("SHOW GRANTS ON WAREHOUSE ACME_WH")}
    fails(cloud, "002003", "GRANT USAGE ON WAREHOUSE NOPE TO ROLE ACME_OWNER")
    fails(cloud, "002003", "GRANT ROLE NOPE TO ROLE ACME_OWNER")
    fails(cloud, "001003", "CREATE WAREHOUSE W2 WAREHOUSE_SIZE 'XSMALL'")
    assert "invalid property 'COLOUR' for 'WAREHOUSE'" in fails(cloud, "001420", "CREATE WAREHOUSE W2 COLOUR = 'red'")
    cloud.run("DROP WAREHOUSE IF EXISTS ACME_WH;\nDROP WAREHOUSE IF EXISTS ACME_WH;\nDROP ROLE IF EXISTS ACME_READER;\nDROP ROLE IF EXISTS ACME_OWNER")
    assert cloud.sql("SHOW ROLES LIKE 'ACME%'") == []


def test_integrations(cloud):
    cloud.sql("""CREATE STORAGE INTEGRATION IF NOT EXISTS ACME_S3 TYPE = EXTERNAL_STAGE STORAGE_PROVIDER = 'S3' ENABLED = TRUE
        STORAGE_AWS_ROLE_ARN = 'arn:aws:iam::000000000000:role/r' STORAGE_AWS_EXTERNAL_ID = 'x' STORAGE_ALLOWED_LOCATIONS = ('s3://bkt/data/') COMMENT = 'c'""")
    rows = {r["property"]: r for r in cloud.sql("DESC INTEGRATION ACME_S3")}
    assert rows["STORAGE_AWS_EXTERNAL_ID"]["property_value"] == "x"
    assert rows["STORAGE_AWS_IAM_USER_ARN"]["property_value"].startswith("arn:aws:iam::999999999999:user/")
    cloud.sql("""ALTER STORAGE INTEGRATION ACME_S3 SET ENABLED = TRUE STORAGE_AWS_ROLE_ARN = 'arn:aws:iam::000000000000:role/r2'
        STORAGE_AWS_EXTERNAL_ID = 'y' STORAGE_ALLOWED_LOCATIONS = ('s3://bkt/data/', 's3://other/') COMMENT = 'd'""")
    rows = {r["property"]: r["property_value"] for r in cloud.sql("DESC INTEGRATION ACME_S3")}
    assert (rows["STORAGE_AWS_EXTERNAL_ID"], rows["STORAGE_ALLOWED_LOCATIONS"]) == ("y", "s3://bkt/data/,s3://other/")
    cloud.sql("""CREATE NOTIFICATION INTEGRATION IF NOT EXISTS ACME_SNS TYPE = QUEUE NOTIFICATION_PROVIDER = AWS_SNS ENABLED = TRUE DIRECTION = OUTBOUND
        AWS_SNS_TOPIC_ARN = 'arn:aws:sns:eu-west-1:000000000000:t' AWS_SNS_ROLE_ARN = 'arn:aws:iam::000000000000:role/r' COMMENT = 'c'""")
    first = {r["property"]: r["property_value"] for r in cloud.sql("DESC INTEGRATION ACME_SNS")}
    cloud.sql("ALTER NOTIFICATION INTEGRATION ACME_SNS SET AWS_SNS_ROLE_ARN = 'arn:aws:iam::000000000000:role/r2'")
    second = {r["property"]: r["property_value"] for r in cloud.sql("DESC INTEGRATION ACME_SNS")}
    assert first["SF_AWS_EXTERNAL_ID"] == second["SF_AWS_EXTERNAL_ID"] and second["AWS_SNS_ROLE_ARN"].endswith("r2")
    shown = show(cloud, "SHOW INTEGRATIONS LIKE 'ACME%'")
    assert (shown["ACME_S3"]["category"], shown["ACME_SNS"]["type"], shown["ACME_S3"]["comment"]) == ("STORAGE", "QUEUE - AWS_SNS", "d")
    policy = json.loads(cloud.value("SELECT SYSTEM$GET_AWS_SNS_IAM_POLICY('arn:aws:sns:eu-west-1:000000000000:t')"))
    assert policy["Statement"][0]["Principal"]["AWS"] == rows["STORAGE_AWS_IAM_USER_ARN"]
    answer = json.loads(cloud.value("SELECT SYSTEM$VALIDATE_STORAGE_INTEGRATION('ACME_S3', 's3://bkt/data/', 'f', 'list')"))
    assert answer["status"] == "failure" and "AssumeRole" in answer["actions"]["LIST"]["message"]
    fails(cloud, "001008", "ALTER STORAGE INTEGRATION ACME_S3 SET STORAGE_AWS_ROLE_ARN = 'nonsense'")
    cloud.run("DROP INTEGRATION IF EXISTS ACME_S3;\nDROP INTEGRATION IF EXISTS ACME_SNS;\nDROP STORAGE INTEGRATION IF EXISTS ACME_S3")
    fails(cloud, "002003", "DESC INTEGRATION ACME_S3")


def test_database_schema_table(cloud):
    cloud.run("""CREATE DATABASE IF NOT EXISTS T1 COMMENT = 'c';
        ALTER DATABASE T1 SET COMMENT = 'd';
        CREATE SCHEMA IF NOT EXISTS T1.S WITH MANAGED ACCESS COMMENT = 'c';
        ALTER SCHEMA T1.S SET COMMENT = 'e';
        CREATE FILE FORMAT IF NOT EXISTS T1.S.F TYPE = JSON COMPRESSION = AUTO STRIP_OUTER_ARRAY = TRUE COMMENT = 'c';
        ALTER FILE FORMAT T1.S.F SET STRIP_OUTER_ARRAY = FALSE COMMENT = 'g'""")
    cloud.sql("""CREATE TABLE IF NOT EXISTS T1.S.T (K NUMBER(38,0) NOT NULL COMMENT 'the key', A NUMBER(10,2), B VARCHAR(10), C BOOLEAN, D DATE, E TIME,
        N TIMESTAMP_NTZ(9), L TIMESTAMP_LTZ(9), Z TIMESTAMP_TZ(9), V VARIANT, O OBJECT, R ARRAY, X BINARY, F FLOAT, "lower Name" VARCHAR,
        PRIMARY KEY (K) NOT ENFORCED RELY) COMMENT = 'c'""")
    assert show(cloud, "SHOW DATABASES LIKE 'T1'")["T1"]["comment"] == "d"
    assert show(cloud, "SHOW SCHEMAS IN DATABASE T1")["S"]["options"] == "MANAGED ACCESS"
    assert json.loads(show(cloud, "SHOW FILE FORMATS IN DATABASE T1")["F"]["format_options"])["STRIP_OUTER_ARRAY"] is False
    columns = {r["column_name"]: r for r in cloud.sql("SHOW COLUMNS IN DATABASE T1")}
    assert json.loads(columns["A"]["data_type"]) == {"type": "FIXED", "precision": 10, "scale": 2, "nullable": True}
    assert json.loads(columns["K"]["data_type"])["nullable"] is False and columns["K"]["comment"] == "the key"
    assert [json.loads(columns[c]["data_type"])["type"] for c in ("N", "L", "Z", "V", "O", "R", "X", "F", "B")] == [
        "TIMESTAMP_NTZ", "TIMESTAMP_LTZ", "TIMESTAMP_TZ", "VARIANT", "OBJECT", "ARRAY", "BINARY", "REAL", "TEXT"]
    assert json.loads(columns["B"]["data_type"])["length"] == 10 and "lower Name" in columns
    cloud.run("""INSERT INTO T1.S.T (K, A) VALUES (1, 1.5), (1, 2.5);
        ALTER TABLE T1.S.T ADD COLUMN G VARCHAR(5) COMMENT 'new';
        ALTER TABLE T1.S.T RENAME COLUMN G TO H;
        ALTER TABLE T1.S.T ALTER COLUMN H SET DATA TYPE VARCHAR(50);
        ALTER TABLE T1.S.T ALTER COLUMN A SET DATA TYPE NUMBER(12,2);
        ALTER TABLE T1.S.T ADD COLUMN Q NUMBER(5,0) NOT NULL DEFAULT 7;
        ALTER TABLE T1.S.T ALTER COLUMN Q DROP NOT NULL;
        ALTER TABLE T1.S.T DROP COLUMN C;
        ALTER TABLE T1.S.T SET COMMENT = 'x';
        ALTER TABLE T1.S.T SET CHANGE_TRACKING = TRUE;
        ALTER TABLE T1.S.T SET DATA_RETENTION_TIME_IN_DAYS = 7""")
    row = show(cloud, "SHOW TABLES IN DATABASE T1")["T"]
    assert (row["rows"], row["comment"], row["change_tracking"], row["retention_time"]) == ("2", "x", "ON", "7")
    assert cloud.value("SELECT COUNT(*) FROM T1.S.T WHERE Q = 7") == "2"
    found = cloud.sql("SELECT COLUMN_NAME, DATA_TYPE, IS_NULLABLE FROM T1.INFORMATION_SCHEMA.COLUMNS WHERE TABLE_NAME = 'T' AND COLUMN_NAME IN ('H','K','A')")
    assert {r["COLUMN_NAME"]: r["IS_NULLABLE"] for r in found} == {"K": "NO", "A": "YES", "H": "YES"}
    assert cloud.value("SELECT ROW_COUNT FROM T1.INFORMATION_SCHEMA.TABLES WHERE TABLE_NAME = 'T'") == "2"
    assert [r["column_name"] for r in cloud.sql("SHOW PRIMARY KEYS IN DATABASE T1")] == ["K"]
    fails(cloud, "100072", "INSERT INTO T1.S.T (K) VALUES (NULL)")
    fails(cloud, "100038", "INSERT INTO T1.S.T (K) VALUES ('abc')")
    fails(cloud, "000904", "SELECT NOPE FROM T1.S.T")
    fails(cloud, "000904", "ALTER TABLE T1.S.T DROP COLUMN NOPE")
    fails(cloud, "002108", "ALTER TABLE T1.S.T ALTER COLUMN A SET DATA TYPE VARCHAR")
    assert fails(cloud, "002003", "SELECT * FROM T1.S.NOPE") == "SQL compilation error:\nObject 'T1.S.NOPE' does not exist or not authorized."
    fails(cloud, "002003", "SHOW TABLES IN DATABASE NOPE")
    fails(cloud, "002002", "CREATE TABLE T1.S.T (A INT)")
    fails(cloud, "001003", "CREATE TABLE T1.S.T2 (A INT,)")
    fails(cloud, "002140", "SELECT SYSTEM$NOPE()")
    fails(cloud, "001003", "FROBNICATE T1")
    cloud.sql("CREATE OR ALTER TABLE T1.S.T (K NUMBER(38,0) NOT NULL, A NUMBER(12,2), NEU VARCHAR) COMMENT = 'ca'")
    assert cloud.sql("SELECT * FROM T1.S.T ORDER BY A")[1] == {"K": "1", "A": "2.50", "NEU": None}
    cloud.run("DROP SCHEMA IF EXISTS T1.S;\nDROP DATABASE IF EXISTS T1")
    assert cloud.sql("SHOW DATABASES LIKE 'T1'") == []


def test_types_round_trip(cloud):
    cloud.run("CREATE DATABASE IF NOT EXISTS TYPES;\nCREATE SCHEMA IF NOT EXISTS TYPES.S")
    cloud.sql("CREATE TABLE TYPES.S.T (A NUMBER(38,0), B NUMBER(10,2), C FLOAT, D BOOLEAN, E DATE, F TIME, G TIMESTAMP_NTZ, H TIMESTAMP_LTZ, I VARIANT, J BINARY, K VARCHAR)")
    cloud.sql("""INSERT INTO TYPES.S.T SELECT '99999999999999999999999999999999999999'::NUMBER, 12.345, 1.5, 'yes'::BOOLEAN, '2024-02-29', '10:11:12.5',
        '2024-02-29T10:00:00.123456Z'::TIMESTAMP_NTZ, '2024-02-29 10:00:00 +0200'::TIMESTAMP_LTZ, PARSE_JSON('{"a": [1, null]}'), TRY_TO_BINARY('aGk=', 'BASE64'), 'ü''"'""")
    status, body = cloud.submit("SELECT * FROM TYPES.S.T")
    assert body["data"] == [["99999999999999999999999999999999999999", "12.35", "1.5", "true", "19782", "36672.500000000", "1709200800.123456000",
                             "1709193600.000000000", '{"a": [1, null]}', "6869", "ü'\""]]
    assert [c["type"] for c in body["resultSetMetaData"]["rowType"]] == [
        "fixed", "fixed", "real", "boolean", "date", "time", "timestamp_ntz", "timestamp_ltz", "variant", "binary", "text"]
    values = cloud.sql("""SELECT TRY_CAST('99999999999' AS NUMBER(10,2)) AS A, TRY_CAST('x' AS DATE) AS B, TRY_CAST('2024-13-01' AS DATE) AS C,
        TRY_PARSE_JSON('{') AS D, IFF(TRUE, 1, 2) AS E, SHA2('x') AS F, ARRAY_SIZE(PARSE_JSON('[1,2]')) AS G, TYPEOF(PARSE_JSON('{}')) AS H,
        OBJECT_CONSTRUCT('a', 1, 'b', NULL) AS I, GET_PATH(PARSE_JSON('{"a":{"b":[7]}}'), 'a.b[0]')::INT AS J, PARSE_JSON('{"x y":{"Z":"q"}}'):"x y"."Z"::VARCHAR AS K,
        LENGTH('äö') AS L, TRY_TO_BINARY('*', 'BASE64') AS M, PARSE_JSON('null') IS NULL AS N, TRY_CAST('on' AS BOOLEAN) AS O, COALESCE(NULL, 'c') AS P,
        TRY_CAST('1704067200' AS TIMESTAMP_NTZ) AS Q, TRY_CAST('1_000' AS NUMBER) AS R""")[0]
    assert [values[c] for c in "ABCD"] == [None] * 4
    assert [values[c] for c in "EGHJKLMNOPQR"] == ["1", "2", "OBJECT", "7", "q", "2", None, "false", "true", "c", "1704067200.000000000", None]
    assert json.loads(values["I"]) == {"a": 1}
    cloud.sql("CREATE TABLE TYPES.S.SHORT (A VARCHAR(3), B TIMESTAMP_LTZ, C VARIANT, D BOOLEAN, E NUMBER(3,1))")
    cloud.sql("INSERT INTO TYPES.S.SHORT VALUES ('abc', '2024-01-01 10:00:00 +0200', 'text', 'no', '1.25'), (NULL, NULL, NULL, NULL, NULL)")
    assert cloud.sql("SELECT * FROM TYPES.S.SHORT WHERE A IS NOT NULL") == [
        {"A": "abc", "B": "1704096000.000000000", "C": '"text"', "D": "false", "E": "1.3"}]
    assert "String 'abcd' is too long" in fails(cloud, "100078", "INSERT INTO TYPES.S.SHORT (A) SELECT 'abcd'")
    fails(cloud, "100078", "UPDATE TYPES.S.SHORT SET A = 'abcd'")
    fails(cloud, "100078", "MERGE INTO TYPES.S.SHORT t USING (SELECT 'abcd' AS A) s ON t.A = s.A WHEN NOT MATCHED THEN INSERT (A) VALUES (s.A)")
    fails(cloud, "002020", "INSERT INTO TYPES.S.SHORT (A) VALUES ('a', 'b')")
    assert cloud.value("SELECT TO_CHAR('2024-02-03 04:05:06'::TIMESTAMP_NTZ, 'YYYY-MM-DD\"T\"HH24:MI:SS.FF3')") == "2024-02-03T04:05:06.000"
    fails(cloud, "000002", "SELECT TO_CHAR(1234.5, '9,999.99')")
    fails(cloud, "100039", "SELECT '99999999999'::NUMBER(10,2)")
    fails(cloud, "100040", "SELECT 'x'::DATE")


def test_streams(cloud):
    cloud.run("CREATE DATABASE IF NOT EXISTS ST;\nCREATE SCHEMA IF NOT EXISTS ST.S;\nCREATE TABLE ST.S.T (K INT, V VARCHAR);\nCREATE TABLE ST.S.OUT (K INT, V VARCHAR);\n"
              "INSERT INTO ST.S.T VALUES (1, 'a'), (2, 'b');\nCREATE STREAM IF NOT EXISTS ST.S.A ON TABLE ST.S.T APPEND_ONLY = TRUE COMMENT = 'c';\n"
              "CREATE STREAM IF NOT EXISTS ST.S.D ON TABLE ST.S.T COMMENT = 'c'")
    assert cloud.value("SELECT SYSTEM$STREAM_HAS_DATA('ST.S.A')") == "false"
    cloud.run("INSERT INTO ST.S.T VALUES (3, 'c'), (4, 'd');\nDELETE FROM ST.S.T WHERE K IN (1, 3);\nUPDATE ST.S.T SET V = 'B' WHERE K = 2")
    appended = cloud.sql("SELECT K, V, METADATA$ACTION, METADATA$ISUPDATE FROM ST.S.A ORDER BY K")
    assert [(r["K"], r["V"]) for r in appended] == [("3", "c"), ("4", "d")], "inserts are captured even when the row is gone"
    changed = cloud.sql("SELECT K, V, METADATA$ACTION AS A, METADATA$ISUPDATE AS U, METADATA$ROW_ID AS R FROM ST.S.D ORDER BY K, A")
    assert [(r["K"], r["V"], r["A"], r["U"]) for r in changed] == [
        ("1", "a", "DELETE", "false"), ("2", "b", "DELETE", "true"), ("2", "B", "INSERT", "true"), ("4", "d", "INSERT", "false")]
    assert changed[1]["R"] == changed[2]["R"] != changed[0]["R"]
    assert len(cloud.sql("SELECT * FROM ST.S.A")) == 2, "a query does not move a stream"
    script = "BEGIN;INSERT INTO ST.S.OUT SELECT K, V FROM ST.S.A;INSERT INTO ST.S.T VALUES (9, 'z');INSERT INTO ST.S.OUT SELECT K, V FROM ST.S.A;ROLLBACK"
    status, body = cloud.submit(script, parameters={"MULTI_STATEMENT_COUNT": "0"})
    assert status == 200 and len(body["statementHandles"]) == 5, body
    assert cloud.value("SELECT COUNT(*) FROM ST.S.A") == "2" and cloud.value("SELECT COUNT(*) FROM ST.S.OUT") == "0"
    status, body = cloud.submit(script.replace("ROLLBACK", "COMMIT"), parameters={"MULTI_STATEMENT_COUNT": "5"})
    assert status == 200, body
    assert cloud.value("SELECT COUNT(*) FROM ST.S.OUT") == "4", "within a transaction the stream reads the same rows each time"
    assert [r["K"] for r in cloud.sql("SELECT K FROM ST.S.A")] == ["9"], "what the transaction itself wrote comes next"
    cloud.sql("INSERT INTO ST.S.OUT SELECT K, V FROM ST.S.D WHERE FALSE")
    assert cloud.value("SELECT SYSTEM$STREAM_HAS_DATA('ST.S.D')") == "false", "a DML that keeps no row moves the stream"
    cloud.run("ALTER TABLE ST.S.T ADD COLUMN NEU INT;\nINSERT INTO ST.S.T VALUES (10, 'n', 5)")
    assert cloud.sql("SELECT NEU FROM ST.S.A WHERE K = 10")[0]["NEU"] == "5"
    assert [(r["K"], r["NEU"]) for r in cloud.sql("SELECT * FROM ST.S.D")] == [("10", "5")]
    assert cloud.value("SELECT SYSTEM$STREAM_HAS_DATA('ST.S.A')") == "true"
    cloud.sql("ALTER TABLE ST.S.T RENAME TO ST.S.T2")
    assert show(cloud, "SHOW STREAMS IN DATABASE ST")["A"]["table_name"] == "ST.S.T2"
    cloud.sql("CREATE OR REPLACE TABLE ST.S.T2 (K INT)")
    shown = show(cloud, "SHOW STREAMS IN DATABASE ST")
    assert (shown["A"]["stale"], shown["D"]["mode"], shown["A"]["mode"]) == ("true", "DEFAULT", "APPEND_ONLY")
    fails(cloud, "091901", "SELECT * FROM ST.S.A")
    cloud.run("DROP STREAM ST.S.A;\nDROP STREAM IF EXISTS ST.S.A;\nDROP DATABASE ST")


def test_names_and_text_are_only_data(cloud):
    cloud.run("""CREATE DATABASE IF NOT EXISTS "we'ird;db";
        CREATE SCHEMA IF NOT EXISTS "we'ird;db"."s.p" COMMENT = 'a; DROP DATABASE x -- ''q''\\n'""".replace(";\n", ";\n"))
    cloud.sql("""CREATE TABLE "we'ird;db"."s.p"."t""x" ("a'b" VARCHAR COMMENT 'x;y', "select" INT)""")
    cloud.sql("""INSERT INTO "we'ird;db"."s.p"."t""x" ("a'b", "select") VALUES ('it''s; --', 1)""")
    assert cloud.sql("""SELECT * FROM "we'ird;db"."s.p"."t""x" """) == [{"a'b": "it's; --", "select": "1"}]
    assert cloud.sql("""SELECT ? AS A, ? AS B""", bindings={"1": {"type": "TEXT", "value": "'; DROP"}, "2": {"type": "FIXED", "value": "5"}}) == [{"A": "'; DROP", "B": "5"}]
    cloud.sql('''DROP DATABASE "we'ird;db"''')


def test_wait(cloud):
    assert cloud.value("SELECT SYSTEM$WAIT(10, 'MILLISECONDS')") == "waited 10 milliseconds"
    fails(cloud, "001008", "SELECT SYSTEM$WAIT(1, 'FORTNIGHTS')")


def test_explain_compiles_and_runs_nothing(cloud):
    nulls = "SELECT CAST(NULL AS VARCHAR(9)) AS TITLE, CAST(NULL AS NUMBER(10,0)) AS ID"
    assert cloud.sql(f"EXPLAIN USING TEXT SELECT 1 FROM (SELECT CAST((SPLIT_PART(TITLE, '|', 1)) AS VARCHAR(9)) AS _1 FROM ({nulls}) AS R) AS Q")
    # Nothing is divided.
    assert cloud.sql("EXPLAIN USING TEXT SELECT 1 / ID FROM (SELECT 0 AS ID)")
    assert "Unknown function NOPE" in fails(cloud, "002140", f"EXPLAIN USING TEXT SELECT NOPE(TITLE) FROM ({nulls})")
    assert "invalid identifier" in fails(cloud, "000904", f"EXPLAIN USING TEXT SELECT TITEL FROM ({nulls})")
    fails(cloud, "001003", f"EXPLAIN USING TEXT SELECT SPLIT_PART(TITLE) FROM ({nulls})")
    for value, wanted in (("NULL::TIMESTAMP_NTZ", "NUMBER(3,0)"), ("NULL::BOOLEAN", "DATE"), ("5", "DATE")):
        assert "invalid type" in fails(cloud, "001065", f"EXPLAIN USING TEXT SELECT 1 FROM (SELECT CAST(({value}) AS {wanted}) AS _1) AS Q")
    for value, wanted in (("NULL::VARCHAR", "DATE"), ("NULL::DATE", "TIMESTAMP_NTZ"), ("NULL::NUMBER", "VARCHAR(9)"), ("NULL::BOOLEAN", "NUMBER(1,0)")):
        assert cloud.sql(f"EXPLAIN USING TEXT SELECT CAST(({value}) AS {wanted}) AS _1")
