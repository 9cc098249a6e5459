-- create
CREATE OR ALTER TASK {{ name }}
  WAREHOUSE = {{ warehouse }}
  SCHEDULE = {{ schedule }}
  ALLOW_OVERLAPPING_EXECUTION = FALSE
  SUSPEND_TASK_AFTER_NUM_FAILURES = 10
  ERROR_INTEGRATION = {{ error_integration }}
  COMMENT = {{ comment }}
  WHEN {{ condition }}
AS
  SELECT 1

-- drop
DROP TASK IF EXISTS {{ name }}
