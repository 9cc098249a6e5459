SELECT
{% for column in columns %}
  {{ column.value }} AS {{ column.name }},
{% endfor %}
  r.FILE_NAME AS _FILE,
  r.FILE_ROW AS _FILE_ROW,
  r.FILE_MODIFIED AS _FILE_MODIFIED,
  {{ item_index }} AS _ITEM,
  {{ item }} AS _RECORD,
  COALESCE(
{% for column in columns %}
    CASE
{% if column.required %}
      WHEN {{ column.text }} IS NULL THEN {{ column.missing }}
{% endif %}
      WHEN {{ column.text }} IS NOT NULL AND {{ column.value }} IS NULL THEN {{ column.invalid }} || LEFT({{ column.text }}, 200)
    END,
{% endfor %}
    NULL
  ) AS _REASON
FROM {{ source }} AS r{{ flatten }}
