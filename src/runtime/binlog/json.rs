//! MySQL's binary JSON as text, written as the server writes it, and the changes that a partial update logs.
//!
//! The format: <https://dev.mysql.com/doc/dev/mysql-server/latest/json__binary_8h.html>; the changes:
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/classJson__diff.html>.

use std::io::Write as _;

use serde_json::value::RawValue;

use super::temporal::{json_duration, json_moment};
use super::values::{decimal, unsigned};
use crate::runtime::extract::encode::{base64, clock, date, duration};
use crate::runtime::mysql::{Bytes, kind};

/// The server's limit is 100 levels.
const DEPTH_MAX: usize = 128;

/// Writes a document; `None` when it is malformed. An empty one is what a server without strict mode makes of nothing.
pub fn write(out: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
    match bytes.split_first() {
        Some((kind, rest)) => value(out, *kind, rest, 0),
        None => {
            out.extend_from_slice(b"null");
            Some(())
        }
    }
}

fn value(out: &mut Vec<u8>, kind: u8, bytes: &[u8], depth: usize) -> Option<()> {
    let mut rest = Bytes(bytes);
    match kind {
        0x00..=0x03 => return container(out, kind, bytes, depth),
        0x04 => out.extend_from_slice(match rest.byte()? {
            0 => b"null",
            1 => b"true",
            2 => b"false",
            _ => return None,
        }),
        0x05 => signed(out, i64::from(rest.number().map(i16::from_le_bytes)?)),
        0x06 => unsigned(out, u64::from(rest.short()?)),
        0x07 => signed(out, i64::from(rest.number().map(i32::from_le_bytes)?)),
        0x08 => unsigned(out, u64::from(rest.long()?)),
        0x09 => signed(out, rest.number().map(i64::from_le_bytes)?),
        0x0a => unsigned(out, rest.number().map(u64::from_le_bytes)?),
        0x0b => double(out, rest.number().map(f64::from_le_bytes)?),
        0x0c => {
            let length = length(&mut rest)?;
            string(out, rest.take(length)?);
        }
        0x0f => {
            let kind = rest.byte()?;
            let length = length(&mut rest)?;
            opaque(out, kind, rest.take(length)?)?;
        }
        _ => return None,
    }
    Some(())
}

/// Seven bits a byte, the lowest first.
fn length(rest: &mut Bytes<'_>) -> Option<usize> {
    let mut length = 0;
    for shift in 0..5 {
        let byte = rest.byte()?;
        length |= usize::from(byte & 0x7f) << (7 * shift);
        if byte & 0x80 == 0 {
            return Some(length);
        }
    }
    None
}

fn container(out: &mut Vec<u8>, kind: u8, bytes: &[u8], depth: usize) -> Option<()> {
    let large = kind & 1 == 1;
    let object = kind < 2;
    if depth == DEPTH_MAX {
        return None;
    }
    let number = |rest: &mut Bytes<'_>| match large {
        true => rest.long().map(|number| number as usize),
        false => rest.short().map(usize::from),
    };
    let mut rest = Bytes(bytes);
    let count = number(&mut rest)?;
    let bytes = bytes.get(..number(&mut rest)?)?;
    let width = if large { 4 } else { 2 };
    let mut keys = Bytes(rest.take(if object { count.checked_mul(width + 2)? } else { 0 })?);
    let mut values = Bytes(rest.take(count.checked_mul(width + 1)?)?);
    out.push(if object { b'{' } else { b'[' });
    for index in 0..count {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        if object {
            let start = number(&mut keys)?;
            let length = usize::from(keys.short()?);
            string(out, bytes.get(start..start.checked_add(length)?)?);
            out.extend_from_slice(b": ");
        }
        let kind = values.byte()?;
        let place = values.take(width)?;
        if matches!(kind, 0x04..=0x06) || large && matches!(kind, 0x07 | 0x08) {
            value(out, kind, place, depth)?;
        } else {
            let offset = number(&mut Bytes(place))?;
            value(out, kind, bytes.get(offset..)?, depth + 1)?;
        }
    }
    out.push(if object { b'}' } else { b']' });
    Some(())
}

