MERGE INTO {{ dimension }} AS t
USING (
  WITH changes AS (
    SELECT
      h.*,
      COALESCE(
        d.{{ surrogate }},
        IFF(
          NOT h._IS_GONE AND ROW_NUMBER() OVER (PARTITION BY {{ of_h }}, h._IS_INFERRED, h._IS_GONE ORDER BY h._AT, h._SEQ) = 1,
          i.{{ surrogate }}, NULL
        )
      ) AS _MEMBER,
      ROW_NUMBER() OVER (PARTITION BY {{ of_h }} ORDER BY h._AT, h._SEQ, h._IS_GONE) AS _PLACE
    FROM {{ history }} AS h
    INNER JOIN (
      SELECT DISTINCT {{ keys }}
      FROM {{ history }}
      WHERE _IS_NEW
    ) AS n ON {{ new }}
    LEFT JOIN {{ dimension }} AS d ON {{ old }} AND d.VALID_FROM = h._AT AND NOT h._IS_GONE
    LEFT JOIN {{ dimension }} AS i ON {{ inferred }} AND i._IS_INFERRED
    QUALIFY NOT h._IS_INFERRED OR COUNT_IF(NOT h._IS_INFERRED AND NOT h._IS_GONE) OVER (PARTITION BY {{ of_h }}) = 0
  ),
  compared AS (
    SELECT
      c.*,
      IFF(
        _PLACE = 1
        OR _IS_GONE IS DISTINCT FROM LAG(_IS_GONE) OVER (PARTITION BY {{ keys }} ORDER BY _PLACE)
        OR _IS_INFERRED IS DISTINCT FROM LAG(_IS_INFERRED) OVER (PARTITION BY {{ keys }} ORDER BY _PLACE)
{% for name in attributes %}
        OR {{ name }} IS DISTINCT FROM LAG({{ name }}) OVER (PARTITION BY {{ keys }} ORDER BY _PLACE)
{% endfor %}
        , 1, 0
      ) AS _DIFFERS
    FROM changes AS c
  ),
  runs AS (
    SELECT
      c.*,
      SUM(_DIFFERS) OVER (PARTITION BY {{ keys }} ORDER BY _PLACE ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS _RUN
    FROM compared AS c
  ),
  parts AS (
    SELECT
      r.*,
      GREATEST(COUNT(_MEMBER) OVER (PARTITION BY {{ keys }}, _RUN ORDER BY _PLACE ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW), 1) AS _PART
    FROM runs AS r
  ),
  versions AS (
    SELECT
      {{ keys }},
{% for name in attributes %}
      ANY_VALUE({{ name }}) AS {{ name }},
{% endfor %}
      MAX(_MEMBER) AS _MEMBER,
      MIN(_AT) AS VALID_FROM,
      MIN(_PLACE) AS _PLACE,
      MAX(_SEQ) AS _SEQ,
      BOOLOR_AGG(_IS_GONE) AS _IS_GONE,
      BOOLOR_AGG(_IS_INFERRED) AS _IS_INFERRED
    FROM parts
    GROUP BY {{ keys }}, _RUN, _PART
  ),
  chains AS (
    SELECT
      v.*,
      LEAD(VALID_FROM) OVER (PARTITION BY {{ keys }} ORDER BY _PLACE) AS VALID_TO
    FROM versions AS v
  )
  SELECT *
  FROM chains
  WHERE NOT _IS_GONE
) AS s
ON t.{{ surrogate }} = s._MEMBER
WHEN MATCHED THEN UPDATE SET
{% for name in attributes %}
  t.{{ name }} = s.{{ name }},
{% endfor %}
  t.VALID_FROM = s.VALID_FROM,
  t.VALID_TO = s.VALID_TO,
  t.IS_CURRENT = (s.VALID_TO IS NULL),
  t._IS_INFERRED = s._IS_INFERRED,
  t._SEQ = s._SEQ,
  t._LOADED_AT = CURRENT_TIMESTAMP()
WHEN NOT MATCHED THEN INSERT ({{ names }}, VALID_FROM, VALID_TO, IS_CURRENT, _IS_INFERRED, _SEQ, _LOADED_AT)
VALUES ({{ values }}, s.VALID_FROM, s.VALID_TO, s.VALID_TO IS NULL, s._IS_INFERRED, s._SEQ, CURRENT_TIMESTAMP())
