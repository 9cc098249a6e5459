//! Records on their way, and how far they are acknowledged.

use super::gtid::Executed;
use super::reader::{Position, Reader};
use crate::runtime::extract::sink::{Aside, Sink};

/// A place up to which everything is done when it is acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    pub position: Position,
    pub executed: Option<String>,
}

/// Records on their way.
pub struct Sending<'a> {
    pub sink: Sink<Option<Mark>>,
    pub aside: Aside<'a>,
    pub record_max: usize,
    /// Behind the last transaction that is complete.
    pub mark: Option<Mark>,
}

impl Sending<'_> {
    /// Adds a record; one that the stream does not take goes to a file of its own.
    #[inline]
    pub async fn push(&mut self, title: &str, seq: &str, spread: &str, line: &[u8]) -> anyhow::Result<()> {
        if line.len() + spread.len() > self.record_max {
            return self.aside.put(title, seq, line).await;
        }
        if self.sink.push(spread, line) {
            self.flush().await?;
        }
        Ok(())
    }

    /// The transaction that was read is complete.
    pub fn end(&mut self, reader: &Reader, executed: &mut Option<Executed>) {
        if let (Some(executed), Some(gtid)) = (executed.as_mut(), reader.gtid()) {
            executed.add(gtid);
        }
        self.mark = Some(Mark {
            position: reader.position(),
            executed: executed.as_ref().map(ToString::to_string),
        });
    }

    /// Sends what was added.
    pub async fn flush(&mut self) -> anyhow::Result<()> {
        if self.sink.is_waiting() {
            self.sink.send(self.mark.clone(), 0).await?;
        }
        Ok(())
    }

    /// Records acknowledged.
    pub fn rows(&self) -> u64 {
        self.sink.rows
    }

    /// Sends what was added and waits until everything is acknowledged.
    pub async fn finish(&mut self) -> anyhow::Result<()> {
        self.flush().await?;
        Ok(self.sink.finish().await?)
    }
}
