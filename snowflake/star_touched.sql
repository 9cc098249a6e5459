SELECT
{% if sequence %}
  {{ sequence }} AS _SEQ,
{% endif %}
  r.*
FROM {{ table }} AS r
INNER JOIN (
  SELECT DISTINCT {{ keys }}
  FROM {{ batch }}
) AS b ON {{ match }}
{% if flagged %}
WHERE NOT r._DELETED
{% endif %}
