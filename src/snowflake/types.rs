//! Types as SHOW COLUMNS tells them (<https://docs.snowflake.com/en/sql-reference/sql/show-columns>), and as the view COLUMNS
//! does (<https://docs.snowflake.com/en/sql-reference/info-schema/columns>).

use serde_json::Value;

/// The canonical spelling of a type in the JSON form of SHOW COLUMNS; the text itself where it is not that.
pub fn shown(json: &str) -> String {
    let Ok(Value::Object(facts)) = serde_json::from_str::<Value>(json) else {
        return json.to_owned();
    };
    let number = |key: &str| facts.get(key).and_then(Value::as_u64);
    let name = facts.get("type").and_then(Value::as_str).unwrap_or_default();
    let with = |name: &str, key: &str| number(key).map_or_else(|| name.to_owned(), |value| format!("{name}({value})"));
    match name {
        "FIXED" => format!(
            "NUMBER({},{})",
            number("precision").unwrap_or(38),
            number("scale").unwrap_or(0)
        ),
        "TEXT" => with("VARCHAR", "length"),
        "BINARY" => with("BINARY", "length"),
        "REAL" => "FLOAT".to_owned(),
        "TIME" | "TIMESTAMP_NTZ" | "TIMESTAMP_LTZ" | "TIMESTAMP_TZ" => with(name, "scale"),
        other => other.to_owned(),
    }
}

/// The canonical spelling of a type that the view COLUMNS tells, whose other columns are the facts.
pub fn viewed<'a>(name: &str, fact: impl Fn(&str) -> Option<&'a str>) -> String {
    let with = |name: &str, key: &str| fact(key).map_or_else(|| name.to_owned(), |value| format!("{name}({value})"));
    match name {
        "NUMBER" => {
            let number = |key: &str, default| fact(key).unwrap_or(default).to_owned();
            format!(
                "NUMBER({},{})",
                number("NUMERIC_PRECISION", "38"),
                number("NUMERIC_SCALE", "0")
            )
        }
        "TEXT" => with("VARCHAR", "CHARACTER_MAXIMUM_LENGTH"),
        "BINARY" => with("BINARY", "CHARACTER_MAXIMUM_LENGTH"),
        // The view need not tell it; nine digits is what a type has that names none:
        // https://docs.snowflake.com/en/sql-reference/data-types-datetime
        "TIME" | "TIMESTAMP_NTZ" | "TIMESTAMP_LTZ" | "TIMESTAMP_TZ" => {
            format!("{name}({})", fact("DATETIME_PRECISION").unwrap_or("9"))
        }
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn viewed_types_read_like_declared_ones() {
        let type_of = |name: &str, facts: &[(&str, &'static str)]| {
            let facts: std::collections::BTreeMap<String, &str> =
                facts.iter().map(|(key, value)| ((*key).to_owned(), *value)).collect();
            viewed(name, |key| facts.get(key).copied())
        };
        let number = [("NUMERIC_PRECISION", "10"), ("NUMERIC_SCALE", "2")];
        assert_eq!(type_of("NUMBER", &number), "NUMBER(10,2)");
        assert_eq!(type_of("TEXT", &[("CHARACTER_MAXIMUM_LENGTH", "80")]), "VARCHAR(80)");
        assert_eq!(
            type_of("TIMESTAMP_NTZ", &[("DATETIME_PRECISION", "3")]),
            "TIMESTAMP_NTZ(3)"
        );
        assert_eq!(type_of("TIMESTAMP_LTZ", &[]), "TIMESTAMP_LTZ(9)");
        assert_eq!(type_of("VARIANT", &[]), "VARIANT");
        assert_eq!(type_of("FLOAT", &[]), "FLOAT");
    }

    #[test]
    fn shown_types_read_like_declared_ones() {
        assert_eq!(
            shown(r#"{"type":"FIXED","precision":10,"scale":2,"nullable":true}"#),
            "NUMBER(10,2)"
        );
        assert_eq!(shown(r#"{"type":"TEXT","length":80,"byteLength":320}"#), "VARCHAR(80)");
        assert_eq!(
            shown(r#"{"type":"TIMESTAMP_NTZ","precision":0,"scale":9}"#),
            "TIMESTAMP_NTZ(9)"
        );
        assert_eq!(shown(r#"{"type":"REAL"}"#), "FLOAT");
        assert_eq!(shown("odd"), "odd");
    }
}
