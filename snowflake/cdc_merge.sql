MERGE INTO {{ table }} AS t
USING (
  SELECT
    r.*{% if flagged %},
    (r._OP = 'd' OR COALESCE(r._SEQ < f._SEQ, FALSE)) AS _DELETED{% endif %}

  FROM (
    SELECT *
    FROM (
      {{ rows|indent(6) }}
    )
    WHERE _REASON IS NULL
    QUALIFY ROW_NUMBER() OVER (PARTITION BY {{ key }} ORDER BY _SEQ DESC, _OP) = 1
  ) AS r
  CROSS JOIN (
    SELECT MAX(_SEQ) AS _SEQ
    FROM {{ truncated }}
    WHERE TABLE_NAME = {{ name }}
  ) AS f
{% if not flagged %}
  LEFT JOIN {{ gone }} AS g ON {{ of_gone }}
  WHERE r._OP = 'd' OR (COALESCE(r._SEQ >= f._SEQ, TRUE) AND COALESCE(r._SEQ > g._SEQ, TRUE))
{% endif %}
) AS s
ON {{ match }}
{% if not flagged %}
WHEN MATCHED AND s._OP = 'd' AND {{ newer }} THEN DELETE
{% endif %}
WHEN MATCHED AND {% if not flagged %}s._OP <> 'd' AND {% endif %}{{ newer }} THEN UPDATE SET
{% for column in updated %}
  t.{{ column }} = s.{{ column }},
{% endfor %}
  t._SEQ = s._SEQ,
{% if flagged %}
  t._DELETED = s._DELETED,
{% endif %}
  t._FILE = s._FILE,
  t._FILE_ROW = s._FILE_ROW,
  t._FILE_MODIFIED = s._FILE_MODIFIED,
  t._LOADED_AT = CURRENT_TIMESTAMP()
WHEN NOT MATCHED{% if not flagged %} AND s._OP <> 'd'{% endif %} THEN INSERT ({{ inserted }}, _SEQ,{% if flagged %} _DELETED,{% endif %} _FILE, _FILE_ROW, _FILE_MODIFIED, _LOADED_AT)
VALUES ({{ values }}, s._SEQ,{% if flagged %} s._DELETED,{% endif %} s._FILE, s._FILE_ROW, s._FILE_MODIFIED, CURRENT_TIMESTAMP())
