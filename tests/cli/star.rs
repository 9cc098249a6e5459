//! The star schema on the local cloud: rows in, dimensions and facts out, whatever order and batches they come in.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::json;

use crate::cloud::{Cloud, Iam};

/// A cloud with another pipeline than the example's in it.
fn cloud_of(text: &str) -> Cloud {
    let cloud = Cloud::up(Iam::Off);
    fs::write(cloud.file(), text).unwrap();
    cloud.run("deploy --yes").exits(0);
    cloud
}

fn video_events() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/mysql-star/pipeline.toml");
    fs::read_to_string(file).unwrap()
}

/// An event of the source table, as its reader writes it.
fn event(row: &str, reading: u32, moment: &str, title: &str, events: &str) -> String {
    let record = json!({
        "op": "u", "schema": "video", "table": "video_init", "key": { "_row": row }, "seq": format!("{reading:020}"),
        "ts": CREATED, "before": null,
        "after": { "DATETIME": moment, "VIDEOTITLE": title, "EVENTS": events, "CREATE_TIME": CREATED },
    });
    format!("{record}\n")
}

const CREATED: &str = "2017-01-11T11:00:00Z";
const CURATED: &str = "video-events-local-curated-000000000000-us-east-1";

fn put(cloud: &Cloud, file: &str, records: &[String]) {
    let key = format!("data/video.video_init/{file}.jsonl");
    cloud.put(CURATED, &key, records.concat());
}

/// What only Snowflake can tell of an expression is told before anything is changed, where it stands in the file.
#[test]
fn expressions_that_snowflake_refuses_are_told_before_anything_changes() {
    let good = video_events();
    let bad = good
        .replace(
            "\"TRIM(SPLIT_PART(title, '|', -1))\"",
            "\"TRIM(SPLIT_PRAT(title, '|', -1))\"",
        )
        .replace("where = \"CONTAINS(title, '|') AND", "where = \"CONTAINS(title) AND");
    assert_eq!(
        bad.matches("SPLIT_PRAT").count() + bad.matches("CONTAINS(title) AND").count(),
        2
    );
    // A moment is no number, whatever the rows.
    let moment = "{ name = \"created_at\", type = \"TIMESTAMP_NTZ\" }";
    assert_eq!(bad.matches(moment).count(), 1);
    let bad = bad.replace(moment, "{ name = \"created_at\", type = \"NUMBER(11,0)\" }");
    let cloud = Cloud::up(Iam::Off);
    fs::write(cloud.file(), &bad).unwrap();
    // Without a connection nobody can tell.
    cloud.run("validate").exits(0);
    let place = |word: &str| {
        let at = bad.find(word).unwrap();
        let line = bad[..at].matches('\n').count() + 1;
        let column = at - bad[..at].rfind('\n').unwrap();
        (line, column)
    };
    for command in ["diff --format json", "deploy --yes --format json"] {
        let told = cloud.run(command).exits(1).json();
        let errors = told["errors"].as_array().unwrap();
        let places: Vec<_> = errors
            .iter()
            .map(|error| {
                (
                    error["line"].as_u64().unwrap() as usize,
                    error["column"].as_u64().unwrap() as usize,
                )
            })
            .collect();
        assert_eq!(
            places,
            [
                place("SPLIT_PRAT"),
                place("\"CONTAINS(title) AND"),
                place("\"NUMBER(11,0)")
            ],
            "{told:#}"
        );
        assert!(
            errors[0]["message"]
                .as_str()
                .unwrap()
                .contains("Unknown function SPLIT_PRAT"),
            "{told:#}"
        );
    }
    let stacks = cloud.aws("cloudformation", "describe_stacks", json!({}));
    assert_eq!(stacks["Stacks"], json!([]));
    assert_eq!(cloud.sql("SHOW DATABASES LIKE 'VIDEO%'").len(), 0);

    // One statement asks for all of them; once they are there as the file says, there is none.
    fs::write(cloud.file(), &good).unwrap();
    let statements = || {
        let told = cloud.run("diff -v").stderr;
        let line = told
            .lines()
            .find(|line| line.contains("Snowflake statements"))
            .unwrap()
            .to_owned();
        let number = line.split(", ").nth(1).unwrap().split(' ').next().unwrap();
        number.parse::<u64>().unwrap()
    };
    cloud.run("deploy --yes").exits(0);
    let settled = statements();
    cloud.edit("LOWER(TRIM(CASE", "LOWER(LTRIM(CASE");
    assert_eq!(statements(), settled + 1);
}

