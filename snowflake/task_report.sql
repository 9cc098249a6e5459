-- create
CREATE OR ALTER TASK {{ name }}
  WAREHOUSE = {{ warehouse }}
  COMMENT = {{ comment }}
  FINALIZE = {{ root }}
AS
{% if watch_name %}
DECLARE
  told_at TIMESTAMP_LTZ DEFAULT NULL;
BEGIN
{% endif %}
  INSERT INTO {{ failures }} (TASK_NAME, RUN_ID, FAILED_AT, ERROR_CODE, ERROR_MESSAGE)
  SELECT
    NAME,
    GRAPH_RUN_GROUP_ID,
    COMPLETED_TIME,
    ERROR_CODE,
    ERROR_MESSAGE
  FROM TABLE({{ database }}.INFORMATION_SCHEMA.TASK_HISTORY(ERROR_ONLY => TRUE, SCHEDULED_TIME_RANGE_START => DATEADD('HOUR', -1, CURRENT_TIMESTAMP())))
  WHERE GRAPH_RUN_GROUP_ID = SYSTEM$TASK_RUNTIME_INFO('CURRENT_TASK_GRAPH_RUN_GROUP_ID')
{%- if watch_name %}
;
  told_at := (
    SELECT MAX(COMPLETED_TIME)
    FROM TABLE({{ database }}.INFORMATION_SCHEMA.TASK_HISTORY(TASK_NAME => {{ watch_name }}, RESULT_LIMIT => 1000))
    WHERE SCHEMA_NAME = {{ schema_name }} AND RETURN_VALUE = {{ told }}
  );
  IF (told_at IS NOT NULL) THEN
    LET ended_at TIMESTAMP_LTZ := (
      SELECT MAX(COMPLETED_TIME)
      FROM TABLE({{ database }}.INFORMATION_SCHEMA.TASK_HISTORY(TASK_NAME => {{ report_name }}, RESULT_LIMIT => 1000))
      WHERE SCHEMA_NAME = {{ schema_name }} AND STATE = 'SUCCEEDED'
    );
    IF (ended_at IS NULL OR ended_at < told_at) THEN
      LET message VARCHAR := TO_JSON(OBJECT_CONSTRUCT('application/json', TO_JSON(OBJECT_CONSTRUCT(
        'messageType', 'TASK_GRAPH_RUNS',
        'taskName', {{ root_text }},
        'timestamp', TO_VARCHAR(SYSDATE(), 'YYYY-MM-DD HH24:MI:SS') || ' UTC',
        'text', 'Loads run again'
      ))));
      CALL SYSTEM$SEND_SNOWFLAKE_NOTIFICATION(:message, {{ channel }});
    END IF;
  END IF;
END
{%- endif %}


-- drop
DROP TASK IF EXISTS {{ name }}
