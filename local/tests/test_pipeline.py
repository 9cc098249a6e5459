# SPDX-License-Identifier: Apache-2.0
"""The whole way, as pipectl deploys it: put an object, find typed rows."""
from __future__ import annotations

import json

BODY = """
BEGIN
  BEGIN TRANSACTION;
  INSERT INTO {d}.RAW.INVOICE_LINE_REJECTED (FILE_NAME, FILE_ROW, ITEM_INDEX, REASON, RECORD, REJECTED_AT)
    SELECT FILE_NAME, FILE_ROW, ITEM_INDEX, REASON, RECORD, CURRENT_TIMESTAMP() FROM (
      SELECT s.FILE_NAME, s.FILE_ROW, f.INDEX AS ITEM_INDEX, s.RECORD,
        CASE WHEN f.VALUE:"sku" IS NULL THEN 'sku is missing'
             WHEN TRY_CAST(f.VALUE:"amount"::VARCHAR AS NUMBER(10,2)) IS NULL THEN 'amount is no NUMBER(10,2)' END AS REASON
      FROM {d}.RAW.INVOICE_LINE_STREAM AS s, LATERAL FLATTEN(INPUT => s.RECORD:"lines", OUTER => TRUE) AS f
    ) WHERE REASON IS NOT NULL;
  MERGE INTO {d}.SALES.INVOICE_LINE AS t USING (
    SELECT s.RECORD:"number"::VARCHAR AS NUMBER, f.VALUE:"sku"::VARCHAR AS SKU,
      TRY_CAST(f.VALUE:"amount"::VARCHAR AS NUMBER(10,2)) AS AMOUNT, TRY_CAST(s.RECORD:"date"::VARCHAR AS DATE) AS DAY,
      f.INDEX AS ITEM_INDEX, s.FILE_MODIFIED AS _FILE_MODIFIED
    FROM {d}.RAW.INVOICE_LINE_STREAM AS s, LATERAL FLATTEN(INPUT => s.RECORD:"lines") AS f
    WHERE f.VALUE:"sku" IS NOT NULL AND TRY_CAST(f.VALUE:"amount"::VARCHAR AS NUMBER(10,2)) IS NOT NULL
    QUALIFY ROW_NUMBER() OVER (PARTITION BY s.RECORD:"number"::VARCHAR, f.VALUE:"sku"::VARCHAR ORDER BY s.FILE_MODIFIED DESC, s.FILE_ROW DESC) = 1
  ) AS s ON t.NUMBER = s.NUMBER AND t.SKU = s.SKU
  WHEN MATCHED AND s._FILE_MODIFIED >= t._FILE_MODIFIED THEN UPDATE SET AMOUNT = s.AMOUNT, DAY = s.DAY, _FILE_MODIFIED = s._FILE_MODIFIED
  WHEN NOT MATCHED THEN INSERT (NUMBER, SKU, AMOUNT, DAY, _FILE_MODIFIED) VALUES (s.NUMBER, s.SKU, s.AMOUNT, s.DAY, s._FILE_MODIFIED);
  COMMIT;
EXCEPTION
  WHEN OTHER THEN
    ROLLBACK;
    RAISE;
END"""


