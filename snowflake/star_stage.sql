INSERT INTO {{ batch }} ({{ columns }}, _SEQ, _TS, _OP)
SELECT
  {{ columns }},
  {{ sequence }},
  {{ time }},
  {{ operation }}
FROM (
  {{ rows|indent(2) }}
)
WHERE _REASON IS NULL
