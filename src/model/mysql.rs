//! The MySQL source resolved.

use super::names::Names;
use super::resolve::LOCAL;
use super::{Capture, Database, MysqlSource, MysqlTable, Origin, Reader, Table, Watermark};
use crate::spec::mysql::{Capture as CaptureSpec, Format, Host, MysqlSource as MysqlSpec, Overlap, TableName};
use crate::spec::schedule::Schedule;
use crate::spec::secret::SecretReference;
use crate::spec::types::Table as TableSpec;
use crate::spec::{Fault, Path, code};

/// Seconds that a transaction may take to commit and still be seen, where the user says nothing.
const OVERLAP_SECONDS: u64 = 120;

/// Size of the reader's server where the user says nothing, by processor.
const SMALL_SERVERS: [(&str, &str); 2] = [("arm64", "t4g.small"), ("x86_64", "t3.small")];

/// Settles the source.
pub fn source(
    spec: &MysqlSpec,
    names: &Names,
    architecture: &str,
    tables: &[Table],
    problems: &mut Vec<Fault>,
) -> Option<MysqlSource> {
    let at = Path::root().key("source");
    let capture = match spec.capture {
        CaptureSpec::Watermark => watermark_capture(spec, &at, problems),
        CaptureSpec::Binlog => reader(spec, names, architecture, &at, problems).map(Capture::Binlog),
    };
    let database = match &capture {
        Some(Capture::Binlog(Reader::PythonDict)) => None,
        _ => Some(database(spec, &at, problems)?),
    };
    if capture == Some(Capture::Binlog(Reader::PythonDict)) {
        plain_keys(tables, problems);
    }
    Some(MysqlSource {
        capture: capture?,
        database,
        network: spec.network.clone(),
        stream: names.resource("changes"),
        shards: spec.shards,
        buffer_seconds: spec.buffer_seconds,
        tables: distinct(tables, problems),
    })
}

fn watermark_capture(spec: &MysqlSpec, at: &Path, problems: &mut Vec<Fault>) -> Option<Capture> {
    match spec.schedule.parse::<Schedule>() {
        Ok(schedule) => Some(Capture::Watermark { schedule }),
        Err(error) => {
            problems.push(Fault::new(code::SCHEDULE, at.key("schedule"), error.to_string()));
            None
        }
    }
}

fn reader(spec: &MysqlSpec, names: &Names, architecture: &str, at: &Path, problems: &mut Vec<Fault>) -> Option<Reader> {
    if spec.format == Format::PythonDict {
        return Some(Reader::PythonDict);
    }
    let reader = spec.reader.clone().unwrap_or_default();
    let at = at.key("reader");
    // The local cloud runs no containers; there a process of this machine reads, as for a server.
    let on = match names.environment == LOCAL {
        true => Host::Ec2,
        false => reader.on,
    };
    match (on, reader.image) {
        (Host::Ecs, Some(image)) => Some(Reader::Ecs { image }),
        (Host::Ecs, None) => {
            let message = "a reader on `ecs` needs an image to run";
            let hint = "add `image = \"…\"`, an image with pipectl-runtime as its entry point (docs/binlog.md)";
            problems.push(Fault::new(code::REQUIRED, at.key("image"), message).hint(hint));
            None
        }
        (Host::Ec2, _) => {
            let small = SMALL_SERVERS.iter().find(|(processor, _)| *processor == architecture);
            let small = small.map(|(_, server)| (*server).to_owned()).unwrap_or_default();
            let Some(instance_type) = reader.instance_type else {
                return Some(Reader::Ec2 { instance_type: small });
            };
            // The local cloud has this machine's processor, whatever the file says.
            if names.environment != LOCAL && processor(&instance_type) != architecture {
                let message = format!(
                    "`{instance_type}` has processors of {}, but the runtime is built for {architecture}",
                    processor(&instance_type)
                );
                let hint = format!("write a type such as `{small}`, or set `aws.architecture`");
                problems.push(Fault::new(code::FORMAT, at.key("instance_type"), message).hint(hint));
            }
            Some(Reader::Ec2 { instance_type })
        }
    }
}

/// The processor of a type of server, which a `g` behind its generation tells:
/// <https://docs.aws.amazon.com/ec2/latest/instancetypes/instance-type-names.html>.
fn processor(instance_type: &str) -> &'static str {
    let family = instance_type.split('.').next().unwrap_or_default();
    let options = family.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    match options.contains('g') || family == "a1" {
        true => "arm64",
        false => "x86_64",
    }
}

