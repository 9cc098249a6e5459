//! SQL types of columns, in Snowflake's spelling and with Snowflake's limits.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use super::suggest;

const MAX_PRECISION: u32 = 38;
const MAX_SCALE: u32 = 37;
const MAX_FRACTION: u32 = 9;
/// Snowflake stores texts up to 128 MB; a column without a length still gets 16 MB.
const MAX_VARCHAR: u32 = 134_217_728;
const DEFAULT_VARCHAR: u32 = 16_777_216;
const MAX_BINARY: u32 = 67_108_864;
const DEFAULT_BINARY: u32 = 8_388_608;

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SqlType {
    /// A decimal number of fixed precision.
    Number {
        /// Digits in all.
        precision: u8,
        /// Digits after the point.
        scale: u8,
    },
    /// A 64-bit floating-point number.
    Float,
    /// Text of at most so many characters.
    Varchar(u32),
    /// True or false.
    Boolean,
    /// A day.
    Date,
    /// A time of day, with so many digits of a second.
    Time(u8),
    /// A moment without a time zone.
    TimestampNtz(u8),
    /// A moment, shown in the session's time zone.
    TimestampLtz(u8),
    /// A moment with its offset.
    TimestampTz(u8),
    /// Any JSON value.
    Variant,
    /// A JSON object.
    Object,
    /// A JSON array.
    Array,
    /// At most so many bytes.
    Binary(u32),
}

impl SqlType {
    /// Whether values of it can be compared, as a key must.
    #[must_use]
    pub fn is_comparable(&self) -> bool {
        !matches!(self, Self::Variant | Self::Object | Self::Array)
    }
}

/// Why a text is not a type, and which bytes of it are to blame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SqlTypeError {
    /// The bytes that are to blame.
    pub at: Range<usize>,
    /// What is wrong with them.
    pub message: String,
    /// What would be right.
    pub hint: String,
}

/// What may stand in parentheses after a name.
#[derive(Clone, Copy)]
enum Family {
    Number,
    /// An integer type: the same as NUMBER(38,0), and nothing in parentheses.
    Integer,
    Text {
        default: u32,
    },
    Bytes,
    Fraction(fn(u8) -> SqlType),
    Plain(SqlType),
}

const TYPES: &[(&str, Family)] = &[
    ("NUMBER", Family::Number),
    ("DECIMAL", Family::Number),
    ("DEC", Family::Number),
    ("NUMERIC", Family::Number),
    ("INT", Family::Integer),
    ("INTEGER", Family::Integer),
    ("BIGINT", Family::Integer),
    ("SMALLINT", Family::Integer),
    ("TINYINT", Family::Integer),
    ("BYTEINT", Family::Integer),
    ("FLOAT", Family::Plain(SqlType::Float)),
    ("FLOAT4", Family::Plain(SqlType::Float)),
    ("FLOAT8", Family::Plain(SqlType::Float)),
    ("DOUBLE", Family::Plain(SqlType::Float)),
    ("DOUBLE PRECISION", Family::Plain(SqlType::Float)),
    ("REAL", Family::Plain(SqlType::Float)),
    (
        "VARCHAR",
        Family::Text {
            default: DEFAULT_VARCHAR,
        },
    ),
    (
        "STRING",
        Family::Text {
            default: DEFAULT_VARCHAR,
        },
    ),
    (
        "TEXT",
        Family::Text {
            default: DEFAULT_VARCHAR,
        },
    ),
    (
        "NVARCHAR",
        Family::Text {
            default: DEFAULT_VARCHAR,
        },
    ),
    ("CHAR", Family::Text { default: 1 }),
    ("CHARACTER", Family::Text { default: 1 }),
    ("NCHAR", Family::Text { default: 1 }),
    ("BINARY", Family::Bytes),
    ("VARBINARY", Family::Bytes),
    ("BOOLEAN", Family::Plain(SqlType::Boolean)),
    ("BOOL", Family::Plain(SqlType::Boolean)),
    ("DATE", Family::Plain(SqlType::Date)),
    ("TIME", Family::Fraction(SqlType::Time)),
    ("DATETIME", Family::Fraction(SqlType::TimestampNtz)),
    // Snowflake's TIMESTAMP follows a session parameter; here it is always that parameter's default.
    ("TIMESTAMP", Family::Fraction(SqlType::TimestampNtz)),
    ("TIMESTAMP_NTZ", Family::Fraction(SqlType::TimestampNtz)),
    ("TIMESTAMPNTZ", Family::Fraction(SqlType::TimestampNtz)),
    ("TIMESTAMP_LTZ", Family::Fraction(SqlType::TimestampLtz)),
    ("TIMESTAMPLTZ", Family::Fraction(SqlType::TimestampLtz)),
    ("TIMESTAMP_TZ", Family::Fraction(SqlType::TimestampTz)),
    ("TIMESTAMPTZ", Family::Fraction(SqlType::TimestampTz)),
    ("VARIANT", Family::Plain(SqlType::Variant)),
    ("OBJECT", Family::Plain(SqlType::Object)),
    ("ARRAY", Family::Plain(SqlType::Array)),
];

