//! Chinook from MySQL into its star, while the source changes at random and everything on the way fails once.
//!
//! What the warehouse must hold is asked of the source in plain SQL. Tables there keep the last state of every row that
//! ever was (a watermark sees no delete) and each state of a customer. A row is deleted, and a customer changed again,
//! only after a reading has seen it, so what there is to know does not depend on when the readings are.

mod batches;
mod source;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cloud::{Cloud, Iam, wait};
use crate::database::Database;
use crate::kinesis::{BadDay, Day};
use batches::Batches;
use source::{NAMES, Source};

const PATIENCE: Duration = Duration::from_secs(240);
const CURATED: &str = "chinook-star-local-curated-000000000000-us-east-1";
const DELIVERY: &str = "chinook-star-local-delivery";
/// Batches of changes, and how many of them come between two readings that are waited for.
const BATCHES: usize = 50;
const AT_ONCE: usize = 8;

#[test]
fn totals_are_those_of_the_source_whatever_fails_on_the_way() {
    let cloud = Cloud::up_for(Iam::Off, "mysql-chinook");
    cloud.run("deploy --yes").exits(0);
    let kinesis = BadDay::before(&cloud, "chinook-star-local-extract");
    let source = Source::load(Database::of_stack(&cloud, "chinook-star-local-source"));
    let mut batches = Batches::new();
    let world = World { cloud, source, kinesis };

    world.throttled_from_the_first_reading_on();
    world.change(&mut batches, AT_ONCE);
    world.kinesis.set(Day::Good);
    world.change(&mut batches, AT_ONCE);
    world.is_right();
    world.killed_in_mid_batch(&mut batches);
    world.change(&mut batches, AT_ONCE);
    world.delivery_fails(|| world.change(&mut batches, AT_ONCE));
    world.a_run_of_the_star_fails(|| world.change(&mut batches, AT_ONCE));
    let left = BATCHES - batches.made();
    world.change(&mut batches, left);
    world.files_come_again();
    world.is_right();
    assert_eq!(batches.made(), BATCHES);
}

struct World {
    cloud: Cloud,
    source: Source,
    kinesis: Arc<BadDay>,
}

impl World {
    /// So many batches of changes, and then a reading of every table.
    fn change(&self, batches: &mut Batches, count: usize) {
        for _ in 0..count {
            self.source.run(&batches.next());
        }
        self.everything_is_read();
    }

    fn everything_is_read(&self) {
        let newest = self.source.newest();
        let path = "/pipectl/chinook-star/local/watermark/";
        wait("every table to be read", PATIENCE, || {
            let known = self.cloud.aws("ssm", "get_parameters_by_path", json!({ "Path": path }));
            let known = known["Parameters"].as_array().cloned().unwrap_or_default();
            let read = |table: &str| {
                let name = format!("{path}Chinook.{table}");
                let state = known.iter().find(|parameter| parameter["Name"] == name)?["Value"]
                    .as_str()?
                    .to_owned();
                let state: Value = serde_json::from_str(&state).unwrap();
                // A reading that goes on in the next invocation has not read everything yet.
                state["pass"].is_null().then(|| match &state["value"] {
                    Value::Array(values) => values[0].clone(),
                    value => value.clone(),
                })
            };
            let late: Vec<_> = newest
                .iter()
                .filter(|(table, at)| read(table) != Some(json!(at)))
                .collect();
            if late.is_empty() {
                Ok(())
            } else {
                Err(format!("{late:?} are not read: {known:?}"))
            }
        });
        self.source.seen();
    }

    /// Amounts, dates, versions and names: each row of the source is there once.
    fn is_right(&self) {
        for (what, expected, found) in source::QUESTIONS {
            let mut expected = self.source.rows(expected);
            expected.sort();
            assert!(!expected.is_empty(), "{what}");
            let found = found.replace("{db}", "CHINOOK_STAR_LOCAL.MUSIC");
            wait(what, PATIENCE, || {
                let mut rows = self.cloud.sql(&found);
                rows.sort();
                if rows == expected {
                    return Ok(());
                }
                let missing: Vec<_> = expected.iter().filter(|row| !rows.contains(row)).take(5).collect();
                let wrong: Vec<_> = rows.iter().filter(|row| !expected.contains(row)).take(5).collect();
                Err(format!(
                    "{} rows for {}; missing {missing:?}, wrong {wrong:?}",
                    rows.len(),
                    expected.len()
                ))
            });
        }
        let failures = "select distinct TASK_NAME, ERROR_MESSAGE from CHINOOK_STAR_LOCAL.MUSIC_RAW.LOAD_FAILURES where FAILED_AT is not null";
        let unforeseen: Vec<_> = self
            .cloud
            .sql(failures)
            .into_iter()
            .filter(|row| !row[1].contains("Insufficient privileges"))
            .collect();
        assert!(unforeseen.is_empty(), "{unforeseen:?}");
    }

