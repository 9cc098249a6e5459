MERGE INTO {{ dimension }} AS t
USING (
  SELECT
{% for column in columns %}
    {{ column.found }} AS {{ column.name }},
{% endfor %}
    _SEQ
  FROM (
    {{ rows|indent(4) }}
  )
  WHERE {{ known }}
  QUALIFY ROW_NUMBER() OVER (PARTITION BY {{ partition }} ORDER BY _SEQ DESC) = 1
) AS s
ON {{ match }}
{% if attributes %}
WHEN MATCHED AND (t._SEQ IS NULL OR s._SEQ >= t._SEQ) THEN UPDATE SET
{% for name in attributes %}
  t.{{ name }} = s.{{ name }},
{% endfor %}
{% else %}
WHEN MATCHED AND t._IS_INFERRED THEN UPDATE SET
{% endif %}
  t._IS_INFERRED = FALSE,
  t._SEQ = s._SEQ,
  t._LOADED_AT = CURRENT_TIMESTAMP()
WHEN NOT MATCHED THEN INSERT ({{ names }}, _IS_INFERRED, _SEQ, _LOADED_AT)
VALUES ({{ values }}, FALSE, s._SEQ, CURRENT_TIMESTAMP())
