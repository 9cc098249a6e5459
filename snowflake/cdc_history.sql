MERGE INTO {{ history }} AS t
USING (
  SELECT *
  FROM (
    {{ rows|indent(4) }}
  )
  WHERE _REASON IS NULL
  QUALIFY ROW_NUMBER() OVER (PARTITION BY {{ key }}, _SEQ, _OP ORDER BY _FILE_MODIFIED DESC, _FILE DESC, _FILE_ROW DESC) = 1
) AS s
ON {{ match }} AND t._SEQ = s._SEQ AND t._OP = s._OP
{% if refill %}
WHEN MATCHED THEN UPDATE SET
{% for column in columns %}
  t.{{ column }} = s.{{ column }},
{% endfor %}
  t._LOADED_AT = CURRENT_TIMESTAMP()
{% endif %}
WHEN NOT MATCHED THEN INSERT ({{ inserted }}, _OP, _SEQ, _TS, _FILE, _FILE_ROW, _FILE_MODIFIED, _LOADED_AT)
VALUES ({{ values }}, s._OP, s._SEQ, s._TS, s._FILE, s._FILE_ROW, s._FILE_MODIFIED, CURRENT_TIMESTAMP())
