//! `backfill` on the cloud of `verify`: a range is repaired, and a run that was killed goes on.

use std::collections::BTreeSet;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::cloud::{Cloud, wait};
use crate::run::{Run, ended, signal};
use crate::verify::{ROWS, SCHEMA, verify};

const PATIENCE: Duration = Duration::from_secs(240);
const CURATED: &str = "video-events-local-curated-000000000000-us-east-1";
const FOLDER: &str = "data/video.site/backfill/";

/// Rows that `verify` found to be missing or other are there after it, and twice changes nothing.
pub fn repairs_a_range(cloud: &Cloud) {
    cloud
        .run("backfill site --from a")
        .exits(1)
        .complains("`a` is no whole number");
    cloud
        .run("backfill site --by nothing")
        .exits(1)
        .complains("it has: id, name, price, updated_at");
    cloud
        .run("backfill video_event")
        .exits(1)
        .complains("has no primary key");
    cloud
        .run("backfill site --status")
        .exits(0)
        .prints("video.site: no backfill has run");
    for _ in 0..2 {
        cloud
            .run("backfill site --from 1 --to 4400 --chunk-rows 2000")
            .exits(0)
            .prints("video.site: 4398 rows in 3 files (from 1 to 4400)");
    }
    // Each run has names of its own, since a pipe loads a name once.
    assert_eq!(cloud.keys(CURATED, FOLDER).len(), 6);
    wait("the range to be repaired", PATIENCE, || {
        let report = Run::of(
            cloud
                .command("verify site --wait 0 --ignore-extra")
                .args(["--format", "json"]),
        )
        .json();
        let table = &report["tables"][0];
        match (&table["missing"], &table["different"]) {
            (missing, different) if (missing, different) == (&json!(1), &json!(0)) => Ok(()),
            _ => Err(table.to_string()),
        }
    });
    let report = verify(cloud, "site --wait 0 --ignore-extra", 2);
    let missing = report["tables"][0]["keys"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["kind"] == "missing")
        .unwrap();
    assert_eq!(missing["key"], json!([["id", "4500"]]));
}

/// Interrupted, then killed in the middle: the same command writes the rest, each chunk once.
pub fn goes_on_after_a_kill(cloud: &Cloud) {
    let before: BTreeSet<String> = cloud.keys(CURATED, FOLDER).into_iter().collect();
    let status = || -> Value {
        Run::of(cloud.command("backfill site --status").args(["--format", "json"]))
            .exits(0)
            .json()
    };
    let stopped = |files: u64, by: Signal| {
        let mut running = cloud.start("backfill site --chunk-rows 700 --rate 700");
        wait(&format!("{files} chunks"), PATIENCE, || {
            let run = status()["run"].clone();
            if run["finished"] == false && run["files"].as_u64() >= Some(files) {
                Ok(())
            } else {
                Err(format!("{run} {:?}", running.try_wait()))
            }
        });
        signal(&running, by);
        ended(running)
    };
    stopped(1, Signal::INT)
        .exits(130)
        .complains("which stay; the same command goes on there");
    stopped(3, Signal::KILL).complains("going on behind");
    let killed = status();
    assert_eq!(killed["run"]["finished"], false, "{killed}");
    cloud
        .run("backfill site --to 10")
        .exits(1)
        .complains("a backfill of video.site of another range is unfinished: everything")
        .complains("--restart forgets it");
    let ended = Run::of(
        cloud
            .command("backfill site --chunk-rows 700")
            .args(["--format", "json"]),
    )
    .exits(0)
    .json();
    assert_eq!(ended["resumed"], killed["run"]["rows"]);
    assert_eq!(ended["run"]["rows"], ROWS - 1);
    assert_eq!(ended["run"]["files"], 8);
    let written = cloud
        .keys(CURATED, FOLDER)
        .into_iter()
        .filter(|key| !before.contains(key))
        .count();
    assert_eq!(written, 8, "a chunk was written under two names");
    cloud.run("backfill site --status").exits(0).prints("finished");
    cloud.wait_for(
        &format!("select count(*) from {SCHEMA}.SITE where ID <= {ROWS}"),
        &ROWS.to_string(),
    );
    let twice = cloud.sql(&format!("select ID from {SCHEMA}.SITE group by 1 having count(*) > 1"));
    assert_eq!(twice, Vec::<Vec<String>>::new());
}
