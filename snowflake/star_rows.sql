SELECT
{% for expression in expressions %}
  CAST({{ expression.sql|indent(2) }} AS {{ expression.type }}) AS _{{ loop.index }},
{% endfor %}
{% for name in carried %}
  {{ name }},
{% endfor %}
  _SEQ
FROM {{ source }}
{% if condition %}
WHERE {{ condition|indent(2) }}
{% endif %}
