//! `[source] type = "mysql"`, and what its tables need.

use crate::spec::code;
use crate::spec::cursor::Cursor;
use crate::spec::diagnostic::Fault;
use crate::spec::mysql::{Overlap, TableName, WordError};
use crate::spec::rate::Rate;
use crate::spec::schedule::Schedule;

/// Longest time between two files: <https://docs.aws.amazon.com/firehose/latest/APIReference/API_BufferingHints.html>.
const LONGEST_BUFFER: i64 = 900;
/// Shortest time with dynamic partitioning, which sorts records into a folder for each table.
const SHORTEST_BUFFER: i64 = 60;

pub(super) fn check(source: &Cursor<'_>, faults: &mut Vec<Fault>) {
    schedule(&source.key("schedule"), faults);
    capture(source, faults);
    range(
        &source.key("buffer_seconds"),
        SHORTEST_BUFFER,
        LONGEST_BUFFER,
        "buffer",
        faults,
    );
    range(&source.key("shards"), 1, 10_000, "number of shards", faults);
    let database = source.key("database");
    range(&database.key("port"), 1, 65_535, "port", faults);
    let host = database.key("host");
    if host.text().is_some_and(|text| !is_host(text)) {
        faults.push(
            host.fault(code::FORMAT, "this is not a host name")
                .hint("such as `shop.abc123.eu-west-1.rds.amazonaws.com`, without scheme and port"),
        );
    }
    create(&source.key("create"), faults);
    network(&source.key("network"), source.key("create").is_present(), faults);
}

pub(super) fn require(source: &Cursor<'_>, env: &str, faults: &mut Vec<Fault>) {
    let network = source.key("network");
    let reason = if source.key("create").is_present() {
        Some("the database is private")
    } else if is_binlog(source) && source.key("format").text() != Some("python-dict") {
        Some("the reader of the binary log runs in it")
    } else {
        None
    };
    if let (Some(reason), false) = (reason, network.is_present()) {
        let message = format!("environment `{env}` needs `source.network`: {reason}");
        let hint = format!(
            "add `network = {{ vpc = \"vpc-…\", subnets = [\"subnet-…\", \"subnet-…\"] }}` to `[source]` or `[env.{env}.source]`"
        );
        faults.push(network.fault(code::REQUIRED, message).hint(hint));
    }
}

/// Whether changes come from the binary log.
pub(super) fn is_binlog(source: &Cursor<'_>) -> bool {
    source.key("capture").text() == Some("binlog")
}

/// What goes with one way to find changes and not with the other.
fn capture(source: &Cursor<'_>, faults: &mut Vec<Fault>) {
    let reader = source.key("reader");
    if !is_binlog(source) {
        for key in ["reader", "format"] {
            let at = source.key(key);
            if at.is_present() {
                let message = format!("`{key}` is of the binary log, and this source is read by watermark");
                let hint = "remove it, or write `capture = \"binlog\"`";
                faults.push(at.fault(code::FORMAT, message).on_key().hint(hint));
            }
        }
        return;
    }
    not_of_binlog(source, &["schedule"], faults);
    if source.key("format").text() == Some("python-dict") {
        for key in ["reader", "database", "create", "network"] {
            let at = source.key(key);
            if at.is_present() {
                let message = format!(
                    "with `format = \"python-dict\"` a program of your own reads the database, so nothing would use `{key}`"
                );
                let hint = "remove it, or remove `format`: then pipectl's reader reads the binary log";
                faults.push(at.fault(code::FORMAT, message).on_key().hint(hint));
            }
        }
        return;
    }
    let on_ecs = reader.key("on").text() == Some("ecs");
    let (other, why) = match on_ecs {
        true => ("instance_type", "Fargate has no servers to choose from"),
        false => (
            "image",
            "a server runs the runtime that pipectl uploads, without an image",
        ),
    };
    let at = reader.key(other);
    if at.is_present() {
        let hint = match on_ecs {
            true => "remove it, or write `on = \"ec2\"`",
            false => "remove it, or write `on = \"ecs\"`",
        };
        faults.push(at.fault(code::FORMAT, why).on_key().hint(hint));
    }
    server(&reader.key("instance_type"), faults);
    image(&reader.key("image"), faults);
}

