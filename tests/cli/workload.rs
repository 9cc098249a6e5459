//! A random workload on one server, read by two pipelines, one for each way to load, while everything on the way fails. After
//! each seed every table of both warehouses equals its source, by key and column; the next seed goes on from there.
//!
//! `PIPECTL_WORKLOAD_CHANGES` is how many rows change at least for a seed (100,000), `PIPECTL_WORKLOAD_SEEDS` the seeds that both
//! servers get, numbers with commas.

mod changes;
mod tables;

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cloud::{Cloud, Iam, wait, wait_looking_every};
use crate::database::Database;
use crate::kinesis::{BadDay, Day, kill};
use crate::servers::Kind;
use crate::verify::verify;
use changes::Changes;
use tables::{LATE, TABLES};

const PATIENCE: Duration = Duration::from_secs(900);
/// Between two looks at what a busy warehouse must be asked for.
const PAUSE: Duration = Duration::from_secs(1);
const CHANGES: &str = "100000";
/// Transactions of one script, about 1,000 changes of rows.
const AT_ONCE: usize = 20;
/// A process is killed, and everything else happens, once in so many changes; at most and at least so often.
const CHANGES_OF_A_ROUND: usize = 5000;
const ROUNDS: (usize, usize) = (4, 20);
/// Files of a pipeline that come twice in a round.
const TWICE: u64 = 2;
/// Sixty times as fast here. What a warehouse does for a file it does for few files.
const BUFFER_SECONDS: u32 = 900;
const SCHEDULE: &str = "15 minutes";
/// The database of the first pipeline, which makes it.
const CREATED: &str = "create = { name = \"shop\" }";
/// A line of the reader's settings.
const SETTING: &str = "PIPECTL_DATABASE_TLS='verify'\n";

#[test]
fn tables_equal_their_mariadb_source_after_random_changes_and_failures() {
    tables_equal_their_source(Kind::MariaDb, "1,2");
}

#[test]
fn tables_equal_their_mysql_source_after_random_changes_and_failures() {
    tables_equal_their_source(Kind::MySql, "3");
}

fn tables_equal_their_source(server: Kind, seeds: &str) {
    let setting = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let changes = setting("PIPECTL_WORKLOAD_CHANGES", CHANGES).parse().unwrap();
    let seeds = setting("PIPECTL_WORKLOAD_SEEDS", seeds);
    let world = World::on(server);
    for seed in seeds.split(',') {
        world.suffers(seed.parse().unwrap(), changes);
    }
    world.everything_comes_again();
    world.is_equal();
    world.says("still equal");
    world.verify_agrees();
    world.says("verified");
}

/// A pipeline, by its way to load.
struct Way {
    name: &'static str,
    kinesis: Arc<BadDay>,
}

impl Way {
    fn schema(&self) -> String {
        format!("WORKLOAD_{}_LOCAL.MAIN", self.name.to_uppercase())
    }

    /// The name of something that the pipeline makes.
    fn own(&self, what: &str) -> String {
        format!("workload-{}-local-{what}", self.name)
    }

    fn bucket(&self) -> String {
        self.own("curated-000000000000-us-east-1")
    }
}

struct World {
    cloud: Cloud,
    database: Database,
    server: Kind,
    ways: [Way; 2],
    changes: RefCell<Changes>,
    /// How many late columns there are.
    late: Cell<usize>,
    /// What the source's section of the second pipeline's file says.
    login: String,
    started: Instant,
}

/// The file of a pipeline, by its way to load; `database` is that of the source's section.
fn file(load: &str, database: &str, late: usize) -> String {
    let tables: String = TABLES.iter().map(|table| table.section(late)).collect();
    format!(
        "version = 1\n\n[pipeline]\nname = \"workload-{load}\"\n\n[source]\ntype = \"mysql\"\ncapture = \"binlog\"\nbuffer_seconds = {BUFFER_SECONDS}\n{database}\n\n\
         [snowflake]\nschema = \"MAIN\"\nschedule = \"{SCHEDULE}\"\nload = \"{load}\"\n\n{tables}"
    )
}

fn deploy(cloud: &Cloud, file: &str) {
    std::fs::write(cloud.file(), file).unwrap();
    cloud.run("deploy --yes").exits(0);
}

