//! The JSON Schema of pipeline.toml, for editors; made from the same types that read the file.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::types::Spec;

const DEFINITIONS: &str = "$defs";
const REFERENCE: &str = "#/$defs/";
/// What an environment overrides: the same table with nothing required.
const PARTIAL: &str = "Partial";

/// The schema as text, as it is shipped in `schema/pipeline.schema.json`.
#[must_use]
pub fn json_schema() -> String {
    let mut text = serde_json::to_string_pretty(&schema()).unwrap_or_default();
    text.push('\n');
    text
}

fn schema() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<Spec>().to_value();
    forget_null(&mut schema);
    close_tagged(&mut schema);
    let partial = partial_root(&schema);
    let partials = partial_definitions(&schema);
    if let Some(definitions) = schema.get_mut(DEFINITIONS).and_then(Value::as_object_mut) {
        definitions.extend(partials);
        definitions.insert(format!("{PARTIAL}Spec"), partial);
    }
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        let environments = json!({
            "description": "What differs in one environment: `[env.prod]` and below it any of the other tables. \
                            Tables merge; entries of `table` and `columns` merge by their name; everything else is replaced.",
            "type": "object",
            "propertyNames": { "pattern": "^[a-z](-?[a-z0-9])*$", "maxLength": 16 },
            "additionalProperties": { "$ref": format!("{REFERENCE}{PARTIAL}Spec") },
        });
        properties.insert("env".to_owned(), environments);
    }
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".to_owned(), json!("pipeline.toml"));
    }
    schema
}

/// TOML has no null: a key that may be missing is of its one type.
fn forget_null(schema: &mut Value) {
    let is_null = |option: &Value| option == "null" || option.get("type").is_some_and(|kind| kind == "null");
    let Value::Object(object) = schema else {
        if let Value::Array(items) = schema {
            items.iter_mut().for_each(forget_null);
        }
        return;
    };
    if object.get("default").is_some_and(Value::is_null) {
        object.remove("default");
    }
    for key in ["type", "anyOf"] {
        let Some(Value::Array(options)) = object.get_mut(key) else {
            continue;
        };
        options.retain(|option| !is_null(option));
        if let [single] = options.as_slice() {
            match (key, single.clone()) {
                ("anyOf", Value::Object(only)) => {
                    object.remove(key);
                    object.extend(only);
                }
                (_, only) => {
                    object.insert(key.to_owned(), only);
                }
            }
        }
    }
    object.values_mut().for_each(forget_null);
}

/// A tag beside a reference to a closed table must be part of what is evaluated, or the table would refuse it.
fn close_tagged(schema: &mut Value) {
    let Some(definitions) = schema.get(DEFINITIONS).and_then(Value::as_object).cloned() else {
        return;
    };
    let Some(variants) = schema.pointer_mut("/$defs/Source/oneOf").and_then(Value::as_array_mut) else {
        return;
    };
    for variant in variants.iter_mut().filter_map(Value::as_object_mut) {
        let target = variant
            .remove("$ref")
            .and_then(|target| target.as_str().map(str::to_owned));
        let settings = target.and_then(|target| definitions.get(target.trim_start_matches(REFERENCE)).cloned());
        for (key, value) in settings.as_ref().and_then(Value::as_object).into_iter().flatten() {
            merge_keyword(variant, key, value);
        }
    }
}

fn merge_keyword(variant: &mut Map<String, Value>, key: &str, value: &Value) {
    match (variant.get_mut(key), value) {
        (Some(Value::Object(present)), Value::Object(more)) => present.extend(more.clone()),
        (Some(Value::Array(present)), Value::Array(more)) => present.extend(more.iter().cloned()),
        // The variant says what the kind is for; that is the better description.
        (Some(_), _) => {}
        (None, _) => {
            variant.insert(key.to_owned(), value.clone());
        }
    }
}

fn partial_root(schema: &Value) -> Value {
    let mut root = schema.clone();
    if let Some(object) = root.as_object_mut() {
        for key in [DEFINITIONS, "$schema", "title"] {
            object.remove(key);
        }
        object.insert("description".to_owned(), json!("What one environment changes."));
    }
    loosen(&mut root);
    root
}

fn partial_definitions(schema: &Value) -> Map<String, Value> {
    let definitions = schema.get(DEFINITIONS).and_then(Value::as_object);
    let loosened = |(name, definition): (&String, &Value)| {
        let mut partial = definition.clone();
        loosen(&mut partial);
        (format!("{PARTIAL}{name}"), partial)
    };
    definitions.into_iter().flatten().map(loosened).collect()
}

/// Nothing is required, nothing has a default, and references lead to what is loosened too.
fn loosen(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if object.get("properties").is_some_and(Value::is_object) {
                object.remove("required");
            }
            object.remove("default");
            if let Some(Value::String(target)) = object.get_mut("$ref") {
                *target = target.replace(REFERENCE, &format!("{REFERENCE}{PARTIAL}"));
            }
            object.values_mut().for_each(loosen);
        }
        Value::Array(items) => items.iter_mut().for_each(loosen),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_schema_is_current() {
        let shipped = include_str!("../../schema/pipeline.schema.json");
        assert!(
            shipped == json_schema(),
            "out of date: run `pipectl schema > schema/pipeline.schema.json`"
        );
    }

    #[test]
    fn an_environment_requires_nothing() {
        let schema = schema();
        assert_eq!(schema.pointer("/$defs/PartialTable/required"), None);
        assert_eq!(schema.pointer("/$defs/PartialSpec/required"), None);
        assert!(schema.pointer("/$defs/Table/required").is_some());
        assert!(schema.pointer("/$defs/PartialSpec/properties/env").is_none());
    }
}
