//! `[source]`: one variant per kind of source, each with its own type.
//!
//! A new kind is a new struct and a line in `sources!`; nothing else here knows the kinds.

use std::ops::ControlFlow;

use deserr::{DeserializeError, Deserr, ErrorKind, IntoValue, Map, Value, ValueKind, ValuePointerRef, take_cf_content};
use schemars::JsonSchema;

use super::mysql::MysqlSource;

/// Makes [`Source`] and its reading from one line per kind: its doc comment, its word in `type`, its struct.
macro_rules! sources {
    ($($(#[doc = $doc:literal])+ $word:literal => $kind:ident($settings:ty)),+ $(,)?) => {
        /// Where the data comes from.
        #[derive(Debug, Clone, PartialEq, JsonSchema)]
        #[serde(tag = "type")]
        pub enum Source {
            $($(#[doc = $doc])+ #[serde(rename = $word)] $kind($settings),)+
        }

        impl Source {
            /// The words that `type` takes.
            pub const KINDS: &[&str] = &[$($word),+];
        }

        impl<E: DeserializeError> Deserr<E> for Source {
            fn deserialize_from_value<V: IntoValue>(value: Value<V>, at: ValuePointerRef) -> Result<Self, E> {
                let (kind, settings) = split_kind(value, at)?;
                match kind.as_str() {
                    $($word => Deserr::deserialize_from_value(settings, at).map(Self::$kind),)+
                    other => Err(take_cf_content(E::error::<V>(
                        None,
                        ErrorKind::UnknownValue { value: other, accepted: Self::KINDS },
                        at.push_key("type"),
                    ))),
                }
            }
        }
    };
}

sources! {
    /// JSON files that arrive in a bucket.
    "files" => Files(FilesSource),
    /// Rows of a MySQL database.
    "mysql" => Mysql(MysqlSource),
}

/// Takes `type` out of the table, so that the rest is the settings of that kind.
fn split_kind<E: DeserializeError, V: IntoValue>(
    value: Value<V>,
    at: ValuePointerRef,
) -> Result<(String, Value<V>), E> {
    let fail = |flow: ControlFlow<E, E>| Err(take_cf_content(flow));
    let mut table = match value {
        Value::Map(table) => table,
        actual => {
            return fail(E::error(
                None,
                ErrorKind::IncorrectValueKind {
                    actual,
                    accepted: &[ValueKind::Map],
                },
                at,
            ));
        }
    };
    match table.remove("type") {
        Some(kind) => {
            let kind = String::deserialize_from_value(kind.into_value(), at.push_key("type"))?;
            Ok((kind, Value::Map(table)))
        }
        None => fail(E::error::<V>(None, ErrorKind::MissingField { field: "type" }, at)),
    }
}

/// JSON files that somebody puts into a bucket: arrays, concatenated documents or lines, gzipped or not.
#[derive(Debug, Clone, PartialEq, Deserr, JsonSchema)]
#[deserr(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct FilesSource {
    /// Name of the raw bucket. Without it: made from pipeline, environment, account and region.
    #[deserr(default)]
    #[schemars(default)]
    pub bucket: Option<String>,
    /// Whether `bucket` may exist already: then it is taken over with all that is in it, keeps its own settings, and is
    /// given back by a destroy. Only files that arrive from then on are read.
    #[deserr(default)]
    #[schemars(default)]
    pub adopt: bool,
    /// Times that a file is tried before its message goes to the dead-letter queue.
    #[deserr(default = 5)]
    #[schemars(default = "five")]
    pub max_attempts: i64,
}

fn five() -> i64 {
    5
}
