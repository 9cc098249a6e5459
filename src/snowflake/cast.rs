//! How the values of a column become values of another type: the expression that does it, and what it would refuse or
//! change. SQL over one column; no I/O.
//!
//! TRY_CAST takes only text (<https://docs.snowflake.com/en/sql-reference/functions/try_cast>), so other types are judged
//! by what fits, or by way of text.

use crate::spec::sqltype::SqlType;

/// A length that Snowflake itself gives to text without one.
const UNLIMITED: u32 = 16_777_216;
/// Decimal digits that a FLOAT always keeps.
const FLOAT_DIGITS: u8 = 15;

/// The way from one type to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversion {
    /// Whether `ALTER COLUMN … SET DATA TYPE` does it.
    pub in_place: bool,
    /// The new value of a value that is not NULL; fails where there is none.
    pub value: String,
    /// The same in a form that never fails; two values are one where it is.
    pub compared: String,
    /// True for values that have no new value.
    pub fails: Option<String>,
    /// True for values that do not come back the same.
    pub changes: Option<Change>,
}

/// What a conversion does to some values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// True for those values.
    pub when: String,
    /// What they lose.
    pub loses: &'static str,
}

impl Conversion {
    fn exact(value: impl Into<String>) -> Self {
        let value = value.into();
        Conversion {
            in_place: false,
            compared: value.clone(),
            value,
            fails: None,
            changes: None,
        }
    }

    fn compared(self, compared: String) -> Self {
        Conversion { compared, ..self }
    }

    fn in_place(self, in_place: bool) -> Self {
        Conversion { in_place, ..self }
    }

    fn fails(self, when: Option<String>) -> Self {
        Conversion { fails: when, ..self }
    }

    fn changes(self, when: impl Into<String>, loses: &'static str) -> Self {
        let when = when.into();
        Conversion {
            changes: Some(Change { when, loses }),
            ..self
        }
    }
}

/// How values of `column` (SQL) go from one type to the other; nothing where no value of the one is a value of the other.
pub fn conversion(from: SqlType, to: SqlType, column: &str) -> Option<Conversion> {
    use SqlType as T;
    let cast = Conversion::exact(format!("CAST({column} AS {to})"));
    Some(match (from, to) {
        (T::Number { precision, scale }, T::Number { .. }) => numbers((precision, scale), to, column)?,
        (T::Float, T::Number { precision, scale }) => cast
            .compared(format!("ROUND({column}, {scale})"))
            .fails(Some(format!(
                "ABS(ROUND({column}, {scale})) >= 1e{}",
                precision - scale
            )))
            .changes(format!("ROUND({column}, {scale}) <> {column}"), DECIMALS),
        (T::Number { precision, scale }, T::Float) if precision > FLOAT_DIGITS => cast.changes(
            format!("ABS({column}) >= {}", power(i16::from(FLOAT_DIGITS) - i16::from(scale))),
            "digits beyond the fifteenth",
        ),
        (T::Number { .. }, T::Float) => cast,
        (T::Boolean, T::Number { precision, scale }) => {
            Conversion::exact(format!("IFF({column}, 1, 0)")).fails((precision == scale).then(|| column.to_owned()))
        }
        (T::Number { .. }, T::Boolean) => Conversion::exact(format!("{column} <> 0"))
            .changes(format!("{column} NOT IN (0, 1)"), "all but whether it is 0"),
        (T::Varchar(old), T::Varchar(new)) => Conversion::exact(column)
            .in_place(new >= old)
            .fails(longer(column, new).filter(|_| new < old)),
        (T::Binary(old), T::Binary(new)) => Conversion::exact(column)
            .in_place(new >= old)
            .fails((new < old).then(|| format!("LENGTH({column}) > {new}"))),
        (T::Varchar(_), T::Binary(length)) => {
            let bytes = format!("TRY_TO_BINARY({column}, 'BASE64')");
            Conversion::exact(format!("TO_BINARY({column}, 'BASE64')"))
                .compared(bytes.clone())
                .fails(Some(format!("({bytes} IS NULL OR LENGTH({bytes}) > {length})")))
        }
        (T::Varchar(_), T::Variant) => Conversion::exact(format!("TO_VARIANT({column})")),
        (T::Varchar(_), T::Object | T::Array) => return None,
        (T::Varchar(_), _) => from_text(column, to),
        (T::Variant, T::Object) => cast.fails(Some(format!("TYPEOF({column}) <> 'OBJECT'"))),
        (T::Variant, T::Array) => cast.fails(Some(format!("TYPEOF({column}) <> 'ARRAY'"))),
        (T::Variant, T::Binary(_)) => return None,
        (T::Variant, T::Varchar(length)) => {
            let text = format!("TO_VARCHAR({column})");
            Conversion::exact(text.as_str())
                .fails(longer(&text, length))
                .changes(format!("TYPEOF({column}) <> 'VARCHAR'"), "the JSON type")
        }
        (T::Variant, _) => from_text(&format!("TO_VARCHAR({column})"), to),
        (_, T::Variant) => Conversion::exact(format!("TO_VARIANT({column})")),
        (_, T::Varchar(length)) => {
            let text = text(from, column);
            let fitting = Conversion::exact(text.as_str()).fails(longer(&text, length));
            match from {
                T::Float => fitting.changes(format!("TRY_TO_DOUBLE({text}) <> {column}"), "the last digits"),
                _ => fitting,
            }
        }
        (T::Date, T::TimestampNtz(_)) | (T::TimestampLtz(9), T::TimestampTz(9)) => cast,
        (T::Date, T::TimestampLtz(_) | T::TimestampTz(_)) => cast.changes("TRUE", ZONE),
        (T::TimestampNtz(_) | T::TimestampLtz(_) | T::TimestampTz(_), T::Date) => {
            let day = format!("CAST(CAST({column} AS DATE) AS TIMESTAMP_NTZ(9))");
            cast.changes(
                format!("{day} <> CAST({column} AS TIMESTAMP_NTZ(9))"),
                "the time of day",
            )
        }
        (T::TimestampNtz(_) | T::TimestampLtz(_) | T::TimestampTz(_), T::Time(_)) => cast.changes("TRUE", "the day"),
        (T::Time(old), T::Time(new))
        | (T::TimestampNtz(old), T::TimestampNtz(new))
        | (T::TimestampLtz(old), T::TimestampLtz(new))
        | (T::TimestampTz(old), T::TimestampTz(new)) => match new < old {
            true => cast.changes(format!("CAST({column} AS {to}) <> {column}"), "fractions of seconds"),
            false => cast,
        },
        (
            T::TimestampNtz(_) | T::TimestampLtz(_) | T::TimestampTz(_),
            T::TimestampNtz(_) | T::TimestampLtz(_) | T::TimestampTz(_),
        ) => cast.changes("TRUE", ZONE),
        (old, new) if old == new => cast.in_place(true),
        _ => return None,
    })
}

