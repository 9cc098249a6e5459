-- create
CREATE OR ALTER TASK {{ name }}
  WAREHOUSE = {{ warehouse }}
  COMMENT = {{ comment }}
  AFTER {{ parents }}
AS
{{ sql }}

-- drop
DROP TASK IF EXISTS {{ name }}