impl World {
    /// Both pipelines and the tables. The one reader finds the tables empty and later full, the other one full.
    fn on(server: Kind) -> Self {
        let cloud = Cloud::up_on(Iam::Off, "mysql-cdc", server);
        deploy(&cloud, &file("snowpipe", CREATED, 0));
        let database = Database::of_stack(&cloud, "workload-snowpipe-local-source");
        let changes = RefCell::new(Changes::new(0, 0));
        let created: String = TABLES.iter().map(tables::Table::create).collect();
        let first = changes.borrow_mut().first_rows();
        database.script(&format!("USE shop;\n{created}{first}"));
        let login = format!(
            "database = {{ host = \"127.0.0.1\", port = {}, secret = \"secretsmanager:{}\" }}",
            database.run("SELECT @@port").trim(),
            database.secret
        );
        deploy(&cloud, &file("procedure", &login, 0));
        let ways = ["snowpipe", "procedure"].map(|name| Way {
            name,
            kinesis: BadDay::start(&cloud),
        });
        // What a function was given that died before it began comes again after half an hour; the local queue's clock runs no
        // faster.
        let url = cloud.queue_url(&ways[1].own("apply"));
        let sooner = json!({ "QueueUrl": url, "Attributes": { "VisibilityTimeout": "30" } });
        cloud.aws("sqs", "set_queue_attributes", sooner);
        let world = Self {
            cloud,
            database,
            server,
            ways,
            changes,
            late: Cell::new(0),
            login,
            started: Instant::now(),
        };
        world.redirect_readers();
        world
    }

    fn says(&self, what: &str) {
        eprintln!("{:?}: {what} after {:.0?}", self.server, self.started.elapsed());
    }

    /// The changes of a seed, and everything that may happen meanwhile.
    fn suffers(&self, seed: u64, changes: usize) {
        self.says(&format!("seed {seed}, {changes} changes"));
        self.changes.replace(Changes::new(seed, self.late.get()));
        let before = self
            .ways
            .each_ref()
            .map(|way| (way.kinesis.refused(), way.kinesis.kills()));
        let rounds = (changes / CHANGES_OF_A_ROUND).clamp(ROUNDS.0, ROUNDS.1);
        let mut functions_killed = 0;
        for round in 0..rounds {
            self.day(|_| Day::Kills(1 + self.below(3)));
            self.change(changes.div_ceil(2 * rounds));
            self.readers_were_killed(&before.each_ref().map(|(_, kills)| kills + round + 1));
            self.day(|_| Day::Throttled);
            if round == rounds / 2 {
                self.a_column_comes();
            }
            let truncation = self.changes.borrow_mut().truncate();
            self.database.script(&format!("USE shop;\n{truncation}"));
            self.change(changes.div_ceil(2 * rounds));
            functions_killed += self.kill_functions();
            self.some_files_come_again(round);
            self.day(|_| Day::Good);
            // Readers die with much before them, and with nothing.
            if round % 2 == 0 {
                self.everything_is_read();
            }
            self.says(&format!("round {} of {rounds}", round + 1));
        }
        for (way, (refused, _)) in self.ways.iter().zip(&before) {
            assert!(way.kinesis.refused() > *refused, "{}: nothing was refused", way.name);
        }
        assert!(functions_killed > 0);
        self.is_equal();
        self.says("equal");
        self.nothing_was_set_aside();
    }

    /// Deploys both pipelines with so many late columns.
    fn deploy(&self, late: usize) {
        for way in &self.ways {
            deploy(&self.cloud, &self.file(way, late));
        }
    }

    fn file(&self, way: &Way, late: usize) -> String {
        match way.name {
            "snowpipe" => file(way.name, CREATED, late),
            _ => file(way.name, &self.login, late),
        }
    }

    fn below(&self, end: u64) -> usize {
        usize::try_from(self.changes.borrow_mut().below(end)).unwrap()
    }

    fn day(&self, day: impl Fn(&Way) -> Day) {
        self.ways.iter().for_each(|way| way.kinesis.set(day(way)));
    }

    /// Random transactions until so many rows have changed.
    fn change(&self, rows: usize) {
        let mut changed = 0;
        while changed < rows {
            let script = self.changes.borrow_mut().script(AT_ONCE);
            let told = self.database.script(&format!("USE shop;\n{script}"));
            changed += told.trim().parse::<usize>().unwrap();
        }
    }

