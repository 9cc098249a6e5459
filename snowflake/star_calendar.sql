MERGE INTO {{ dimension }} AS t
USING (
  SELECT DISTINCT DATE_TRUNC({{ grain }}, _1) AS STARTS_AT
  FROM (
    {{ rows|indent(4) }}
  )
  WHERE _1 IS NOT NULL
) AS s
ON t.STARTS_AT = s.STARTS_AT
WHEN NOT MATCHED THEN INSERT ({{ names }}, _IS_INFERRED, _LOADED_AT)
VALUES (
{% for value in values %}
  {{ value }},
{% endfor %}
  FALSE,
  CURRENT_TIMESTAMP()
)