/// Keys of a reading by watermark, where there is none.
fn not_of_binlog(at: &Cursor<'_>, keys: &[&str], faults: &mut Vec<Fault>) {
    for key in keys {
        let at = at.key(key);
        if at.is_present() {
            let message =
                format!("`{key}` is of a reading by watermark, and this source's changes come from the binary log");
            let hint = "remove it: changes come as they are made; or write `capture = \"watermark\"`";
            faults.push(at.fault(code::FORMAT, message).on_key().hint(hint));
        }
    }
}

fn server(at: &Cursor<'_>, faults: &mut Vec<Fault>) {
    let is_type = |text: &str| {
        let is_part = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        text.split_once('.')
            .is_some_and(|(family, size)| is_part(family) && is_part(size))
            && text.starts_with(|c: char| c.is_ascii_lowercase())
    };
    if at.text().is_some_and(|text| !is_type(text)) {
        faults.push(
            at.fault(code::FORMAT, "this is not a type of an EC2 server")
                .hint("such as `t4g.small`"),
        );
    }
}

/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html>: at most 255 characters.
fn image(at: &Cursor<'_>, faults: &mut Vec<Fault>) {
    let is_image = |text: &str| {
        (1..=255).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.:/@".contains(c))
    };
    if at.text().is_some_and(|text| !is_image(text)) {
        let hint = "such as `111122223333.dkr.ecr.eu-west-1.amazonaws.com/pipectl-runtime:1.0`";
        faults.push(at.fault(code::FORMAT, "this is not the name of an image").hint(hint));
    }
}

/// What a table of a MySQL source may and may not say.
pub(super) fn table(table: &Cursor<'_>, by_binlog: bool, faults: &mut Vec<Fault>) {
    for key in ["prefix", "flatten"] {
        let at = table.key(key);
        if at.is_present() {
            faults.push(
                at.fault(
                    code::TABLE,
                    format!("`{key}` is of tables that files feed, and this source is a database"),
                )
                .on_key()
                .hint("remove it; `from` names the table that feeds this one"),
            );
        }
    }
    let from = table.key("from");
    if !from.is_present() && table.key("name").is_present() {
        let message = "this table does not say which table of the database feeds it";
        faults.push(
            from.fault(code::REQUIRED, message)
                .hint("add `from = \"database.table\"`"),
        );
    }
    word::<TableName>(&from, faults);
    word::<Overlap>(&table.key("overlap"), faults);
    if by_binlog {
        not_of_binlog(table, &["watermark", "overlap"], faults);
    }
    let watermark = table.key("watermark");
    let columns = watermark.items().unwrap_or_else(|| vec![watermark.clone()]);
    if watermark.items().is_some_and(|items| items.is_empty())
        || columns
            .iter()
            .any(|column| column.text().is_some_and(|text| text.trim().is_empty()))
    {
        faults.push(
            watermark
                .fault(code::FORMAT, "a watermark has at least one column")
                .hint("such as `watermark = \"updated_at\"`"),
        );
    }
}

/// Keys that only a table of a MySQL source takes.
pub(super) fn none_of(table: &Cursor<'_>, faults: &mut Vec<Fault>) {
    for key in ["from", "watermark", "overlap"] {
        let at = table.key(key);
        if at.is_present() {
            faults.push(
                at.fault(
                    code::TABLE,
                    format!("`{key}` is of tables that a database feeds, and this source is files"),
                )
                .on_key()
                .hint("remove it, or write `type = \"mysql\"` in `[source]`"),
            );
        }
    }
}