    /// Has the readers send to servers of this test, and read the first rows in small chunks. A deploy takes it back.
    fn redirect_readers(&self) {
        for way in &self.ways {
            let stack = json!({ "StackName": way.own("reader") });
            let template = self.cloud.aws("cloudformation", "get_template", stack.clone())["TemplateBody"].clone();
            let template = template.as_str().map_or_else(|| template.to_string(), str::to_owned);
            if template.contains(&way.kinesis.endpoint) {
                continue;
            }
            // The lines of a block in YAML begin alike.
            let (before, _) = template.split_once(SETTING).expect("the reader's settings");
            let margin = before.rsplit('\n').next().unwrap();
            let own = format!(
                "{SETTING}{margin}AWS_ENDPOINT_URL_KINESIS='{}'\n{margin}PIPECTL_CHUNK_ROWS='40'\n",
                way.kinesis.endpoint
            );
            let known = self.cloud.aws("cloudformation", "describe_stacks", stack)["Stacks"][0]["Parameters"].clone();
            let kept: Vec<Value> = known
                .as_array()
                .into_iter()
                .flatten()
                .map(|parameter| json!({ "ParameterKey": parameter["ParameterKey"], "UsePreviousValue": true }))
                .collect();
            let update = json!({ "StackName": way.own("reader"), "TemplateBody": template.replace(SETTING, &own),
                "Parameters": kept, "Capabilities": ["CAPABILITY_NAMED_IAM"] });
            self.cloud.aws("cloudformation", "update_stack", update);
        }
    }

    fn readers_were_killed(&self, times: &[usize; 2]) {
        for (way, &times) in self.ways.iter().zip(times) {
            wait(
                &format!("the reader of {} to be killed", way.name),
                PATIENCE,
                || match way.kinesis.kills() {
                    kills if kills >= times => Ok(()),
                    kills => {
                        // It may have read everything before it was to die.
                        self.change(1);
                        Err(format!("{kills} of {times} times"))
                    }
                },
            );
        }
    }

    /// The readers' positions are the end of the log.
    fn everything_is_read(&self) {
        let logs = self.database.run("SHOW BINARY LOGS");
        let mut last = logs.lines().last().unwrap().split('\t');
        let end = (
            json!(last.next().unwrap()),
            json!(last.next().unwrap().parse::<u64>().unwrap()),
        );
        for way in &self.ways {
            let name = json!({ "Name": format!("/pipectl/workload-{}/local/binlog/position", way.name) });
            wait_looking_every(
                PAUSE / 4,
                &format!("the reader of {} to come to {end:?}", way.name),
                PATIENCE,
                || {
                    let told = self.cloud.aws("ssm", "get_parameter", name.clone());
                    let position: Value = serde_json::from_str(told["Parameter"]["Value"].as_str().unwrap()).unwrap();
                    match (
                        position["file"] == end.0 && position["position"] == end.1,
                        position["snapshot"].is_null(),
                    ) {
                        (true, true) => Ok(()),
                        _ => Err(position.to_string()),
                    }
                },
            );
        }
    }

    /// A column is added to a table, and to the pipelines' files when its values are on their way.
    fn a_column_comes(&self) {
        let late = self.late.get();
        if late == LATE.len() {
            return;
        }
        self.database.script(&format!("USE shop;\n{};\n", tables::growth(late)));
        self.changes.borrow_mut().late = late + 1;
        self.change(500);
        self.deploy(late + 1);
        self.redirect_readers();
        self.late.set(late + 1);
    }

    /// What looks at records dies, and what applies files, wherever they are. Gives how many processes that were.
    fn kill_functions(&self) -> usize {
        let functions = self.ways.iter().map(|way| way.own("transform"));
        functions
            .chain([self.ways[1].own("apply")])
            .map(|function| kill(&format!("AWS_LAMBDA_FUNCTION_NAME={function}")))
            .sum()
    }

    /// Firehose may write a file twice, under another name.
    fn some_files_come_again(&self, round: usize) {
        for way in &self.ways {
            let files = self.files(way);
            for time in 0..if files.is_empty() { 0 } else { TWICE } {
                let key = &files[self.below(files.len() as u64)];
                self.copy(way, key, &format!("twice{round}-{time}-"));
            }
        }
    }

    /// Files as Firehose wrote them.
    fn files(&self, way: &Way) -> Vec<String> {
        let mut files = self.cloud.keys(&way.bucket(), "data/");
        files.retain(|key| !key.contains("/twice") && !key.contains("/again"));
        files
    }

    fn copy(&self, way: &Way, key: &str, before_name: &str) {
        let (folder, name) = key.rsplit_once('/').unwrap();
        let bucket = way.bucket();
        let copied = json!({ "Bucket": bucket, "Key": format!("{folder}/{before_name}{name}"),
            "CopySource": { "Bucket": bucket, "Key": key } });
        self.cloud.aws("s3", "copy_object", copied);
    }

