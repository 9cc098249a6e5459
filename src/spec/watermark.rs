//! One column or several: what a user may write as `watermark`.

use deserr::{DeserializeError, Deserr, ErrorKind, IntoValue, Value, ValueKind, ValuePointerRef, take_cf_content};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// Columns that grow with every change, the first before the second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watermark(pub Vec<String>);

impl<E: DeserializeError> Deserr<E> for Watermark {
    fn deserialize_from_value<V: IntoValue>(value: Value<V>, at: ValuePointerRef) -> Result<Self, E> {
        match value {
            Value::String(column) => Ok(Self(vec![column])),
            value @ Value::Sequence(_) => Deserr::deserialize_from_value(value, at).map(Self),
            actual => Err(take_cf_content(E::error(
                None,
                ErrorKind::IncorrectValueKind {
                    actual,
                    accepted: &[ValueKind::String, ValueKind::Sequence],
                },
                at,
            ))),
        }
    }
}

impl JsonSchema for Watermark {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Watermark".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "array"], "items": { "type": "string" }, "minItems": 1 })
    }
}
