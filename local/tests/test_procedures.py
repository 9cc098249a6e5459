# SPDX-License-Identifier: Apache-2.0
"""Sequences, identity columns, stored procedures, COMMENT ON, and running task graphs at once."""
from __future__ import annotations

from typing import Any

import pytest
from conftest import SqlError


@pytest.fixture(scope="module")
def made(cloud: Any) -> Any:
    cloud.run("""CREATE DATABASE STAR;
        CREATE SCHEMA STAR.S""")
    return cloud


def test_a_sequence_counts_by_its_step(made: Any) -> None:
    # https://docs.snowflake.com/en/user-guide/querying-sequences
    made.sql("CREATE SEQUENCE STAR.S.SEQ START WITH 10 INCREMENT BY 5 ORDER COMMENT = 'c'")
    assert [made.value("SELECT STAR.S.SEQ.NEXTVAL AS N") for _ in range(3)] == ["10", "15", "20"]
    made.run("""CREATE TABLE STAR.S.KEYED (K NUMBER DEFAULT STAR.S.SEQ.NEXTVAL, V VARCHAR);
        INSERT INTO STAR.S.KEYED (V) VALUES ('a'), ('b');
        INSERT INTO STAR.S.KEYED SELECT STAR.S.SEQ.NEXTVAL, 'c'""")
    assert [tuple(r.values()) for r in made.sql("SELECT K, V FROM STAR.S.KEYED ORDER BY K")] == [("25", "a"), ("30", "b"), ("35", "c")]
    made.sql("CREATE SEQUENCE IF NOT EXISTS STAR.S.SEQ")
    made.sql("CREATE SEQUENCE STAR.S.DOWN START = -1 INCREMENT = -1")
    assert [made.value("SELECT STAR.S.DOWN.NEXTVAL AS N") for _ in range(2)] == ["-1", "-2"]
    made.sql("DROP SEQUENCE STAR.S.DOWN")
    with pytest.raises(SqlError, match="does not exist"):
        made.sql("SELECT STAR.S.DOWN.NEXTVAL AS N")


@pytest.mark.parametrize(("words", "expected"), [("AUTOINCREMENT START 1 INCREMENT 1", ["1", "2"]), ("IDENTITY(100, 10)", ["100", "110"])])
def test_identity_columns(made: Any, words: str, expected: list[str]) -> None:
    made.run(f"""CREATE OR REPLACE TABLE STAR.S.DIM (K NUMBER {words} NOT NULL, V VARCHAR);
        INSERT INTO STAR.S.DIM (V) VALUES ('a'), ('b')""")
    assert [r["K"] for r in made.sql("SELECT K FROM STAR.S.DIM ORDER BY K")] == expected
    # A merge that inserts gets keys as well.
    made.sql("MERGE INTO STAR.S.DIM D USING (SELECT 'c' AS V) N ON D.V = N.V WHEN NOT MATCHED THEN INSERT (V) VALUES (N.V)")
    assert made.value("SELECT COUNT(DISTINCT K) AS N FROM STAR.S.DIM") == "3"


def test_a_procedure_takes_arguments_and_returns(made: Any) -> None:
    made.run("CREATE OR REPLACE TABLE STAR.S.LOG (N NUMBER, T VARCHAR)")
    made.sql("""CREATE OR REPLACE PROCEDURE STAR.S.ADD_ROWS(HOW_MANY NUMBER, WHAT VARCHAR DEFAULT 'x') RETURNS VARCHAR LANGUAGE SQL COMMENT = 'c' EXECUTE AS OWNER AS
        $$
        DECLARE
            DONE NUMBER DEFAULT 0;
        BEGIN
            FOR I IN 1 TO HOW_MANY DO
                INSERT INTO LOG (N, T) VALUES (:I, :WHAT);
                DONE := DONE + SQLROWCOUNT;
            END FOR;
            RETURN 'made ' || DONE;
        END
        $$""")
    assert made.sql("CALL STAR.S.ADD_ROWS(2, 'it''s')") == [{"ADD_ROWS": "made 2"}]
    assert made.sql("CALL STAR.S.ADD_ROWS(HOW_MANY => 1)") == [{"ADD_ROWS": "made 1"}]
    assert [tuple(r.values()) for r in made.sql("SELECT N, T FROM STAR.S.LOG ORDER BY T, N")] == [("1", "it's"), ("2", "it's"), ("1", "x")]
    made.sql("""BEGIN
        CALL STAR.S.ADD_ROWS(1, 'block');
        END""")
    assert made.value("SELECT COUNT(*) AS C FROM STAR.S.LOG WHERE T = 'block'") == "1"
    for wrong in ("CALL STAR.S.ADD_ROWS()", "CALL STAR.S.ADD_ROWS(1, 'a', 2)", "CALL STAR.S.NOBODY()", "CALL STAR.S.ADD_ROWS(UNKNOWN => 1)"):
        with pytest.raises(SqlError):
            made.sql(wrong)
    with pytest.raises(SqlError):
        made.sql("CREATE PROCEDURE STAR.S.BAD() RETURNS VARCHAR LANGUAGE SQL AS $$ BEGIN RETURN ; ; END $$")
    with pytest.raises(SqlError, match="LANGUAGE PYTHON"):
        made.sql("CREATE PROCEDURE STAR.S.PY() RETURNS VARCHAR LANGUAGE PYTHON AS $$ x $$")
    made.sql("DROP PROCEDURE STAR.S.ADD_ROWS(NUMBER, VARCHAR)")
    with pytest.raises(SqlError, match="does not exist"):
        made.sql("CALL STAR.S.ADD_ROWS(1)")


