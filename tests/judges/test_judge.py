"""The judge itself: what it must refuse, what it must let pass, and where it says a finding is."""

from pathlib import Path

import judge

RIGHT = """\
-- A comment; with a semicolon, and a 'quote.
CREATE STORAGE INTEGRATION IF NOT EXISTS I
  TYPE = EXTERNAL_STAGE
  STORAGE_PROVIDER = 'S3'
  ENABLED = TRUE
  STORAGE_AWS_ROLE_ARN = 'arn:aws:iam::111122223333:role/reader'
  STORAGE_AWS_EXTERNAL_ID = 'it''s; one'
  STORAGE_ALLOWED_LOCATIONS = ('s3://bucket/data/');

CREATE OR ALTER TASK D.S.LOAD
  WAREHOUSE = W
  AFTER D.S.ROOT
  WHEN SYSTEM$STREAM_HAS_DATA('D.S.X')
AS
BEGIN
  BEGIN TRANSACTION;
  INSERT INTO D.S.T (A) SELECT CASE WHEN A > 1 THEN 1 END FROM D.S.X;
  COMMIT;
EXCEPTION
  WHEN OTHER THEN
    ROLLBACK;
    RAISE;
END;

CREATE PROCEDURE D.S.P() RETURNS VARCHAR LANGUAGE SQL EXECUTE AS OWNER AS $$
BEGIN
  IF (1 = 1) THEN RETURN 'a;b'; END IF;
  RETURN 'ok';
END
$$;
"""
WRONG = """\
CREATE ROLE R;
CREAT ROLE R;

CREATE TASK D.S.Q WAREHOUSE = W SCHEDULE = '1 MINUTE' AS
BEGIN
  MERGE INTO;
END;
"""
TEMPLATE = """\
AWSTemplateFormatVersion: "2010-09-09"
Resources:
  Queue:
    Type: AWS::SQS::Queue
    Properties: {%s: 60}
"""


def rendered(folder: Path, template_property: str, sql: str) -> Path:
    (folder / "cloudformation").mkdir()
    (folder / "snowflake").mkdir()
    (folder / "cloudformation" / "01-a.yaml").write_text(TEMPLATE % template_property)
    (folder / "snowflake" / "01-a.sql").write_text(sql)
    return folder


def test_right_ones_pass(tmp_path: Path) -> None:
    assert judge.judge(rendered(tmp_path, "DelaySeconds", RIGHT)) == []


def test_wrong_ones_are_found_with_their_line(tmp_path: Path) -> None:
    findings = judge.judge(rendered(tmp_path, "DelayMinutes", WRONG))
    places = [(finding.file.name, finding.line, finding.message.split(":")[0]) for finding in findings]
    assert places == [
        ("01-a.sql", 2, "sqlfluff PRS"),
        ("01-a.sql", 6, "sqlfluff PRS"),
        ("01-a.yaml", 5, "cfn-lint E3002"),
    ]
