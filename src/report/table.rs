//! Tables that align, and at a terminal stay within it.

use std::io::IsTerminal;

/// Less room than this for the last column puts it on lines of its own.
const LEAST: usize = 30;
/// How far such lines are indented.
const INDENT: usize = 6;

/// Rows under headings, columns as wide as their widest value, two spaces between; at a terminal the last column is
/// wrapped between words.
pub fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let terminal = std::io::stdout()
        .is_terminal()
        .then(terminal_size::terminal_size)
        .flatten();
    within(headings, rows, terminal.map(|(width, _)| usize::from(width.0)))
}

fn within(headings: &[&str], rows: &[Vec<String>], limit: Option<usize>) -> String {
    let mut widths: Vec<usize> = headings.iter().map(|heading| length(heading)).collect();
    for row in rows {
        for (width, value) in widths.iter_mut().zip(row) {
            *width = (*width).max(length(value));
        }
    }
    widths.pop();
    let start: usize = widths.iter().map(|width| width + 2).sum();
    let line = |values: Vec<&str>| {
        let mut line = String::new();
        for (value, width) in values.iter().zip(&widths) {
            line.push_str(value);
            line.push_str(&" ".repeat(width.saturating_sub(length(value)) + 2));
        }
        let last = values.get(widths.len()).copied().unwrap_or_default();
        match limit {
            Some(limit) if start + length(last) > limit => {
                let indent = if limit >= start + LEAST { start } else { INDENT };
                let wrapped = wrap(last, limit.saturating_sub(indent).max(1));
                let margin = format!("\n{}", " ".repeat(indent));
                let first = if indent == start { "" } else { margin.as_str() };
                line = format!("{}{first}{}", line_end(&line, first), wrapped.join(&margin));
            }
            _ => line.push_str(last),
        }
        line.trim_end().to_owned() + "\n"
    };
    let mut text = line(headings.to_vec());
    for row in rows {
        text.push_str(&line(row.iter().map(String::as_str).collect()));
    }
    text
}

/// Blanks before a line's end are no use to anybody.
fn line_end<'a>(line: &'a str, next: &str) -> &'a str {
    if next.is_empty() { line } else { line.trim_end() }
}

/// Lines of at most `width` characters; a word that is longer stays whole.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if length(line) + 1 + length(word) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Characters that are seen: colour takes no room.
fn length(text: &str) -> usize {
    let mut seen = 0;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character == '\x1b' {
            characters.by_ref().find(|character| *character == 'm');
        } else {
            seen += 1;
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::within;

    fn rows(rows: &[[&str; 2]]) -> Vec<Vec<String>> {
        rows.iter().map(|row| row.map(str::to_owned).to_vec()).collect()
    }

    #[test]
    fn columns_align_whatever_the_letters_and_colours() {
        let rows = rows(&[["é", "1"], ["\x1b[32mlonger\x1b[0m", "2"]]);
        let text = within(&["NAME", "N"], &rows, None);
        assert_eq!(text, "NAME    N\né       1\n\x1b[32mlonger\x1b[0m  2\n");
    }

    #[test]
    fn a_terminal_is_not_exceeded() {
        let words = "one two three four five six seven eight";
        let text = within(&["A", "B"], &rows(&[["name", words]]), Some(36));
        assert_eq!(text, "A     B\nname  one two three four five six\n      seven eight\n");
        // Too little room beside the name.
        let text = within(&["A", "B"], &rows(&[["a-name-of-twenty-four-xx", words]]), Some(36));
        assert_eq!(
            text,
            "A                         B\na-name-of-twenty-four-xx\n      one two three four five six\n      seven eight\n"
        );
        assert_eq!(within(&["A", "B"], &rows(&[["a", "b"]]), Some(36)), "A  B\na  b\n");
    }
}
