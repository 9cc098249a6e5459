//! How the warehouse says a value as the record says it: an SQL expression for each pair of a source's form and a column's
//! type, or why there is none.
//!
//! `docs/mysql-types.md` is the table of forms. Formats are those of
//! <https://docs.snowflake.com/en/sql-reference/date-time-input-output>.

use crate::runtime::extract::describe::{Described, Form};
use crate::snowflake::ident::{Ident, literal};
use crate::spec::sqltype::SqlType;

/// How a column is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// By this text, which is the record's.
    Text(String),
    /// By this number, with a tolerance.
    Number(String),
    /// Only by what is NULL, because of this.
    Nulls(String),
}

/// How the warehouse's column `name` of type `kind` is compared with the source's.
pub fn way(source: &Described, name: &Ident, kind: SqlType) -> Way {
    let text = |sql: String| Way::Text(sql);
    let nulls = |reason: String| Way::Nulls(reason);
    let fewer = |kept: u8| nulls(format!("{kind} keeps {kept} digits of {}", source.digits));
    let digits = source.digits;
    match (source.form, kind) {
        (Form::Json, _) => nulls("Snowflake writes JSON in another order and spacing than the source".to_owned()),
        (Form::Vector, _) => nulls("a list of numbers has no text that both write alike".to_owned()),
        (Form::Geometry, SqlType::Variant | SqlType::Object) => text(format!(
            "'{{\"srid\":' || {name}:\"srid\"::VARCHAR || ',\"wkb\":\"' || {name}:\"wkb\"::VARCHAR || '\"}}'"
        )),
        (Form::Geometry, _) => nulls(format!("{kind} does not keep SRID and WKB as they are written")),
        (Form::Float, SqlType::Float) => Way::Number(name.to_string()),
        (Form::Float, SqlType::Varchar(_)) => Way::Number(format!("TRY_TO_DOUBLE({name})")),
        (Form::Float, SqlType::Variant) => Way::Number(format!("{name}::FLOAT")),
        (_, SqlType::Varchar(_)) => text(name.to_string()),
        (_, SqlType::Variant) => text(format!("{name}::VARCHAR")),
        (Form::Whole, SqlType::Number { scale: 0, .. }) => text(format!("TO_VARCHAR({name})")),
        (Form::Whole, SqlType::Number { .. }) => text(scaled(name, 0)),
        (Form::Whole, SqlType::Boolean) => text(format!("CASE WHEN {name} THEN '1' WHEN NOT {name} THEN '0' END")),
        (Form::Decimal, SqlType::Number { scale, .. }) if scale < digits => fewer(scale),
        (Form::Decimal, SqlType::Number { scale, .. }) if scale == digits => text(format!("TO_VARCHAR({name})")),
        (Form::Decimal, SqlType::Number { .. }) => text(scaled(name, digits)),
        (Form::Binary, SqlType::Binary(_)) => text(format!("BASE64_ENCODE({name})")),
        (Form::Date, SqlType::Date) => text(format!("TO_VARCHAR({name}, 'YYYY-MM-DD')")),
        (Form::Date, SqlType::TimestampNtz(_)) => text(format!(
            "IFF({name} = DATE_TRUNC('DAY', {name}), TO_VARCHAR({name}, 'YYYY-MM-DD'), {})",
            moment(&name.to_string(), 6)
        )),
        (
            Form::Local | Form::Utc,
            SqlType::TimestampNtz(kept) | SqlType::TimestampTz(kept) | SqlType::TimestampLtz(kept),
        ) if kept < digits => fewer(kept),
        (Form::Local, SqlType::TimestampNtz(_)) => text(moment(&name.to_string(), digits)),
        (Form::Utc, SqlType::TimestampNtz(_)) => text(format!("{} || 'Z'", moment(&name.to_string(), digits))),
        (Form::Utc, SqlType::TimestampTz(_) | SqlType::TimestampLtz(_)) => {
            let utc = format!("CONVERT_TIMEZONE('UTC', {name})");
            text(format!("{} || 'Z'", moment(&utc, digits)))
        }
        (Form::Time, SqlType::Time(kept)) if kept < digits => fewer(kept),
        (Form::Time, SqlType::Time(_)) => text(shortened(&name.to_string(), "HH24:MI:SS.FF9", digits)),
        (Form::Float, _) => nulls(format!("{kind} rounds a number of the source's precision")),
        (Form::Local, SqlType::TimestampTz(_) | SqlType::TimestampLtz(_)) => nulls(format!(
            "a time without a zone becomes a {kind} by the session's time zone"
        )),
        (_, kind) => nulls(format!("{kind} does not keep the source's text")),
    }
}