    /// The first reading is of 6,000 rows, a third of which the stream refuses each time.
    fn throttled_from_the_first_reading_on(&self) {
        self.everything_is_read();
        assert!(
            self.kinesis.refused() > 1000,
            "only {} records refused",
            self.kinesis.refused()
        );
    }

    /// The process is killed when the stream has a part of a reading, and the next schedule reads it again.
    fn killed_in_mid_batch(&self, batches: &mut Batches) {
        self.kinesis.set(Day::Kills(2));
        // Five requests for one table.
        self.source.run("UPDATE InvoiceLine SET Quantity = Quantity + 1");
        self.source.run(&batches.next());
        self.everything_is_read();
        assert!(self.kinesis.kills() > 0, "nothing was killed");
    }

    /// Firehose can write nothing for a while, and records that are none come on the stream.
    fn delivery_fails(&self, meanwhile: impl FnOnce()) {
        let describe = || {
            let asked = json!({ "DeliveryStreamName": DELIVERY });
            self.cloud.aws("firehose", "describe_delivery_stream", asked)["DeliveryStreamDescription"].clone()
        };
        let write_to = |bucket: &str| {
            let stream = describe();
            let update = json!({ "DeliveryStreamName": DELIVERY, "CurrentDeliveryStreamVersionId": stream["VersionId"],
                "DestinationId": stream["Destinations"][0]["DestinationId"],
                "ExtendedS3DestinationUpdate": { "BucketARN": format!("arn:aws:s3:::{bucket}") } });
            self.cloud.aws("firehose", "update_destination", update);
        };
        write_to("chinook-star-nowhere");
        for record in ["no JSON", "{\"schema\":\"Chinook\"}"] {
            let record = json!({ "StreamName": "chinook-star-local-changes", "PartitionKey": "bad", "Data": record });
            self.cloud.aws("kinesis", "put_record", record);
        }
        meanwhile();
        write_to(CURATED);
        wait("the bad records to be set aside", PATIENCE, || {
            match self.cloud.keys(CURATED, "errors/processing-failed/").len() {
                0 => Err("none".to_owned()),
                _ => Ok(()),
            }
        });
    }

    /// A task in the middle of the star may not do what it must, until somebody deploys again.
    fn a_run_of_the_star_fails(&self, meanwhile: impl FnOnce()) {
        let fact = "CHINOOK_STAR_LOCAL.MUSIC.FACT_INVOICE_LINE";
        self.cloud.sql(&format!(
            "REVOKE UPDATE ON TABLE {fact} FROM ROLE CHINOOK_STAR_LOCAL_LOADER"
        ));
        meanwhile();
        let failed = "select count(*) > 0 from CHINOOK_STAR_LOCAL.MUSIC_RAW.LOAD_FAILURES where TASK_NAME = 'FACT_FACT_INVOICE_LINE'";
        self.cloud.wait_for(failed, "true");
        // The grant comes back, and a root that Snowflake has suspended after ten failures runs again.
        self.cloud.run("deploy --yes").exits(0);
    }

    /// Files of before under new names, the newest first; the same ones written again; and all that is there, again.
    fn files_come_again(&self) {
        let mut keys = self.cloud.keys(CURATED, "data/");
        keys.sort_by_key(|key| std::cmp::Reverse(key.rsplit('/').next().map(str::to_owned)));
        let some: Vec<&String> = keys.iter().step_by(keys.len().div_ceil(40)).collect();
        for key in &some {
            let (folder, name) = key.rsplit_once('/').unwrap();
            let copied = json!({ "Bucket": CURATED, "Key": format!("{folder}/again-{name}"), "CopySource": { "Bucket": CURATED, "Key": key } });
            self.cloud.aws("s3", "copy_object", copied);
        }
        for table in NAMES {
            let prefix = format!("data/Chinook.{table}/");
            let key = some.iter().find(|key| key.starts_with(&prefix)).unwrap_or(&some[0]);
            let same = json!({ "Bucket": CURATED, "Key": key, "CopySource": { "Bucket": CURATED, "Key": key }, "MetadataDirective": "REPLACE" });
            self.cloud.aws("s3", "copy_object", same);
        }
        let pipes = self.cloud.sql("SHOW PIPES IN SCHEMA CHINOOK_STAR_LOCAL.MUSIC_RAW");
        assert_eq!(pipes.len(), NAMES.len());
        for pipe in pipes {
            self.cloud
                .sql(&format!("ALTER PIPE CHINOOK_STAR_LOCAL.MUSIC_RAW.{} REFRESH", pipe[1]));
        }
        let again = "select count(distinct FILE_NAME) from CHINOOK_STAR_LOCAL.MUSIC_RAW.RAW_CHINOOK_INVOICELINE where FILE_NAME like '%/again-%'";
        let expected = some
            .iter()
            .filter(|key| key.contains("/Chinook.InvoiceLine/") || key.contains("Chinook.InvoiceLine/"))
            .count();
        self.cloud.wait_for(again, &expected.to_string());
    }
}
