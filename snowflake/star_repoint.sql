MERGE INTO {{ fact }} AS t
USING (
  SELECT
    {{ of_f }},
    n.{{ surrogate }} AS _MEMBER
  FROM {{ fact }} AS f
  INNER JOIN {{ dimension }} AS o ON o.{{ surrogate }} = f.{{ column }}
  INNER JOIN (
    SELECT DISTINCT {{ keys }}
    FROM {{ history }}
    WHERE _IS_NEW
  ) AS c ON {{ changed }}
  INNER JOIN {{ members|indent(2) }} AS n ON {{ condition }}
  WHERE n.{{ surrogate }} <> f.{{ column }}
) AS s
ON {{ match }}
WHEN MATCHED THEN UPDATE SET
  t.{{ column }} = s._MEMBER,
  t._LOADED_AT = CURRENT_TIMESTAMP()
