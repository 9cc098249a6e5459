//! The MySQL source resolved.

use super::names::Names;
use super::{Database, MysqlSource, MysqlTable, Origin, Table};
use crate::spec::mysql::{MysqlSource as MysqlSpec, Overlap, TableName};
use crate::spec::schedule::Schedule;
use crate::spec::secret::SecretReference;
use crate::spec::types::Table as TableSpec;
use crate::spec::{Fault, Path, code};

/// Seconds that a transaction may take to commit and still be seen, where the user says nothing.
const OVERLAP_SECONDS: u64 = 120;

/// Settles the source.
pub fn source(spec: &MysqlSpec, names: &Names, tables: &[Table], problems: &mut Vec<Fault>) -> Option<MysqlSource> {
    let at = Path::root().key("source");
    let schedule = match spec.schedule.parse::<Schedule>() {
        Ok(schedule) => Some(schedule),
        Err(error) => {
            problems.push(Fault::new(code::SCHEDULE, at.key("schedule"), error.to_string()));
            None
        }
    };
    Some(MysqlSource {
        schedule: schedule?,
        database: database(spec, &at, problems)?,
        network: spec.network.clone(),
        stream: names.resource("changes"),
        shards: spec.shards,
        buffer_seconds: spec.buffer_seconds,
        tables: distinct(tables, problems),
    })
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
                let message = "the function that reads the database finds its password in Secrets Manager only";
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
pub fn table(spec: &TableSpec, from: &str, at: &Path, problems: &mut Vec<Fault>) -> Option<MysqlTable> {
    let name = match from.parse::<TableName>() {
        Ok(name) => Some(name),
        Err(error) => {
            problems.push(Fault::new(code::FORMAT, at.key("from"), error.message).hint(error.hint));
            None
        }
    };
    let overlap = match spec.overlap.as_deref().map(str::parse::<Overlap>) {
        None => Some(Overlap::Seconds(OVERLAP_SECONDS)),
        Some(Ok(overlap)) => Some(overlap),
        Some(Err(error)) => {
            problems.push(Fault::new(code::FORMAT, at.key("overlap"), error.message).hint(error.hint));
            None
        }
    };
    let Some(watermark) = &spec.watermark else {
        let message = format!(
            "`{}` has no watermark, so nobody can tell what is new in `{from}`",
            spec.name
        );
        let hint = "add `watermark = \"updated_at\"`, a column that grows with every change";
        problems.push(Fault::new(code::REQUIRED, at.key("watermark"), message).hint(hint));
        return None;
    };
    Some(MysqlTable {
        name: name?,
        watermark: watermark.0.clone(),
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
