INSERT INTO {{ truncated }} (TABLE_NAME, _SEQ, _TS, _LOADED_AT)
SELECT
  {{ name }},
  s._SEQ,
  s._TS,
  CURRENT_TIMESTAMP()
FROM (
  {{ truncations|indent(2) }}
) AS s
LEFT JOIN {{ truncated }} AS t ON t.TABLE_NAME = {{ name }} AND t._SEQ = s._SEQ
WHERE t._SEQ IS NULL
