DELETE FROM {{ fact }}
WHERE ({{ grain }}) IN (
  SELECT {{ of_b }}
  FROM (
    SELECT DISTINCT
{% for column in columns %}
      {{ column.found }} AS {{ column.name }}{{ column.comma }}
{% endfor %}
    FROM (
      {{ deleted|indent(6) }}
    )
  ) AS b
  LEFT JOIN (
    SELECT
{% for column in columns %}
      {{ column.found }} AS {{ column.name }},
{% endfor %}
      _SEQ
    FROM (
      {{ rows|indent(6) }}
    )
  ) AS r ON {{ match }}
  WHERE r._SEQ IS NULL
)
