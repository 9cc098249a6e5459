//! From paths to places in the source.

use std::ops::Range;

use super::diagnostic::{Diagnostic, Fault, Part, Report};
use super::node::Node;
use super::path::Path;
use super::text::{Position, SourceText};

/// Where everything in the document stands in the file. Later stages need only a [`Path`] to report a fault.
#[derive(Debug, Clone)]
pub struct Positions {
    pub(crate) tree: Node,
    pub(crate) source: SourceText,
}

impl Positions {
    /// The bytes of the value at `path`; of the nearest table or array around it when there is no such value.
    /// A value that an environment overrides stands where the override is written.
    #[must_use]
    pub fn locate(&self, path: &Path) -> Range<usize> {
        self.tree.nearest(path)
    }

    /// Line and column, from 1, of the value at `path`.
    #[must_use]
    pub fn position(&self, path: &Path) -> Position {
        self.source.position(self.locate(path).start)
    }

    /// A report of faults found after reading; `None` when there are none.
    #[must_use]
    pub fn report(&self, faults: Vec<Fault>) -> Option<Report> {
        if faults.is_empty() {
            return None;
        }
        let diagnostics = faults.into_iter().map(|fault| self.diagnostic(fault)).collect();
        Some(Report::new(diagnostics, self.source.clone()))
    }

    pub(crate) fn diagnostic(&self, fault: Fault) -> Diagnostic {
        let span = match &fault.part {
            Part::Value => self.locate(&fault.path),
            Part::Key => self
                .tree
                .key_span(&fault.path)
                .unwrap_or_else(|| self.locate(&fault.path)),
            Part::Within(bytes) => self.inside(&fault.path, bytes),
        };
        let Fault {
            code,
            path,
            message,
            hint,
            ..
        } = fault;
        Diagnostic {
            code,
            path,
            span,
            message,
            hint,
        }
    }

    fn inside(&self, path: &Path, bytes: &Range<usize>) -> Range<usize> {
        let whole = self.locate(path);
        let Some(text) = self.tree.at(path).and_then(Node::text) else {
            return whole;
        };
        let offsets = written_offsets(self.source.slice(&whole), text);
        let place = |at: usize| offsets.get(at).map(|offset| whole.start + offset);
        match (place(bytes.start), place(bytes.end)) {
            (Some(start), Some(end)) if start < end => start..end,
            (Some(start), _) => start..start + 1,
            _ => whole,
        }
    }
}

/// For each byte of a string's value (and its end) the byte of its literal that it was written as; empty when the
/// literal is of a kind that is not worth following (several lines).
fn written_offsets(literal: &str, value: &str) -> Vec<usize> {
    let Some(body) = literal.get(1..literal.len().saturating_sub(1)) else {
        return Vec::new();
    };
    if body == value {
        return (1..=body.len() + 1).collect();
    }
    let mut offsets = Vec::with_capacity(value.len() + 1);
    let mut at = 1;
    for c in value.chars() {
        offsets.extend(std::iter::repeat_n(at, c.len_utf8()));
        at += written_length(literal.get(at..).unwrap_or_default());
    }
    offsets.push(at);
    if at + 1 == literal.len() { offsets } else { Vec::new() }
}

/// Bytes that the first character of a string literal's body is written in.
fn written_length(rest: &str) -> usize {
    let mut chars = rest.chars();
    match (chars.next(), chars.next()) {
        (Some('\\'), Some('u')) => 6,
        (Some('\\'), Some('U')) => 10,
        (Some('\\'), Some('x')) => 4,
        (Some('\\'), Some(_)) => 2,
        (Some(c), _) => c.len_utf8(),
        (None, _) => 0,
    }
}
