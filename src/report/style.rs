//! Colour that means something: green is made, yellow is changed, red is lost or wrong, dim is beside the point.

use std::io::IsTerminal;

/// Whether and how text is coloured.
#[derive(Debug, Clone, Copy)]
pub struct Style(bool);

impl Style {
    /// For stdout. `NO_COLOR` counts when it is not empty: <https://no-color.org>.
    pub fn of_stdout(no_color: bool) -> Self {
        Style(!no_color && !forbidden() && std::io::stdout().is_terminal())
    }

    /// For stderr.
    pub fn of_stderr(no_color: bool) -> Self {
        Style(!no_color && !forbidden() && std::io::stderr().is_terminal())
    }

    /// Without any colour.
    pub fn plain() -> Self {
        Style(false)
    }

    /// Whether text is coloured.
    pub fn is_on(&self) -> bool {
        self.0
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.0 {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// What is made or well.
    pub fn good(&self, text: &str) -> String {
        self.paint("32", text)
    }

    /// What is changed.
    pub fn change(&self, text: &str) -> String {
        self.paint("33", text)
    }

    /// What is lost or wrong.
    pub fn error(&self, text: &str) -> String {
        self.paint("1;31", text)
    }

    /// What is beside the point.
    pub fn dim(&self, text: &str) -> String {
        self.paint("2", text)
    }

    /// What is a heading.
    pub fn bold(&self, text: &str) -> String {
        self.paint("1", text)
    }
}

fn forbidden() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}
