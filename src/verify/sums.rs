//! Counts and checksums of both sides, and whether they agree.

use serde_json::Value;

use super::Compared;
use super::text::Way;
use crate::snowflake::client::Row;

/// Numbers differ by what reading and adding them in another order does: a part of their sum without signs, and for each
/// row the precision of a double.
const OF_MAGNITUDE: f64 = 1e-14;

/// What a part of a table adds up to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sums {
    /// Its rows.
    pub rows: u64,
    columns: Vec<ColumnSums>,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct ColumnSums {
    nulls: u64,
    checksum: String,
    sum: f64,
    magnitude: f64,
}

impl Sums {
    /// The source's, from an answer of the function.
    pub fn of_source(answer: &Value, columns: &[Compared]) -> Self {
        let of = |column: &Compared| {
            let told = &answer["columns"][&column.source];
            ColumnSums {
                nulls: told["nulls"].as_u64().unwrap_or_default(),
                checksum: told["checksum"].as_str().unwrap_or("0").to_owned(),
                sum: told["sum"].as_f64().unwrap_or_default(),
                magnitude: told["magnitude"].as_f64().unwrap_or_default(),
            }
        };
        Sums {
            rows: answer["rows"].as_u64().unwrap_or_default(),
            columns: columns.iter().map(of).collect(),
        }
    }

    /// The warehouse's, and which part they are of.
    pub fn of_warehouse<'a>(row: Row<'a>, columns: &[Compared]) -> anyhow::Result<(&'a str, Self)> {
        let values = row.values();
        let text = |at: usize| values.get(at);
        let number = |at: usize| text(at).unwrap_or("0").parse::<f64>().unwrap_or(f64::NAN);
        let rows: u64 = text(1).unwrap_or_default().parse()?;
        let of = |number_of: usize, column: &Compared| {
            let at = 2 + 3 * number_of;
            let present: u64 = text(at).unwrap_or_default().parse()?;
            let is_number = matches!(column.way, Way::Number(_));
            anyhow::Ok(ColumnSums {
                nulls: rows.saturating_sub(present),
                checksum: if is_number {
                    String::new()
                } else {
                    text(at + 1).unwrap_or("0").to_owned()
                },
                sum: if is_number { number(at + 1) } else { 0.0 },
                magnitude: if is_number { number(at + 2) } else { 0.0 },
            })
        };
        let columns = columns.iter().enumerate().map(|(at, column)| of(at, column));
        let columns = columns.collect::<anyhow::Result<_>>()?;
        Ok((text(0).unwrap_or_default(), Sums { rows, columns }))
    }

    /// Whether both sides hold the same.
    pub fn agree(&self, other: &Self, columns: &[Compared]) -> bool {
        if self.rows != other.rows {
            return false;
        }
        if self.rows == 0 {
            return true;
        }
        let pairs = self.columns.iter().zip(&other.columns).zip(columns);
        pairs.into_iter().all(|((one, another), column)| {
            one.nulls == another.nulls
                && match column.way {
                    Way::Text(_) => one.checksum == another.checksum,
                    Way::Number(_) => {
                        let of_rows = self.rows as f64 * f64::EPSILON;
                        let tolerance = one.magnitude.max(another.magnitude) * (OF_MAGNITUDE + of_rows);
                        (one.sum - another.sum).abs() <= tolerance
                    }
                    Way::Nulls(_) => true,
                }
        })
    }
}

/// Whether two numbers are one, as far as their texts keep it.
pub fn same_number(one: f64, another: f64) -> bool {
    (one - another).abs() <= one.abs().max(another.abs()) * OF_MAGNITUDE
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::snowflake::ident::Ident;

    fn of(way: Way, told: Value) -> (Sums, Vec<Compared>) {
        let columns = vec![Compared {
            source: "c".to_owned(),
            name: Ident::new("c"),
            way,
        }];
        (
            Sums::of_source(&json!({ "rows": 3, "columns": { "c": told } }), &columns),
            columns,
        )
    }

    #[test]
    fn numbers_agree_within_what_their_size_allows() {
        let number = || Way::Number("C".to_owned());
        let (one, columns) = of(number(), json!({ "nulls": 0, "sum": 0.3, "magnitude": 1e6 }));
        let (near, _) = of(number(), json!({ "nulls": 0, "sum": 0.300_000_001, "magnitude": 1e6 }));
        let (far, _) = of(number(), json!({ "nulls": 0, "sum": 0.300_001, "magnitude": 1e6 }));
        assert!(one.agree(&near, &columns) && !one.agree(&far, &columns));
        assert!(same_number(0.1, 0.1 + f64::EPSILON / 8.0) && !same_number(0.1, 0.100_000_1));
    }

    #[test]
    fn nulls_count_even_where_nothing_else_does() {
        let (one, columns) = of(Way::Nulls(String::new()), json!({ "nulls": 0, "checksum": "5" }));
        let (two, _) = of(Way::Nulls(String::new()), json!({ "nulls": 0, "checksum": "6" }));
        let (three, _) = of(Way::Nulls(String::new()), json!({ "nulls": 1, "checksum": "5" }));
        assert!(one.agree(&two, &columns) && !one.agree(&three, &columns));
    }
}
