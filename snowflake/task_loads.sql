-- create
CREATE OR ALTER TASK {{ name }}
  WAREHOUSE = {{ warehouse }}
  COMMENT = {{ comment }}
  AFTER {{ parent }}
{% if condition %}
  WHEN {{ condition }}
{% endif %}
AS
DECLARE
  not_merged EXCEPTION (-20001, 'Not every table of this task was merged; LOAD_FAILURES tells which and why');
  failed BOOLEAN DEFAULT FALSE;
BEGIN
{% for merge in merges %}
  BEGIN
    BEGIN TRANSACTION;
{% for statement in merge.statements %}
    {{ statement|indent(4) }};
{% endfor %}
    COMMIT;
  EXCEPTION
    WHEN OTHER THEN
      ROLLBACK;
      failed := TRUE;
      INSERT INTO {{ failures }} (TASK_NAME, RUN_ID, FAILED_AT, ERROR_CODE, ERROR_MESSAGE)
      SELECT
        {{ merge.name }},
        SYSTEM$TASK_RUNTIME_INFO('CURRENT_TASK_GRAPH_RUN_GROUP_ID'),
        CURRENT_TIMESTAMP(),
        :SQLCODE,
        :SQLERRM;
  END;
{% endfor %}
  IF (failed) THEN
    RAISE not_merged;
  END IF;
END

-- drop
DROP TASK IF EXISTS {{ name }}