const DECIMALS: &str = "digits after the point (rounded)";
const ZONE: &str = "the time zone (the session's is taken)";

fn numbers((precision, scale): (u8, u8), to: SqlType, column: &str) -> Option<Conversion> {
    let SqlType::Number {
        precision: new_precision,
        scale: new_scale,
    } = to
    else {
        return None;
    };
    let (old_whole, whole) = (precision - scale, new_precision - new_scale);
    let fits = whole > old_whole || (whole == old_whole && new_scale >= scale);
    let limit = format!("ABS(ROUND({column}, {new_scale})) >= {}", power(i16::from(whole)));
    let exact = Conversion::exact(format!("CAST({column} AS {to})"))
        .compared(format!("ROUND({column}, {new_scale})"))
        .in_place(scale == new_scale)
        .fails((!fits).then_some(limit));
    Some(match new_scale < scale {
        true => exact.changes(format!("ROUND({column}, {new_scale}) <> {column}"), DECIMALS),
        false => exact,
    })
}

/// 10 to the power of `exponent`, as a decimal constant.
fn power(exponent: i16) -> String {
    let zeros = "0".repeat(usize::from(exponent.unsigned_abs()));
    match exponent {
        0.. => format!("1{zeros}"),
        _ => format!("0.{}1", &zeros[1..]),
    }
}

fn longer(text: &str, length: u32) -> Option<String> {
    (length < UNLIMITED).then(|| format!("LENGTH({text}) > {length}"))
}

fn from_text(text: &str, to: SqlType) -> Conversion {
    let tried = format!("TRY_CAST({text} AS {to})");
    let back = written(to, &tried);
    Conversion::exact(format!("CAST({text} AS {to})"))
        .compared(tried.clone())
        .fails(Some(format!("{tried} IS NULL")))
        .changes(format!("{back} <> {text}"), "the exact spelling")
}

