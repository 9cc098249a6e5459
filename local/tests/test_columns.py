# SPDX-License-Identifier: Apache-2.0
"""Types of columns: what Snowflake changes in place, and what is asked and done where it does not; what DESC STAGE tells."""
from __future__ import annotations

from test_statements import fails


def test_types_in_place(cloud):
    """https://docs.snowflake.com/en/sql-reference/sql/alter-table-column"""
    cloud.run("""CREATE DATABASE C1;
        CREATE SCHEMA C1.S;
        CREATE TABLE C1.S.T (K NUMBER(10,2), V VARCHAR(20));
        INSERT INTO C1.S.T VALUES (12345.67, 'abc'), (-1, NULL);
        ALTER TABLE C1.S.T ALTER COLUMN K SET DATA TYPE NUMBER(12,2);
        ALTER TABLE C1.S.T ALTER COLUMN K SET DATA TYPE NUMBER(7,2)""")
    fails(cloud, "002108", "ALTER TABLE C1.S.T ALTER COLUMN K SET DATA TYPE NUMBER(6,2)")
    fails(cloud, "002108", "ALTER TABLE C1.S.T ALTER COLUMN K SET DATA TYPE NUMBER(12,3)")
    fails(cloud, "002108", "ALTER TABLE C1.S.T ALTER COLUMN V SET DATA TYPE VARCHAR(10)")
    assert cloud.value("SELECT SUM(K) FROM C1.S.T") == "12344.67"
    cloud.sql("DROP DATABASE C1")


def test_rows_are_asked_and_filled(cloud):
    cloud.run("""CREATE DATABASE C2;
        CREATE SCHEMA C2.S;
        CREATE TABLE C2.S.T (K NUMBER(4,0) PRIMARY KEY, V VARCHAR(20), N TIMESTAMP_NTZ(9), J VARIANT);
        INSERT INTO C2.S.T SELECT 1, '7.50', '2025-01-02 03:04:05.123456', PARSE_JSON('"x"');
        INSERT INTO C2.S.T SELECT 2, 'seven', '2025-01-02 00:00:00', PARSE_JSON('5');
        INSERT INTO C2.S.T SELECT 3, NULL, NULL, NULL""")
    asked = cloud.sql("""SELECT COUNT_IF(V IS NOT NULL AND TRY_CAST(V AS NUMBER(10,2)) IS NULL) AS MISFITS,
        MIN(IFF(V IS NOT NULL AND TRY_CAST(V AS NUMBER(10,2)) IS NULL, TO_VARCHAR(K) || ': ' || LEFT(TO_VARCHAR(V), 60), NULL)) AS EXAMPLE,
        COUNT_IF(V IS NOT NULL AND TO_VARCHAR(TRY_CAST(V AS NUMBER(10,2))) <> V) AS CHANGED,
        COUNT_IF(N IS NOT NULL AND CAST(CAST(N AS DATE) AS TIMESTAMP_NTZ(9)) <> CAST(N AS TIMESTAMP_NTZ(9))) AS TIMES,
        COUNT_IF(J IS NOT NULL AND TYPEOF(J) <> 'VARCHAR') AS NO_TEXT,
        COUNT(*) - COUNT(DISTINCT K, TRY_CAST(V AS NUMBER(10,2))) AS REPEATS FROM C2.S.T""")[0]
    # A row with NULL in the key is counted as one that has none.
    assert asked == {"MISFITS": "1", "EXAMPLE": "2: seven", "CHANGED": "0", "TIMES": "1", "NO_TEXT": "1", "REPEATS": "2"}
    cloud.run("""ALTER TABLE C2.S.T ADD COLUMN IF NOT EXISTS N2 VARCHAR(40) COMMENT 'c';
        UPDATE C2.S.T SET N2 = TO_VARCHAR(N, 'YYYY-MM-DD HH24:MI:SS.FF9') WHERE N IS NOT NULL;
        ALTER TABLE C2.S.T DROP COLUMN IF EXISTS N;
        ALTER TABLE C2.S.T RENAME COLUMN N2 TO N""")
    assert cloud.value("SELECT N FROM C2.S.T WHERE K = 1") == "2025-01-02 03:04:05.123456000"
    fails(cloud, "100038", "UPDATE C2.S.T SET K = CAST(V AS NUMBER(10,2)) WHERE V IS NOT NULL")
    cloud.run("ALTER TABLE C2.S.T DROP PRIMARY KEY;\nALTER TABLE C2.S.T ADD PRIMARY KEY (N) RELY")
    keys = cloud.sql("SHOW PRIMARY KEYS IN DATABASE C2")
    assert [(k["column_name"], k["rely"]) for k in keys] == [("N", "true")]
    cloud.sql("DROP DATABASE C2")


def test_a_stage_tells_its_file_format(cloud):
    cloud.run("""CREATE DATABASE C3;
        CREATE SCHEMA C3.S;
        CREATE FILE FORMAT C3.S.F TYPE = JSON;
        CREATE STORAGE INTEGRATION C3_S3 TYPE = EXTERNAL_STAGE STORAGE_PROVIDER = 'S3' ENABLED = TRUE
            STORAGE_AWS_ROLE_ARN = 'arn:aws:iam::000000000000:role/r' STORAGE_ALLOWED_LOCATIONS = ('s3://bkt/');
        CREATE STAGE C3.S.ST URL = 's3://bkt/a/' STORAGE_INTEGRATION = C3_S3 FILE_FORMAT = (FORMAT_NAME = 'C3.S.F')""")

    def format_of_stage():
        return {r["property"]: r["property_value"] for r in cloud.sql("DESC STAGE C3.S.ST") if r["parent_property"] == "STAGE_FILE_FORMAT"}

    assert format_of_stage() == {"FORMAT_NAME": "C3.S.F"}
    cloud.sql("ALTER STAGE C3.S.ST SET FILE_FORMAT = (TYPE = JSON)")
    assert format_of_stage() == {"TYPE": "JSON"}
    fails(cloud, "002003", "DESC STAGE C3.S.NOPE")
    cloud.run("DROP DATABASE C3;\nDROP INTEGRATION C3_S3")


def test_more_than_ten_thousand_rows_are_not_shown_and_the_view_has_all(cloud):
    """https://github.com/snowflakedb/snowflake-sqlalchemy/issues/274"""
    cloud.run("CREATE DATABASE C4;\nCREATE SCHEMA C4.S")
    columns = ", ".join(f"C{number} NUMBER(10,0)" for number in range(1_500))
    for table in range(7):
        cloud.sql(f"CREATE TABLE C4.S.T{table} ({columns})")
    fails(cloud, "090153", "SHOW COLUMNS IN DATABASE C4")
    assert len(cloud.sql("SHOW COLUMNS IN SCHEMA C4.S LIMIT 5")) == 5
    counted = "SELECT COUNT(*) FROM C4.INFORMATION_SCHEMA.COLUMNS WHERE TABLE_SCHEMA IN ('S')"
    assert cloud.value(counted) == "10500"
    cloud.sql("DROP DATABASE C4")
