//! Whether the typed tables have the key that the source tells its rows apart by.
//!
//! Records name their row by the source's key, and an update that changes it is a delete and an insert. Merged by fewer
//! columns, rows would take each other's place; by more or others, a changed row would leave its old one behind.

use std::collections::BTreeSet;

/// What is wrong with a table without any key.
pub const NONE: &str = "it has no primary key and no unique key without NULL, so changes cannot name their row";
/// What mends that.
pub const ADD: &str = "add a primary key";

/// Why a table without any key is passed over.
pub fn absent() -> String {
    format!("{NONE}; {ADD}")
}

/// How every reason of this kind begins.
const REASON: &str = "pipeline.toml has the key ";

/// Why a table cannot be loaded by the keys that are `wanted`, where `actual` names its rows.
pub fn fault<'a>(wanted: &[Vec<String>], actual: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let actual: Vec<&str> = actual.into_iter().collect();
    let set: BTreeSet<&str> = actual.iter().copied().collect();
    let is_other = |key: &&Vec<String>| key.iter().map(String::as_str).collect::<BTreeSet<_>>() != set;
    let other = wanted.iter().find(is_other)?;
    Some(format!(
        "{REASON}({}), but the database tells its rows apart by ({}): set `key = true` on just the columns of these, and \
         run pipectl deploy",
        other.join(", "),
        actual.join(", ")
    ))
}

/// Whether a table is passed over for its key.
pub fn is_reason(reason: &str) -> bool {
    reason.starts_with(REASON)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_columns_are_the_key_in_any_order() {
        let fault = |wanted: &str| {
            let keys = wanted.split(';').filter(|key| !key.is_empty());
            let keys: Vec<Vec<String>> = keys.map(|key| key.split(' ').map(str::to_owned).collect()).collect();
            fault(&keys, ["order", "line"])
        };
        // Nothing is known of the key of a table whose columns are computed.
        for right in ["", "line order", "order line;line order"] {
            assert_eq!(fault(right), None);
        }
        for wrong in ["order", "order line article", "id", "Order line"] {
            let reason = fault(&format!("order line;{wrong}")).unwrap();
            assert!(is_reason(&reason) && reason.contains("(order, line)"), "{reason}");
        }
        assert!(!is_reason("it was renamed to a.b"));
    }
}
