//! Records that Firehose gave up: the files that it wrote of them, and their way back to the stream.
//!
//! Firehose asks `transform` about a batch a few times, then writes its records under the error prefix, and goes on;
//! later changes of the same rows pass them by. What is loaded counts by its `seq`, so such records can go back in any
//! order, over any shard, and more than once. A file is deleted only after Kinesis has acknowledged all that was in it;
//! where some of its records stay, they are what is left of it.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;

use anyhow::Context as _;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use tokio::time::Instant;

use super::entry::{Judge, entries, text};
use crate::aws::Aws;
use crate::aws::failure::explain;
use crate::graph::mysql::stream_arn;
use crate::model::{Model, Source};
use crate::runtime::kinesis::{Batch, Stream};
use crate::status::metrics::now;

/// Files that are looked into before anything is sent.
const MOST_SHOWN: usize = 10;
/// How long Kinesis may refuse records of a batch for want of room.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where a delivery stream writes what it gave up, and where that came from.
#[derive(Debug, Clone, Serialize)]
pub struct Place {
    /// Name of the delivery stream.
    pub delivery: String,
    /// Name of the stream that it reads.
    pub stream: String,
    /// The bucket of the files.
    pub bucket: String,
    /// What the keys of the files begin with.
    pub prefix: String,
    #[serde(skip)]
    stream_arn: String,
    #[serde(skip)]
    judge: Judge,
}

impl Place {
    /// The place of a pipeline; `None` where it has no stream.
    pub fn of(model: &Model) -> Option<Self> {
        let Source::Mysql(source) = &model.source else {
            return None;
        };
        Some(Place {
            delivery: model.names.resource("delivery"),
            stream: source.stream.clone(),
            bucket: model.landing.bucket.clone(),
            prefix: model.landing.error_prefix.to_owned(),
            stream_arn: stream_arn(model, source),
            judge: Judge::of(source),
        })
    }

    /// Whether Firehose wrote an object: the names of its files begin with its own,
    /// <https://docs.aws.amazon.com/firehose/latest/dev/s3-object-name.html>.
    pub fn has(&self, key: &str) -> bool {
        let path = key.strip_prefix(&self.prefix);
        let name = path.and_then(|path| path.rsplit('/').next());
        name.and_then(|name| name.strip_prefix(&self.delivery))
            .is_some_and(|rest| rest.starts_with('-'))
    }
}

/// A file of records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct File {
    /// Its key.
    pub key: String,
    /// When it was written, in seconds since 1970.
    pub written_at: i64,
    /// What is in it, if it was looked into.
    pub content: Option<Content>,
}

/// What a file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Content {
    /// Records in it.
    pub records: u64,
    /// What Firehose says of them, and of how many.
    pub why: BTreeMap<String, u64>,
    /// Why records would stay here, and how many.
    pub stay: BTreeMap<String, u64>,
}

/// What was sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Sent {
    /// Records that the stream has again.
    pub records: u64,
    /// Files of which nothing is left.
    pub files: u64,
    /// Why records stay where they are, and how many.
    pub stay: BTreeMap<String, u64>,
}

impl Sent {
    /// Whether nothing stays.
    pub fn is_whole(&self) -> bool {
        self.stay.is_empty()
    }
}

/// The files, oldest first, with what is in the first few. With `all` also those records are to go that would be
/// refused again.
pub async fn files(aws: &Aws, place: &Place, all: bool) -> anyhow::Result<Vec<File>> {
    let request = aws.s3.list_objects_v2().bucket(&place.bucket).prefix(&place.prefix);
    let mut pages = request.into_paginator().send();
    let mut files = Vec::new();
    while let Some(page) = pages.next().await {
        let page = match page {
            Ok(page) => page,
            // Nothing is deployed.
            Err(error) if error.as_service_error().is_some_and(|error| error.is_no_such_bucket()) => break,
            Err(error) => return Err(explain(&format!("s3:ListObjectsV2 of {}", place.bucket), error)),
        };
        files.extend(page.contents().iter().filter_map(|object| {
            Some(File {
                key: object.key().filter(|key| place.has(key))?.to_owned(),
                written_at: object.last_modified()?.secs(),
                content: None,
            })
        }));
    }
    files.sort_by(|one, other| (one.written_at, &one.key).cmp(&(other.written_at, &other.key)));
    for file in files.iter_mut().take(MOST_SHOWN) {
        let object = read(aws, place, &file.key).await?;
        file.content = Some(content(&object, place.judge, all));
    }
    Ok(files)
}