/// A number in parentheses and where it stands.
struct Argument {
    value: u32,
    at: Range<usize>,
}

impl FromStr for SqlType {
    type Err = SqlTypeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let open = text.find('(').unwrap_or(text.len());
        let written = text.get(..open).unwrap_or_default();
        let name = written.split_whitespace().collect::<Vec<_>>().join(" ").to_uppercase();
        let Some((_, family)) = TYPES.iter().find(|(known, _)| *known == name) else {
            return Err(unknown(&name, written));
        };
        let arguments = arguments(text, open)?;
        build(*family, &name, &arguments, open..text.len())
    }
}

fn unknown(name: &str, written: &str) -> SqlTypeError {
    let start = written.len() - written.trim_start().len();
    let at = start..written.trim_end().len().max(start);
    let hint = match suggest::nearest(name, TYPES.iter().map(|(known, _)| *known)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "such as `NUMBER(10,2)`, `VARCHAR(80)`, `TIMESTAMP_NTZ`, `DATE`, `BOOLEAN` or `VARIANT`".to_owned(),
    };
    let message = if name.is_empty() {
        "a type is missing".to_owned()
    } else {
        format!("`{name}` is not a type that a column can have")
    };
    SqlTypeError { at, message, hint }
}

fn arguments(text: &str, open: usize) -> Result<Vec<Argument>, SqlTypeError> {
    if open == text.len() {
        return Ok(Vec::new());
    }
    let error = |at, message: &str| SqlTypeError {
        at,
        message: message.to_owned(),
        hint: "such as `NUMBER(10,2)` or `VARCHAR(80)`".to_owned(),
    };
    let Some(close) = text.find(')').filter(|close| *close > open) else {
        return Err(error(open..text.len(), "`)` is missing"));
    };
    if !text.get(close + 1..).unwrap_or_default().trim().is_empty() {
        return Err(error(close + 1..text.len(), "nothing may follow the type"));
    }
    let mut at = open + 1;
    let mut found = Vec::new();
    for part in text.get(at..close).unwrap_or_default().split(',') {
        let place = at..at + part.len();
        at = place.end + 1;
        match part.trim() {
            digits if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
                // What does not fit is over every limit, and said to be so.
                found.push(Argument {
                    value: digits.parse().unwrap_or(u32::MAX),
                    at: place,
                });
            }
            _ => return Err(error(place, "expected a whole number in the parentheses")),
        }
    }
    Ok(found)
}

fn build(
    family: Family,
    name: &str,
    arguments: &[Argument],
    parentheses: Range<usize>,
) -> Result<SqlType, SqlTypeError> {
    let most = match family {
        Family::Number => 2,
        Family::Text { .. } | Family::Bytes | Family::Fraction(_) => 1,
        Family::Integer | Family::Plain(_) => 0,
    };
    if arguments.len() > most {
        let message = match most {
            0 => format!("`{name}` takes nothing in parentheses"),
            1 => format!("`{name}` takes one number"),
            _ => format!("`{name}` takes a precision and a scale"),
        };
        let hint = if most == 0 {
            format!("write `{name}`, or `NUMBER(…)` for a precision")
        } else {
            "remove the rest".to_owned()
        };
        return Err(SqlTypeError {
            at: parentheses,
            message,
            hint,
        });
    }
    let first = arguments.first();
    Ok(match family {
        Family::Number => return number(first, arguments.get(1)),
        Family::Integer => SqlType::Number {
            precision: 38,
            scale: 0,
        },
        Family::Plain(plain) => plain,
        Family::Text { default } => SqlType::Varchar(limited(first, default, 1..=MAX_VARCHAR, "length")?),
        Family::Bytes => SqlType::Binary(limited(first, DEFAULT_BINARY, 1..=MAX_BINARY, "length")?),
        Family::Fraction(make) => make(narrow(limited(
            first,
            MAX_FRACTION,
            0..=MAX_FRACTION,
            "number of fractional digits",
        )?)),
    })
}