fn signed(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// The shortest digits that read back, without an exponent as long as the point stands near them, and with `.0` where
/// the number would look like a whole one: `my_gcvt` in the server's `strings/dtoa.cc`.
fn double(out: &mut Vec<u8>, number: f64) {
    if number == 0.0 {
        out.extend_from_slice(if number.is_sign_negative() { b"-0.0" } else { b"0.0" });
        return;
    }
    let shown = format!("{number:e}");
    let (mantissa, exponent) = shown.split_once('e').unwrap_or((&shown, "0"));
    let point = exponent.parse::<i32>().unwrap_or_default() + 1;
    if (-14..=15).contains(&point) {
        let plain = format!("{number}");
        out.extend_from_slice(plain.as_bytes());
        if !plain.contains('.') {
            out.extend_from_slice(b".0");
        }
    } else {
        let _ = write!(out, "{mantissa}e{exponent}");
    }
}

/// A JSON string with the escapes that the server uses.
fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for byte in bytes {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            0x08 => out.extend_from_slice(b"\\b"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            0x0c => out.extend_from_slice(b"\\f"),
            b'\r' => out.extend_from_slice(b"\\r"),
            0..0x20 => {
                let _ = write!(out, "\\u{byte:04x}");
            }
            _ => out.push(*byte),
        }
    }
    out.push(b'"');
}

/// A value of an SQL type that JSON does not have.
fn opaque(out: &mut Vec<u8>, column: u8, bytes: &[u8]) -> Option<()> {
    let mut rest = Bytes(bytes);
    match column {
        kind::NEWDECIMAL => {
            let [precision, scale] = rest.number()?;
            decimal(out, &mut rest, precision, scale)?;
        }
        kind::DATE | kind::DATETIME | kind::TIMESTAMP => {
            let packed = rest.number().map(u64::from_le_bytes)?;
            let at = json_moment(packed);
            out.push(b'"');
            date(out, at);
            if column != kind::DATE {
                out.push(b' ');
                clock(out, at, 6);
            }
            out.push(b'"');
        }
        kind::TIME => {
            let packed = rest.number().map(i64::from_le_bytes)?;
            out.push(b'"');
            duration(out, json_duration(packed), 6);
            out.push(b'"');
        }
        _ => {
            let mut encoded = Vec::new();
            base64(&mut encoded, bytes);
            let _ = write!(out, "\"base64:type{column}:");
            out.extend_from_slice(&encoded[1..]);
        }
    }
    Some(())
}

/// Applies the changes to a document that `write` wrote, and writes the new one.
pub fn apply(document: &[u8], changes: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let text = std::str::from_utf8(document).ok()?;
    let mut node = Node::read(text)?;
    let mut rest = Bytes(changes);
    while !rest.0.is_empty() {
        let operation = rest.byte()?;
        let path = std::str::from_utf8(rest.counted()?).ok()?;
        let mut new = Vec::new();
        if operation != REMOVE {
            write(&mut new, rest.counted()?)?;
        }
        let steps = steps(path)?;
        let (last, way) = steps.split_last()?;
        let mut at = &mut node;
        for step in way {
            at = at.step(step)?;
        }
        at.change(operation, last, String::from_utf8(new).ok()?)?;
    }
    node.write(out);
    Some(())
}

const REPLACE: u8 = 0;
const INSERT: u8 = 1;
const REMOVE: u8 = 2;

/// One step of a path.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Member(String),
    Cell(usize),
}

/// `$.a."b c"[0]`, as the server writes a path.
fn steps(path: &str) -> Option<Vec<Step>> {
    let mut rest = path.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(behind) = rest.strip_prefix('[') {
            let (number, behind) = behind.split_once(']')?;
            steps.push(Step::Cell(number.trim().parse().ok()?));
            rest = behind;
        } else {
            let behind = rest.strip_prefix('.')?;
            if behind.starts_with('"') {
                let mut strings = serde_json::Deserializer::from_str(behind).into_iter::<String>();
                steps.push(Step::Member(strings.next()?.ok()?));
                rest = &behind[strings.byte_offset()..];
            } else {
                let end = behind.find(['.', '[']).unwrap_or(behind.len());
                steps.push(Step::Member(behind[..end].to_owned()));
                rest = &behind[end..];
            }
        }
    }
    Some(steps)
}

/// A document taken apart no further than a change needs.
enum Node {
    Text(String),
    Object(Vec<(String, Node)>),
    Array(Vec<Node>),
}