/// A decimal with so many digits after the point; all of them where that would lose some.
fn scaled(name: &Ident, digits: u8) -> String {
    format!(
        "IFF({name} = ROUND({name}, {digits}), TO_VARCHAR(CAST({name} AS NUMBER(38,{digits}))), TO_VARCHAR({name}))"
    )
}

fn moment(value: &str, digits: u8) -> String {
    shortened(value, "YYYY-MM-DD\"T\"HH24:MI:SS.FF9", digits)
}

/// A time with so many digits of a second; all nine where the others are not zero.
fn shortened(value: &str, format: &str, digits: u8) -> String {
    let zeros = match digits {
        0 => "[.]0{9}$".to_owned(),
        digits => format!("0{{{}}}$", 9 - digits),
    };
    format!(
        "REGEXP_REPLACE(TO_VARCHAR({value}, {}), {}, '')",
        literal(format),
        literal(&zeros)
    )
}

/// The type that a value of the source is compared as where rows are sorted, if both sides sort alike.
pub fn order(source: &Described, kind: SqlType) -> Option<String> {
    match (source.form, kind) {
        (Form::Whole | Form::Decimal, SqlType::Number { scale, .. }) if scale >= source.digits => {
            Some(format!("NUMBER(38,{scale})"))
        }
        (Form::Date, SqlType::Date | SqlType::TimestampNtz(_)) => Some(kind.to_string()),
        (Form::Local | Form::Utc, SqlType::TimestampNtz(kept)) if kept >= source.digits => Some(kind.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(form: Form, digits: u8, kind: &str) -> Way {
        let source = Described {
            name: "c".to_owned(),
            form,
            digits,
        };
        way(&source, &Ident::new("c"), kind.parse().unwrap())
    }

    #[test]
    fn a_type_that_loses_digits_is_compared_by_nulls_and_says_why() {
        for (form, digits, kind, reason) in [
            (Form::Decimal, 4, "NUMBER(10,2)", "NUMBER(10,2) keeps 2 digits of 4"),
            (
                Form::Local,
                6,
                "TIMESTAMP_NTZ(3)",
                "TIMESTAMP_NTZ(3) keeps 3 digits of 6",
            ),
            (Form::Text, 0, "DATE", "DATE does not keep the source's text"),
            (Form::Whole, 0, "FLOAT", "FLOAT does not keep the source's text"),
            (Form::Local, 0, "TIMESTAMP_LTZ", "session's time zone"),
            (Form::Json, 0, "VARIANT", "another order"),
        ] {
            match found(form, digits, kind) {
                Way::Nulls(told) => assert!(told.contains(reason), "{told}"),
                other => panic!("{form:?} as {kind}: {other:?}"),
            }
        }
    }

    #[test]
    fn more_digits_than_the_source_has_are_no_difference_when_they_are_zero() {
        let Way::Text(sql) = found(Form::Local, 3, "TIMESTAMP_NTZ") else {
            panic!("no text")
        };
        assert_eq!(
            sql,
            r#"REGEXP_REPLACE(TO_VARCHAR(C, 'YYYY-MM-DD"T"HH24:MI:SS.FF9'), '0{6}$', '')"#
        );
        let Way::Text(sql) = found(Form::Decimal, 2, "NUMBER(12,4)") else {
            panic!("no text")
        };
        assert!(sql.starts_with("IFF(C = ROUND(C, 2), "), "{sql}");
    }

    #[test]
    fn only_what_sorts_alike_makes_ranges() {
        let of = |form, kind: &str| {
            let source = Described {
                name: "c".to_owned(),
                form,
                digits: 0,
            };
            order(&source, kind.parse().unwrap())
        };
        assert_eq!(of(Form::Whole, "NUMBER(20,0)").as_deref(), Some("NUMBER(38,0)"));
        assert_eq!(of(Form::Text, "VARCHAR"), None);
        assert_eq!(of(Form::Whole, "VARCHAR"), None);
    }
}
