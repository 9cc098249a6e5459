//! Text that is not TOML: the parser's errors, and what may still be said of the rest.

use std::collections::BTreeSet;

use super::code;
use super::diagnostic::Diagnostic;
use super::path::Path;
use super::text::SourceText;

/// Faults that a line the parser could not read may have caused.
const DOUBTFUL: [&str; 4] = [code::MISSING_KEY, code::REQUIRED, code::TABLE, code::ENVIRONMENT];

/// Adds the parser's errors, and leaves out what is only their consequence.
pub(crate) fn join(found: Vec<Diagnostic>, errors: &[toml::de::Error], source: &SourceText) -> Vec<Diagnostic> {
    if errors.is_empty() {
        return found;
    }
    let mut lines = BTreeSet::new();
    let mut all = Vec::new();
    for error in errors {
        let diagnostic = diagnostic(error);
        let line = source.position(diagnostic.span.start).line;
        // The first error of a line is the cause; more on it are noise.
        if lines.insert(line) {
            all.push(diagnostic);
        }
    }
    // After a broken header nobody knows which table a key belongs to.
    let lost = source
        .text()
        .lines()
        .enumerate()
        .any(|(at, line)| lines.contains(&(at + 1)) && line.trim_start().starts_with('['));
    let certain = |diagnostic: &Diagnostic| {
        let is_secret = matches!(diagnostic.code, code::LITERAL_SECRET | code::SECRET_REFERENCE);
        let on_broken_line = lines.contains(&source.position(diagnostic.span.start).line);
        is_secret || !(lost || on_broken_line || DOUBTFUL.contains(&diagnostic.code))
    };
    all.extend(found.into_iter().filter(certain));
    all
}

fn diagnostic(error: &toml::de::Error) -> Diagnostic {
    let span = error.span().unwrap_or_default();
    if error.message() == "duplicate key" {
        return Diagnostic {
            code: code::DUPLICATE,
            path: Path::root(),
            span,
            message: "this key or table is already there".to_owned(),
            hint: Some("keep one of them".to_owned()),
        };
    }
    let (message, hint) = match error.message().split_once(", expected ") {
        Some((message, expected)) => (message.to_owned(), Some(format!("expected {expected}"))),
        None => (error.message().to_owned(), None),
    };
    Diagnostic {
        code: code::SYNTAX,
        path: Path::root(),
        span,
        message,
        hint,
    }
}
