-- create
CREATE TABLE IF NOT EXISTS {{ name }} (
{% for column in columns %}
  {{ column.name }} {{ column.type }}{{ column.extra }}{{ column.comment }}{{ column.comma }}
{% endfor %}
{% for constraint in constraints %}
  {{ constraint.sql }}{{ constraint.comma }}
{% endfor %}
)
DATA_RETENTION_TIME_IN_DAYS = 1
COMMENT = {{ comment }}

-- alter
ALTER TABLE {{ name }} SET DATA_RETENTION_TIME_IN_DAYS = 1 COMMENT = {{ comment }}

{% if privileges %}
-- grants
GRANT {{ privileges }} ON TABLE {{ name }} TO ROLE {{ loader }}

{% endif %}
-- drop
DROP TABLE IF EXISTS {{ name }}
