-- create
CREATE OR ALTER TASK {{ name }}
  WAREHOUSE = {{ warehouse }}
  COMMENT = {{ comment }}
  AFTER {{ parent }}
  WHEN {{ condition }}
AS
BEGIN
  BEGIN TRANSACTION;
{% for merge in merges %}
  {{ merge.reject|indent(2) }};
  {{ merge.merge|indent(2) }};
{% endfor %}
  COMMIT;
EXCEPTION
  WHEN OTHER THEN
    ROLLBACK;
    RAISE;
END

-- drop
DROP TASK IF EXISTS {{ name }}
