-- create
CREATE OR ALTER TASK {{ name }}
  WAREHOUSE = {{ warehouse }}
  COMMENT = {{ comment }}
  FINALIZE = {{ root }}
AS
BEGIN
  INSERT INTO {{ failures }} (TASK_NAME, RUN_ID, FAILED_AT, ERROR_CODE, ERROR_MESSAGE)
  SELECT
    NAME,
    GRAPH_RUN_GROUP_ID,
    COMPLETED_TIME,
    ERROR_CODE,
    ERROR_MESSAGE
  FROM TABLE({{ database }}.INFORMATION_SCHEMA.TASK_HISTORY(ERROR_ONLY => TRUE, SCHEDULED_TIME_RANGE_START => DATEADD('HOUR', -1, CURRENT_TIMESTAMP())))
  WHERE GRAPH_RUN_GROUP_ID = SYSTEM$TASK_RUNTIME_INFO('CURRENT_TASK_GRAPH_RUN_GROUP_ID');
  LET failed INTEGER := (SELECT COUNT(*) FROM {{ failures }});
  IF (failed > 0) THEN
    LET mended VARCHAR := (
      SELECT LISTAGG({{ schema_text }} || NAME, ', ')
      FROM TABLE({{ database }}.INFORMATION_SCHEMA.TASK_HISTORY(SCHEDULED_TIME_RANGE_START => DATEADD('HOUR', -24, CURRENT_TIMESTAMP()), RESULT_LIMIT => 10000))
      WHERE
        GRAPH_RUN_GROUP_ID = SYSTEM$TASK_RUNTIME_INFO('CURRENT_TASK_GRAPH_RUN_GROUP_ID')
        AND STATE = 'SUCCEEDED'
        AND NAME IN (
          SELECT TASK_NAME
          FROM {{ failures }}
          GROUP BY TASK_NAME
          HAVING MAX(RECOVERED_AT) IS NULL OR MAX(RECOVERED_AT) < MAX(FAILED_AT)
        )
    );
    IF (mended <> '') THEN
      LET message VARCHAR := TO_JSON(OBJECT_CONSTRUCT('application/json', TO_JSON(OBJECT_CONSTRUCT(
        'messageType', 'TASKS_RUN',
        'taskName', :mended,
        'timestamp', TO_VARCHAR(SYSDATE(), 'YYYY-MM-DD HH24:MI:SS') || ' UTC',
        'text', 'What failed before runs again'
      ))));
      CALL SYSTEM$SEND_SNOWFLAKE_NOTIFICATION(:message, {{ channel }});
      INSERT INTO {{ failures }} (TASK_NAME, RUN_ID, RECOVERED_AT)
      SELECT DISTINCT
        TASK_NAME,
        SYSTEM$TASK_RUNTIME_INFO('CURRENT_TASK_GRAPH_RUN_GROUP_ID'),
        CURRENT_TIMESTAMP()
      FROM {{ failures }}
      WHERE ARRAY_CONTAINS(({{ schema_text }} || TASK_NAME)::VARIANT, SPLIT(:mended, ', '));
    END IF;
  END IF;
{% if watch_name %}
  LET told_at TIMESTAMP_LTZ := (
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
{% endif %}
END

-- drop
DROP TASK IF EXISTS {{ name }}
