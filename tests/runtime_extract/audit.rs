//! Whether the binlog of a server can be read, as `pipectl doctor` asks.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::servers::{Kind, Server, USER, older};
use crate::world::World;

/// What was found, by what was looked at.
fn findings(world: &World) -> BTreeMap<String, Value> {
    let table = |name: &str, keys: Value| json!({ "schema": "shop", "table": name, "keys": keys });
    let tables = [
        table("right", json!([["b", "a"]])),
        table("wrong", json!([["a"]])),
        table("keyless", json!([["a"]])),
        table("absent", json!([["a"]])),
    ];
    let answer = world.extract(&json!({ "do": "audit", "tables": tables }));
    let findings = answer["findings"].as_array().unwrap().iter();
    findings
        .map(|finding| (finding["what"].as_str().unwrap().to_owned(), finding.clone()))
        .collect()
}

/// What is not well, and how to mend it.
fn wrong(findings: &BTreeMap<String, Value>) -> BTreeMap<&str, (&str, &str)> {
    findings
        .iter()
        .filter(|(_, finding)| finding["verdict"] != "ok")
        .map(|(what, finding)| {
            let told = (finding["verdict"].as_str().unwrap(), finding["next"].as_str().unwrap());
            (what.as_str(), told)
        })
        .collect()
}

async fn audited(kind: Kind, options: &[&str], settings: &[(&str, &str, &str)]) {
    let world = World::over(Server::start_with(kind, options), &[("PIPECTL_DATABASE_TLS", "off")]).await;
    world.server.sql(
        "CREATE TABLE shop.`right` (a INT, b INT, PRIMARY KEY (a, b)); CREATE TABLE shop.wrong (a INT, b INT, PRIMARY KEY (a, b)); \
         CREATE TABLE shop.keyless (a INT)",
    );
    let first = findings(&world);
    let grant = |right: &str| format!("GRANT {right} ON *.* TO '{USER}'@'%'");
    let (client, slave) = (grant("REPLICATION CLIENT"), grant("REPLICATION SLAVE"));
    let mut expected = BTreeMap::from([
        ("REPLICATION CLIENT", ("wrong", client.as_str())),
        ("REPLICATION SLAVE", ("wrong", slave.as_str())),
        (
            "shop.wrong",
            (
                "wrong",
                "set `key = true` on just the columns of these, and run pipectl deploy",
            ),
        ),
        ("shop.keyless", ("wrong", "add a primary key")),
        (
            "shop.absent",
            (
                "risk",
                "create it, or GRANT SELECT ON `shop`.`absent` to the user; it is read as soon as it can be",
            ),
        ),
    ]);
    expected.extend(settings.iter().map(|(what, verdict, next)| (*what, (*verdict, *next))));
    assert_eq!(wrong(&first), expected, "{first:#?}");
    // What is told mends it.
    world.server.sql(&format!("{client}; {slave}"));
    for (what, _, next) in settings.iter().filter(|(_, _, next)| next.starts_with("SET ")) {
        world.server.sql(next.split(", and ").next().unwrap());
        expected.remove(what);
    }
    expected.retain(|what, _| !what.starts_with("REPLICATION"));
    let second = findings(&world);
    assert_eq!(wrong(&second), expected, "{second:#?}");
}

#[tokio::test]
async fn the_binlog_of_mysql_is_looked_at() {
    let image = (
        "binlog_row_image",
        "wrong",
        "SET GLOBAL binlog_row_image = 'FULL', and binlog_row_image = FULL under [mysqld] in my.cnf; sessions that are open keep theirs",
    );
    if older().as_deref() == Some("5.7") {
        let days = "SET GLOBAL expire_logs_days = 7, and the same in my.cnf";
        let options = ["--binlog-row-image=MINIMAL", "--expire-logs-days=1"];
        return audited(Kind::MySql, &options, &[image, ("binlog retention", "risk", days)]).await;
    }
    let settings = [
        image,
        (
            "binlog_row_metadata",
            "risk",
            "SET GLOBAL binlog_row_metadata = 'FULL', and binlog_row_metadata = FULL under [mysqld] in my.cnf; sessions that are open keep theirs",
        ),
        (
            "binlog retention",
            "risk",
            "SET GLOBAL binlog_expire_logs_seconds = 604800, and the same in my.cnf",
        ),
    ];
    let options = ["--binlog-row-image=MINIMAL", "--binlog-expire-logs-seconds=3600"];
    audited(Kind::MySql, &options, &settings).await;
}

#[tokio::test]
async fn the_binlog_of_mariadb_is_looked_at() {
    let settings = [
        (
            "binlog_format",
            "wrong",
            "SET GLOBAL binlog_format = 'ROW', and binlog_format = ROW under [mysqld] in my.cnf; sessions that are open keep theirs",
        ),
        (
            "log_bin",
            "wrong",
            "write log_bin = binlog and server_id = 1 under [mysqld] in my.cnf, and restart the server",
        ),
        (
            "binlog_row_metadata",
            "risk",
            "SET GLOBAL binlog_row_metadata = 'FULL', and binlog_row_metadata = FULL under [mysqld] in my.cnf; sessions that are open keep theirs",
        ),
    ];
    audited(Kind::MariaDb, &[], &settings).await;
}
