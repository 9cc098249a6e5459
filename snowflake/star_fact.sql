MERGE INTO {{ fact }} AS t
USING (
  SELECT
{% for column in columns %}
    {{ column.found }} AS {{ column.name }},
{% endfor %}
    r._SEQ
  FROM (
    SELECT *
    FROM (
      {{ rows|indent(6) }}
    )
    QUALIFY ROW_NUMBER() OVER (PARTITION BY {{ partition }} ORDER BY _SEQ DESC) = 1
  ) AS r
{% for join in joins %}
  LEFT JOIN {{ join.members|indent(2) }} AS {{ join.alias }} ON {{ join.condition }}
{% endfor %}
) AS s
ON {{ match }}
WHEN MATCHED AND s._SEQ >= t._SEQ THEN UPDATE SET
{% for name in updated %}
  t.{{ name }} = s.{{ name }},
{% endfor %}
  t._SEQ = s._SEQ,
  t._LOADED_AT = CURRENT_TIMESTAMP()
WHEN NOT MATCHED THEN INSERT ({{ names }}, _SEQ, _LOADED_AT)
VALUES ({{ values }}, s._SEQ, CURRENT_TIMESTAMP())
