MERGE INTO {{ history }} AS t
USING (
  SELECT
    {{ wanted }}
  FROM (
    SELECT
{% for column in columns %}
      {{ column.found }} AS {{ column.name }},
{% endfor %}
      MIN({{ moment }}) AS _AT
    FROM (
      {{ rows|indent(6) }}
    )
    WHERE {{ known }}
    GROUP BY {{ partition }}
  ) AS w
  LEFT JOIN (
    SELECT
      {{ names }},
      MIN(_AT) AS _AT
    FROM {{ history }}
    WHERE NOT _IS_GONE
    GROUP BY {{ names }}
  ) AS h ON {{ found }}
  WHERE h._AT IS NULL OR h._AT > w._AT
) AS s
ON {{ match }} AND t._AT = {{ beginning }} AND NOT t._IS_GONE
WHEN NOT MATCHED THEN INSERT ({{ names }}, _AT, _IS_GONE, _IS_INFERRED, _IS_NEW)
VALUES ({{ values }}, {{ beginning }}, FALSE, TRUE, TRUE)
