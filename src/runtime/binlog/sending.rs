//! Records on their way, and how far they are acknowledged.

use super::gtid::Executed;
use super::reader::{Position, Reader, Record};
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
    /// The transactions read, where the server names them.
    pub executed: Option<Executed>,
    /// Behind the last transaction that is complete.
    pub complete: Option<Position>,
}

impl Sending<'_> {
    /// Adds a record; one that the stream does not take goes to a file of its own.
    #[inline]
    pub async fn push(&mut self, title: &str, seq: &str, spread: &str, line: &[u8]) -> anyhow::Result<()> {
        if line.len() + spread.len() > self.record_max {
            // Rows of a snapshot's chunk share their `seq`.
            return self.aside.put(title, &format!("{seq}-{spread}"), line).await;
        }
        if self.sink.push(spread, line) {
            self.flush().await?;
        }
        Ok(())
    }

    /// Adds the record that was made last.
    #[inline]
    pub async fn record(&mut self, record: &Record) -> anyhow::Result<()> {
        self.push(&record.title, record.seq(), &record.spread, &record.line)
            .await
    }

    /// The transaction that was read is complete.
    pub fn end(&mut self, reader: &Reader) {
        if let (Some(executed), Some(gtid)) = (self.executed.as_mut(), reader.gtid()) {
            executed.add(gtid);
        }
        self.complete = Some(reader.position());
    }

    /// How far everything is done when what was added is acknowledged.
    pub fn mark(&self) -> Option<Mark> {
        Some(Mark {
            position: self.complete.clone()?,
            executed: self.executed.as_ref().map(ToString::to_string),
        })
    }

    /// Sends what was added.
    pub async fn flush(&mut self) -> anyhow::Result<()> {
        if self.sink.is_waiting() {
            self.sink.send(self.mark(), 0).await?;
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