#[test]
fn three_runs_over_the_same_minute_give_six_facts_and_one_member() {
    let cloud = cloud_of(&video_events());
    let facts = "select count(*) from VIDEO_EVENTS_LOCAL.VIDEO.FACT_VIDEO_START";
    for run in 1..=3_u32 {
        let records: Vec<String> = (0..2)
            .map(|place| {
                let row = format!("{run}-{place}");
                event(
                    &row,
                    run,
                    "2017-01-11T00:00:53.000Z",
                    "news| Shark attacks spearfisherman",
                    "127,206",
                )
            })
            .collect();
        put(&cloud, &format!("run-{run}"), &records);
        cloud.wait_for(facts, &(2 * run).to_string());
        // The same rows in another file, as after a delivery that was repeated.
        put(&cloud, &format!("again-{run}"), &records);
    }
    let batch = "select count(*) from VIDEO_EVENTS_LOCAL.VIDEO_RAW.VIDEO_EVENT_BATCH";
    cloud.wait_for(
        "select count(*) from VIDEO_EVENTS_LOCAL.VIDEO_RAW.RAW_VIDEO_VIDEO_INIT",
        "12",
    );
    cloud.wait_for(batch, "0");
    assert_eq!(cloud.value(facts), "6");
    for dimension in ["DIM_MINUTE", "DIM_VIDEO", "DIM_SITE", "DIM_PLATFORM"] {
        let members = format!("select count(*) from VIDEO_EVENTS_LOCAL.VIDEO.{dimension}");
        assert_eq!(cloud.value(&members), "2", "{dimension}: the unknown member and one");
    }
    assert_eq!(
        cloud.sql("select MINUTE_KEY, CALENDAR_DATE, ISO_WEEK, ISO_WEEKDAY, HOUR_OF_DAY, MINUTE_OF_HOUR from VIDEO_EVENTS_LOCAL.VIDEO.DIM_MINUTE order by 1"),
        [
            vec!["-1", "NULL", "NULL", "NULL", "NULL", "NULL"],
            // 11 January 2017 was a Wednesday, in the second ISO week.
            vec!["201701110000", "2017-01-11", "2", "3", "0", "0"],
        ]
    );

    let odd = [
        event(
            "a",
            9,
            "2017-01-11T10:15:00.000Z",
            "App iPhone| LIVE| Cricket",
            "1,206,3",
        ),
        event("b", 9, "2017-01-11T10:15:10.000Z", "App Web|Cricket", "206"),
        event("c", 9, "2017-01-11T10:15:20.000Z", "iPad |Tennis", "206"),
        event("d", 9, "2017-01-11T10:15:30.000Z", "One piece", "206"),
        event("e", 9, "2017-01-11T10:15:40.000Z", "news|Not started", "1206,2061"),
        event("f", 9, "no time", "News | Golf", "206"),
    ];
    put(&cloud, "odd", &odd);
    cloud.wait_for(facts, "10");
    let shown = "select m.MINUTE_KEY, p.PLATFORM, s.SITE, v.VIDEO from VIDEO_EVENTS_LOCAL.VIDEO.FACT_VIDEO_START f \
        join VIDEO_EVENTS_LOCAL.VIDEO.DIM_MINUTE m on m.MINUTE_KEY = f.MINUTE_KEY \
        join VIDEO_EVENTS_LOCAL.VIDEO.DIM_PLATFORM p on p.PLATFORM_KEY = f.PLATFORM_KEY \
        join VIDEO_EVENTS_LOCAL.VIDEO.DIM_SITE s on s.SITE_KEY = f.SITE_KEY \
        join VIDEO_EVENTS_LOCAL.VIDEO.DIM_VIDEO v on v.VIDEO_KEY = f.VIDEO_KEY \
        where f._ROW in ('a', 'b', 'c', 'd', 'e', 'f') order by f._ROW";
    assert_eq!(
        cloud.sql(shown),
        [
            ["201701111015", "iPhone", "live", "Cricket"],
            ["201701111015", "App", "none", "Cricket"],
            ["201701111015", "iPad", "none", "Tennis"],
            ["-1", "Desktop", "news", "Golf"],
        ]
    );

    // A second deploy finds nothing to do; a new dimension is filled from what was kept.
    cloud.run("diff").exits(0).prints("no change");
    let hour = "[[dimension]]\nname = \"dim_hour\"\ncalendar = \"hour\"\n\n[[dimension]]\nname = \"dim_platform\"";
    cloud.edit("[[dimension]]\nname = \"dim_platform\"", hour);
    let lookup = "[[fact.dimensions]]\ndimension = \"dim_hour\"\nsql = [\"TRY_TO_TIMESTAMP_NTZ(happened_at)\"]\n\n[[fact.dimensions]]\ndimension = \"dim_video\"";
    cloud.edit("[[fact.dimensions]]\ndimension = \"dim_video\"", lookup);
    cloud.run("deploy --yes").exits(0);
    let hours = "select HOUR_KEY, count(*) from VIDEO_EVENTS_LOCAL.VIDEO.FACT_VIDEO_START group by 1 order by 1";
    cloud.wait_for_rows(hours, &[&["-1", "1"], &["2017011100", "6"], &["2017011110", "3"]]);
    cloud.run("diff").exits(0).prints("no change");
}

