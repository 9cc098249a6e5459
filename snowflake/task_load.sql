-- create
CREATE OR ALTER TASK {{ name }}
  WAREHOUSE = {{ warehouse }}
  COMMENT = {{ comment }}
  AFTER {{ root }}
  WHEN SYSTEM$STREAM_HAS_DATA({{ stream_text }})
AS
BEGIN
  BEGIN TRANSACTION;
  {{ reject|indent(2) }};
  {{ merge|indent(2) }};
  COMMIT;
EXCEPTION
  WHEN OTHER THEN
    ROLLBACK;
    RAISE;
END

-- drop
DROP TASK IF EXISTS {{ name }}
