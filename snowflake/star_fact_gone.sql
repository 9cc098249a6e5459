DELETE FROM {{ fact }}
WHERE ({{ grain }}) IN (
{% if batch %}
  SELECT {{ of_b }}
  FROM (
    SELECT DISTINCT {{ grain }}
    FROM {{ batch }}
  ) AS b
  LEFT JOIN (
    {{ rows|indent(4) }}
  ) AS r ON {{ match }}
  WHERE r._SEQ IS NULL
{% else %}
  SELECT {{ found }}
  FROM (
    {{ rows|indent(4) }}
  )
{% endif %}
)