const CUSTOMERS: &str = r#"
version = 1

[pipeline]
name = "customers"

[source]
type = "mysql"
database = { host = "127.0.0.1", secret = "secretsmanager:reader" }

[snowflake]

[[table]]
name = "customer"
from = "shop.customer"
watermark = "changed_at"
columns = [
    { name = "id", type = "NUMBER(10,0)", key = true },
    { name = "city", type = "VARCHAR(40)" },
]

[[table]]
name = "sale"
from = "shop.sale"
watermark = "id"
overlap = "10"
columns = [
    { name = "id", type = "NUMBER(10,0)", key = true },
    { name = "customer", type = "NUMBER(10,0)" },
    { name = "sold_at", type = "TIMESTAMP_NTZ" },
    { name = "amount", type = "NUMBER(10,2)" },
]

[[dimension]]
name = "dim_customer"
from = "customer"
scd = 2
columns = [{ name = "id", type = "NUMBER(10,0)", key = true }, { name = "city", type = "VARCHAR(40)" }]

[[fact]]
name = "fact_sale"
from = "sale"
where = "amount > 0"
columns = [{ name = "amount", type = "NUMBER(10,2)" }]
dimensions = [{ dimension = "dim_customer", sql = ["customer"], at = "sold_at" }]

[[transform]]
name = "correction"
sql = "correction.sql"
after = ["fact_sale"]
"#;

const CORRECTION: &str = "\
-- One sale was a test.

DELETE FROM CUSTOMERS_LOCAL.MAIN.FACT_SALE
WHERE ID = 1000;
";

/// Numbers that look random and are the same in every run (xorshift).
pub struct Numbers(pub u64);

