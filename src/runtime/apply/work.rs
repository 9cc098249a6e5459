//! The files that a batch of messages tells of: each once, those of a table one after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use tokio::time::timeout_at;

use crate::runtime::deadline::Deadline;
use crate::runtime::log::Line;
use crate::runtime::s3_event::{self, Change};
use crate::runtime::sqs::Message;
use crate::snowflake::client::{Client, Statement};
use crate::snowflake::ident::Name;

/// Tables at a time: what a warehouse runs at once
/// (<https://docs.snowflake.com/en/sql-reference/parameters#max-concurrency-level>).
const TABLES_AT_ONCE: usize = 8;

/// Where files lie, and where the procedures are.
#[derive(Debug, PartialEq, Eq)]
pub struct Places {
    /// The bucket.
    pub bucket: String,
    /// Folder of all files in it.
    pub prefix: String,
    /// Database and schema of the procedures.
    pub schema: Name,
}

/// A file, as the ledger knows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct File {
    /// Its path below the folder of all files, as the stage names it.
    path: String,
    etag: String,
}

/// What became of a file.
enum Done {
    /// So many records were merged.
    Applied(u64),
    /// The ledger had it.
    Before,
    /// It comes again.
    Failed(String),
    /// There was no time left to begin.
    Deferred,
}

/// What a message asks for.
#[derive(Default)]
struct Asked {
    files: Vec<File>,
    /// Whether it asks for something that cannot be done, too; the log says what.
    fails: bool,
}

/// Does what the messages ask for and gives those that must come again.
pub async fn run<'a>(
    places: &Places,
    client: &Client,
    messages: &'a [Message],
    deadline: Deadline,
) -> Vec<&'a Message> {
    let asked: Vec<(&Message, Asked)> = messages
        .iter()
        .map(|message| (message, places.asked(message)))
        .collect();
    let mut tables: BTreeMap<Name, BTreeSet<File>> = BTreeMap::new();
    for file in asked.iter().flat_map(|(_, asked)| &asked.files) {
        tables
            .entry(places.procedure(&file.path))
            .or_default()
            .insert(file.clone());
    }
    let done: BTreeMap<File, (Name, Done, Duration)> = futures::stream::iter(tables)
        .map(|(procedure, files)| one_table(procedure, files, client, deadline))
        .buffer_unordered(TABLES_AT_ONCE)
        .flat_map(futures::stream::iter)
        .collect()
        .await;
    let failed = asked.into_iter().filter(|(message, asked)| {
        let mut fails = asked.fails;
        for file in &asked.files {
            if let Some((procedure, outcome, took)) = done.get(file) {
                places
                    .line(file, procedure, outcome)
                    .message(&message.message_id)
                    .took(*took)
                    .write();
                fails |= matches!(outcome, Done::Failed(_) | Done::Deferred);
            }
        }
        fails
    });
    failed.map(|(message, _)| message).collect()
}

/// The files of one table, by name. One that fails does not hold up the others: each says which changes are the later ones.
async fn one_table(
    procedure: Name,
    files: BTreeSet<File>,
    client: &Client,
    deadline: Deadline,
) -> Vec<(File, (Name, Done, Duration))> {
    let mut done = Vec::with_capacity(files.len());
    for file in files {
        let begin = Instant::now();
        let outcome = call(&procedure, &file, client, deadline).await;
        done.push((file, (procedure.clone(), outcome, begin.elapsed())));
    }
    done
}

/// One file, one statement. Given up at the function's limit, it is cancelled: its transaction is rolled back.
async fn call(procedure: &Name, file: &File, client: &Client, deadline: Deadline) -> Done {
    if !deadline.may_start() {
        return Done::Deferred;
    }
    let mut statement = Statement::new(format!("CALL {procedure}(?, ?)"))
        .bind(file.path.as_str())
        .bind(file.etag.as_str());
    // Snowflake stops it then by itself, should this process be gone.
    statement.timeout = Some(deadline.cut_off.saturating_duration_since(tokio::time::Instant::now()));
    match timeout_at(deadline.cut_off, client.execute(statement)).await {
        Ok(Ok(answer)) => match answer.scalar().map(str::parse) {
            Some(Ok(records)) => Done::Applied(records),
            _ => Done::Before,
        },
        Ok(Err(error)) => Done::Failed(error.to_string()),
        Err(_) => Done::Failed("it took longer than the function may".to_owned()),
    }
}

