SELECT
{% for column in columns %}
  {{ column.value }} AS {{ column.name }},
{% endfor %}
{% for column in carried %}
  {{ column.name }},
{% endfor %}
  _FILE,
  _FILE_ROW,
  _FILE_MODIFIED,
  _ITEM,
  _RECORD,
  CASE
{% for reason in reasons %}
    WHEN {{ reason }}
{% endfor %}
{% for column in columns %}
{% if column.required %}
    WHEN {{ column.guard }}{{ column.text }} IS NULL THEN {{ column.missing }}
{% endif %}
{% if column.checked %}
    WHEN {{ column.guard }}{{ column.text }} IS NOT NULL AND {{ column.value }} IS NULL THEN {{ column.invalid }} || LEFT({{ column.text }}, 200)
{% endif %}
{% endfor %}
  END AS _REASON
FROM (
  SELECT
{% for column in columns %}
    {{ column.json }} AS {{ column.found }},
{% endfor %}
{% for column in carried %}
    {{ column.json }} AS {{ column.name }},
{% endfor %}
    r.FILE_NAME AS _FILE,
    r.FILE_ROW AS _FILE_ROW,
    r.FILE_MODIFIED AS _FILE_MODIFIED,
    {{ item_index }} AS _ITEM,
    {{ item }} AS _RECORD
  FROM {{ from|indent(2) }}
)