fn number(precision: Option<&Argument>, scale: Option<&Argument>) -> Result<SqlType, SqlTypeError> {
    let precision = limited(precision, MAX_PRECISION, 1..=MAX_PRECISION, "precision")?;
    let scale = limited(scale, 0, 0..=precision.min(MAX_SCALE), "scale")?;
    Ok(SqlType::Number {
        precision: narrow(precision),
        scale: narrow(scale),
    })
}

fn limited(
    argument: Option<&Argument>,
    default: u32,
    limits: std::ops::RangeInclusive<u32>,
    what: &str,
) -> Result<u32, SqlTypeError> {
    let Some(Argument { value, at }) = argument else {
        return Ok(default);
    };
    if limits.contains(value) {
        return Ok(*value);
    }
    Err(SqlTypeError {
        at: at.clone(),
        message: format!("this {what} is out of its limits"),
        hint: format!("{} to {}", limits.start(), limits.end()),
    })
}

fn narrow(value: u32) -> u8 {
    u8::try_from(value).unwrap_or(u8::MAX)
}

impl fmt::Display for SqlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number { precision, scale } => write!(f, "NUMBER({precision},{scale})"),
            Self::Float => f.write_str("FLOAT"),
            Self::Varchar(length) => write!(f, "VARCHAR({length})"),
            Self::Boolean => f.write_str("BOOLEAN"),
            Self::Date => f.write_str("DATE"),
            Self::Time(digits) => write!(f, "TIME({digits})"),
            Self::TimestampNtz(digits) => write!(f, "TIMESTAMP_NTZ({digits})"),
            Self::TimestampLtz(digits) => write!(f, "TIMESTAMP_LTZ({digits})"),
            Self::TimestampTz(digits) => write!(f, "TIMESTAMP_TZ({digits})"),
            Self::Variant => f.write_str("VARIANT"),
            Self::Object => f.write_str("OBJECT"),
            Self::Array => f.write_str("ARRAY"),
            Self::Binary(length) => write!(f, "BINARY({length})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> String {
        match text.parse::<SqlType>() {
            Ok(parsed) => parsed.to_string(),
            Err(error) => format!("{}..{} {}; {}", error.at.start, error.at.end, error.message, error.hint),
        }
    }

    #[test]
    fn synonyms_become_what_snowflake_shows() {
        let cases = [
            ("int", "NUMBER(38,0)"),
            ("DECIMAL(10, 2)", "NUMBER(10,2)"),
            ("string", "VARCHAR(16777216)"),
            ("CHAR", "VARCHAR(1)"),
            ("double  precision", "FLOAT"),
            ("datetime", "TIMESTAMP_NTZ(9)"),
            ("timestamp_tz(3)", "TIMESTAMP_TZ(3)"),
            ("VARBINARY", "BINARY(8388608)"),
            (" Boolean ", "BOOLEAN"),
        ];
        for (written, shown) in cases {
            assert_eq!(read(written), shown);
        }
    }

    #[test]
    fn limits_are_snowflakes() {
        assert_eq!(read("NUMBER(39)"), "7..9 this precision is out of its limits; 1 to 38");
        assert_eq!(read("NUMBER(5,6)"), "9..10 this scale is out of its limits; 0 to 5");
        assert_eq!(
            read("VARCHAR(134217729)"),
            "8..17 this length is out of its limits; 1 to 134217728"
        );
        assert_eq!(
            read("TIME(10)"),
            "5..7 this number of fractional digits is out of its limits; 0 to 9"
        );
        assert_eq!(
            read("VARCHR(3)"),
            "0..6 `VARCHR` is not a type that a column can have; did you mean `VARCHAR`?"
        );
        assert_eq!(
            read("INT(3)"),
            "3..6 `INT` takes nothing in parentheses; write `INT`, or `NUMBER(…)` for a precision"
        );
    }

    proptest! {
        #[test]
        fn a_type_survives_its_own_spelling(name in prop::sample::select(TYPES.iter().map(|(name, _)| *name).collect::<Vec<_>>()), length in 1_u32..9) {
            for text in [name.to_owned(), format!("{name}({length})")] {
                if let Ok(parsed) = text.parse::<SqlType>() {
                    prop_assert_eq!(parsed.to_string().parse::<SqlType>(), Ok(parsed));
                }
            }
        }

        #[test]
        fn any_text_gives_a_type_or_a_place(text in "\\PC*|(NUMBER|TIME|VARCHAR)[(), 0-9é]*") {
            if let Err(error) = text.parse::<SqlType>() {
                prop_assert!(error.at.start <= error.at.end && error.at.end <= text.len());
            }
        }
    }
}
