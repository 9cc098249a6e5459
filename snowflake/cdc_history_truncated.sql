INSERT INTO {{ history }} (_OP, _SEQ, _TS, _LOADED_AT)
SELECT
  't',
  s._SEQ,
  s._TS,
  CURRENT_TIMESTAMP()
FROM (
  {{ truncations|indent(2) }}
) AS s
LEFT JOIN {{ history }} AS t ON t._OP = 't' AND t._SEQ = s._SEQ
WHERE t._SEQ IS NULL
