//! Every alarm of a database's pipeline: it goes off, its mail says what somebody needs, and its end is told.
//!
//! One cloud for all of them, with IAM enforced: most is broken by taking a right away, and mended by giving it back.

use std::time::Duration;

use serde_json::{Value, json};

use crate::alerts::{ALERTS, mails};
use crate::cloud::{Cloud, Iam, wait};
use crate::database::Database;
use crate::policies::{Policy, policies};

const PATIENCE: Duration = Duration::from_secs(240);
const CURATED: &str = "video-events-local-curated-000000000000-us-east-1";
const STREAM: &str = "video-events-local-changes";
const EVENTS: &str = "VIDEO_EVENTS_LOCAL.VIDEO.VIDEO_EVENT";

#[test]
fn every_alarm_goes_off_and_ends() {
    let cloud = Cloud::up_for(Iam::Enforced, "mysql-star");
    let alerts = ALERTS.replace("\n\n[source]", "\nabsent_after = \"5 minutes\"\n\n[source]");
    cloud.edit("[source]", &alerts);
    cloud.edit("schedule = \"5 minutes\"", "schedule = \"3 minutes\"");
    cloud.run("deploy --yes").exits(0);
    let world = World {
        policies: policies(&cloud),
        database: Database::of(&cloud),
        cloud,
    };
    world.nothing_is_read();
    world.nothing_arrives();
    world.rows_are_wrong();
    world.the_task_graph_stands_still();
    world.the_function_hangs();
}

struct World {
    cloud: Cloud,
    policies: Vec<Policy>,
    database: Database,
}

