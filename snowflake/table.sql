-- create
CREATE TABLE IF NOT EXISTS {{ name }} (
{% for column in columns %}
  {{ column.name }} {{ column.type }}{{ column.not_null }}{{ column.comment }}{{ column.comma }}
{% endfor %}
{% if key %}
  PRIMARY KEY ({{ key }}) RELY
{% endif %}
)
DATA_RETENTION_TIME_IN_DAYS = 1
COMMENT = {{ comment }}

-- alter
ALTER TABLE {{ name }} SET DATA_RETENTION_TIME_IN_DAYS = 1 COMMENT = {{ comment }}

-- grants

{% for grant in grants %}
{{ grant }}

{% endfor %}
-- drop
DROP TABLE IF EXISTS {{ name }}
