-- create
CREATE OR ALTER TASK {{ name }}
  WAREHOUSE = {{ warehouse }}
  COMMENT = {{ comment }}
  AFTER {{ root }}
AS
  SELECT 1

-- drop
DROP TASK IF EXISTS {{ name }}
