//! Changes of rows on the local cloud: inserts, updates, deletes and truncations, in files that come in any order, late and
//! more than once. After each wave the tables are what a fold over the records that came so far makes of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::{Value, json};

use crate::cloud::{Cloud, Iam};
use crate::star::Numbers;

const CURATED: &str = "changes-local-curated-000000000000-us-east-1";

/// Rows that are deleted and rows that stay with a flag, with one key column and with two, with and without a history.
/// No reader is made with `python-dict`: the records come from this test.
const PIPELINE: &str = r#"
version = 1

[pipeline]
name = "changes"

[source]
type = "mysql"
capture = "binlog"
format = "python-dict"

[snowflake]

[[table]]
name = "person"
from = "shop.person"
history = true
columns = [
    { name = "id", type = "NUMBER(10,0)", key = true },
    { name = "name", type = "VARCHAR(20)", not_null = true },
    { name = "amount", type = "NUMBER(10,0)" },
]

[[table]]
name = "item"
from = "shop.item"
columns = [
    { name = "shop", type = "VARCHAR(10)", key = true },
    { name = "id", type = "NUMBER(10,0)", key = true },
    { name = "name", type = "VARCHAR(20)", not_null = true },
    { name = "amount", type = "NUMBER(10,0)" },
]

[[table]]
name = "stay"
from = "shop.stay"
deletes = "flag"
columns = [
    { name = "shop", type = "VARCHAR(10)", key = true },
    { name = "id", type = "NUMBER(10,0)", key = true },
    { name = "name", type = "VARCHAR(20)", not_null = true },
    { name = "amount", type = "NUMBER(10,0)" },
]

[[table]]
name = "kept"
from = "shop.kept"
deletes = "flag"
history = true
columns = [
    { name = "id", type = "NUMBER(10,0)", key = true },
    { name = "name", type = "VARCHAR(20)", not_null = true },
    { name = "amount", type = "NUMBER(10,0)" },
]

[[fact]]
name = "fact_item"
from = "item"
columns = [{ name = "amount", type = "NUMBER(10,0)" }]

[[fact]]
name = "fact_stay"
from = "stay"
columns = [{ name = "amount", type = "NUMBER(10,0)" }]

[[fact]]
name = "fact_name"
from = "person"
columns = [{ name = "name", type = "VARCHAR(20)", key = true }]
"#;

/// A table of the pipeline: its name, whether its key has two columns, whether deleted rows stay, whether it has a history.
#[derive(Clone, Copy)]
struct Table {
    name: &'static str,
    is_composite: bool,
    is_flagged: bool,
    has_history: bool,
}

const TABLES: [Table; 4] = [
    table("person", false, false, true),
    table("item", true, false, false),
    table("stay", true, true, false),
    table("kept", false, true, true),
];

const fn table(name: &'static str, is_composite: bool, is_flagged: bool, has_history: bool) -> Table {
    Table {
        name,
        is_composite,
        is_flagged,
        has_history,
    }
}

/// Values of the columns that are no key.
type Row = (Option<String>, Option<u64>);
/// Texts of the key's columns.
type Key = Vec<String>;

/// A change; a truncation has no key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Change {
    seq: String,
    op: char,
    key: Key,
    row: Row,
}

impl Change {
    fn record(&self, table: Table) -> String {
        let names = if table.is_composite {
            vec!["shop", "id"]
        } else {
            vec!["id"]
        };
        let key: serde_json::Map<String, Value> = names
            .iter()
            .zip(&self.key)
            .map(|(name, text)| {
                let value = text.parse::<u64>().map_or_else(|_| json!(text), |number| json!(number));
                ((*name).to_owned(), value)
            })
            .collect();
        let mut row = key.clone();
        row.insert("name".to_owned(), json!(self.row.0));
        row.insert("amount".to_owned(), json!(self.row.1));
        let (key, before, after) = match self.op {
            't' => (Value::Null, Value::Null, Value::Null),
            // Only the key is known of it.
            'd' if self.row.0.is_none() => (json!(key), Value::Null, Value::Null),
            'd' => (json!(key), json!(row), Value::Null),
            'u' => (json!(key), json!({ "name": "what it was" }), json!(row)),
            _ => (json!(key), Value::Null, json!(row)),
        };
        let record = json!({
            "op": self.op.to_string(), "schema": "shop", "table": table.name, "key": key, "seq": self.seq, "gtid": null,
            "ts": "2026-01-01T00:00:00.000000Z", "before": before, "after": after,
        });
        format!("{record}\n")
    }
}

