//! Log lines: one JSON document per line on stdout, which CloudWatch Logs keeps and can search by field.

use std::io::Write;

use serde::Serialize;

/// One line of the log. The level of a failure is the word `ERROR`, which the log metric filter counts.
#[derive(Debug, Default, Serialize)]
pub struct Line {
    level: &'static str,
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

impl Line {
    /// Something went as it should.
    pub fn info(action: &'static str) -> Self {
        Self {
            level: "INFO",
            action,
            ..Self::default()
        }
    }

    /// Something that is worth a look but loses nothing.
    pub fn warn(action: &'static str) -> Self {
        Self {
            level: "WARN",
            action,
            ..Self::default()
        }
    }

    /// Something that somebody must look at.
    pub fn error(action: &'static str) -> Self {
        Self {
            level: "ERROR",
            action,
            ..Self::default()
        }
    }

    /// The SQS message it is about.
    pub fn message(mut self, id: &str) -> Self {
        self.message_id = Some(id.to_owned());
        self
    }

    /// The raw object it is about.
    pub fn key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    /// The key that was written.
    pub fn target(mut self, key: &str) -> Self {
        self.target = Some(key.to_owned());
        self
    }

    /// How many records and bytes were moved.
    pub fn moved(mut self, rows: Option<u64>, bytes: u64) -> Self {
        self.rows = rows;
        self.bytes = Some(bytes);
        self
    }

    /// How many records were moved.
    pub fn rows(mut self, rows: u64) -> Self {
        self.rows = Some(rows);
        self
    }

    /// How long it took.
    pub fn took(mut self, time: std::time::Duration) -> Self {
        self.ms = Some(time.as_millis().try_into().unwrap_or(u64::MAX));
        self
    }

    /// What happened, in words.
    pub fn detail(mut self, text: impl Into<String>) -> Self {
        self.detail = Some(text.into());
        self
    }

    /// Writes the line. A log that cannot be written must not fail the data, so errors are ignored.
    pub fn write(self) {
        if let Ok(mut text) = serde_json::to_vec(&self) {
            text.push(b'\n');
            let mut out = std::io::stdout().lock();
            let _ = out.write_all(&text).and_then(|()| out.flush());
        }
    }
}