def test_owner_and_caller(made: Any) -> None:
    # https://docs.snowflake.com/en/developer-guide/stored-procedure/stored-procedures-rights
    made.run("""CREATE ROLE STAR_MAKER;
        GRANT ROLE STAR_MAKER TO USER PIPECTL;
        GRANT USAGE ON DATABASE STAR TO ROLE STAR_MAKER;
        GRANT USAGE, CREATE PROCEDURE ON SCHEMA STAR.S TO ROLE STAR_MAKER""")
    for name, who, expected in (("BY_OWNER", "OWNER", "STAR_MAKER"), ("BY_CALLER", "CALLER", "ACCOUNTADMIN")):
        made.sql(f"CREATE PROCEDURE STAR.S.{name}() RETURNS VARCHAR LANGUAGE SQL EXECUTE AS {who} AS $$ BEGIN RETURN CURRENT_ROLE(); END $$", role="STAR_MAKER")
        assert made.sql(f"CALL STAR.S.{name}()", role="ACCOUNTADMIN") == [{name: expected}]
    made.run("""CREATE OR REPLACE TABLE STAR.S.SECRET (N NUMBER)""")
    made.sql("CREATE PROCEDURE STAR.S.READS() RETURNS NUMBER LANGUAGE SQL AS $$ BEGIN LET N NUMBER := (SELECT COUNT(*) FROM STAR.S.SECRET); RETURN N; END $$",
             role="STAR_MAKER")
    with pytest.raises(SqlError, match="SECRET"):
        made.sql("CALL STAR.S.READS()", role="ACCOUNTADMIN")


def test_comment_on(made: Any) -> None:
    made.run("""CREATE OR REPLACE TABLE STAR.S.NOTED (N NUMBER);
        COMMENT ON TABLE STAR.S.NOTED IS 'it''s a table';
        COMMENT ON COLUMN STAR.S.NOTED.N IS 'a column';
        COMMENT IF EXISTS ON TABLE STAR.S.NOBODY IS 'x'""")
    assert made.sql("SHOW TABLES LIKE 'NOTED' IN SCHEMA STAR.S")[0]["comment"] == "it's a table"
    assert made.sql("DESC TABLE STAR.S.NOTED")[0]["comment"] == "a column"


