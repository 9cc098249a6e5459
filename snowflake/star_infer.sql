MERGE INTO {{ dimension }} AS t
USING (
  SELECT DISTINCT
{% for column in columns %}
    {{ column.found }} AS {{ column.name }}{{ column.comma }}
{% endfor %}
  FROM (
    {{ rows|indent(4) }}
  )
  WHERE {{ known }}
) AS s
ON {{ match }}
WHEN NOT MATCHED THEN INSERT ({{ names }}, _IS_INFERRED, _LOADED_AT)
VALUES ({{ values }}, TRUE, CURRENT_TIMESTAMP())
