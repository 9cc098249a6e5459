//! What is wrong with a file, where, and what would be right.
//!
//! A check knows a [`Path`] and says a [`Fault`]; the positions turn faults into [`Diagnostic`]s, which know bytes; a
//! [`Report`] prints them all beside the source.

use std::fmt;
use std::ops::Range;

use serde::ser::{Serialize, SerializeSeq, SerializeStruct, Serializer};

use super::path::Path;
use super::text::SourceText;

/// Which part of the value at a fault's path is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// The value.
    Value,
    /// The key in front of it.
    Key,
    /// Some bytes of a string, counted after escapes are resolved.
    Within(Range<usize>),
}

/// Something wrong at a path: all that a check has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub(crate) code: &'static str,
    pub(crate) path: Path,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    pub(crate) part: Part,
}

impl Fault {
    /// A fault of the value at `path`, or of the nearest table around it when there is no such value.
    pub fn new(code: &'static str, path: Path, message: impl Into<String>) -> Self {
        Self {
            code,
            path,
            message: message.into(),
            hint: None,
            part: Part::Value,
        }
    }

    /// Says what would be right.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Points at the key instead of the value.
    #[must_use]
    pub fn on_key(mut self) -> Self {
        self.part = Part::Key;
        self
    }

    /// Points at some bytes of the string at the path.
    #[must_use]
    pub fn within(mut self, bytes: Range<usize>) -> Self {
        self.part = Part::Within(bytes);
        self
    }
}

/// A fault with its place in the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// What kind of fault, such as `E0103`.
    pub code: &'static str,
    /// The place in the document, with the environment's overrides applied.
    pub path: Path,
    /// The bytes of the source that are meant.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub hint: Option<String>,
}

/// Everything that is wrong with one file, in the order of the file.
#[derive(Debug, Clone)]
pub struct Report {
    diagnostics: Vec<Diagnostic>,
    source: SourceText,
}

impl Report {
    pub(crate) fn new(mut diagnostics: Vec<Diagnostic>, source: SourceText) -> Self {
        for diagnostic in &mut diagnostics {
            diagnostic.span = source.clip(&diagnostic.span);
            diagnostic.path = diagnostic.path.map_keys(|key| source.redact(key));
            diagnostic.message = source.redact(&diagnostic.message);
            diagnostic.hint = diagnostic.hint.as_deref().map(|hint| source.redact(hint));
        }
        diagnostics.sort_by(|a, b| order(a).cmp(&order(b)));
        diagnostics.dedup_by(|a, b| order(a) == order(b));
        Self { diagnostics, source }
    }

    /// The faults, in the order of the file; never empty.
    #[must_use]
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// Joins the faults of the same file, each once.
    pub(crate) fn join(reports: Vec<Report>) -> Option<Report> {
        let mut reports = reports.into_iter();
        let mut first = reports.next()?;
        for mut report in reports {
            first.diagnostics.append(&mut report.diagnostics);
            first.source.hide(report.source.hidden());
        }
        Some(Report::new(first.diagnostics, first.source))
    }

    /// Writes the report, with colours when `styled`.
    pub fn write(&self, out: &mut impl fmt::Write, styled: bool) -> fmt::Result {
        let style = Style { on: styled };
        for diagnostic in &self.diagnostics {
            self.write_one(out, diagnostic, &style)?;
        }
        let count = self.diagnostics.len();
        let noun = if count == 1 { "error" } else { "errors" };
        writeln!(
            out,
            "{}",
            style.error(&format!("{count} {noun} in {}", self.source.file()))
        )
    }

    fn write_one(&self, out: &mut impl fmt::Write, diagnostic: &Diagnostic, style: &Style) -> fmt::Result {
        let start = self.source.position(diagnostic.span.start);
        let snippet = self.source.snippet(&diagnostic.span);
        let number = start.line.to_string();
        let gutter = " ".repeat(number.len());
        let bar = style.frame("|");
        let label = style.error(&format!("error[{}]", diagnostic.code));
        let arrow = style.frame("-->");
        writeln!(out, "{label}: {}", diagnostic.message)?;
        writeln!(
            out,
            "{gutter}{arrow} {}:{}:{}",
            self.source.file(),
            start.line,
            start.column
        )?;
        writeln!(out, "{gutter} {bar}")?;
        writeln!(out, "{} {bar} {}", style.frame(&number), snippet.line)?;
        let carets = style.error(&"^".repeat(snippet.width));
        let hint = diagnostic
            .hint
            .as_deref()
            .map(|hint| format!(" {hint}"))
            .unwrap_or_default();
        writeln!(
            out,
            "{gutter} {bar} {}{carets}{}",
            " ".repeat(snippet.indent),
            style.error(&hint)
        )?;
        writeln!(out)
    }
}

fn order(diagnostic: &Diagnostic) -> (usize, usize, &'static str, &str) {
    (
        diagnostic.span.start,
        diagnostic.span.end,
        diagnostic.code,
        &diagnostic.message,
    )
}

/// Escape codes of a terminal, or none.
struct Style {
    on: bool,
}

impl Style {
    fn error(&self, text: &str) -> String {
        self.paint("1;31", text)
    }

    fn frame(&self, text: &str) -> String {
        self.paint("1;34", text)
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.on && !text.is_empty() {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, false)
    }
}

impl std::error::Error for Report {}

/// A list with one object per fault: file, line, column, end_line, end_column, code, path, message, text, hint.
impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.diagnostics.len()))?;
        for diagnostic in &self.diagnostics {
            list.serialize_element(&Located {
                diagnostic,
                source: &self.source,
            })?;
        }
        list.end()
    }
}

struct Located<'a> {
    diagnostic: &'a Diagnostic,
    source: &'a SourceText,
}

impl Serialize for Located<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { diagnostic, source } = self;
        let start = source.position(diagnostic.span.start);
        let end = source.position(diagnostic.span.end);
        let mut object = serializer.serialize_struct("Diagnostic", 10)?;
        object.serialize_field("file", source.file())?;
        object.serialize_field("line", &start.line)?;
        object.serialize_field("column", &start.column)?;
        object.serialize_field("end_line", &end.line)?;
        object.serialize_field("end_column", &end.column)?;
        object.serialize_field("code", diagnostic.code)?;
        object.serialize_field("path", &diagnostic.path.to_string())?;
        object.serialize_field("message", &diagnostic.message)?;
        object.serialize_field("text", &source.excerpt(&diagnostic.span))?;
        object.serialize_field("hint", &diagnostic.hint)?;
        object.end()
    }
}
