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

/// Whether a column can become `new` in place and keep its values:
/// <https://docs.snowflake.com/en/sql-reference/sql/alter-table-column>.
pub fn widens(old: &str, new: &str) -> bool {
    let parts = |text: &str| -> Option<(String, Vec<u64>)> {
        let (name, rest) = text.split_once('(')?;
        let numbers = rest
            .trim_end_matches(')')
            .split(',')
            .map(|part| part.trim().parse().ok())
            .collect::<Option<_>>()?;
        Some((name.to_owned(), numbers))
    };
    match (parts(old), parts(new)) {
        (Some((old_name, old)), Some((new_name, new))) if old_name == new_name => match (&old[..], &new[..]) {
            ([old], [new]) if old_name == "VARCHAR" || old_name == "BINARY" => new >= old,
            ([old_precision, old_scale], [new_precision, new_scale]) => {
                old_scale == new_scale && new_precision >= old_precision
            }
            _ => false,
        },
        _ => false,
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

    #[test]
    fn only_wider_is_wider() {
        assert!(widens("VARCHAR(10)", "VARCHAR(20)"));
        assert!(!widens("VARCHAR(20)", "VARCHAR(10)"));
        assert!(widens("NUMBER(10,2)", "NUMBER(12,2)"));
        assert!(!widens("NUMBER(10,2)", "NUMBER(12,3)"));
        assert!(!widens("VARCHAR(10)", "NUMBER(38,0)"));
    }
}
