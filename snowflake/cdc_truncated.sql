INSERT INTO {{ table }} ({{ column }}, _SEQ, _TS, _LOADED_AT)
SELECT
  {{ value }},
  s._SEQ,
  s._TS,
  CURRENT_TIMESTAMP()
FROM (
  {{ truncations|indent(2) }}
) AS s
LEFT JOIN {{ table }} AS t ON t.{{ column }} = {{ value }} AND t._SEQ = s._SEQ
WHERE t._SEQ IS NULL
