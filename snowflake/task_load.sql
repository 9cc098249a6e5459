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
  {{ merge.reject|indent(2) }};
  {{ merge.merge|indent(2) }};
{% if merge.stage %}
  {{ merge.stage|indent(2) }};
{% endif %}
{% endfor %}
  COMMIT;
EXCEPTION
  WHEN OTHER THEN
    ROLLBACK;
    RAISE;
END

-- drop
DROP TASK IF EXISTS {{ name }}