/// Changes of a table in the order that they were made in.
fn history(table: Table, count: u64, numbers: &mut Numbers) -> Vec<Change> {
    let change = |place: u64| {
        let op = match numbers.below(20) {
            0 => 't',
            1..=5 => 'd',
            6..=10 => 'i',
            _ => 'u',
        };
        let mut key = vec![numbers.below(9).to_string()];
        if table.is_composite {
            key.insert(
                0,
                ["north", "south", "it's"][usize::try_from(numbers.below(3)).unwrap()].to_owned(),
            );
        }
        let name = format!("name {}", numbers.below(7));
        let amount = (numbers.below(5) > 0).then(|| numbers.below(1000));
        Change {
            seq: format!(
                "{:06}-{:010}-{:020}-{:08}",
                1 + place / 90,
                1 + place / 30,
                place * 31,
                place % 3
            ),
            op: if place + 1 == count && op == 't' { 'u' } else { op },
            key: if op == 't' && place + 1 < count { vec![] } else { key },
            row: match op {
                't' if place + 1 < count => (None, None),
                'd' if numbers.below(4) == 0 => (None, None),
                _ => (Some(name), amount),
            },
        }
    };
    (0..count).map(change).collect()
}

/// What a table holds when these changes count: values by key, and whether the source has deleted the row.
fn fold(changes: &BTreeSet<Change>) -> BTreeMap<Key, (Row, bool)> {
    let truncated = changes
        .iter()
        .filter(|change| change.op == 't')
        .map(|change| &change.seq)
        .max();
    let mut last: BTreeMap<&Key, &Change> = BTreeMap::new();
    // They are sorted by `seq`.
    for change in changes.iter().filter(|change| change.op != 't') {
        last.insert(&change.key, change);
    }
    let row = |change: &Change| {
        let is_gone = change.op == 'd' || truncated.is_some_and(|seq| change.seq < *seq);
        (change.row.clone(), is_gone)
    };
    last.into_iter()
        .map(|(key, change)| (key.clone(), row(change)))
        .collect()
}

fn text(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "NULL".to_owned(), |value| value.to_string())
}

/// The rows that the typed table must have.
fn expected(table: Table, came: &BTreeSet<Change>) -> Vec<Vec<String>> {
    let rows = fold(came).into_iter();
    let rows = rows.filter(|(_, (_, is_gone))| table.is_flagged || !is_gone);
    let mut rows: Vec<Vec<String>> = rows
        .map(|(mut key, ((name, amount), is_gone))| {
            key.extend([text(name), text(amount)]);
            key.extend(table.is_flagged.then(|| is_gone.to_string()));
            key
        })
        .collect();
    rows.sort();
    rows
}

fn sorted(mut rows: Vec<Vec<String>>) -> Vec<Vec<String>> {
    rows.iter_mut()
        .flatten()
        .filter(|value| ["TRUE", "FALSE"].contains(&value.as_str()))
        .for_each(|value| *value = value.to_lowercase());
    rows.sort();
    rows
}

/// What came into one table so far.
struct Delivered {
    table: Table,
    /// Changes that are yet to come.
    waiting: Vec<Change>,
    came: BTreeSet<Change>,
    lines: usize,
    files: usize,
}

impl Delivered {
    fn new(table: Table, numbers: &mut Numbers) -> Self {
        Self {
            table,
            waiting: history(table, 180, numbers),
            came: BTreeSet::new(),
            lines: 0,
            files: 0,
        }
    }

    fn put(&mut self, cloud: &Cloud, records: &[String]) {
        self.files += 1;
        self.lines += records.len();
        let name = self.table.name;
        cloud.put(
            CURATED,
            &format!("data/shop.{name}/{:04}.jsonl", self.files),
            records.concat(),
        );
    }

