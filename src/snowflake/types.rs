//! Types as SHOW COLUMNS tells them: <https://docs.snowflake.com/en/sql-reference/sql/show-columns>.

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

#[cfg(test)]
mod tests {
    use super::*;

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
