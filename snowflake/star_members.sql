(
  SELECT
    {{ surrogate }},
    {{ keys }},
    IFF(ROW_NUMBER() OVER (PARTITION BY {{ keys }} ORDER BY _IS_INFERRED, VALID_FROM) = 1, {{ beginning }}, VALID_FROM) AS _SINCE,
    LEAD(VALID_FROM) OVER (PARTITION BY {{ keys }} ORDER BY VALID_FROM) AS _NEXT
  FROM {{ dimension }}
  QUALIFY NOT _IS_INFERRED OR COUNT_IF(NOT _IS_INFERRED) OVER (PARTITION BY {{ keys }}) = 0
)
