(
  SELECT
    *,
    IFF(RECORD:"op"::VARCHAR = 'd', RECORD:"before", RECORD:"after") AS IMAGE
  FROM {{ source }}
  WHERE NOT (COALESCE(RECORD:"op"::VARCHAR, '') = 't' AND RECORD:"seq"::VARCHAR IS NOT NULL)
) AS r