def test_every_graph_whose_condition_holds_runs_at_once(made: Any) -> None:
    made.run("""CREATE WAREHOUSE IF NOT EXISTS STAR_WH;
        CREATE OR REPLACE TABLE STAR.S.SOURCE (N NUMBER);
        CREATE OR REPLACE TABLE STAR.S.TARGET (N NUMBER);
        CREATE OR REPLACE TABLE STAR.S.DONE (N NUMBER);
        CREATE STREAM STAR.S.NEW_ROWS ON TABLE STAR.S.SOURCE;
        CREATE TASK STAR.S.ROOT WAREHOUSE = STAR_WH SCHEDULE = 'USING CRON 0 0 1 1 * UTC' WHEN SYSTEM$STREAM_HAS_DATA('STAR.S.NEW_ROWS') AS
          INSERT INTO STAR.S.TARGET SELECT N FROM STAR.S.NEW_ROWS;
        CREATE TASK STAR.S.CHILD WAREHOUSE = STAR_WH AFTER STAR.S.ROOT AS INSERT INTO STAR.S.DONE SELECT COUNT(*) FROM STAR.S.TARGET;
        CREATE TASK STAR.S.BROKEN WAREHOUSE = STAR_WH AFTER STAR.S.ROOT AS INSERT INTO STAR.S.DONE SELECT 1 / 0;
        ALTER TASK STAR.S.BROKEN RESUME;
        ALTER TASK STAR.S.CHILD RESUME;
        ALTER TASK STAR.S.ROOT RESUME""")

    def states() -> dict[str, str]:
        return {r["task"].removeprefix("STAR.S."): r["state"] for r in made.sql("CALL SYSTEM$PIPECTL_RUN_TASKS()") if r["task"].startswith("STAR.S.")}

    assert states() == {"ROOT": "SKIPPED"}
    made.sql("INSERT INTO STAR.S.SOURCE VALUES (1), (2)")
    assert states() == {"ROOT": "SUCCEEDED", "CHILD": "SUCCEEDED", "BROKEN": "FAILED"}
    assert made.value("SELECT SUM(N) AS N FROM STAR.S.TARGET") == "3"
    made.run("""ALTER TASK STAR.S.ROOT SUSPEND;
        INSERT INTO STAR.S.SOURCE VALUES (3)""")
    assert states() == {}


def test_a_procedure_is_shown_described_and_granted_with_its_arguments(made: Any) -> None:
    made.run("""CREATE ROLE STAR_CALLER;
        GRANT ROLE STAR_CALLER TO USER PIPECTL;
        CREATE SCHEMA STAR.P;
        GRANT USAGE ON DATABASE STAR TO ROLE STAR_CALLER;
        GRANT USAGE ON SCHEMA STAR.P TO ROLE STAR_CALLER;
        GRANT USAGE ON FUTURE PROCEDURES IN SCHEMA STAR.P TO ROLE STAR_CALLER""")
    made.sql("CREATE PROCEDURE STAR.P.GREET(WHO VARCHAR, N NUMBER DEFAULT 1) RETURNS VARCHAR LANGUAGE SQL COMMENT = 'c' AS $$ BEGIN RETURN 'hi ' || WHO; END $$")
    shown = made.sql("SHOW USER PROCEDURES IN SCHEMA STAR.P")[0]
    assert (shown["name"], shown["catalog_name"], shown["schema_name"], shown["description"]) == ("GREET", "STAR", "P", "c")
    assert (shown["arguments"], shown["min_num_arguments"], shown["max_num_arguments"]) == ("GREET(VARCHAR, NUMBER) RETURN VARCHAR", "1", "2")
    named = 'STAR.P."GREET(WHO VARCHAR, N NUMBER):VARCHAR"'
    assert ("USAGE", "PROCEDURE", named) in [(g["privilege"], g["granted_on"], g["name"]) for g in made.sql("SHOW GRANTS TO ROLE STAR_CALLER")]
    assert made.sql("CALL STAR.P.GREET('you')", role="STAR_CALLER") == [{"GREET": "hi you"}]
    told = {p["property"]: p["value"] for p in made.sql("DESCRIBE PROCEDURE STAR.P.GREET(VARCHAR, NUMBER)")}
    assert (told["signature"], told["execute as"], told["body"].strip()) == ("(WHO VARCHAR, N NUMBER)", "OWNER", "BEGIN RETURN 'hi ' || WHO; END")
    body = "SELECT PROCEDURE_DEFINITION FROM STAR.INFORMATION_SCHEMA.PROCEDURES WHERE PROCEDURE_NAME = 'GREET'"
    assert made.value(body).strip() == told["body"].strip()
    # Who may only call it sees that it is there, and not what it does.
    assert made.value(body, role="STAR_CALLER") is None
    assert "body" not in [p["property"] for p in made.sql("DESC PROCEDURE STAR.P.GREET(VARCHAR, NUMBER)", role="STAR_CALLER")]
    made.sql("ALTER PROCEDURE STAR.P.GREET(VARCHAR, NUMBER) SET COMMENT = 'd'")
    made.run("""REVOKE USAGE ON FUTURE PROCEDURES IN SCHEMA STAR.P FROM ROLE STAR_CALLER;
        CREATE OR REPLACE PROCEDURE STAR.P.GREET(WHO VARCHAR, N NUMBER) COPY GRANTS RETURNS VARCHAR LANGUAGE SQL AS $$ BEGIN RETURN 'ho'; END $$""")
    assert made.sql("CALL STAR.P.GREET('you', 1)", role="STAR_CALLER") == [{"GREET": "ho"}]
    made.sql("REVOKE USAGE ON PROCEDURE STAR.P.GREET(VARCHAR, NUMBER) FROM ROLE STAR_CALLER")
    with pytest.raises(SqlError, match="002003"):
        made.sql("CALL STAR.P.GREET('you', 1)", role="STAR_CALLER")
    for wrong in ("GRANT USAGE ON PROCEDURE STAR.P.GREET TO ROLE STAR_CALLER", "GRANT USAGE ON PROCEDURE STAR.P.GREET(VARCHAR) TO ROLE STAR_CALLER",
                  "DROP PROCEDURE STAR.P.GREET", "DROP PROCEDURE STAR.P.GREET(VARCHAR)", "ALTER PROCEDURE STAR.P.GREET() SET COMMENT = ''"):
        with pytest.raises(SqlError):
            made.sql(wrong)
    made.sql("CREATE PROCEDURE STAR.P.BOTH(A VARCHAR, B NUMBER) RETURNS VARCHAR LANGUAGE SQL AS $$ BEGIN RETURN A || ' $1 ? ' || B; END $$")
    bindings = {"1": {"type": "TEXT", "value": "it's"}, "2": {"type": "FIXED", "value": "7"}}
    assert made.sql("CALL STAR.P.BOTH(?, ?)", bindings=bindings) == [{"BOTH": "it's $1 ? 7"}]
    made.sql("DROP PROCEDURE STAR.P.BOTH(VARCHAR, NUMBER)")
    made.sql("DROP PROCEDURE IF EXISTS STAR.P.GREET(VARCHAR)")
    made.sql("DROP PROCEDURE STAR.P.GREET(VARCHAR, NUMBER)")
    assert made.sql("SHOW PROCEDURES IN SCHEMA STAR.P") == []


