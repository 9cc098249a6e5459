# SPDX-License-Identifier: Apache-2.0
"""Task graphs: order, conditions, failures, and when they may be changed."""
from __future__ import annotations

import json

import pytest
from test_lambda import wait_for
from test_statements import fails, show


@pytest.fixture
def tk(cloud):
    cloud.run("CREATE DATABASE IF NOT EXISTS TK;\nCREATE SCHEMA IF NOT EXISTS TK.S;\nCREATE WAREHOUSE IF NOT EXISTS TK_WH;\n"
              "CREATE TABLE TK.S.LOG (NAME VARCHAR, AT TIMESTAMP_LTZ, EXTRA VARCHAR)")
    yield cloud
    cloud.run("DROP DATABASE TK;\nDROP WAREHOUSE TK_WH")


def log(name, extra="NULL"):
    return f"INSERT INTO TK.S.LOG SELECT '{name}', CURRENT_TIMESTAMP(), {extra}"


def states(cloud, name):
    return [r["STATE"] for r in cloud.sql(f"SELECT STATE FROM TABLE(TK.INFORMATION_SCHEMA.TASK_HISTORY(TASK_NAME => '{name}')) ORDER BY SCHEDULED_TIME")]


def test_graph_order_finalizer_and_changes(tk):
    tk.sql(f"CREATE OR ALTER TASK TK.S.ROOT WAREHOUSE = TK_WH SCHEDULE = '1 MINUTE' COMMENT = 'c' AS {log('root')}")
    tk.sql(f"CREATE OR ALTER TASK TK.S.A WAREHOUSE = TK_WH AFTER TK.S.ROOT AS {log('a')}")
    tk.sql("CREATE OR ALTER TASK TK.S.B WAREHOUSE = TK_WH AFTER TK.S.ROOT AS BEGIN LET x INT := 0; SELECT 1/x::INT AS y FROM TK.S.NOPE; END")
    tk.sql(f"CREATE OR ALTER TASK TK.S.C WAREHOUSE = TK_WH AFTER TK.S.A, TK.S.B AS {log('c')}")
    tk.sql(f"CREATE OR ALTER TASK TK.S.LAST WAREHOUSE = TK_WH FINALIZE = TK.S.ROOT AS {log('last', 'SYSTEM$TASK_RUNTIME_INFO(' + chr(39) + 'CURRENT_TASK_GRAPH_RUN_GROUP_ID' + chr(39) + ')')}")
    shown = show(tk, "SHOW TASKS IN DATABASE TK")
    assert {t["state"] for t in shown.values()} == {"suspended"}
    assert json.loads(shown["C"]["predecessors"]) == ["TK.S.A", "TK.S.B"] and json.loads(shown["ROOT"]["task_relations"])["FinalizerTask"] == "TK.S.LAST"
    tk.value("SELECT SYSTEM$TASK_DEPENDENTS_ENABLE('TK.S.ROOT')")
    assert {t["state"] for t in show(tk, "SHOW TASKS IN DATABASE TK").values()} == {"started"}
    tk.wait("SELECT COUNT(*) FROM TK.S.LOG WHERE NAME = 'last'", lambda n: int(n) >= 1)
    message = fails(tk, "091090", f"CREATE OR ALTER TASK TK.S.A WAREHOUSE = TK_WH AFTER TK.S.ROOT AS {log('a2')}")
    assert message == "Unable to update graph with root task TK.S.ROOT since that root task is not suspended."
    fails(tk, "091090", "ALTER TASK TK.S.C SUSPEND")
    fails(tk, "091090", "DROP TASK TK.S.C")
    tk.sql("ALTER TASK TK.S.ROOT SUSPEND")
    # A run that has begun ends with its finalizer.
    tk.wait("SELECT COUNT_IF(NAME = 'ROOT') - COUNT_IF(NAME = 'LAST' AND STATE <> 'EXECUTING') FROM TABLE(TK.INFORMATION_SCHEMA.TASK_HISTORY())", "0")
    names = [r["NAME"] for r in tk.sql("SELECT NAME FROM TK.S.LOG ORDER BY AT")]
    assert names[:3] == ["root", "a", "last"] and "c" not in names, "a child of a failed parent does not run, the finalizer does"
    failed = tk.sql("SELECT ERROR_CODE, ERROR_MESSAGE, QUERY_TEXT FROM TABLE(TK.INFORMATION_SCHEMA.TASK_HISTORY(TASK_NAME => 'B', ERROR_ONLY => TRUE))")[0]
    assert failed["ERROR_CODE"] == "002003" and "TK.S.NOPE" in failed["ERROR_MESSAGE"]
    tk.sql(f"ALTER TASK TK.S.B MODIFY AS {log('b')}")
    tk.sql("DELETE FROM TK.S.LOG")
    tk.sql("EXECUTE TASK TK.S.ROOT")
    tk.wait("SELECT LISTAGG(NAME, ',') WITHIN GROUP (ORDER BY AT) FROM TK.S.LOG", lambda v: v in ("root,a,b,c,last", "root,b,a,c,last"))