impl Places {
    fn asked(&self, message: &Message) -> Asked {
        let id = &message.message_id;
        let mut asked = Asked::default();
        match s3_event::parse(&message.body) {
            Ok(s3_event::Body::Test) => {
                let detail = "s3:TestEvent, which S3 sends when a notification is set up";
                Line::info("ignored").message(id).detail(detail).write();
            }
            Ok(s3_event::Body::Changes(changes)) => {
                for change in changes {
                    self.take(id, change, &mut asked);
                }
            }
            Err(error) => {
                Line::error("unreadable").message(id).detail(error.to_string()).write();
                asked.fails = true;
            }
        }
        asked
    }

    fn take(&self, id: &str, change: Change, asked: &mut Asked) {
        let path = change.key.strip_prefix(&self.prefix);
        let path = path.filter(|path| path.contains('/') && change.bucket == self.bucket);
        let Some(path) = path else {
            let detail = format!(
                "the event is about s3://{}/{}, which is not in a folder of s3://{}/{}",
                change.bucket, change.key, self.bucket, self.prefix
            );
            Line::error("misrouted")
                .message(id)
                .key(&change.key)
                .detail(detail)
                .write();
            asked.fails = true;
            return;
        };
        if change.is_creation() {
            asked.files.push(File {
                path: path.to_owned(),
                etag: change.etag,
            });
        } else {
            let detail = format!("{} creates nothing", change.event);
            Line::info("ignored")
                .message(id)
                .key(&change.key)
                .detail(detail)
                .write();
        }
    }

    /// The procedure of a file's folder, which is called after the words of the folder's name as the raw table is.
    fn procedure(&self, path: &str) -> Name {
        let folder = path.split('/').next().unwrap_or_default();
        self.schema.child(&format!("APPLY_{}", crate::model::feed_name(folder)))
    }

    fn line(&self, file: &File, procedure: &Name, done: &Done) -> Line {
        let line = match done {
            Done::Applied(records) => Line::info("applied").rows(*records),
            Done::Before => Line::info("present").detail("applied before: nothing to do"),
            Done::Failed(why) => Line::error("failed").detail(format!("{why}\n  the message comes again")),
            Done::Deferred => Line::warn("deferred").detail("too little time is left; the message comes again"),
        };
        line.key(&format!("{}{}", self.prefix, file.path))
            .target(&procedure.to_string())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn places() -> Places {
        Places {
            bucket: "curated".into(),
            prefix: "data/".into(),
            schema: Name::account("D").child("S_RAW"),
        }
    }

    fn message(events: &[(&str, &str, &str)]) -> Message {
        let records: Vec<_> = events
            .iter()
            .map(|(event, bucket, key)| {
                json!({"eventName": event, "s3": {"bucket": {"name": bucket}, "object": {"key": key, "eTag": "e"}}})
            })
            .collect();
        Message {
            message_id: "m".into(),
            receipt_handle: String::new(),
            body: json!({ "Records": records }).to_string(),
            attributes: Default::default(),
        }
    }

    #[test]
    fn a_file_goes_to_the_procedure_of_its_folder() {
        for (path, procedure) in [
            ("shop.orders/2026/11/21/09/a.gz", "D.S_RAW.APPLY_SHOP_ORDERS"),
            ("shop.Orders-2/large/1.jsonl", "D.S_RAW.APPLY_SHOP_ORDERS_2"),
            ("x'); DROP TABLE T; --/a", "D.S_RAW.APPLY_X_DROP_TABLE_T"),
        ] {
            assert_eq!(places().procedure(path).to_string(), procedure);
        }
    }

    #[test]
    fn what_is_not_a_new_file_of_a_folder_is_left_or_refused() {
        let put = "ObjectCreated:Put";
        let files = |events| places().asked(&message(events)).files;
        assert_eq!(
            files(&[
                (put, "curated", "data/a.b/1.gz"),
                ("ObjectRemoved:Delete", "curated", "data/a.b/0.gz")
            ]),
            [File {
                path: "a.b/1.gz".into(),
                etag: "e".into()
            }]
        );
        for (bucket, key) in [
            ("other", "data/a.b/1.gz"),
            ("curated", "errors/a.b/1.gz"),
            ("curated", "data/1.gz"),
        ] {
            let asked = places().asked(&message(&[(put, "curated", "data/a.b/1.gz"), (put, bucket, key)]));
            assert_eq!((asked.files.len(), asked.fails), (1, true), "{bucket} {key}");
        }
    }
}