    /// Brings some of the changes, some that came before among them, in a few files. In the end all of them came.
    fn wave(&mut self, cloud: &Cloud, left: usize, numbers: &mut Numbers) {
        let count = self.waiting.len() / left;
        let mut arriving: Vec<Change> = Vec::new();
        for _ in 0..count {
            // Now and then the newest or the oldest, as when files come in reverse, and anything else.
            let place = match numbers.below(4) {
                0 => self.waiting.len() - 1,
                1 => 0,
                _ => usize::try_from(numbers.below(self.waiting.len() as u64)).unwrap(),
            };
            arriving.push(self.waiting.remove(place));
        }
        let again: Vec<Change> = self.came.iter().filter(|_| numbers.below(6) == 0).cloned().collect();
        self.came.extend(arriving.iter().cloned());
        arriving.extend(again);
        let mut files = vec![Vec::new(); 1 + usize::try_from(numbers.below(3)).unwrap()];
        for change in arriving {
            let file = usize::try_from(numbers.below(files.len() as u64)).unwrap();
            files[file].push(change.record(self.table));
        }
        for records in files.iter().filter(|records| !records.is_empty()) {
            self.put(cloud, records);
        }
    }

    fn rows(&self, cloud: &Cloud, name: &str) -> Vec<Vec<String>> {
        let key = if self.table.is_composite { "shop, id" } else { "id" };
        let flag = if self.table.is_flagged { ", _deleted" } else { "" };
        sorted(cloud.sql(&format!(
            "select {key}, name, amount{flag} from CHANGES_LOCAL.MAIN.{name}"
        )))
    }

    fn check(&self, cloud: &Cloud, when: &str) {
        let name = self.table.name;
        assert_eq!(
            self.rows(cloud, name),
            expected(self.table, &self.came),
            "{name} {when}"
        );
        if self.table.has_history {
            let told = cloud.sql(&format!(
                "select _seq, _op, id, name, amount from CHANGES_LOCAL.MAIN.{name}_HISTORY"
            ));
            let mut all: Vec<Vec<String>> = self
                .came
                .iter()
                .map(|change| {
                    let id = change.key.last().cloned();
                    let (name, amount) = &change.row;
                    vec![
                        change.seq.clone(),
                        change.op.to_string(),
                        text(id),
                        text(name.as_ref()),
                        text(*amount),
                    ]
                })
                .collect();
            all.sort();
            assert_eq!(sorted(told), all, "history of {name} {when}");
        }
    }
}

/// Waits until everything that was put is loaded and merged, and the star is made of it.
fn settle(cloud: &Cloud, tables: &[Delivered]) {
    for delivered in tables {
        let name = delivered.table.name;
        let raw = format!("select count(*) from CHANGES_LOCAL.MAIN_RAW.RAW_SHOP_{name}");
        cloud.wait_for(&raw, &delivered.lines.to_string());
    }
    let streams = tables
        .iter()
        .map(|delivered| format!("{}_STREAM", delivered.table.name));
    let pending = ["ITEM", "STAY", "PERSON"].map(|name| format!("{name}_PENDING"));
    let waiting: Vec<String> = streams
        .chain(pending)
        .map(|stream| format!("SYSTEM$STREAM_HAS_DATA('CHANGES_LOCAL.MAIN_RAW.{stream}')"))
        .collect();
    cloud.wait_for(&format!("select {}", waiting.join(" or ")), "false");
    let failures = cloud.sql("select TASK_NAME, ERROR_MESSAGE from CHANGES_LOCAL.MAIN_RAW.LOAD_FAILURES");
    assert!(failures.is_empty(), "{failures:?}");
}

/// Facts of a table where each row makes one: they go with their rows.
fn check_facts(cloud: &Cloud, delivered: &Delivered, when: &str) {
    let facts = cloud.sql(&format!(
        "select shop, id, amount from CHANGES_LOCAL.MAIN.FACT_{}",
        delivered.table.name
    ));
    let alive = fold(&delivered.came).into_iter().filter(|(_, (_, is_gone))| !is_gone);
    let mut rows: Vec<Vec<String>> = alive
        .map(|(mut key, ((_, amount), _))| {
            key.push(text(amount));
            key
        })
        .collect();
    rows.sort();
    assert_eq!(sorted(facts), rows, "facts of {} {when}", delivered.table.name);
}

