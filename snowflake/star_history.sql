MERGE INTO {{ history }} AS t
USING (
  SELECT
{% for column in columns %}
    {{ column.found }} AS {{ column.name }},
{% endfor %}
    {{ moment }} AS _AT,
    _OP = 'd' AS _IS_GONE,
    _SEQ
  FROM (
    {{ rows|indent(4) }}
  )
  WHERE {{ known }}
  QUALIFY ROW_NUMBER() OVER (PARTITION BY {{ partition }}, {{ moment }}, _OP = 'd' ORDER BY _SEQ DESC) = 1
) AS s
ON {{ match }} AND t._AT = s._AT AND t._IS_GONE = s._IS_GONE
WHEN MATCHED AND (t._SEQ IS NULL OR s._SEQ >= t._SEQ) THEN UPDATE SET
{% for name in attributes %}
  t.{{ name }} = s.{{ name }},
{% endfor %}
  t._IS_INFERRED = FALSE,
  t._IS_NEW = TRUE,
  t._SEQ = s._SEQ
WHEN NOT MATCHED THEN INSERT ({{ names }}, _AT, _IS_GONE, _IS_INFERRED, _IS_NEW, _SEQ)
VALUES ({{ values }}, s._AT, s._IS_GONE, FALSE, TRUE, s._SEQ)
