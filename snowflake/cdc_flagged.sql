MERGE INTO {{ gone }} AS t
USING (
  SELECT
    {{ key }},
    _SEQ
  FROM {{ table }}
  WHERE _DELETED AND _SEQ IS NOT NULL
) AS s
ON {{ match }}
WHEN NOT MATCHED THEN INSERT ({{ key }}, _SEQ, _GONE_AT)
VALUES ({{ values }}, s._SEQ, CURRENT_TIMESTAMP())