/// Eight waves into four tables: 32 random orders, each compared with a fold of what came.
#[test]
fn tables_are_the_fold_of_the_changes_that_came() {
    let cloud = Cloud::up(Iam::Off);
    fs::write(cloud.file(), PIPELINE).unwrap();
    cloud.run("deploy --yes").exits(0);
    cloud.run("diff").exits(0).prints("no change");

    let mut numbers = Numbers(0x2545_f491_4f6c_dd1d);
    let mut tables = TABLES.map(|table| Delivered::new(table, &mut numbers));
    let waves = 8;
    for wave in 0..waves {
        for delivered in &mut tables {
            delivered.wave(&cloud, waves - wave, &mut numbers);
        }
        settle(&cloud, &tables);
        for delivered in &tables {
            delivered.check(&cloud, &format!("after wave {wave}"));
        }
        check_facts(&cloud, &tables[1], &format!("after wave {wave}"));
        check_facts(&cloud, &tables[2], &format!("after wave {wave}"));
    }
    assert!(tables.iter().all(|delivered| delivered.waiting.is_empty()));

    nothing_changes_when_everything_comes_again(&cloud, &mut tables);
    bad_records_are_kept_apart(&cloud, &mut tables);
    keys_of_deleted_rows_are_forgotten(&cloud, &mut tables);
    facts_go_with_the_last_row_of_their_grain(&cloud, &mut tables);
    deletes_and_history_can_be_changed(&cloud, &mut tables);
}

/// All records in one file, the last one first.
fn nothing_changes_when_everything_comes_again(cloud: &Cloud, tables: &mut [Delivered]) {
    for delivered in tables.iter_mut() {
        let table = delivered.table;
        let records: Vec<String> = delivered.came.iter().rev().map(|change| change.record(table)).collect();
        delivered.put(cloud, &records);
    }
    settle(cloud, tables);
    for delivered in tables.iter() {
        delivered.check(cloud, "after everything came again");
    }
}

/// A row that cannot be typed, a delete without a key, and records that are none.
fn bad_records_are_kept_apart(cloud: &Cloud, tables: &mut [Delivered]) {
    let seq = |place: u32| format!("000009-{place:010}-{:020}-{:08}", 0, 0);
    let records = [
        json!({ "op": "u", "key": { "id": 1 }, "seq": seq(1), "after": { "id": 1, "name": "a name of more than 20", "amount": 1 } }),
        json!({ "op": "i", "key": { "id": 2 }, "seq": seq(2), "after": { "id": 2, "amount": 1 } }),
        json!({ "op": "d", "key": null, "seq": seq(3), "before": null }),
        json!({ "op": "x", "key": { "id": 4 }, "seq": seq(4), "after": { "id": 4, "name": "d" } }),
        json!({ "op": "t", "key": null }),
    ];
    let lines: Vec<String> = records.iter().map(|record| format!("{record}\n")).collect();
    for delivered in [0, 3] {
        tables[delivered].put(cloud, &lines);
    }
    settle(cloud, tables);
    for name in ["person", "kept"] {
        let told = cloud.sql(&format!(
            "select REASON from CHANGES_LOCAL.MAIN_RAW.{name}_REJECTED order by FILE_ROW"
        ));
        assert_eq!(
            told,
            [
                ["NAME is not VARCHAR(20): a name of more than 20"],
                ["NAME is missing"],
                ["ID is missing"],
                ["op is none of i, u, d and t: x"],
                ["seq is missing"],
            ]
        );
    }
    for delivered in tables.iter() {
        delivered.check(cloud, "after records that are no changes");
    }
}

