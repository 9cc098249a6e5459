MERGE INTO {{ history }} AS t
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
ON {{ match }} AND NOT t._IS_GONE
WHEN NOT MATCHED THEN INSERT ({{ names }}, _AT, _IS_GONE, _IS_INFERRED, _IS_NEW)
VALUES ({{ values }}, {{ beginning }}, FALSE, TRUE, TRUE)