def test_a_procedure_loads_a_file_that_its_argument_names(cloud: Any, landing: Any) -> None:
    found = landing(cloud, "procedure-files")
    d = found.database
    columns = "RECORD, FILE_NAME, FILE_ROW, FILE_MODIFIED, LOADED_AT"
    cloud.sql(f"""CREATE PROCEDURE {d}.RAW.TAKE(FILE VARCHAR, FAILS BOOLEAN) RETURNS NUMBER LANGUAGE SQL AS
        $$
        DECLARE
            STATEMENT VARCHAR DEFAULT 'COPY INTO {d}.RAW.INVOICES ({columns}) FROM (SELECT $1, METADATA$FILENAME, METADATA$FILE_ROW_NUMBER, '
                || 'METADATA$FILE_LAST_MODIFIED, METADATA$START_SCAN_TIME FROM @{d}.RAW.LANDING/) FILES = (''' || FILE || ''')';
            BROKEN EXCEPTION (-20001, 'on purpose');
        BEGIN
            BEGIN TRANSACTION;
            EXECUTE IMMEDIATE :STATEMENT;
            IF (FAILS) THEN
                RAISE BROKEN;
            END IF;
            COMMIT;
            RETURN 1;
        EXCEPTION
            WHEN OTHER THEN
                ROLLBACK;
                RAISE;
        END
        $$""")
    found.put("data/a b/1.json", {"N": 1}, {"N": 2})
    count = f"SELECT COUNT(*) FROM {d}.RAW.INVOICES"
    with pytest.raises(SqlError, match="on purpose"):
        cloud.sql(f"CALL {d}.RAW.TAKE('a b/1.json', TRUE)")
    assert cloud.value(count) == "0"
    # What was rolled back was not loaded, so COPY takes it again, and then no more.
    for _ in range(2):
        cloud.sql(f"CALL {d}.RAW.TAKE('a b/1.json', FALSE)")
        assert cloud.value(count) == "2"
    with pytest.raises(SqlError, match="was not found"):
        cloud.sql(f"CALL {d}.RAW.TAKE('a b/2.json', FALSE)")
    history = f"SELECT QUERY_TEXT, EXECUTION_STATUS FROM TABLE({d}.INFORMATION_SCHEMA.QUERY_HISTORY(RESULT_LIMIT => 50)) WHERE QUERY_TEXT LIKE 'COPY INTO {d}%'"
    assert sorted(row["EXECUTION_STATUS"] for row in cloud.sql(history)) == ["FAIL", "SUCCESS", "SUCCESS", "SUCCESS"]