fn keys_of_deleted_rows_are_forgotten(cloud: &Cloud, tables: &mut [Delivered]) {
    let gone = "CHANGES_LOCAL.MAIN_RAW.PERSON_GONE";
    let of = |change: &&Change| change.op == 'd';
    let keys: BTreeSet<Key> = tables[0]
        .came
        .iter()
        .filter(of)
        .map(|change| change.key.clone())
        .collect();
    assert_eq!(
        cloud.value(&format!("select count(*) from {gone}")),
        keys.len().to_string()
    );
    cloud.sql(&format!(
        "update {gone} set _GONE_AT = dateadd('day', -91, current_timestamp())"
    ));
    let table = tables[0].table;
    let last = Change {
        seq: "000010-".to_owned() + &"0".repeat(40),
        op: 'd',
        key: vec!["5".to_owned()],
        row: (Some("name 1".to_owned()), Some(1)),
    };
    tables[0].put(cloud, &[last.record(table)]);
    tables[0].came.insert(last);
    settle(cloud, tables);
    assert_eq!(cloud.sql(&format!("select ID from {gone}")), [["5"]]);
    tables[0].check(cloud, "after keys were forgotten");
}

/// A fact of a grain that the table's key is not goes with the last row of the grain.
fn facts_go_with_the_last_row_of_their_grain(cloud: &Cloud, tables: &mut [Delivered]) {
    let table = tables[0].table;
    let change = |place: u32, op: char, id: u32| Change {
        seq: format!("000011-{place:010}-{:020}-{:08}", 0, 0),
        op,
        key: vec![id.to_string()],
        row: (Some("of two".to_owned()), Some(1)),
    };
    let facts = "select count(*) from CHANGES_LOCAL.MAIN.FACT_NAME where NAME = 'of two'";
    let both = [change(1, 'i', 701), change(2, 'i', 702)];
    for (changes, left) in [
        (&both[..], "1"),
        (&[change(3, 'd', 701)], "1"),
        (&[change(4, 'd', 702)], "0"),
    ] {
        let records: Vec<String> = changes.iter().map(|change| change.record(table)).collect();
        tables[0].put(cloud, &records);
        tables[0].came.extend(changes.iter().cloned());
        settle(cloud, tables);
        assert_eq!(cloud.value(facts), left);
    }
}

/// Both ways, in one deploy: nothing but what the file says is lost, and what had gone is flagged from what was kept.
fn deletes_and_history_can_be_changed(cloud: &Cloud, tables: &mut [Delivered]) {
    let text = fs::read_to_string(cloud.file()).unwrap();
    let changed = text
        .replace(
            "from = \"shop.item\"\n",
            "from = \"shop.item\"\ndeletes = \"flag\"\nhistory = true\n",
        )
        .replace(
            "from = \"shop.kept\"\ndeletes = \"flag\"\nhistory = true\n",
            "from = \"shop.kept\"\n",
        );
    fs::write(cloud.file(), &changed).unwrap();
    let plan = cloud.run("diff --format json").exits(2).json();
    let losses: Vec<String> = plan["steps"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|step| !step["loss"].is_null())
        .map(|step| {
            format!(
                "{}: {}",
                step["target"].as_str().unwrap(),
                step["loss"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(
        losses,
        [
            "table CHANGES_LOCAL.MAIN.KEPT: the rows that are flagged as deleted, and the values of _DELETED",
            "table CHANGES_LOCAL.MAIN.KEPT_HISTORY: its rows",
            "table CHANGES_LOCAL.MAIN_RAW.ITEM_GONE: its rows",
        ]
    );
    let ids = plan["steps"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|step| !step["loss"].is_null());
    let ids: Vec<&str> = ids.map(|step| step["id"].as_str().unwrap()).collect();
    cloud
        .run(&format!("deploy --yes --allow-loss {}", ids.join(" --allow-loss ")))
        .exits(0);
    cloud.run("diff").exits(0).prints("no change");
    (tables[1].table.is_flagged, tables[1].table.has_history) = (true, true);
    (tables[3].table.is_flagged, tables[3].table.has_history) = (false, false);
    for delivered in tables.iter() {
        delivered.check(cloud, "after deletes and history changed");
    }
    // What is older than what went away still does nothing.
    for place in [1, 3] {
        let table = tables[place].table;
        let records: Vec<String> = tables[place].came.iter().map(|change| change.record(table)).collect();
        tables[place].put(cloud, &records);
    }
    settle(cloud, tables);
    for delivered in tables.iter() {
        delivered.check(cloud, "after everything came once more");
    }
    check_facts(cloud, &tables[1], "after deletes and history changed");
}
