//! Templates as YAML that old and new readers take alike.

use serde_json::Value;

/// Stands before a text that must be quoted; YAML quotes whatever starts with `@`.
const QUOTED: &str = "@@quoted@@";

/// The document as YAML, the same on every machine. CloudFormation reads YAML 1.1, in which `off` is a boolean and
/// `12:30` a number; the writer knows 1.2 only: <https://yaml.org/type/bool.html>, <https://yaml.org/type/int.html>.
pub fn text(document: &Value) -> Result<String, serde_yaml::Error> {
    let mut document = document.clone();
    mark(&mut document);
    Ok(serde_yaml::to_string(&document)?.replace(&format!("'{QUOTED}"), "'"))
}

fn mark(value: &mut Value) {
    match value {
        Value::String(text) if is_ambiguous(text) => text.insert_str(0, QUOTED),
        Value::Array(items) => items.iter_mut().for_each(mark),
        Value::Object(entries) => entries.values_mut().for_each(mark),
        _ => {}
    }
}

/// Whether YAML 1.1 reads a plain text as something else and 1.2 does not.
fn is_ambiguous(text: &str) -> bool {
    const WORDS: [&str; 6] = ["y", "n", "yes", "no", "on", "off"];
    let is_number = text.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+')
        && text.contains([':', '_'])
        && text.chars().all(|c| c.is_ascii_digit() || ":_.+-".contains(c));
    is_number || WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_old_yaml_reads_otherwise_is_quoted() {
        let document = json!({ "Mode": "OFF", "List": ["yes", "1:30", "1_000"], "Plain": "often", "Flag": false });
        let written = text(&document).unwrap();
        assert_eq!(
            written,
            "Mode: 'OFF'\nList:\n- 'yes'\n- '1:30'\n- '1_000'\nPlain: often\nFlag: false\n"
        );
        assert_eq!(serde_yaml::from_str::<Value>(&written).unwrap(), document);
    }
}
