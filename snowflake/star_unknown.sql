MERGE INTO {{ dimension }} AS t
USING (
  SELECT -1 AS MEMBER
) AS s
ON t.{{ surrogate }} = s.MEMBER
WHEN NOT MATCHED THEN INSERT ({{ surrogate }},{% if history %} VALID_FROM, IS_CURRENT,{% endif %} _IS_INFERRED, _LOADED_AT)
VALUES (-1,{% if history %} {{ beginning }}, TRUE,{% endif %} FALSE, CURRENT_TIMESTAMP())
