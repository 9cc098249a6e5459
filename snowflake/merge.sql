MERGE INTO {{ table }} AS t
USING (
  SELECT *
  FROM (
    {{ rows|indent(4) }}
  )
  WHERE _REASON IS NULL
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY {{ key }}
{% if sequenced %}
    ORDER BY _SEQ DESC
{% else %}
    ORDER BY _FILE_MODIFIED DESC, _FILE DESC, _FILE_ROW DESC, _ITEM DESC
{% endif %}
  ) = 1
) AS s
ON {{ match }}
{% if sequenced %}
WHEN MATCHED AND {% if adopted %}(t._SEQ IS NULL OR s._SEQ >= t._SEQ){% else %}s._SEQ >= t._SEQ{% endif %} THEN UPDATE SET
{% else %}
WHEN MATCHED AND (
{% if adopted %}
  t._FILE_MODIFIED IS NULL
  OR s._FILE_MODIFIED > t._FILE_MODIFIED
{% else %}
  s._FILE_MODIFIED > t._FILE_MODIFIED
{% endif %}
  OR (s._FILE_MODIFIED = t._FILE_MODIFIED AND s._FILE > t._FILE)
  OR (s._FILE_MODIFIED = t._FILE_MODIFIED AND s._FILE = t._FILE AND s._FILE_ROW >= t._FILE_ROW)
) THEN UPDATE SET
{% endif %}
{% for column in updated %}
  t.{{ column }} = s.{{ column }},
{% endfor %}
{% for column in carried %}
  t.{{ column }} = s.{{ column }},
{% endfor %}
  t._FILE = s._FILE,
  t._FILE_ROW = s._FILE_ROW,
  t._FILE_MODIFIED = s._FILE_MODIFIED,
  t._LOADED_AT = CURRENT_TIMESTAMP()
WHEN NOT MATCHED THEN INSERT ({{ inserted }},{% for column in carried %} {{ column }},{% endfor %} _FILE, _FILE_ROW, _FILE_MODIFIED, _LOADED_AT)
VALUES ({{ values }},{% for column in carried %} s.{{ column }},{% endfor %} s._FILE, s._FILE_ROW, s._FILE_MODIFIED, CURRENT_TIMESTAMP())