/// A value as text that holds all of it.
fn text(from: SqlType, column: &str) -> String {
    let fraction = |scale: u8| match scale {
        0 => String::new(),
        _ => format!(".FF{scale}"),
    };
    let format = match from {
        SqlType::Binary(_) => return format!("BASE64_ENCODE({column})"),
        SqlType::Date => DAY.to_owned(),
        SqlType::Time(scale) => format!("HH24:MI:SS{}", fraction(scale)),
        SqlType::TimestampNtz(scale) => format!("{DAY} HH24:MI:SS{}", fraction(scale)),
        SqlType::TimestampLtz(scale) | SqlType::TimestampTz(scale) => {
            format!("{DAY} HH24:MI:SS{} TZHTZM", fraction(scale))
        }
        _ => return format!("TO_VARCHAR({column})"),
    };
    format!("TO_VARCHAR({column}, '{format}')")
}

const DAY: &str = "YYYY-MM-DD";

/// A value as people write it: without a fraction of a second.
fn written(of: SqlType, value: &str) -> String {
    let whole = match of {
        SqlType::Time(_) => SqlType::Time(0),
        SqlType::TimestampNtz(_) => SqlType::TimestampNtz(0),
        SqlType::TimestampLtz(_) | SqlType::TimestampTz(_) => SqlType::TimestampTz(0),
        other => other,
    };
    text(whole, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(from: &str, to: &str) -> Option<Conversion> {
        conversion(from.parse().unwrap(), to.parse().unwrap(), "C")
    }

    fn judged(from: &str, to: &str) -> (bool, String, String) {
        let way = way(from, to).unwrap_or_else(|| panic!("no way from {from} to {to}"));
        let when = way.changes.map(|change| change.when);
        (way.in_place, way.fails.unwrap_or_default(), when.unwrap_or_default())
    }

    fn expected(in_place: bool, fails: &str, changes: &str) -> (bool, String, String) {
        (in_place, fails.to_owned(), changes.to_owned())
    }

    /// What Snowflake does in place: <https://docs.snowflake.com/en/sql-reference/sql/alter-table-column>.
    #[test]
    fn what_snowflake_does_in_place() {
        assert_eq!(judged("VARCHAR(10)", "VARCHAR(20)"), expected(true, "", ""));
        assert_eq!(judged("NUMBER(10,2)", "NUMBER(12,2)"), expected(true, "", ""));
        assert_eq!(
            judged("NUMBER(12,2)", "NUMBER(10,2)"),
            expected(true, "ABS(ROUND(C, 2)) >= 100000000", "")
        );
        assert_eq!(
            judged("VARCHAR(20)", "VARCHAR(10)"),
            expected(false, "LENGTH(C) > 10", "")
        );
    }

    #[test]
    fn numbers_keep_their_digits_or_say_so() {
        assert_eq!(judged("NUMBER(10,2)", "NUMBER(11,3)"), expected(false, "", ""));
        assert_eq!(
            judged("NUMBER(10,2)", "NUMBER(10,3)"),
            expected(false, "ABS(ROUND(C, 3)) >= 10000000", "")
        );
        // 99.95 becomes 100.0, which takes one digit more.
        assert_eq!(
            judged("NUMBER(4,2)", "NUMBER(3,1)"),
            expected(false, "ABS(ROUND(C, 1)) >= 100", "ROUND(C, 1) <> C")
        );
        assert_eq!(judged("NUMBER(10,2)", "FLOAT"), expected(false, "", ""));
        assert_eq!(judged("NUMBER(38,18)", "FLOAT"), expected(false, "", "ABS(C) >= 0.001"));
        assert_eq!(judged("NUMBER(38,0)", "FLOAT").2, "ABS(C) >= 1000000000000000");
    }

    #[test]
    fn text_is_tried_and_read_back() {
        assert_eq!(
            judged("VARCHAR(20)", "NUMBER(10,2)"),
            expected(
                false,
                "TRY_CAST(C AS NUMBER(10,2)) IS NULL",
                "TO_VARCHAR(TRY_CAST(C AS NUMBER(10,2))) <> C"
            )
        );
        assert_eq!(
            judged("VARCHAR", "DATE").2,
            "TO_VARCHAR(TRY_CAST(C AS DATE), 'YYYY-MM-DD') <> C"
        );
        let text = way("TIMESTAMP_NTZ(3)", "VARCHAR(40)").unwrap();
        assert_eq!(text.value, "TO_VARCHAR(C, 'YYYY-MM-DD HH24:MI:SS.FF3')");
        assert_eq!(text.changes, None);
    }

    #[test]
    fn what_has_no_way_is_said_to_have_none() {
        for (from, to) in [
            ("DATE", "NUMBER"),
            ("BOOLEAN", "DATE"),
            ("VARCHAR", "OBJECT"),
            ("TIME", "DATE"),
            ("OBJECT", "ARRAY"),
            ("BINARY", "FLOAT"),
        ] {
            assert_eq!(way(from, to), None, "{from} to {to}");
        }
    }
}
