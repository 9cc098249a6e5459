-- create
CREATE OR ALTER TASK {{ name }}
  WAREHOUSE = {{ warehouse }}
  COMMENT = {{ comment }}
  AFTER {{ parents }}
AS
BEGIN
  BEGIN TRANSACTION;
{% for statement in statements %}
  {{ statement|indent(2) }};
{% endfor %}
  COMMIT;
EXCEPTION
  WHEN OTHER THEN
    ROLLBACK;
    RAISE;
END

-- drop
DROP TASK IF EXISTS {{ name }}
