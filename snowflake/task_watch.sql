-- create
ALTER TASK IF EXISTS {{ name }} SUSPEND

CREATE OR ALTER TASK {{ name }}
  WAREHOUSE = {{ warehouse }}
  SCHEDULE = {{ schedule }}
  ALLOW_OVERLAPPING_EXECUTION = FALSE
  ERROR_INTEGRATION = {{ error_integration }}
  COMMENT = {{ comment }}
  WHEN {{ condition }}
AS
DECLARE
  ended INTEGER DEFAULT 0;
BEGIN
  ended := (
    SELECT COUNT(*)
    FROM TABLE({{ database }}.INFORMATION_SCHEMA.TASK_HISTORY(SCHEDULED_TIME_RANGE_START => DATEADD('HOUR', -24, CURRENT_TIMESTAMP()), RESULT_LIMIT => 10000))
    WHERE
      SCHEMA_NAME = {{ schema_name }}
      AND COMPLETED_TIME > DATEADD('SECOND', -{{ late_seconds }}, CURRENT_TIMESTAMP())
      AND (NAME = {{ report_name }} OR (NAME = {{ root_name }} AND ERROR_CODE = {{ nothing_to_do }}))
  );
  IF (ended = 0) THEN
    LET message VARCHAR := TO_JSON(OBJECT_CONSTRUCT('application/json', TO_JSON(OBJECT_CONSTRUCT(
      'messageType', 'TASK_GRAPH_LATE',
      'taskName', {{ root_text }},
      'timestamp', TO_VARCHAR(SYSDATE(), 'YYYY-MM-DD HH24:MI:SS') || ' UTC',
      'text', {{ text }}
    ))));
    CALL SYSTEM$SEND_SNOWFLAKE_NOTIFICATION(:message, {{ channel }});
    CALL SYSTEM$SET_RETURN_VALUE({{ told }});
  END IF;
END

ALTER TASK {{ name }} RESUME

-- drop
DROP TASK IF EXISTS {{ name }}
