SELECT
{% for column in columns %}
  {{ column.value }} AS {{ column.name }},
{% endfor %}
  _SEQ,
  _OP,
  _TS,
  _FILE,
  _FILE_ROW,
  _FILE_MODIFIED,
  _ITEM,
  _RECORD,
  CASE
    WHEN _SEQ IS NULL THEN 'seq is missing'
    WHEN _OP IS NULL OR _OP NOT IN ('i', 'u', 'd') THEN 'op is none of i, u, d and t: ' || COALESCE(LEFT(_OP, 200), 'missing')
{% for column in columns %}
{% if column.key or column.required %}
    WHEN {% if not column.key %}_OP <> 'd' AND {% endif %}{{ column.text }} IS NULL THEN {{ column.missing }}
{% endif %}
{% if column.checked %}
    WHEN {% if not column.key %}_OP <> 'd' AND {% endif %}{{ column.text }} IS NOT NULL AND {{ column.value }} IS NULL THEN {{ column.invalid }} || LEFT({{ column.text }}, 200)
{% endif %}
{% endfor %}
  END AS _REASON
FROM (
  SELECT
{% for column in columns %}
    {{ column.json }} AS {{ column.found }},
{% endfor %}
    r.RECORD:"seq"::VARCHAR AS _SEQ,
    r.RECORD:"op"::VARCHAR AS _OP,
    TRY_CAST(r.RECORD:"ts"::VARCHAR AS TIMESTAMP_NTZ) AS _TS,
    r.FILE_NAME AS _FILE,
    r.FILE_ROW AS _FILE_ROW,
    r.FILE_MODIFIED AS _FILE_MODIFIED,
    0 AS _ITEM,
    r.RECORD AS _RECORD
  FROM (
    SELECT
      *,
      IFF(RECORD:"op"::VARCHAR = 'd', RECORD:"before", RECORD:"after") AS IMAGE
    FROM {{ source }}
    WHERE NOT (COALESCE(RECORD:"op"::VARCHAR, '') = 't' AND RECORD:"seq"::VARCHAR IS NOT NULL)
  ) AS r
)
