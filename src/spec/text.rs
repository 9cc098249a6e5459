//! The source as people see it: lines, columns, snippets with a caret line, secrets hidden.

use std::ops::Range;
use std::sync::Arc;

/// What stands in place of a secret.
const MASK: &str = "********";
/// Width of a tab in a snippet; tabs are printed as spaces, so the caret fits on any terminal.
const TAB: usize = 4;
/// Characters of the offending text that are repeated in JSON.
const EXCERPT: usize = 200;

/// Line and column, both from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Character in the line, from 1.
    pub column: usize,
}

/// A source line ready to print, and where its caret goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Snippet {
    pub(crate) line: String,
    pub(crate) indent: usize,
    pub(crate) width: usize,
}

/// The text of a file, its name, and the bytes of it that must not be shown.
#[derive(Debug, Clone)]
pub(crate) struct SourceText {
    file: String,
    text: Arc<str>,
    hidden: Vec<Range<usize>>,
}

impl SourceText {
    pub(crate) fn new(file: &str, text: &str) -> Self {
        Self {
            file: file.to_owned(),
            text: Arc::from(text),
            hidden: Vec::new(),
        }
    }

    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn hidden(&self) -> &[Range<usize>] {
        &self.hidden
    }

    /// Hides these bytes from everything that is printed.
    pub(crate) fn hide(&mut self, ranges: &[Range<usize>]) {
        let clipped: Vec<_> = ranges.iter().map(|range| self.clip(range)).collect();
        self.hidden.extend(clipped);
        self.hidden.sort_by_key(|range| (range.start, range.end));
        self.hidden.dedup_by(|next, kept| {
            let joins = next.start < kept.end || next == kept;
            if joins {
                kept.end = kept.end.max(next.end);
            }
            joins
        });
    }

    /// The range inside the text and on whole characters.
    pub(crate) fn clip(&self, span: &Range<usize>) -> Range<usize> {
        let start = floor(&self.text, span.start);
        start..floor(&self.text, span.end).max(start)
    }

    pub(crate) fn slice(&self, span: &Range<usize>) -> &str {
        self.text.get(self.clip(span)).unwrap_or_default()
    }

    /// Line and column of a byte.
    pub(crate) fn position(&self, offset: usize) -> Position {
        let before = self.slice(&(0..offset));
        let line = before.matches('\n').count() + 1;
        let last = before.rsplit('\n').next().unwrap_or_default();
        Position {
            line,
            column: last.chars().count() + 1,
        }
    }

    /// The first line of the span, and the caret under it.
    pub(crate) fn snippet(&self, span: &Range<usize>) -> Snippet {
        let span = self.clip(span);
        let start = self.slice(&(0..span.start)).rfind('\n').map_or(0, |at| at + 1);
        let rest = self.slice(&(start..self.text.len()));
        let source = rest.split('\n').next().unwrap_or_default().trim_end_matches('\r');
        let mut line = String::new();
        let mut width = 0;
        let mut from = None;
        let mut to = 0;
        for (at, c) in source.char_indices().map(|(at, c)| (start + at, c)) {
            let before = width;
            width += self.push_shown(&mut line, at, c, width);
            if from.is_none() && at >= span.start {
                // A caret that starts inside a hidden value starts at its mask.
                from = Some(if width == before {
                    before.saturating_sub(MASK.len())
                } else {
                    before
                });
            }
            if at < span.end {
                to = width;
            }
        }
        let indent = from.unwrap_or(width);
        Snippet {
            line: line.trim_end().to_owned(),
            indent,
            width: to.saturating_sub(indent).max(1),
        }
    }

    /// Appends a character as it is shown and returns its width on a terminal.
    fn push_shown(&self, line: &mut String, at: usize, c: char, column: usize) -> usize {
        if let Some(range) = self.hidden.iter().find(|range| range.contains(&at)) {
            let first = range.start == at || column == 0;
            line.push_str(if first { MASK } else { "" });
            return if first { MASK.len() } else { 0 };
        }
        match c {
            '\t' => line.push_str(&" ".repeat(TAB)),
            // Control and direction characters could make a terminal show something else than the file says.
            c if is_invisible(c) => line.push('\u{fffd}'),
            c => line.push(c),
        }
        if c == '\t' { TAB } else { width_of(c) }
    }

    /// The offending text as it may be shown.
    pub(crate) fn excerpt(&self, span: &Range<usize>) -> String {
        let span = self.clip(span);
        let mut shown = String::new();
        let mut at = span.start;
        for range in self
            .hidden
            .iter()
            .filter(|range| range.start < span.end && range.end > span.start)
        {
            shown.push_str(self.slice(&(at..range.start.max(at))));
            shown.push_str(MASK);
            at = range.end.min(span.end).max(at);
        }
        shown.push_str(self.slice(&(at..span.end)));
        match shown.char_indices().nth(EXCERPT) {
            Some((cut, _)) => format!("{}…", shown.get(..cut).unwrap_or_default()),
            None => shown,
        }
    }

    /// The message without any hidden text.
    pub(crate) fn redact(&self, message: &str) -> String {
        let mut message = message.to_owned();
        for range in &self.hidden {
            let raw = self.slice(range);
            for secret in [raw, raw.trim_matches(['"', '\''])] {
                if secret.len() >= 4 {
                    message = message.replace(secret, MASK);
                }
            }
        }
        message
    }
}

fn floor(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Cells of a terminal that a character takes; near enough to Unicode's East Asian Width.
fn width_of(c: char) -> usize {
    match c {
        '\u{300}'..='\u{36f}' | '\u{fe00}'..='\u{fe0f}' => 0,
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{303e}'
        | '\u{3041}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1f64f}'
        | '\u{1f680}'..='\u{1f6ff}'
        | '\u{1f900}'..='\u{1f9ff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}