    /// A function that dies is called again, so no record is set aside.
    fn nothing_was_set_aside(&self) {
        for way in &self.ways {
            assert_eq!(self.cloud.keys(&way.bucket(), "errors/"), Vec::<String>::new());
        }
    }

    /// Every file once more, the newest first.
    fn everything_comes_again(&self) {
        let mut expected = Vec::new();
        for way in &self.ways {
            let files = self.files(way);
            files.iter().rev().for_each(|key| self.copy(way, key, "again-"));
            expected.push(files.len());
        }
        self.says(&format!("{expected:?} files come again"));
        let loaded: Vec<String> = TABLES
            .iter()
            .map(|table| format!("select count(distinct FILE_NAME) as FILES from WORKLOAD_SNOWPIPE_LOCAL.MAIN_RAW.RAW_SHOP_{} where FILE_NAME like '%/again-%'", table.name))
            .collect();
        let loaded = format!("select sum(FILES) from ({})", loaded.join(" union all "));
        self.comes_to(&loaded, &expected[0].to_string());
        let streams: Vec<String> = TABLES
            .iter()
            .map(|table| {
                format!(
                    "SYSTEM$STREAM_HAS_DATA('WORKLOAD_SNOWPIPE_LOCAL.MAIN_RAW.{}_STREAM')",
                    table.name
                )
            })
            .collect();
        self.comes_to(&format!("select {}", streams.join(" or ")), "false");
        let applied =
            "select count(*) from WORKLOAD_PROCEDURE_LOCAL.MAIN_RAW.APPLIED_FILES where FILE_NAME like '%/again-%'";
        self.comes_to(applied, &expected[1].to_string());
    }

    /// `pipectl verify` finds nothing, and then what is planted.
    fn verify_agrees(&self) {
        self.database
            .run("REPLACE INTO shop.single VALUES (7, 'seven', 7, NULL)");
        for way in &self.ways {
            std::fs::write(self.cloud.file(), self.file(way, self.late.get())).unwrap();
            let report = verify(&self.cloud, "--wait 120", 0);
            assert_eq!(
                (&report["equal"], report["tables"].as_array().unwrap().len()),
                (&json!(true), TABLES.len()),
                "{report:#}"
            );
            self.cloud.sql(&format!(
                "update {}.SINGLE set NAME = 'planted' where ID = 7",
                way.schema()
            ));
            let report = verify(&self.cloud, "single --wait 0", 2);
            let row = &report["tables"][0]["keys"][0];
            assert_eq!(
                (&row["kind"], &row["key"][0][1], &row["columns"]),
                (&json!("different"), &json!("7"), &json!(["NAME"])),
                "{report:#}"
            );
            assert_eq!(report["tables"][0]["keys"].as_array().unwrap().len(), 1, "{report:#}");
        }
    }

    fn comes_to(&self, query: &str, expected: &str) {
        wait_looking_every(PAUSE, &format!("{query} to give {expected}"), PATIENCE, || {
            let value = self.cloud.value(query);
            if value == expected { Ok(()) } else { Err(value) }
        });
    }

    /// Every row and every column, on both sides asked for in SQL.
    fn is_equal(&self) {
        for table in TABLES {
            let told = self
                .database
                .script(&format!("USE shop;\n{};\n", table.of_source(self.late.get())));
            let mut expected: Vec<Vec<String>> = told.lines().map(texts).collect();
            expected.sort();
            assert!(!expected.is_empty() || table.name != "kinds", "{} is empty", table.name);
            for way in &self.ways {
                let asked = table.of_warehouse(&way.schema(), self.late.get());
                wait_looking_every(
                    PAUSE,
                    &format!("{} of {} to equal its source", table.name, way.name),
                    PATIENCE,
                    || {
                        let mut found = self.cloud.sql(&asked);
                        found.sort();
                        if found == expected {
                            Ok(())
                        } else {
                            Err(difference(&expected, &found))
                        }
                    },
                );
            }
        }
    }
}

/// The texts of a JSON array.
fn texts(line: &str) -> Vec<String> {
    let cells: Vec<Option<String>> = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    cells
        .into_iter()
        .map(|cell| cell.unwrap_or_else(|| "NULL".to_owned()))
        .collect()
}

fn difference(expected: &[Vec<String>], found: &[Vec<String>]) -> String {
    let missing: Vec<_> = expected.iter().filter(|row| !found.contains(row)).take(3).collect();
    let wrong: Vec<_> = found.iter().filter(|row| !expected.contains(row)).take(3).collect();
    let (rows, all) = (found.len(), expected.len());
    format!("{rows} rows for {all}; missing {missing:?}, wrong {wrong:?}")
}
