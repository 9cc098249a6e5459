//! How many calls a diff makes: as many for sixty tables as for one. So many tables also need a task graph with branches.

use std::fmt::Write as _;

use crate::cloud::{Cloud, Iam};

/// The example's pipeline with generated tables in place of its own.
fn generated(example: &str, tables: usize) -> String {
    let (head, _) = example.split_once("[[table]]").unwrap();
    let mut text = head.to_owned();
    for number in 1..=tables {
        writeln!(
            text,
            "[[table]]\nname = \"t{number}\"\nprefix = \"t{number}/\"\ncolumns = [{{ name = \"id\", type = \"NUMBER(10,0)\", path = \"$.Id\", key = true }}]\n"
        )
        .unwrap();
    }
    text
}

/// SHOW COLUMNS of more than 10,000 rows is refused: <https://github.com/snowflakedb/snowflake-sqlalchemy/issues/274>.
#[test]
fn a_diff_sees_more_columns_than_a_show_gives() {
    let cloud = Cloud::up(Iam::Off);
    let example = std::fs::read_to_string(cloud.file()).unwrap();
    let column = |number| format!("{{ name = \"c{number}\", type = \"TIMESTAMP_NTZ(3)\", path = \"$.C{number}\" }}, ");
    let columns: String = (0..1_700).map(column).collect();
    let many = generated(&example, 6).replace("columns = [", &format!("columns = [{columns}"));
    std::fs::write(cloud.file(), many).unwrap();
    cloud.run("deploy --yes").exits(0);
    cloud.run("diff").exits(0).prints("no change");
    for table in ["T1", "T6"] {
        cloud.sql(&format!("ALTER TABLE {{db}}.SHOP.{table} DROP COLUMN C1699"));
    }
    let diff = cloud.run("diff").exits(2);
    for table in ["T1", "T6"] {
        assert!(diff.stdout.contains(&format!("SHOP.{table}")), "{}", diff.stdout);
    }
}

#[test]
fn a_diff_makes_as_many_calls_for_many_tables_as_for_one() {
    let cloud = Cloud::up(Iam::Off);
    let example = std::fs::read_to_string(cloud.file()).unwrap();
    let mut counts = Vec::new();
    for tables in [1, 60] {
        std::fs::write(cloud.file(), generated(&example, tables)).unwrap();
        cloud.run("deploy --yes").exits(0);
        let diff = cloud.run("diff -v").exits(0).prints("no change");
        let count = diff.stderr.lines().find(|line| line.contains("AWS calls")).unwrap();
        counts.push(count.to_owned());
    }
    assert_eq!(counts[0], counts[1]);
}
