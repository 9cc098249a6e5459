-- create
CREATE OR ALTER TASK {{ name }}
  WAREHOUSE = {{ warehouse }}
  COMMENT = {{ comment }}
  AFTER {{ parent }}
{% if condition %}
  WHEN {{ condition }}
{% endif %}
AS
BEGIN
  BEGIN TRANSACTION;
{% for merge in merges %}
{% for statement in merge.statements %}
  {{ statement|indent(2) }};
{% endfor %}
{% endfor %}
  COMMIT;
EXCEPTION
  WHEN OTHER THEN
    ROLLBACK;
    RAISE;
END

-- drop
DROP TASK IF EXISTS {{ name }}
