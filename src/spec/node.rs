//! The document as a tree that remembers where each key and value stands.

use std::collections::{BTreeMap, btree_map};
use std::ops::Range;

use deserr::{IntoValue, ValueKind};
use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::path::{Path, Segment};

/// A value and the bytes it was written in; for a table under a header, the bytes of the header.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) span: Range<usize>,
    pub(crate) value: Value,
}

/// What a value is.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    String(String),
    Integer(i64),
    /// More than 64 bits.
    HugeInteger,
    Float(f64),
    Boolean(bool),
    Datetime,
    Array(Vec<Node>),
    Table(Table),
}

/// A table: its keys, sorted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table(pub(crate) BTreeMap<String, Entry>);

/// A key and its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: Range<usize>,
    pub(crate) node: Node,
}

impl Node {
    /// The tree of a whole document.
    pub(crate) fn document(table: &DeTable<'_>) -> Self {
        Self {
            span: 0..0,
            value: Value::Table(convert_table(table)),
        }
    }

    pub(crate) fn table(&self) -> Option<&BTreeMap<String, Entry>> {
        match &self.value {
            Value::Table(table) => Some(&table.0),
            _ => None,
        }
    }

    pub(crate) fn table_mut(&mut self) -> Option<&mut BTreeMap<String, Entry>> {
        match &mut self.value {
            Value::Table(table) => Some(&mut table.0),
            _ => None,
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The value of a key, if this is a table that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.table()?.get(key).map(|entry| &entry.node)
    }

    fn step(&self, segment: &Segment) -> Option<(Option<&Range<usize>>, &Node)> {
        match (segment, &self.value) {
            (Segment::Key(key), Value::Table(table)) => table.0.get(key).map(|entry| (Some(&entry.key), &entry.node)),
            (Segment::Index(index), Value::Array(items)) => items.get(*index).map(|node| (None, node)),
            _ => None,
        }
    }

    /// The value at a path.
    pub(crate) fn at(&self, path: &Path) -> Option<&Node> {
        path.segments()
            .iter()
            .try_fold(self, |node, segment| node.step(segment).map(|(_, node)| node))
    }

    /// The bytes of the value at a path, or of the nearest table or array around it.
    pub(crate) fn nearest(&self, path: &Path) -> Range<usize> {
        let mut node = self;
        for segment in path.segments() {
            match node.step(segment) {
                Some((_, next)) => node = next,
                None => break,
            }
        }
        node.span.clone()
    }

    /// The bytes of the key at the end of a path.
    pub(crate) fn key_span(&self, path: &Path) -> Option<Range<usize>> {
        let parent = self.at(&path.parent())?;
        parent.step(path.segments().last()?)?.0.cloned()
    }

    /// What the value is, for people.
    pub(crate) fn kind_name(&self) -> &'static str {
        match self.value {
            Value::String(_) => "a string",
            Value::Integer(_) | Value::HugeInteger => "an integer",
            Value::Float(_) => "a number with a fraction",
            Value::Boolean(_) => "a boolean",
            Value::Datetime => "a date or time",
            Value::Array(_) => "an array",
            Value::Table(_) => "a table",
        }
    }
}

fn convert(value: &Spanned<DeValue<'_>>) -> Node {
    let converted = match value.get_ref() {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(integer) => convert_integer(integer),
        DeValue::Float(float) => Value::Float(float.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(boolean) => Value::Boolean(*boolean),
        DeValue::Datetime(_) => Value::Datetime,
        DeValue::Array(items) => Value::Array(items.iter().map(convert).collect()),
        DeValue::Table(table) => Value::Table(convert_table(table)),
    };
    Node {
        span: value.span(),
        value: converted,
    }
}

fn convert_integer(integer: &DeInteger<'_>) -> Value {
    i64::from_str_radix(integer.as_str(), integer.radix()).map_or(Value::HugeInteger, Value::Integer)
}

fn convert_table(table: &DeTable<'_>) -> Table {
    Table(
        table
            .iter()
            .map(|(key, value)| {
                (
                    key.get_ref().to_string(),
                    Entry {
                        key: key.span(),
                        node: convert(value),
                    },
                )
            })
            .collect(),
    )
}

impl IntoValue for Node {
    type Sequence = Vec<Node>;
    type Map = Table;

    fn kind(&self) -> ValueKind {
        match &self.value {
            Value::String(_) => ValueKind::String,
            Value::Integer(number) if *number < 0 => ValueKind::NegativeInteger,
            Value::Integer(_) => ValueKind::Integer,
            Value::HugeInteger | Value::Float(_) | Value::Datetime => ValueKind::Float,
            Value::Boolean(_) => ValueKind::Boolean,
            Value::Array(_) => ValueKind::Sequence,
            Value::Table(_) => ValueKind::Map,
        }
    }

    fn into_value(self) -> deserr::Value<Self> {
        match self.value {
            Value::String(text) => deserr::Value::String(text),
            Value::Integer(number) => {
                u64::try_from(number).map_or(deserr::Value::NegativeInteger(number), deserr::Value::Integer)
            }
            // No key takes a fraction, so what has no kind of its own in deserr is refused as one, never taken for null.
            Value::HugeInteger | Value::Datetime => deserr::Value::Float(f64::NAN),
            Value::Float(number) => deserr::Value::Float(number),
            Value::Boolean(boolean) => deserr::Value::Boolean(boolean),
            Value::Array(items) => deserr::Value::Sequence(items),
            Value::Table(table) => deserr::Value::Map(table),
        }
    }
}

impl deserr::Map for Table {
    type Value = Node;
    type Iter = std::iter::Map<btree_map::IntoIter<String, Entry>, fn((String, Entry)) -> (String, Node)>;

    fn len(&self) -> usize {
        self.0.len()
    }

    fn remove(&mut self, key: &str) -> Option<Node> {
        self.0.remove(key).map(|entry| entry.node)
    }

    fn into_iter(self) -> Self::Iter {
        self.0.into_iter().map(|(key, entry)| (key, entry.node))
    }
}
