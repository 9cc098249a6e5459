INSERT INTO {{ batch }} ({{ columns }}, _SEQ, _TS, _OP)
SELECT
  {{ of_k }},
  f._SEQ,
  f._TS,
  'd'
FROM (
  SELECT
    {{ columns }},
    _SEQ
  FROM {{ table }}
  WHERE {% if flagged %}NOT _DELETED AND {% endif %}_SEQ < (
    SELECT MAX(_SEQ)
    FROM (
      {{ truncations|indent(6) }}
    )
  )
  UNION ALL
  SELECT
    {{ of_r }},
    r._SEQ
  FROM (
    {{ rows|indent(4) }}
  ) AS r
  LEFT JOIN {{ table }} AS t ON {{ match }}
  WHERE r._REASON IS NULL AND r._OP <> 'd' AND {% if flagged %}COALESCE(t._DELETED, TRUE){% else %}t._SEQ IS NULL{% endif %}

) AS k
INNER JOIN {{ truncated }} AS f ON f.TABLE_NAME = {{ name }} AND f._SEQ > k._SEQ
QUALIFY ROW_NUMBER() OVER (PARTITION BY {{ key_of_k }}, k._SEQ ORDER BY f._SEQ) = 1
