//! One message and its objects.

use std::time::Instant;

use super::Copy;
use super::convert::{JSON_LINES, Outcome, convert};
use crate::runtime::json_lines::{Converter, GZIP, Invalid};
use crate::runtime::log::Line;
use crate::runtime::s3_event::{self, Change};
use crate::runtime::sqs::Message;
use crate::runtime::store::{Body, Place, StoreError, Version};

/// How much of a very large object is looked at before it is copied.
const LOOK: usize = 64 * 1024;

/// What was done for an object.
enum Done {
    Converted {
        target: String,
        rows: u64,
        bytes: u64,
    },
    Copied {
        target: String,
        bytes: u64,
    },
    Rejected {
        target: String,
        bytes: u64,
        invalid: Invalid,
    },
    Present {
        target: String,
    },
    Empty,
    Stale,
}

impl Copy {
    /// Does everything a message says. `false` if it must come again.
    pub async fn message(&self, message: &Message) -> bool {
        let id = &message.message_id;
        let changes = match s3_event::parse(&message.body) {
            Ok(s3_event::Body::Changes(changes)) => changes,
            Ok(s3_event::Body::Test) => {
                Line::info("ignored")
                    .message(id)
                    .detail("s3:TestEvent, which S3 sends when a notification is set up")
                    .write();
                return true;
            }
            Err(error) => {
                Line::error("unreadable").message(id).detail(error.to_string()).write();
                return false;
            }
        };
        let mut done = true;
        // All of them, also after a failure: the message may come back only to be moved to the dead-letter queue.
        for change in &changes {
            done &= self.change(id, change).await;
        }
        done
    }

    async fn change(&self, id: &str, change: &Change) -> bool {
        if change.bucket != self.plan.raw_bucket {
            let detail = format!(
                "the event is from the bucket {}, not from {}",
                change.bucket, self.plan.raw_bucket
            );
            Line::error("misrouted")
                .message(id)
                .key(&change.key)
                .detail(detail)
                .write();
            return false;
        }
        if !change.is_creation() {
            Line::info("ignored")
                .message(id)
                .key(&change.key)
                .detail(format!("{} creates nothing", change.event))
                .write();
            return true;
        }
        let begin = Instant::now();
        let (line, done) = match self.object(&change.key).await {
            Ok(done) => (done.line(), true),
            Err(error) => (
                Line::error("failed").detail(format!("{error}; the message comes again")),
                false,
            ),
        };
        line.message(id).key(&change.key).took(begin.elapsed()).write();
        done
    }

    /// Brings the newest version of an object to where it belongs.
    ///
    /// Not the version that the event names: events come late and out of order, and every later version has an event
    /// of its own, so the newest is always right and an older one never overtakes it. An object that is gone was
    /// deleted after the event.
    async fn object(&self, key: &str) -> Result<Done, StoreError> {
        let done = match self.store.open(&Place::new(&self.plan.raw_bucket, key)).await {
            Ok((version, body)) if version.size > self.plan.convert_max => self.large(&version, body).await,
            Ok((version, body)) => self.ordinary(&version, body).await,
            Err(error) => Err(error),
        };
        match done {
            Err(StoreError::Gone) => Ok(Done::Stale),
            done => done,
        }
    }

    async fn ordinary(&self, version: &Version, body: Body) -> Result<Done, StoreError> {
        let target = self.lines(version, false);
        if self.store.exists(&target).await? {
            return Ok(Done::Present { target: target.key });
        }
        match convert(&self.store, body, &target).await? {
            Outcome::Written { rows, bytes } => Ok(Done::Converted {
                target: target.key,
                rows,
                bytes,
            }),
            Outcome::Empty => Ok(Done::Empty),
            Outcome::Invalid(invalid) => self.rejected(version, invalid).await,
        }
    }

    /// An object too large to be read whole: it is copied as it is when its beginning looks right.
    async fn large(&self, version: &Version, body: Body) -> Result<Done, StoreError> {
        let head = head(body).await?;
        if let Err(invalid) = look(&head) {
            return self.rejected(version, invalid).await;
        }
        let gzipped = head.starts_with(&GZIP);
        let target = self.lines(version, gzipped);
        if self.store.exists(&target).await? {
            return Ok(Done::Present { target: target.key });
        }
        let content_type = if gzipped { "application/gzip" } else { JSON_LINES };
        self.store
            .copy_parts(version, &target, content_type, self.part_size())
            .await?;
        Ok(Done::Copied {
            target: target.key,
            bytes: version.size,
        })
    }

    async fn rejected(&self, version: &Version, invalid: Invalid) -> Result<Done, StoreError> {
        let target = self.reject(version, &invalid).await?;
        Ok(Done::Rejected {
            target,
            bytes: version.size,
            invalid,
        })
    }

    fn lines(&self, version: &Version, gzipped: bool) -> Place {
        Place::new(
            &self.plan.curated_bucket,
            &self.plan.names.lines(&version.place.key, &version.etag, gzipped),
        )
    }
}

/// The first bytes of an object. The rest of the body is dropped unread.
async fn head(mut body: Body) -> Result<Vec<u8>, StoreError> {
    let mut head = Vec::new();
    while head.len() < LOOK {
        let Some(chunk) = body.next().await? else { break };
        head.extend_from_slice(chunk.as_ref());
    }
    head.truncate(LOOK);
    Ok(head)
}

/// Whether an object may be JSON or gzipped JSON, by its beginning.
fn look(head: &[u8]) -> Result<(), Invalid> {
    let mut converter = Converter::default();
    for piece in Converter::pieces(head) {
        converter.push(piece)?;
        converter.take();
    }
    Ok(())
}

impl Done {
    fn line(&self) -> Line {
        match self {
            Self::Converted { target, rows, bytes } => {
                Line::info("converted").target(target).moved(Some(*rows), *bytes)
            }
            Self::Copied { target, bytes } => Line::info("copied")
                .target(target)
                .moved(None, *bytes)
                .detail("larger than PIPECTL_CONVERT_MAX_BYTES: copied as it is"),
            // An error although the message is done: somebody must look at the file.
            Self::Rejected { target, bytes, invalid } => {
                let place = invalid
                    .position
                    .map(|at| format!(" (line {}, column {})", at.line, at.column))
                    .unwrap_or_default();
                Line::error("rejected")
                    .target(target)
                    .moved(None, *bytes)
                    .detail(format!("{}{place}", invalid.reason))
            }
            Self::Present { target } => Line::info("present")
                .target(target)
                .detail("done before: nothing to do"),
            Self::Empty => Line::warn("empty")
                .moved(Some(0), 0)
                .detail("the file has no records: nothing written"),
            Self::Stale => Line::info("stale").detail("the object is gone: nothing to do"),
        }
    }
}
