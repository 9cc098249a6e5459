# SPDX-License-Identifier: Apache-2.0
"""DuckDB macros that behave as Snowflake's functions where DuckDB's own differ."""
from __future__ import annotations

import re

NUMBER_PATTERN = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"
OFFSET_PATTERN = r"\s*(Z|UTC|[+-]\d{2}:?\d{0,2})$"

# A macro is text: each mention of its argument repeats the argument, and nested ones multiply until DuckDB never ends
# planning. These mention it often, so they bind it once, as the one element of a list.
ONCE = ("sf_epoch", "sf_boolean", "sf_try_ntz", "sf_try_tz", "sf_ntz", "sf_tz", "sf_date", "sf_time")

DEFINITIONS = [
    # A value as VARIANT; JSON stays as it is written, to_json would round its long numbers.
    "CREATE MACRO sf_variant(x) AS CASE WHEN typeof(x) = 'JSON' THEN TRY_CAST(x AS JSON) ELSE to_json(x) END",
    # The text of a value; of a VARIANT, the string inside it. JSON null is NULL.
    "CREATE MACRO sf_text(x) AS CASE WHEN typeof(x) = 'JSON' THEN to_json(x) ->> '$' ELSE CAST(x AS VARCHAR) END",
    f"CREATE MACRO sf_try_number(x) AS CASE WHEN regexp_matches(sf_text(x), '{NUMBER_PATTERN}') THEN trim(sf_text(x)) END",
    "CREATE MACRO sf_try_boolean(x) AS CASE WHEN lower(trim(sf_text(x))) IN ('true','t','yes','y','on','1') THEN TRUE "
    "WHEN lower(trim(sf_text(x))) IN ('false','f','no','n','off','0') THEN FALSE END",
    "CREATE MACRO sf_boolean(x) AS CASE WHEN sf_text(x) IS NULL THEN NULL WHEN sf_try_boolean(x) IS NOT NULL THEN sf_try_boolean(x) "
    "WHEN sf_try_number(x) IS NOT NULL THEN CAST(sf_try_number(x) AS DOUBLE) <> 0 "
    "ELSE error('Boolean value ''' || sf_text(x) || ''' is not recognized') END",
    # TIMESTAMP_NTZ keeps the wall clock and drops a zone; whole numbers are seconds, milli-, micro- or nanoseconds.
    "CREATE MACRO sf_epoch(x) AS CASE WHEN (typeof(x) = 'DOUBLE' OR typeof(x) LIKE 'DECIMAL%') AND sf_text(x) LIKE '%.%' "
    "THEN make_timestamp(CAST(round(TRY_CAST(sf_text(x) AS DOUBLE) * 1000000) AS BIGINT)) WHEN regexp_matches(sf_text(x), '^-?\\d+$') THEN "
    "make_timestamp(CAST(CASE WHEN abs(TRY_CAST(sf_text(x) AS HUGEINT)) < 31536000000 THEN TRY_CAST(sf_text(x) AS HUGEINT) * 1000000 "
    "WHEN abs(TRY_CAST(sf_text(x) AS HUGEINT)) < 31536000000000 THEN TRY_CAST(sf_text(x) AS HUGEINT) * 1000 "
    "WHEN abs(TRY_CAST(sf_text(x) AS HUGEINT)) < 31536000000000000 THEN TRY_CAST(sf_text(x) AS HUGEINT) "
    "ELSE TRY_CAST(sf_text(x) AS HUGEINT) // 1000 END AS BIGINT)) END",
    "CREATE MACRO sf_clean_time(x) AS regexp_replace(trim(sf_text(x)), '(\\.\\d{6})\\d+', '\\1')",
    # DuckDB wants a zone as +02:00.
    "CREATE MACRO sf_clean_zone(x) AS CASE WHEN regexp_matches(sf_text(x), '\\d:\\d') "
    "THEN regexp_replace(sf_clean_time(x), '\\s*([+-]\\d{2}):?(\\d{2})$', '\\1:\\2') ELSE sf_clean_time(x) END",
    f"CREATE MACRO sf_try_ntz(x) AS CASE WHEN typeof(x) IN ('TIMESTAMP', 'DATE', 'TIMESTAMP WITH TIME ZONE') THEN TRY_CAST(x AS TIMESTAMP) ELSE coalesce(sf_epoch(x), TRY_CAST(CASE WHEN regexp_matches(sf_text(x), '\\d:\\d') "
    f"THEN regexp_replace(sf_clean_time(x), '{OFFSET_PATTERN}', '') ELSE sf_clean_time(x) END AS TIMESTAMP)) END",
    "CREATE MACRO sf_try_tz(x) AS CASE WHEN typeof(x) IN ('TIMESTAMP', 'DATE', 'TIMESTAMP WITH TIME ZONE') THEN TRY_CAST(x AS TIMESTAMPTZ) "
    "ELSE coalesce(CAST(sf_epoch(x) AS TIMESTAMPTZ), TRY_CAST(sf_clean_zone(x) AS TIMESTAMPTZ)) END",
    # What a value becomes in a VARCHAR(n) or BINARY column.
    "CREATE MACRO sf_fit(x, n) AS CASE WHEN length(sf_text(x)) > n THEN error('String ''' || left(sf_text(x), 100) || "
    "''' is too long and would be truncated') ELSE sf_text(x) END",
    "CREATE MACRO sf_bytes(x) AS CASE WHEN typeof(x) = 'BLOB' THEN TRY_CAST(x AS BLOB) ELSE unhex(sf_text(x)) END",
    "CREATE MACRO sf_try_date(x) AS CAST(sf_try_ntz(x) AS DATE)",
    "CREATE MACRO sf_try_time(x) AS TRY_CAST(trim(sf_text(x)) AS TIME)",
    "CREATE MACRO sf_ntz(x) AS coalesce(sf_try_ntz(x), "
    "CASE WHEN sf_text(x) IS NOT NULL THEN error('Timestamp ''' || sf_text(x) || ''' is not recognized') END)",
    "CREATE MACRO sf_tz(x) AS coalesce(sf_try_tz(x), "
    "CASE WHEN sf_text(x) IS NOT NULL THEN error('Timestamp ''' || sf_text(x) || ''' is not recognized') END)",
    "CREATE MACRO sf_date(x) AS coalesce(sf_try_date(x), "
    "CASE WHEN sf_text(x) IS NOT NULL THEN error('Date ''' || sf_text(x) || ''' is not recognized') END)",
    "CREATE MACRO sf_time(x) AS coalesce(sf_try_time(x), "
    "CASE WHEN sf_text(x) IS NOT NULL THEN error('Time ''' || sf_text(x) || ''' is not recognized') END)",
    # Digits that are none, or more than the format has, make no number.
    "CREATE MACRO sf_hexadecimal(x, digits) AS CASE WHEN regexp_matches(x, '^[0-9A-Fa-f]+$') AND length(x) <= digits "
    "THEN CAST('0x' || x AS HUGEINT) WHEN x IS NOT NULL THEN error('Can''t parse ''' || x || ''' as number with a hexadecimal format') END",
    # A time of day is formatted as one of some day.
    "CREATE MACRO sf_moment(x) AS sf_ntz(CASE WHEN typeof(x) = 'TIME' THEN '1970-01-01 ' || sf_text(x) ELSE sf_text(x) END)",
    "CREATE MACRO sf_number_text(x) AS CASE WHEN typeof(x) = 'BOOLEAN' THEN CASE sf_text(x) WHEN 'true' THEN '1' WHEN 'false' THEN '0' END "
    "ELSE trim(sf_text(x)) END",
    "CREATE MACRO sf_parse_json(x) AS CAST(nullif(trim(sf_text(x)), '') AS JSON)",
    "CREATE MACRO sf_try_parse_json(x) AS CASE WHEN json_valid(sf_text(x)) THEN CAST(sf_text(x) AS JSON) END",
    "CREATE MACRO sf_binary(x) AS unhex(sf_text(x))",
    "CREATE MACRO sf_hex(x) AS TRY(unhex(sf_text(x)))",
    "CREATE MACRO sf_typeof(x) AS CASE typeof(x) WHEN 'JSON' THEN CASE json_type(to_json(x)) WHEN 'VARCHAR' THEN 'VARCHAR' "
    "WHEN 'UBIGINT' THEN 'INTEGER' WHEN 'BIGINT' THEN 'INTEGER' WHEN 'HUGEINT' THEN 'INTEGER' WHEN 'DOUBLE' THEN 'DECIMAL' WHEN 'NULL' THEN 'NULL_VALUE' "
    "ELSE json_type(to_json(x)) END ELSE typeof(x) END",
    # The elements of an array as VARIANTs; NULL for what is no array.
    "CREATE MACRO sf_elements(x) AS CASE WHEN json_type(sf_variant(x)) = 'ARRAY' THEN CAST(sf_variant(x) AS JSON[]) END",
    "CREATE MACRO sf_array_contains(x, value) AS list_contains(sf_elements(x), sf_variant(value))",
    "CREATE MACRO sf_array_to_string(x, separator) AS array_to_string(list_transform(sf_elements(x), lambda e: coalesce(sf_text(e), '')), separator)",
    "CREATE MACRO sf_hash_agg(x) AS CAST(coalesce(sum(CAST(x AS HUGEINT)), 0) % 9223372036854775807 AS BIGINT)",
    # How often the value changed along a list.
    "CREATE MACRO sf_changes(l) AS len(list_filter(range(2, len(l) + 1), lambda i: l[i] IS DISTINCT FROM l[i - 1]))",
    "CREATE MACRO sf_split_to_table(input, separator) AS TABLE SELECT CAST(1 AS BIGINT) AS \"SEQ\", e.i AS \"INDEX\", e.v AS \"VALUE\" FROM "
    "(SELECT unnest(list_transform(string_split(sf_text(input), separator), lambda v, i: {'i': CAST(i AS BIGINT), 'v': v})) AS e)",
    "CREATE MACRO sf_array_size(x) AS CASE WHEN json_type(to_json(x)) = 'ARRAY' THEN CAST(json_array_length(to_json(x)) AS BIGINT) END",
    "CREATE MACRO sf_object(keys, vals, keep_nulls) AS (SELECT coalesce(json_group_object(k, v), CAST('{}' AS JSON)) "
    "FROM (SELECT unnest(keys) AS k, unnest(vals) AS v) WHERE k IS NOT NULL AND (keep_nulls OR v IS NOT NULL))",
    "CREATE MACRO sf_flatten(input, outer_, arrays, objects) AS TABLE SELECT CAST(1 AS BIGINT) AS \"SEQ\", e.k AS \"KEY\", "
    "CASE WHEN e.i IS NOT NULL THEN '[' || e.i || ']' ELSE e.k END AS \"PATH\", e.i AS \"INDEX\", e.v AS \"VALUE\", "
    "sf_variant(input) AS \"THIS\" FROM (SELECT unnest(CASE WHEN outer_ AND coalesce(len(l), 0) = 0 "
    "THEN [{'k': CAST(NULL AS VARCHAR), 'i': CAST(NULL AS BIGINT), 'v': CAST(NULL AS JSON)}] ELSE l END) AS e FROM (SELECT "
    "CASE WHEN json_type(sf_variant(input)) = 'ARRAY' AND arrays THEN list_transform(CAST(sf_variant(input) AS JSON[]), "
    "lambda v, i: {'k': CAST(NULL AS VARCHAR), 'i': CAST(i - 1 AS BIGINT), 'v': v}) "
    "WHEN json_type(sf_variant(input)) = 'OBJECT' AND objects THEN list_transform(json_keys(sf_variant(input)), "
    "lambda k, i: {'k': k, 'i': CAST(NULL AS BIGINT), 'v': json_extract(sf_variant(input), '/' || replace(replace(k, '~', '~0'), '/', '~1'))}) "
    "END AS l))",
]


def _bound_once(statement: str) -> str:
    head, body = statement.split(" AS ", 1)
    name = head.removeprefix("CREATE MACRO ").split("(")[0]
    if name not in ONCE:
        return statement
    return f"{head} AS list_transform([x], lambda {name}_v: {re.sub(r'(?<![A-Za-z_])x(?![A-Za-z_(])', name + '_v', body)})[1]"


STATEMENTS = [_bound_once(s) for s in DEFINITIONS]