def test_conditions_failures_and_schedules(tk):
    tk.run("CREATE TABLE TK.S.SRC (A INT);\nCREATE STREAM TK.S.X ON TABLE TK.S.SRC APPEND_ONLY = TRUE")
    tk.sql(f"CREATE OR ALTER TASK TK.S.ROOT WAREHOUSE = TK_WH SCHEDULE = '10 SECONDS' WHEN SYSTEM$STREAM_HAS_DATA('TK.S.X') AS {log('root')}")
    tk.sql(f"CREATE OR ALTER TASK TK.S.KID WAREHOUSE = TK_WH AFTER TK.S.ROOT AS {log('kid')}")
    tk.value("SELECT SYSTEM$TASK_DEPENDENTS_ENABLE('TK.S.ROOT')")
    tk.wait("SELECT COUNT(*) FROM TABLE(TK.INFORMATION_SCHEMA.TASK_HISTORY(TASK_NAME => 'ROOT'))", lambda n: int(n) >= 2)
    assert set(states(tk, "ROOT")) == {"SKIPPED"} and states(tk, "KID") == []
    tk.sql("ALTER TASK TK.S.ROOT SUSPEND")
    tk.sql("CREATE OR ALTER TASK TK.S.TRIGGERED WAREHOUSE = TK_WH WHEN SYSTEM$STREAM_HAS_DATA('TK.S.X') AS INSERT INTO TK.S.LOG SELECT 'triggered', CURRENT_TIMESTAMP(), A::VARCHAR FROM TK.S.X")
    tk.sql("ALTER TASK TK.S.TRIGGERED RESUME")
    tk.sql("INSERT INTO TK.S.SRC VALUES (5)")
    tk.wait("SELECT MAX(EXTRA) FROM TK.S.LOG WHERE NAME = 'triggered'", "5")
    tk.sql("CREATE OR ALTER TASK TK.S.BAD WAREHOUSE = TK_WH SCHEDULE = 'USING CRON * * * * * Europe/Berlin' SUSPEND_TASK_AFTER_NUM_FAILURES = 2 AS SELECT * FROM TK.S.NOPE")
    tk.sql("ALTER TASK TK.S.BAD RESUME")
    tk.wait("SELECT COUNT(*) FROM TABLE(TK.INFORMATION_SCHEMA.TASK_HISTORY(TASK_NAME => 'BAD'))", "2")
    bad = wait_for(lambda: (found := show(tk, "SHOW TASKS LIKE 'BAD' IN DATABASE TK")["BAD"])["state"] == "suspended" and found)
    assert bad["last_suspended_reason"] == "SUSPENDED_DUE_TO_ERRORS"
    fails(tk, "001008", "CREATE TASK TK.S.Z SCHEDULE = '1 FORTNIGHT' AS SELECT 1")
    fails(tk, "001003", "CREATE TASK TK.S.Z SCHEDULE = '1 MINUTE' AS BEGIN SELECT 1; END IF")
    fails(tk, "002003", "CREATE TASK TK.S.Z WAREHOUSE = TK_WH AFTER TK.S.NOPE AS SELECT 1")


def test_scripting(tk):
    assert tk.value("""DECLARE total INT DEFAULT 0; BEGIN
        FOR i IN 1 TO 4 DO total := total + i; IF (i = 3) THEN CONTINUE; END IF; END FOR;
        INSERT INTO TK.S.LOG (NAME) VALUES ('a'), ('b'), (:total::VARCHAR);
        LET n := SQLROWCOUNT; WHILE (n < 5) DO n := n + 1; END WHILE;
        RETURN n || '-' || total; END""") == "5-10"
    assert tk.value("SELECT COUNT(*) FROM TK.S.LOG WHERE NAME = '10'") == "1"
    script = "BEGIN BEGIN TRANSACTION; INSERT INTO TK.S.LOG (NAME) VALUES ('gone'); SELECT 'x'::INT; COMMIT; EXCEPTION WHEN OTHER THEN ROLLBACK; {} END"
    assert "100038" in tk.value(script.format("RETURN SQLCODE || ': ' || SQLERRM;")).replace(" ", "")[:7]
    fails(tk, "100038", script.format("RAISE;"))
    assert tk.value("SELECT COUNT(*) FROM TK.S.LOG WHERE NAME = 'gone'") == "0"


def test_runs_of_one_graph_do_not_overlap(tk):
    tk.sql("CREATE TASK TK.S.SLOW WAREHOUSE = TK_WH AS BEGIN LET n := 0; WHILE (n < 150) DO n := n + 1; END WHILE; INSERT INTO TK.S.LOG SELECT 'slow', CURRENT_TIMESTAMP(), NULL; END")
    for _ in range(3):
        tk.sql("EXECUTE TASK TK.S.SLOW")
    tk.wait("SELECT COUNT(*) FROM TABLE(TK.INFORMATION_SCHEMA.TASK_HISTORY(TASK_NAME => 'SLOW')) WHERE STATE = 'SUCCEEDED'", "3")
    runs = tk.sql("SELECT QUERY_START_TIME AS S, COMPLETED_TIME AS E FROM TABLE(TK.INFORMATION_SCHEMA.TASK_HISTORY(TASK_NAME => 'SLOW')) ORDER BY 1")
    assert all(float(a["E"]) <= float(b["S"]) for a, b in zip(runs, runs[1:])), runs


def test_a_task_has_at_most_100_children(tk):
    """https://docs.snowflake.com/en/user-guide/tasks-graphs"""
    tk.sql("CREATE OR ALTER TASK TK.S.ROOT WAREHOUSE = TK_WH SCHEDULE = '1 MINUTE' AS SELECT 1")
    for number in range(100):
        tk.sql(f"CREATE OR ALTER TASK TK.S.KID_{number} WAREHOUSE = TK_WH AFTER TK.S.ROOT AS SELECT 1")
    tk.sql("CREATE OR ALTER TASK TK.S.KID_0 WAREHOUSE = TK_WH AFTER TK.S.ROOT AS SELECT 2")
    fails(tk, "091077", "CREATE OR ALTER TASK TK.S.KID_100 WAREHOUSE = TK_WH AFTER TK.S.ROOT AS SELECT 1")