impl Node {
    fn read(text: &str) -> Option<Self> {
        Some(match text.as_bytes().first()? {
            b'{' => {
                let members: Members = serde_json::from_str(text).ok()?;
                Self::Object(members.0)
            }
            b'[' => {
                let cells: Vec<&RawValue> = serde_json::from_str(text).ok()?;
                Self::Array(cells.iter().map(|cell| Self::Text(cell.get().to_owned())).collect())
            }
            _ => Self::Text(text.to_owned()),
        })
    }

    /// Takes apart what is still text.
    fn opened(&mut self) -> Option<&mut Self> {
        if let Self::Text(text) = self {
            *self = Self::read(text)?;
        }
        Some(self)
    }

    fn step(&mut self, step: &Step) -> Option<&mut Self> {
        match (self.opened()?, step) {
            (Self::Object(members), Step::Member(name)) => members
                .iter_mut()
                .find(|(known, _)| known == name)
                .map(|(_, node)| node),
            (Self::Array(cells), Step::Cell(index)) => cells.get_mut(*index),
            (node, Step::Cell(0)) => Some(node),
            _ => None,
        }
    }

    fn change(&mut self, operation: u8, last: &Step, new: String) -> Option<()> {
        let new = Self::Text(new);
        match (self.opened()?, last, operation) {
            (Self::Object(members), Step::Member(name), REPLACE) => {
                members.iter_mut().find(|(known, _)| known == name)?.1 = new;
            }
            (Self::Object(members), Step::Member(name), INSERT) => {
                // The server sorts members by the length of their names first.
                let place = members.partition_point(|(known, _)| (known.len(), known.as_str()) < (name.len(), name));
                members.insert(place, (name.clone(), new));
            }
            (Self::Object(members), Step::Member(name), REMOVE) => members.retain(|(known, _)| known != name),
            (Self::Array(cells), Step::Cell(index), REPLACE) => *cells.get_mut(*index)? = new,
            (Self::Array(cells), Step::Cell(index), INSERT) => cells.insert((*index).min(cells.len()), new),
            (Self::Array(cells), Step::Cell(index), REMOVE) if *index < cells.len() => {
                cells.remove(*index);
            }
            _ => return None,
        }
        Some(())
    }

    fn write(&self, out: &mut Vec<u8>) {
        let comma = |out: &mut Vec<u8>, index: usize| {
            if index > 0 {
                out.extend_from_slice(b", ");
            }
        };
        match self {
            Self::Text(text) => out.extend_from_slice(text.as_bytes()),
            Self::Object(members) => {
                out.push(b'{');
                for (index, (name, node)) in members.iter().enumerate() {
                    comma(out, index);
                    string(out, name.as_bytes());
                    out.extend_from_slice(b": ");
                    node.write(out);
                }
                out.push(b'}');
            }
            Self::Array(cells) => {
                out.push(b'[');
                for (index, node) in cells.iter().enumerate() {
                    comma(out, index);
                    node.write(out);
                }
                out.push(b']');
            }
        }
    }
}

/// Members in their order, values as text.
struct Members(Vec<(String, Node)>);

impl<'de> serde::Deserialize<'de> for Members {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Members;

            fn expecting(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                to.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    members.push((name, Node::Text(value.get().to_owned())));
                }
                Ok(Members(members))
            }
        }
        from.deserialize_map(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_are_read_as_the_server_writes_them() {
        let member = |name: &str| Step::Member(name.to_owned());
        assert_eq!(
            steps("$.a[3].\"b \\\"c.[\"[0]").unwrap(),
            [member("a"), Step::Cell(3), member("b \"c.["), Step::Cell(0)]
        );
        assert_eq!(steps("a"), None);
    }

    #[test]
    fn doubles_are_written_as_the_server_does() {
        // SELECT CAST(x AS JSON) of MySQL 8.4.
        for (number, shown) in [
            (1.0, "1.0"),
            (0.1, "0.1"),
            (1e15, "1e15"),
            (1.5e-20, "1.5e-20"),
            (-2.5, "-2.5"),
            (1e14, "100000000000000.0"),
        ] {
            let mut out = Vec::new();
            double(&mut out, number);
            assert_eq!(String::from_utf8(out).unwrap(), shown);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0_u8..16) {
            let mut document = vec![kind];
            document.extend_from_slice(&bytes);
            let _ = write(&mut Vec::new(), &document);
            let _ = apply(b"{\"a\": [1, 2]}", &bytes, &mut Vec::new());
        }
    }
}