impl World {
    /// No table to read, a stream that Firehose may not read, an alarm that could not be told.
    fn nothing_is_read(&self) {
        let read = self.without("DeliveryRole", "ReadStream");
        let record = json!({ "op": "u", "schema": "video", "table": "other", "key": { "id": 1 }, "seq": "1", "ts": "2026-01-01T00:00:00Z", "after": {} });
        let put = json!({ "StreamName": STREAM, "PartitionKey": "1", "Data": format!("{record}\n") });
        self.cloud.aws("kinesis", "put_record", put);
        let dead = self.cloud.queue_url("video-events-local-alert-dead-letters");
        let given_up = json!({ "QueueUrl": dead, "MessageBody": "given up" });
        self.cloud.aws("sqs", "send_message", given_up);

        let mail = self.told("extract-errors", &["last error lines:", "video.video_init"]);
        whole(&mail, "extract-errors");
        self.told("extract-rejections", &["last error lines:"]);
        self.told(
            "ALARM delivery-absence",
            &["No change came from the database for 5 minutes"],
        );
        self.told("ALARM delivery-iterator-age", &["Changes have waited on the stream"]);
        self.told("ALARM delivery-freshness", &["Changes have waited"]);
        self.told("ALARM alert-dead-letter-depth", &["could not be told"]);

        self.give(&read);
        self.cloud.aws("sqs", "purge_queue", json!({ "QueueUrl": dead }));
        self.database.run(
            "CREATE TABLE video.video_init (`DATETIME` VARCHAR(30) NOT NULL, VIDEOTITLE VARCHAR(200), EVENTS VARCHAR(150),
             CREATE_TIME TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, KEY (CREATE_TIME))",
        );
        self.insert("first");
        for hop in [
            "extract-errors",
            "extract-rejections",
            "delivery-absence",
            "delivery-iterator-age",
            "delivery-freshness",
            "alert-dead-letter-depth",
        ] {
            self.told(&format!("RECOVERED {hop}"), &[]);
        }
        self.was_one_alarm("extract-errors");
        self.arrives("first");
    }

    /// Firehose may not write, and the scheduler may not call.
    fn nothing_arrives(&self) {
        let write = self.without("DeliveryRole", "WriteCurated");
        self.insert("second");
        self.told("ALARM delivery-failures", &["Firehose could not write to"]);
        let call = self.without("ScheduleRole", "Extract");
        self.told("ALARM schedule-errors", &["could not be called"]);
        self.give(&write);
        self.give(&call);
        self.told("RECOVERED delivery-failures", &[]);
        self.told("RECOVERED schedule-errors", &[]);
        self.arrives("second");
    }

    /// A file that is none, and rows that the loader may not write.
    fn rows_are_wrong(&self) {
        self.cloud
            .put(CURATED, "data/video.video_init/broken.jsonl", "{\"op\": ");
        let mail = self.told("FAILED pipe VIDEO_EVENTS_LOCAL", &["last error lines:", "broken.jsonl"]);
        whole(&mail, "pipe VIDEO_EVENTS_LOCAL");
        self.cloud.sql(&format!(
            "REVOKE INSERT ON TABLE {EVENTS} FROM ROLE VIDEO_EVENTS_LOCAL_LOADER"
        ));
        self.insert("third");
        let mail = self.told(
            "FAILED task VIDEO_EVENTS_LOCAL.VIDEO_RAW.LOAD_VIDEO_EVENT",
            &["Insufficient privileges"],
        );
        whole(&mail, "task VIDEO_EVENTS_LOCAL");
        self.cloud.run("deploy --yes").exits(0);
        self.arrives("third");
        let again = "RECOVERED task VIDEO_EVENTS_LOCAL.VIDEO_RAW.LOAD_VIDEO_EVENT";
        self.told(again, &["What failed before runs again"]);
    }

    /// The graph is suspended, and rows come.
    fn the_task_graph_stands_still(&self) {
        self.cloud.sql("ALTER TASK VIDEO_EVENTS_LOCAL.VIDEO_RAW.LOAD SUSPEND");
        self.insert("late");
        let hop = "task graph VIDEO_EVENTS_LOCAL.VIDEO_RAW.LOAD";
        let mail = self.told(
            &format!("ALARM {hop}"),
            &["Rows have waited for 15 minutes", "is suspended"],
        );
        whole(&mail, hop);
        self.cloud.run("deploy --yes").exits(0);
        self.arrives("late");
        self.told(&format!("RECOVERED {hop}"), &["Loads run again"]);
        // The task that watches is mended as the graph is.
        self.cloud
            .sql("ALTER TASK VIDEO_EVENTS_LOCAL.VIDEO_RAW.WATCH_LOADS SUSPEND");
        self.cloud.run("deploy --yes").exits(0);
        self.cloud.run("diff").exits(0).prints("no change");
    }

    /// A reading that waits for a lock until the function's time is over.
    fn the_function_hangs(&self) {
        let before = moment(&self.told("RECOVERED extract-errors", &[]));
        let function = "video-events-local-extract";
        let limit = |seconds: u32| {
            let changed = json!({ "FunctionName": function, "Timeout": seconds });
            self.cloud.aws("lambda", "update_function_configuration", changed);
        };
        let mut session = self.database.session();
        session.run("LOCK TABLES video.video_init WRITE");
        limit(1);
        self.told_after(&before, "extract-errors", &["timed out"]);
        drop(session);
        limit(900);
        self.insert("fourth");
        self.arrives("fourth");
    }

    /// It did not end between two readings that failed.
    fn was_one_alarm(&self, hop: &str) {
        let asked = json!({ "AlarmName": format!("video-events-local-{hop}"), "HistoryItemType": "StateUpdate" });
        let history = self.cloud.aws("cloudwatch", "describe_alarm_history", asked);
        let summaries = history["AlarmHistoryItems"].as_array().unwrap().iter();
        let on = summaries.filter(|item| item["HistorySummary"].as_str().unwrap().ends_with("to ALARM"));
        assert_eq!(on.count(), 1, "{history}");
    }

    /// Waits for a mail of this hop that has these words, too.
    fn told(&self, hop: &str, words: &[&str]) -> Value {
        self.told_after("", hop, words)
    }

    fn told_after(&self, before: &str, hop: &str, words: &[&str]) -> Value {
        let mut found = Value::Null;
        wait(&format!("a mail of {hop} with {words:?}"), PATIENCE, || {
            let all = mails(&self.cloud);
            let later = all
                .iter()
                .filter(|mail| before.is_empty() || moment(mail).as_str() > before);
            let fits = |mail: &&Value| {
                let text = mail["BodyText"].as_str().unwrap_or_default();
                let part = text
                    .split("\n\n")
                    .find(|part| part.lines().next().is_some_and(|line| line.contains(hop)));
                part.is_some_and(|part| words.iter().all(|word| part.contains(word)))
            };
            match later.clone().find(fits) {
                Some(mail) => {
                    found = mail.clone();
                    Ok(())
                }
                None => Err(later
                    .map(|mail| mail["BodyText"].as_str().unwrap_or_default())
                    .collect::<Vec<_>>()
                    .join("\n---\n")),
            }
        });
        found
    }

    /// Takes a statement out of a role's policy; gives the role and what was there.
    fn without(&self, role: &str, sid: &str) -> (usize, Vec<Value>) {
        let of_role = |policy: &Policy| policy.resource == role && policy.sids.iter().any(|found| found == sid);
        let place = self.policies.iter().position(of_role).unwrap();
        let policy = &self.policies[place];
        let whole = policy.read(&self.cloud)["Statement"].as_array().unwrap().clone();
        let left: Vec<Value> = whole
            .iter()
            .filter(|statement| statement["Sid"] != sid)
            .cloned()
            .collect();
        policy.write(&self.cloud, &left);
        (place, whole)
    }

    fn give(&self, (place, statements): &(usize, Vec<Value>)) {
        self.policies[*place].write(&self.cloud, statements);
    }

    fn insert(&self, title: &str) {
        self.database.run(&format!(
            "INSERT INTO video.video_init (`DATETIME`, VIDEOTITLE) VALUES ('now', '{title}')"
        ));
    }

    fn arrives(&self, title: &str) {
        let count = format!("select count(*) from {EVENTS} where TITLE = '{title}'");
        assert!(self.cloud.comes_to(&count, "1", PATIENCE), "{title} does not arrive");
    }
}

/// When a mail was sent, as the capture writes it.
fn moment(mail: &Value) -> String {
    mail["Timestamp"].to_string()
}

/// A mail says pipeline, hop, since when, what next, as text and as HTML.
fn whole(mail: &Value, hop: &str) {
    let (text, html) = (mail["BodyText"].as_str().unwrap(), mail["BodyHtml"].as_str().unwrap());
    for body in [text, html] {
        for word in ["video-events", hop, " UTC", "pipectl status --env local"] {
            assert!(body.contains(word), "no {word} in {body}");
        }
    }
    assert!(text.contains("  since ") || text.contains("  at "), "{text}");
    assert!(html.starts_with("<") && html.contains("<td>"), "{html}");
    assert_eq!(mail["To"], json!(["ops@example.com"]));
}
