-- create
CREATE TABLE IF NOT EXISTS {{ name }} (
{% for column in columns %}
  {{ column.name }} {{ column.type }}{{ column.not_null }}{{ column.comment }}{{ column.comma }}
{% endfor %}
{% if key %}
  PRIMARY KEY ({{ key }}) RELY
{% endif %}
)
COMMENT = {{ comment }}

-- alter
ALTER TABLE {{ name }} SET COMMENT = {{ comment }}

-- grants

{% for grant in grants %}
{{ grant }}

{% endfor %}
-- drop
DROP TABLE IF EXISTS {{ name }}