impl Numbers {
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// A change of a customer.
#[derive(Clone)]
struct Change {
    customer: u64,
    at: u64,
    sequence: usize,
    city: Option<&'static str>,
}

fn moment(second: u64) -> String {
    format!("2025-01-01T00:00:{second:02}.000000Z")
}

/// The changes that count, in their order: of several at the same time the last one read, deletes apart from the others.
fn counted(changes: &[Change], customer: u64) -> Vec<Change> {
    let mut last: BTreeMap<(u64, bool), Change> = BTreeMap::new();
    for change in changes.iter().filter(|change| change.customer == customer) {
        let place = last
            .entry((change.at, change.city.is_none()))
            .or_insert_with(|| change.clone());
        if change.sequence > place.sequence {
            *place = change.clone();
        }
    }
    let mut counted: Vec<Change> = last.into_values().collect();
    counted.sort_by_key(|change| (change.at, change.sequence));
    counted
}

/// City, from, to: what is known of a customer, by going through the changes one by one.
fn known(changes: &[Change], customer: u64) -> Vec<(String, u64, Option<u64>)> {
    let mut versions: Vec<(String, u64, Option<u64>)> = Vec::new();
    for change in counted(changes, customer) {
        let open = versions.last_mut().filter(|version| version.2.is_none());
        match (open, change.city) {
            (Some(version), Some(city)) if version.0 == city => {}
            (open, city) => {
                if let Some(version) = open {
                    version.2 = Some(change.at);
                }
                versions.extend(city.map(|city| (city.to_owned(), change.at, None)));
            }
        }
    }
    joined(versions)
}

/// Without versions of no duration, and with those as one that follow each other and say the same: a version that was made
/// stays, also when nothing tells it from the one before any more.
fn joined(versions: Vec<(String, u64, Option<u64>)>) -> Vec<(String, u64, Option<u64>)> {
    let mut joined: Vec<(String, u64, Option<u64>)> = Vec::new();
    for (city, from, to) in versions.into_iter().filter(|(_, from, to)| Some(*from) != *to) {
        match joined.last_mut() {
            Some(last) if last.0 == city && last.2 == Some(from) => last.2 = to,
            _ => joined.push((city, from, to)),
        }
    }
    joined
}

/// The city of a customer at a moment; where it was deleted, the last one before, and before all of them the first.
fn city_at(changes: &[Change], customer: u64, at: u64) -> String {
    let counted = counted(changes, customer);
    let cities = || counted.iter().filter(|change| change.city.is_some());
    let meant = cities().rfind(|change| change.at <= at).or_else(|| cities().next());
    meant.and_then(|change| change.city).unwrap_or_default().to_owned()
}

fn insert(cloud: &Cloud, table: &str, records: &[String]) {
    if records.is_empty() {
        return;
    }
    let rows: Vec<String> = records
        .iter()
        .enumerate()
        .map(|(place, record)| {
            format!("select parse_json('{record}'), 'file', {place}, '2025-01-01'::timestamp_ntz, current_timestamp()")
        })
        .collect();
    cloud.sql(&format!(
        "insert into CUSTOMERS_LOCAL.MAIN_RAW.RAW_SHOP_{table} (RECORD, FILE_NAME, FILE_ROW, FILE_MODIFIED, LOADED_AT) {}",
        rows.join(" union all ")
    ));
}

fn wait_for_the_star(cloud: &Cloud) {
    let failures = "select TASK_NAME, ERROR_MESSAGE from CUSTOMERS_LOCAL.MAIN_RAW.LOAD_FAILURES";
    for table in ["CUSTOMER", "SALE"] {
        cloud.wait_for(
            &format!("select SYSTEM$STREAM_HAS_DATA('CUSTOMERS_LOCAL.MAIN_RAW.{table}_STREAM')"),
            "false",
        );
        cloud.wait_for(
            &format!("select SYSTEM$STREAM_HAS_DATA('CUSTOMERS_LOCAL.MAIN_RAW.{table}_PENDING')"),
            "false",
        );
    }
    assert!(cloud.sql(failures).is_empty(), "{:?}", cloud.sql(failures));
}

/// Updates, deletes, re-inserts, several changes of a customer in a batch, late ones, repeated ones, and sales that come
/// before their customers: after each batch, versions and facts are those of a reading one by one.
#[test]
fn versions_do_not_depend_on_order_and_batches() {
    let cloud = Cloud::up(Iam::Off);
    fs::write(cloud.file(), CUSTOMERS).unwrap();
    fs::write(cloud.file().with_file_name("correction.sql"), CORRECTION).unwrap();
    cloud.run("deploy --yes").exits(0);

    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let (customers, batches) = (40, 8_u64);
    let mut waiting: Vec<Change> = Vec::new();
    for customer in 0..customers {
        for _ in 0..numbers.below(9) {
            let cities = [Some("Oslo"), Some("Bergen"), Some("Oslo"), None];
            waiting.push(Change {
                customer,
                at: 10 + numbers.below(6),
                sequence: waiting.len(),
                city: cities[usize::try_from(numbers.below(4)).unwrap()],
            });
        }
    }
    let mut sales: Vec<(u64, u64, u64)> = (0..60)
        .map(|id| (id, numbers.below(customers + 2), 8 + numbers.below(10)))
        .collect();
    let mut arrived: Vec<Change> = Vec::new();
    let mut sold: Vec<(u64, u64, u64)> = Vec::new();
    for batch in 1..=batches {
        let share = |count: usize| count.div_ceil(usize::try_from(batches - batch + 1).unwrap());
        let mut changes = Vec::new();
        for _ in 0..share(waiting.len()) {
            let place = numbers.below(waiting.len().try_into().unwrap());
            changes.push(waiting.swap_remove(usize::try_from(place).unwrap()));
        }
        arrived.extend(changes.iter().cloned());
        // Some come a second time.
        let again = numbers.below(arrived.len().try_into().unwrap());
        changes.push(arrived[usize::try_from(again).unwrap()].clone());
        let records: Vec<String> = changes
            .iter()
            .map(|change| {
                json!({
                    "op": if change.city.is_some() { "u" } else { "d" }, "schema": "shop", "table": "customer",
                    "key": { "id": change.customer }, "seq": format!("{:020}", change.sequence), "ts": moment(change.at),
                    "before": null, "after": { "id": change.customer, "city": change.city },
                })
                .to_string()
            })
            .collect();
        insert(&cloud, "CUSTOMER", &records);
        let new: Vec<(u64, u64, u64)> = sales.split_off(sales.len() - share(sales.len()));
        let records: Vec<String> = new
            .iter()
            .map(|(id, customer, at)| {
                json!({
                    "op": "u", "schema": "shop", "table": "sale", "key": { "id": id }, "seq": format!("{batch:020}"),
                    "ts": moment(*at), "before": null,
                    "after": { "id": id, "customer": if *customer < customers { Some(customer) } else { None }, "sold_at": moment(*at), "amount": "1.50" },
                })
                .to_string()
            })
            .collect();
        insert(&cloud, "SALE", &records);
        sold.extend(new);
        wait_for_the_star(&cloud);
        same_versions(&cloud, &arrived, customers, batch);
        same_facts(&cloud, &arrived, &sold, customers, batch);
    }

    // A sale that no longer is one goes.
    let (id, customer, at) = sold[0];
    let record = json!({
        "op": "u", "schema": "shop", "table": "sale", "key": { "id": id }, "seq": "99", "ts": moment(at), "before": null,
        "after": { "id": id, "customer": customer, "sold_at": moment(at), "amount": "0" },
    });
    insert(&cloud, "SALE", &[record.to_string()]);
    cloud.wait_for("select count(*) from CUSTOMERS_LOCAL.MAIN.FACT_SALE", "59");
}

/// The second of a moment, as the tables show it.
fn second(shown: &str) -> Option<u64> {
    shown.get(17..19).and_then(|digits| digits.parse().ok())
}

fn same_versions(cloud: &Cloud, arrived: &[Change], customers: u64, batch: u64) {
    let rows = cloud.sql(
        "select ID, coalesce(CITY, ''), to_char(VALID_FROM, 'YYYY-MM-DD HH24:MI:SS'), coalesce(to_char(VALID_TO, 'YYYY-MM-DD HH24:MI:SS'), ''), IS_CURRENT \
         from CUSTOMERS_LOCAL.MAIN.DIM_CUSTOMER where CUSTOMER_KEY > 0 and not _IS_INFERRED order by ID, VALID_FROM, VALID_TO",
    );
    let twice = cloud.value(
        "select count(*) from CUSTOMERS_LOCAL.MAIN.DIM_CUSTOMER i join CUSTOMERS_LOCAL.MAIN.DIM_CUSTOMER v using (ID) \
         where i._IS_INFERRED and not v._IS_INFERRED",
    );
    assert_eq!(
        twice, "0",
        "a member that only facts knew is filled by its first version"
    );
    let mut found: BTreeMap<u64, Vec<(String, u64, Option<u64>)>> = BTreeMap::new();
    for row in rows {
        let (from, to) = (second(&row[2]).unwrap(), second(&row[3]));
        assert_eq!(row[4] == "true", to.is_none(), "{row:?}");
        let versions = found.entry(row[0].parse().unwrap()).or_default();
        versions.push((row[1].clone(), from, to));
    }
    for customer in 0..customers {
        let found = joined(found.remove(&customer).unwrap_or_default());
        assert_eq!(
            found,
            known(arrived, customer),
            "customer {customer} after batch {batch}"
        );
    }
}

fn same_facts(cloud: &Cloud, arrived: &[Change], sold: &[(u64, u64, u64)], customers: u64, batch: u64) {
    let rows = cloud.sql(
        "select f.ID, f.CUSTOMER_KEY, coalesce(d.ID::varchar, ''), coalesce(d.CITY, '') from CUSTOMERS_LOCAL.MAIN.FACT_SALE f \
         left join CUSTOMERS_LOCAL.MAIN.DIM_CUSTOMER d on d.CUSTOMER_KEY = f.CUSTOMER_KEY order by f.ID",
    );
    assert_eq!(rows.len(), sold.len(), "no fact is lost, and none is there twice");
    let mut sold = sold.to_vec();
    sold.sort_unstable();
    for ((id, customer, at), row) in sold.iter().zip(&rows) {
        let (member, city) = match *customer < customers {
            true => (customer.to_string(), city_at(arrived, *customer, *at)),
            false => {
                assert_eq!(row[1], "-1", "a sale without a customer");
                (String::new(), String::new())
            }
        };
        assert_eq!(row[2..], [member, city], "sale {id} at {at} after batch {batch}");
    }
}