/// Sends the records of the files again, one file after the other, until `stop` says so; `tell` hears what was sent so
/// far. With `all` also those go that would be refused again.
pub async fn send(
    aws: &Aws,
    place: &Place,
    files: &[File],
    all: bool,
    stop: impl Fn() -> bool,
    tell: impl Fn(&Sent),
) -> anyhow::Result<Sent> {
    let stream = Stream::new(aws.kinesis.clone(), &place.stream_arn);
    let mut sent = Sent::default();
    for file in files {
        if stop() {
            break;
        }
        send_file(aws, place, &stream, &file.key, all, &mut sent)
            .await
            .with_context(|| format!("s3://{}/{} is as it was", place.bucket, file.key))?;
        tell(&sent);
    }
    Ok(sent)
}

async fn send_file(
    aws: &Aws,
    place: &Place,
    stream: &Stream,
    key: &str,
    all: bool,
    sent: &mut Sent,
) -> anyhow::Result<()> {
    let object = read(aws, place, key).await?;
    let (mut gone, mut kept) = (0, Vec::new());
    let mut stay: BTreeMap<String, u64> = BTreeMap::new();
    let mut batch = Batch::default();
    for (document, verdict) in judged(&object, place.judge, all) {
        match verdict {
            // Any key will do: it only has to spread them.
            Ok(record) => {
                batch.push(&gone.to_string(), &record);
                gone += 1;
            }
            Err(reason) => {
                kept.extend([document, b"\n"].concat());
                *stay.entry(reason).or_default() += 1;
            }
        }
        if batch.is_full() {
            stream
                .put(std::mem::take(&mut batch), Instant::now() + PATIENCE)
                .await?;
        }
    }
    stream.put(batch, Instant::now() + PATIENCE).await?;
    if kept.is_empty() {
        let request = aws.s3.delete_object().bucket(&place.bucket).key(key);
        let failed = |error| explain("its records were sent, but s3:DeleteObject", error);
        request.send().await.map_err(failed)?;
        sent.files += 1;
    } else if gone > 0 {
        keep(aws, place, key, &kept).await?;
    }
    sent.records += gone;
    for (reason, count) in stay {
        *sent.stay.entry(reason).or_default() += count;
    }
    Ok(())
}

/// Writes what stays of a file in its place.
async fn keep(aws: &Aws, place: &Place, key: &str, kept: &[u8]) -> anyhow::Result<()> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    packer.write_all(kept)?;
    let request = aws.s3.put_object().bucket(&place.bucket).key(key);
    request
        .content_encoding("gzip")
        .body(packer.finish()?.into())
        .send()
        .await
        .map_err(|error| explain("its records were sent, but s3:PutObject of those that stay", error))?;
    Ok(())
}

/// The content of an object as text.
async fn read(aws: &Aws, place: &Place, key: &str) -> anyhow::Result<Vec<u8>> {
    let what = || format!("s3:GetObject of s3://{}/{key}", place.bucket);
    let request = aws.s3.get_object().bucket(&place.bucket).key(key);
    let answer = request.send().await.map_err(|error| explain(&what(), error))?;
    let body = answer.body.collect().await.with_context(what)?;
    text(body.to_vec()).with_context(|| format!("s3://{}/{key} cannot be decompressed", place.bucket))
}

/// The documents of a file, each with its record, or with why it stays.
fn judged(object: &[u8], judge: Judge, all: bool) -> impl Iterator<Item = (&[u8], Result<Vec<u8>, String>)> {
    let now = now();
    entries(object).map(move |(document, entry)| {
        let verdict = entry.and_then(|entry| match judge.stays(&entry, now, all) {
            None => Ok(entry.record),
            Some(reason) => Err(reason),
        });
        (document, verdict)
    })
}

fn content(object: &[u8], judge: Judge, all: bool) -> Content {
    let mut content = Content::default();
    for (_, entry) in entries(object) {
        content.records += 1;
        let stays = match entry {
            Ok(entry) => {
                let stays = judge.stays(&entry, now(), all);
                *content.why.entry(entry.why).or_default() += 1;
                stays
            }
            Err(reason) => Some(reason),
        };
        if let Some(reason) = stays {
            *content.stay.entry(reason).or_default() += 1;
        }
    }
    content
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_firehose_are_told_from_those_of_others() {
        let place = Place {
            delivery: "shop-dev-delivery".into(),
            stream: "shop-dev-changes".into(),
            bucket: "curated".into(),
            prefix: "errors/".into(),
            stream_arn: String::new(),
            judge: Judge::Binlog,
        };
        for (key, is_its) in [
            (
                "errors/processing-failed/2026/11/21/shop-dev-delivery-1-2026-11-21-20-00-00-0a1b.gz",
                true,
            ),
            ("errors/format-conversion-failed/shop-dev-delivery-1-x", true),
            ("errors/shop.orders/large/0-1.jsonl", false),
            ("errors/processing-failed/other-1-x.gz", false),
            ("errors/processing-failed/shop-dev-delivery2-1-x.gz", false),
            ("data/shop.orders/shop-dev-delivery-1-x.gz", false),
        ] {
            assert_eq!(place.has(key), is_its, "{key}");
        }
    }
}
