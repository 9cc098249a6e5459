-- create
CREATE OR REPLACE PROCEDURE {{ name }}(ARRIVED_FILE VARCHAR, ARRIVED_ETAG VARCHAR)
COPY GRANTS
RETURNS NUMBER
LANGUAGE SQL
COMMENT = {{ comment }}
EXECUTE AS OWNER
AS
$$
DECLARE
  times NUMBER DEFAULT 0;
  records NUMBER DEFAULT 0;
  arrived VARCHAR DEFAULT {{ prefix }} || ARRIVED_FILE;
  quoted VARCHAR DEFAULT '''' || REPLACE(REPLACE(ARRIVED_FILE, '\\', '\\\\'), '''', '''''') || '''';
  copy_file VARCHAR DEFAULT '';
  counts NUMBER DEFAULT 0;
  replaced EXCEPTION (-20001, 'the procedure was replaced while it ran; nothing of the file is kept, and its successor applies it when it is told of again');
BEGIN
  times := (SELECT COUNT(*) FROM {{ ledger }} WHERE FILE_NAME = :arrived AND ETAG = :ARRIVED_ETAG);
  IF (times > 0) THEN
    RETURN NULL;
  END IF;
  copy_file := {{ before_path }} || quoted || {{ before_files }} || quoted || {{ after_files }};
  BEGIN TRANSACTION;
  EXECUTE IMMEDIATE :copy_file;
  records := (SELECT COUNT(*) FROM {{ table }} WHERE FILE_NAME = :arrived);
{% for statement in statements %}
  {{ statement|indent(2) }};
{% endfor %}
  MERGE INTO {{ ledger }} AS t
  USING (
    SELECT
      :arrived AS FILE_NAME,
      :ARRIVED_ETAG AS ETAG
  ) AS s
  ON t.FILE_NAME = s.FILE_NAME AND t.ETAG = s.ETAG
  WHEN NOT MATCHED THEN INSERT (FILE_NAME, ETAG, RECORDS, APPLIED_AT)
  VALUES (s.FILE_NAME, s.ETAG, :records, CURRENT_TIMESTAMP());
  IF (SQLROWCOUNT = 0) THEN
    ROLLBACK;
    RETURN NULL;
  END IF;
  -- The ledger is locked by now: until COMMIT nobody says that another definition counts.
  counts := (SELECT COUNT(*) FROM {{ ledger }} WHERE FILE_NAME = {{ procedure }} AND ETAG = {{ version }});
  IF (counts = 0) THEN
    RAISE replaced;
  END IF;
  COMMIT;
  RETURN records;
EXCEPTION
  WHEN OTHER THEN
    ROLLBACK;
    RAISE;
END
$$

-- alter
ALTER PROCEDURE {{ name }}(VARCHAR, VARCHAR) SET COMMENT = {{ comment }}

-- drop
DROP PROCEDURE IF EXISTS {{ name }}(VARCHAR, VARCHAR)
