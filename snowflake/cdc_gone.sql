MERGE INTO {{ gone }} AS t
USING (
  SELECT
    {{ key }},
    MAX(_SEQ) AS _SEQ
  FROM (
    {{ rows|indent(4) }}
  )
  WHERE _REASON IS NULL AND _OP = 'd'
  GROUP BY {{ key }}
) AS s
ON {{ match }}
WHEN MATCHED AND s._SEQ > t._SEQ THEN UPDATE SET
  t._SEQ = s._SEQ,
  t._GONE_AT = CURRENT_TIMESTAMP()
WHEN NOT MATCHED THEN INSERT ({{ key }}, _SEQ, _GONE_AT)
VALUES ({{ values }}, s._SEQ, CURRENT_TIMESTAMP())
