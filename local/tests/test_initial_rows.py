# SPDX-License-Identifier: Apache-2.0
"""A stream with SHOW_INITIAL_ROWS shows what was there before it, once, and disturbs no other stream."""
from __future__ import annotations


def test_initial_rows_come_once(cloud):
    cloud.run("CREATE DATABASE IR;\nCREATE SCHEMA IR.S;\nCREATE TABLE IR.S.T (ID NUMBER(10,0));\nCREATE TABLE IR.S.OUT (ID NUMBER(10,0));\n"
              "INSERT INTO IR.S.T VALUES (1), (2);\nCREATE STREAM IR.S.EARLY ON TABLE IR.S.T APPEND_ONLY = TRUE;\n"
              "INSERT INTO IR.S.T VALUES (3);\nCREATE STREAM IR.S.LATE ON TABLE IR.S.T APPEND_ONLY = TRUE SHOW_INITIAL_ROWS = TRUE;\n"
              "INSERT INTO IR.S.T VALUES (4)")
    seen = "SELECT LISTAGG(ID, ',') WITHIN GROUP (ORDER BY ID) FROM "
    assert cloud.value(f"{seen} IR.S.LATE") == "1,2,3,4"
    assert cloud.value(f"{seen} IR.S.EARLY") == "3,4"
    cloud.run("INSERT INTO IR.S.OUT SELECT ID FROM IR.S.LATE")
    assert cloud.value("SELECT SYSTEM$STREAM_HAS_DATA('IR.S.LATE')") == "false"
    assert cloud.value(f"{seen} IR.S.EARLY") == "3,4"
    cloud.run("INSERT INTO IR.S.T VALUES (5)")
    assert cloud.value(f"{seen} IR.S.LATE") == "5"
    cloud.run("DROP DATABASE IR")
