{% if flagged %}
UPDATE {{ table }} SET
  _DELETED = TRUE,
  _LOADED_AT = CURRENT_TIMESTAMP()
WHERE NOT _DELETED AND {{ sequence }} < (
{% else %}
DELETE FROM {{ table }}
WHERE {{ sequence }} < (
{% endif %}
  SELECT MAX(_SEQ)
  FROM (
    {{ truncations|indent(4) }}
  )
)