fn word<T: std::str::FromStr<Err = WordError>>(at: &Cursor<'_>, faults: &mut Vec<Fault>) {
    if let Some(Err(error)) = at.text().map(str::parse::<T>) {
        faults.push(at.fault(code::FORMAT, error.message).hint(error.hint));
    }
}

fn schedule(at: &Cursor<'_>, faults: &mut Vec<Fault>) {
    match at.text().map(str::parse::<Schedule>) {
        Some(Err(error)) => faults.push(at.fault(code::SCHEDULE, error.message).hint(error.hint)),
        Some(Ok(schedule)) => {
            if let Err(error) = Rate::of(&schedule) {
                faults.push(at.fault(code::SCHEDULE, error.message).hint(error.hint));
            }
        }
        None => {}
    }
}

fn range(at: &Cursor<'_>, low: i64, high: i64, what: &str, faults: &mut Vec<Fault>) {
    if at.integer().is_some_and(|number| !(low..=high).contains(&number)) {
        faults.push(
            at.fault(code::RANGE, format!("this {what} is out of its limits"))
                .hint(format!("{low} to {high}")),
        );
    }
}

fn is_host(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len()) && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    text.len() <= 253 && text.trim_end_matches('.').split('.').all(is_label)
}

/// Limits: <https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBInstance.html>.
fn create(create: &Cursor<'_>, faults: &mut Vec<Fault>) {
    let name = create.key("name");
    let is_name = |text: &str| {
        (1..=64).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    if name.text().is_some_and(|text| !is_name(text)) {
        faults.push(
            name.fault(code::NAME, "RDS would not take this as the name of a database")
                .hint("letters, digits and `_`, starting with a letter, at most 64"),
        );
    }
    let class = create.key("instance_class");
    if class.text().is_some_and(|text| !text.starts_with("db.")) {
        faults.push(
            class
                .fault(code::FORMAT, "this is not a class of an RDS server")
                .hint("such as `db.t4g.micro`"),
        );
    }
    let version = create.key("engine_version");
    let is_version =
        |text: &str| text.split('.').count() <= 3 && text.split('.').all(|part| part.parse::<u32>().is_ok());
    if version.text().is_some_and(|text| !is_version(text)) {
        faults.push(
            version
                .fault(code::FORMAT, "this is not a version of MySQL")
                .hint("such as `8.4`"),
        );
    }
    range(&create.key("storage_gb"), 20, 6_553, "size of the disk", faults);
    range(&create.key("backup_days"), 1, 35, "time that backups are kept", faults);
}

fn network(network: &Cursor<'_>, makes_database: bool, faults: &mut Vec<Fault>) {
    let mut id = |at: &Cursor<'_>, prefix: &str, what: &str| {
        let is_id = |text: &str| {
            text.strip_prefix(prefix)
                .is_some_and(|rest| rest.len() >= 8 && rest.chars().all(|c| c.is_ascii_hexdigit()))
        };
        if at.text().is_some_and(|text| !is_id(text)) {
            faults.push(
                at.fault(code::FORMAT, format!("this is not the id of a {what}"))
                    .hint(format!("such as `{prefix}0a1b2c3d4e5f67890`")),
            );
        }
    };
    id(&network.key("vpc"), "vpc-", "VPC");
    let subnets = network.key("subnets").items().unwrap_or_default();
    subnets.iter().for_each(|subnet| id(subnet, "subnet-", "subnet"));
    network
        .key("security_groups")
        .items()
        .unwrap_or_default()
        .iter()
        .for_each(|group| id(group, "sg-", "security group"));
    let least = if makes_database { 2 } else { 1 };
    if network.key("subnets").items().is_some_and(|items| items.len() < least) {
        let message = if makes_database {
            "a database of RDS needs subnets in two availability zones"
        } else {
            "the function needs a subnet"
        };
        faults.push(
            network
                .key("subnets")
                .fault(code::RANGE, message)
                .hint("add another subnet"),
        );
    }
}