/// A dict has the columns of the row, and the key is found among them by name.
fn plain_keys(tables: &[Table], problems: &mut Vec<Fault>) {
    for (index, table) in tables.iter().enumerate() {
        let at = Path::root().key("table").index(index).key("columns");
        for (position, column) in table.columns.iter().enumerate() {
            if column.key && column.source_column().is_none() {
                let message = format!(
                    "the key column `{}` is not a column of the source's table as it is",
                    column.name
                );
                let at = at.index(position).key("path");
                problems.push(
                    Fault::new(code::JSON_PATH, at, message).hint("write `@.` and the column's name in the database"),
                );
            }
        }
    }
}

fn database(spec: &MysqlSpec, at: &Path, problems: &mut Vec<Fault>) -> Option<Database> {
    match (&spec.database, &spec.create) {
        (Some(database), None) => match database.secret.parse() {
            Ok(SecretReference::SecretsManager(secret)) => Some(Database::Existing {
                host: database.host.clone(),
                port: database.port,
                secret,
            }),
            _ => {
                let at = at.key("database").key("secret");
                let message = "what reads the database finds its password in Secrets Manager only";
                problems.push(Fault::new(code::SECRET_REFERENCE, at, message).hint("write `secretsmanager:NAME`"));
                None
            }
        },
        (None, Some(create)) => Some(Database::New(create.clone())),
        _ => {
            let message = "a MySQL source has either `database`, one that exists, or `create`, one that pipectl makes";
            problems.push(Fault::new(code::REQUIRED, at.clone(), message).hint("write one of the two"));
            None
        }
    }
}

/// What is read of a table of the source.
pub fn table(
    spec: &TableSpec,
    from: &str,
    capture: CaptureSpec,
    at: &Path,
    problems: &mut Vec<Fault>,
) -> Option<MysqlTable> {
    let name = match from.parse::<TableName>() {
        Ok(name) => Some(name),
        Err(error) => {
            problems.push(Fault::new(code::FORMAT, at.key("from"), error.message).hint(error.hint));
            None
        }
    };
    let watermark = match capture {
        CaptureSpec::Watermark => Some(watermark(spec, from, at, problems)?),
        CaptureSpec::Binlog => None,
    };
    Some(MysqlTable { name: name?, watermark })
}

fn watermark(spec: &TableSpec, from: &str, at: &Path, problems: &mut Vec<Fault>) -> Option<Watermark> {
    let overlap = match spec.overlap.as_deref().map(str::parse::<Overlap>) {
        None => Some(Overlap::Seconds(OVERLAP_SECONDS)),
        Some(Ok(overlap)) => Some(overlap),
        Some(Err(error)) => {
            problems.push(Fault::new(code::FORMAT, at.key("overlap"), error.message).hint(error.hint));
            None
        }
    };
    let Some(columns) = &spec.watermark else {
        let message = format!(
            "`{}` has no watermark, so nobody can tell what is new in `{from}`",
            spec.name
        );
        let hint = "add `watermark = \"updated_at\"`, a column that grows with every change; or read the server's binary log: `capture = \"binlog\"` in `[source]`";
        problems.push(Fault::new(code::REQUIRED, at.key("watermark"), message).hint(hint));
        return None;
    };
    Some(Watermark {
        columns: columns.0.clone(),
        overlap: overlap?,
    })
}

/// Tables of the warehouse may share one of the source; it is read once, so they must agree how.
fn distinct(tables: &[Table], problems: &mut Vec<Fault>) -> Vec<MysqlTable> {
    let mut found: Vec<MysqlTable> = Vec::new();
    for (index, table) in tables.iter().enumerate() {
        let Origin::Mysql(origin) = &table.origin else { continue };
        match found.iter().find(|other| other.name == origin.name) {
            None => found.push(origin.clone()),
            Some(other) if other == origin => {}
            Some(_) => {
                let at = Path::root().key("table").index(index).key("watermark");
                let message = format!("another table reads `{}` by another watermark or overlap", origin.name);
                problems.push(
                    Fault::new(code::DUPLICATE, at, message)
                        .hint("a source table is read once: write the same for both"),
                );
            }
        }
    }
    found
}