def deploy(cloud, site):
    d = site.database
    cloud.run(f"""
        CREATE WAREHOUSE IF NOT EXISTS {d}_WH WAREHOUSE_SIZE = 'XSMALL' AUTO_SUSPEND = 60 AUTO_RESUME = TRUE INITIALLY_SUSPENDED = TRUE COMMENT = 'c';
        CREATE TABLE IF NOT EXISTS {d}.SALES.INVOICE_LINE (NUMBER VARCHAR(32) NOT NULL, SKU VARCHAR(64) NOT NULL, AMOUNT NUMBER(10,2), DAY DATE,
          _FILE_MODIFIED TIMESTAMP_NTZ(9), PRIMARY KEY (NUMBER, SKU) RELY) COMMENT = 'typed';
        CREATE TABLE IF NOT EXISTS {d}.RAW.INVOICE_LINE_REJECTED (FILE_NAME VARCHAR, FILE_ROW NUMBER(38,0), ITEM_INDEX NUMBER(38,0), REASON VARCHAR, RECORD VARIANT,
          REJECTED_AT TIMESTAMP_LTZ(9));
        CREATE STREAM IF NOT EXISTS {d}.RAW.INVOICE_LINE_STREAM ON TABLE {d}.RAW.INVOICES APPEND_ONLY = TRUE COMMENT = 'c';
        CREATE OR ALTER TASK {d}.RAW.ROOT WAREHOUSE = {d}_WH SCHEDULE = '1 MINUTE' ALLOW_OVERLAPPING_EXECUTION = FALSE SUSPEND_TASK_AFTER_NUM_FAILURES = 10
          COMMENT = 'c' WHEN SYSTEM$STREAM_HAS_DATA('{d}.RAW.INVOICE_LINE_STREAM') AS SELECT 1;
        """)
    cloud.sql(f"""CREATE OR ALTER TASK {d}.RAW.LINES WAREHOUSE = {d}_WH COMMENT = 'c' AFTER {d}.RAW.ROOT
        WHEN SYSTEM$STREAM_HAS_DATA('{d}.RAW.INVOICE_LINE_STREAM') AS {BODY.format(d=d)}""")
    cloud.sql(site.pipe_sql())
    cloud.value(f"SELECT SYSTEM$TASK_DEPENDENTS_ENABLE('{d}.RAW.ROOT')")


def test_object_to_typed_row(either, landing):
    site = landing(either, "whole")
    deploy(either, site)
    d = site.database
    site.put("data/invoices/2024/a b.json",
             {"number": "7", "date": "2024-02-29", "lines": [{"sku": "x", "amount": "12.50"}, {"sku": "y", "amount": 3}, {"amount": "1"}]},
             {"number": "8", "date": "bad", "lines": [{"sku": "x", "amount": "99999999999"}]}, {"number": "9"})
    either.wait(f"SELECT COUNT(*) FROM {d}.RAW.INVOICES", "3")
    either.wait(f"SELECT COUNT(*) FROM {d}.SALES.INVOICE_LINE", "2")
    rows = either.sql(f"SELECT * FROM {d}.SALES.INVOICE_LINE ORDER BY SKU")
    assert [(r["NUMBER"], r["SKU"], r["AMOUNT"], r["DAY"]) for r in rows] == [("7", "x", "12.50", "19782"), ("7", "y", "3.00", "19782")]
    rejected = either.sql(f"SELECT FILE_ROW, ITEM_INDEX, REASON FROM {d}.RAW.INVOICE_LINE_REJECTED ORDER BY 1, 2")
    assert [tuple(r.values()) for r in rejected] == [("1", "2", "sku is missing"), ("2", "0", "amount is no NUMBER(10,2)"), ("3", None, "sku is missing")]
    raw = either.sql(f"SELECT FILE_NAME, FILE_ROW, RECORD FROM {d}.RAW.INVOICES ORDER BY FILE_ROW")
    assert raw[0]["FILE_NAME"] == "data/invoices/2024/a b.json" and json.loads(raw[2]["RECORD"]) == {"number": "9"}

    site.put("data/invoices/2024/c.json", {"number": "7", "date": "2024-03-01", "lines": [{"sku": "x", "amount": "13.50"}]})
    either.wait(f"SELECT AMOUNT FROM {d}.SALES.INVOICE_LINE WHERE SKU = 'x'", "13.50")
    history = either.sql(f"SELECT NAME, STATE, ERROR_MESSAGE FROM TABLE({d}.INFORMATION_SCHEMA.TASK_HISTORY(RESULT_LIMIT => 1000)) WHERE STATE <> 'SKIPPED'")
    assert {h["STATE"] for h in history} == {"SUCCEEDED"} and {h["NAME"] for h in history} == {"ROOT", "LINES"}, history
    either.sql(f"ALTER TASK {d}.RAW.ROOT SUSPEND")
    if not either.info["auth"]:
        assert either.sql("SHOW STREAMS LIKE 'INVOICE_LINE%' IN ACCOUNT")[0]["mode"] == "APPEND_ONLY"
