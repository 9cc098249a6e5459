//! From what the user wrote to the model.

use std::collections::{BTreeMap, BTreeSet};

use crate::snowflake::ident::{Ident, Name};
use crate::spec::jsonpath::{JsonPath, Root, Step};
use crate::spec::mysql::{Capture, Overlap};
use crate::spec::schedule::Schedule;
use crate::spec::secret::SecretReference;
use crate::spec::source::Source as SourceSpec;
use crate::spec::sqltype::SqlType;
use crate::spec::types::{
    Alerts as AlertsSpec, Architecture, Column as ColumnSpec, Snowflake, Spec, Table as TableSpec,
};
use crate::spec::{Fault, Path, code};

use super::names::Names;
use super::{
    Alerts, Apply, Cdc, Column, Feed, FilesSource, Landing, Load, Mail, Model, Origin, SnowflakeTarget, Source, Table,
    Target, mysql, star,
};

/// The environment that needs no account.
pub const LOCAL: &str = "local";
/// The account that the local cloud has: <https://pypi.org/project/ministack/>.
pub const LOCAL_ACCOUNT: &str = "000000000000";
/// The Snowflake account of the local cloud.
const LOCAL_SNOWFLAKE: &str = "LOCAL";
/// The region of the local cloud.
pub const LOCAL_REGION: &str = "us-east-1";

/// Settles every name. Problems carry the place in the file that they come from.
pub fn resolve(spec: &Spec, environment: &str) -> Result<Model, Vec<Fault>> {
    let names = names(spec, environment);
    let mut problems: Vec<Fault> = names
        .too_long(
            &["curated", "artifacts"],
            &["snowflake-errors", "copy-dead-letter-depth"],
        )
        .into_iter()
        .map(|long| {
            Fault::new(code::NAME, Path::root().key("pipeline").key("name"), long.to_string())
                .hint("choose a shorter name for the pipeline or the environment")
        })
        .collect();
    problems.extend(same_feed_name(&spec.tables));
    problems.extend(procedures(spec, environment));
    if spec.snowflake.is_none() {
        let fault = Fault::new(
            code::REQUIRED,
            Path::root(),
            "the pipeline goes nowhere: it has no target",
        );
        problems.push(fault.hint("add a table [snowflake]; it may be empty for the environment `local`"));
    }
    let capture = match &spec.source {
        SourceSpec::Mysql(source) => source.capture,
        SourceSpec::Files(_) => Capture::default(),
    };
    let tables: Vec<Table> = spec
        .tables
        .iter()
        .enumerate()
        .filter_map(|(index, table)| resolve_table(table, index, capture, &mut problems))
        .collect();
    let schedule = spec
        .snowflake
        .as_ref()
        .map_or_else(|| "1 minute".to_owned(), |snowflake| snowflake.schedule.clone());
    let schedule = match schedule.parse::<Schedule>() {
        Ok(schedule) => Some(schedule),
        Err(error) => {
            problems.push(Fault::new(
                code::SCHEDULE,
                Path::root().key("snowflake").key("schedule"),
                error.to_string(),
            ));
            None
        }
    };
    let source = source(spec, &names, &tables, &mut problems);
    let star = star::resolve(spec, &tables, &mut problems);
    let (Some(schedule), Some(source), true) = (schedule, source, problems.is_empty()) else {
        return Err(problems);
    };
    Ok(Model {
        description: spec
            .pipeline
            .description
            .clone()
            .unwrap_or_else(|| format!("Pipeline {}", spec.pipeline.name)),
        tags: tags(spec, &names),
        architecture: architecture(spec, environment),
        log_retention_days: spec.aws.log_retention_days,
        alerts: alerts(&spec.alerts),
        source,
        landing: landing(&spec.tables, &names),
        tables,
        star,
        targets: spec
            .snowflake
            .iter()
            .map(|target| Target::Snowflake(snowflake(target, &names, schedule.clone())))
            .collect(),
        names,
    })
}

fn names(spec: &Spec, environment: &str) -> Names {
    let local = environment == LOCAL;
    let or_local = |value: &Option<String>, fallback: &str| match value {
        Some(value) if !local => value.clone(),
        _ if local => fallback.to_owned(),
        _ => String::new(),
    };
    Names {
        pipeline: spec.pipeline.name.clone(),
        environment: environment.to_owned(),
        account: or_local(&spec.aws.account, LOCAL_ACCOUNT),
        region: or_local(&spec.aws.region, LOCAL_REGION),
    }
}

fn tags(spec: &Spec, names: &Names) -> BTreeMap<String, String> {
    let mut tags = spec.pipeline.tags.clone();
    tags.insert("pipectl:pipeline".to_owned(), names.pipeline.clone());
    tags.insert("pipectl:environment".to_owned(), names.environment.clone());
    tags
}

/// The local cloud runs functions as processes of this machine, so there the machine's own processor counts.
fn architecture(spec: &Spec, environment: &str) -> &'static str {
    match spec.aws.architecture {
        _ if environment == LOCAL && cfg!(target_arch = "aarch64") => "arm64",
        _ if environment == LOCAL => "x86_64",
        Some(Architecture::X86_64) => "x86_64",
        Some(Architecture::Arm64) | None => "arm64",
    }
}

fn source(spec: &Spec, names: &Names, tables: &[Table], problems: &mut Vec<Fault>) -> Option<Source> {
    let architecture = architecture(spec, &names.environment);
    match &spec.source {
        SourceSpec::Files(files) => Some(Source::Files(FilesSource {
            bucket: files.bucket.clone().unwrap_or_else(|| names.bucket("raw")),
            adopt: files.adopt,
            max_attempts: files.max_attempts,
        })),
        SourceSpec::Mysql(spec) => mysql::source(spec, names, architecture, tables, problems).map(Source::Mysql),
    }
}

/// The checks of the file have seen every value already; one that is wrong all the same is left out.
fn alerts(spec: &AlertsSpec) -> Alerts {
    let secret = |text: &String| match text.parse() {
        Ok(SecretReference::SecretsManager(name)) => Some(name),
        _ => None,
    };
    let seconds = |text: &String| match text.parse() {
        Ok(Overlap::Seconds(seconds)) => u32::try_from(seconds).ok(),
        _ => None,
    };
    Alerts {
        email: spec.email.clone(),
        mail: spec.mail.as_ref().map(|mail| Mail {
            from: mail.from.clone(),
            to: mail.to.clone(),
            identity: mail.identity.clone().unwrap_or_else(|| mail.from.clone()),
            own_identity: mail.identity.is_none(),
        }),
        webhook: spec.webhook.as_ref().and_then(secret),
        absent_after: spec.absent_after.as_ref().and_then(seconds),
    }
}

fn landing(tables: &[TableSpec], names: &Names) -> Landing {
    let mut seen = BTreeSet::new();
    let mut feeds: Vec<Feed> = tables.iter().map(feed).collect();
    feeds.retain(|feed| seen.insert(feed.name.clone()));
    Landing {
        bucket: names.bucket("curated"),
        prefix: "data/",
        error_prefix: "errors/",
        topic: names.resource("curated"),
        feeds,
    }
}

/// The feed of a table: its folder, with a name made of the letters and digits in it.
fn feed(table: &TableSpec) -> Feed {
    let of_source = table.from.as_ref().map(|from| format!("{from}/"));
    let prefix = of_source.or_else(|| table.prefix.clone()).unwrap_or_default();
    let name = feed_name(&prefix);
    Feed { name, prefix }
}

/// The name of a folder's feed: the letters and digits in it, fit for an identifier.
pub fn feed_name(prefix: &str) -> String {
    let words: Vec<String> = prefix
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_uppercase)
        .collect();
    match words.is_empty() {
        true => "ALL".to_owned(),
        false => words.join("_"),
    }
}

/// Folders whose names differ only in what an identifier cannot hold would share a raw table.
fn same_feed_name(tables: &[TableSpec]) -> Vec<Fault> {
    let mut first: BTreeMap<String, String> = BTreeMap::new();
    let mut faults = Vec::new();
    for (index, table) in tables.iter().enumerate() {
        let this = feed(table);
        let prefix = first.entry(this.name.clone()).or_insert_with(|| this.prefix.clone());
        if *prefix != this.prefix {
            let message = format!(
                "`{}` and `{prefix}` would both be loaded as RAW_{}",
                this.prefix, this.name
            );
            let at = Path::root().key("table").index(index).key("prefix");
            faults.push(Fault::new(code::DUPLICATE, at, message).hint("rename one of the folders"));
        }
    }
    faults
}

fn resolve_table(spec: &TableSpec, index: usize, capture: Capture, problems: &mut Vec<Fault>) -> Option<Table> {
    let at = Path::root().key("table").index(index);
    let flatten = match spec.flatten.as_deref().map(str::parse::<JsonPath>).transpose() {
        Ok(flatten) => flatten,
        Err(error) => {
            problems.push(Fault::new(code::JSON_PATH, at.key("flatten"), error.to_string()));
            return None;
        }
    };
    let origin = match &spec.from {
        Some(from) => Origin::Mysql(mysql::table(spec, from, capture, &at, problems)?),
        None => Origin::File { flatten },
    };
    let of_item = !matches!(origin, Origin::File { flatten: None });
    let columns: Vec<Column> = spec
        .columns
        .iter()
        .enumerate()
        .filter_map(|(position, column)| {
            let at = at.key("columns").index(position);
            resolve_column(column, of_item, at, problems)
        })
        .collect();
    (columns.len() == spec.columns.len()).then(|| Table {
        name: spec.name.clone(),
        description: spec.description.clone(),
        feed: feed(spec).name,
        origin,
        adopt: spec.adopt,
        cdc: (capture == Capture::Binlog && spec.from.is_some()).then_some(Cdc {
            deletes: spec.deletes,
            history: spec.history,
        }),
        columns,
    })
}

fn resolve_column(spec: &ColumnSpec, of_item: bool, at: Path, problems: &mut Vec<Fault>) -> Option<Column> {
    let data_type = spec.data_type.parse::<SqlType>();
    let path = match &spec.path {
        Some(path) => path.parse::<JsonPath>(),
        None => Ok(by_name(of_item, &spec.name)),
    };
    match (data_type, path) {
        (Ok(data_type), Ok(path)) => Some(Column {
            name: Ident::new(&spec.name),
            data_type,
            path,
            not_null: spec.not_null || spec.key,
            key: spec.key,
            was: spec.was.as_deref().map(Ident::new),
            description: spec.description.clone(),
        }),
        (data_type, path) => {
            problems.extend(
                data_type
                    .err()
                    .map(|error| Fault::new(code::SQL_TYPE, at.key("type"), error.to_string())),
            );
            problems.extend(
                path.err()
                    .map(|error| Fault::new(code::JSON_PATH, at.key("path"), error.to_string())),
            );
            None
        }
    }
}

/// Without a path the value is the field that is called like the column.
fn by_name(of_item: bool, name: &str) -> JsonPath {
    let root = if of_item { Root::Item } else { Root::Record };
    JsonPath {
        root,
        steps: vec![Step::Field(name.to_owned())],
    }
}

/// What the file lacks for procedures: a function has no connection of the user's to look into.
fn procedures(spec: &Spec, environment: &str) -> Vec<Fault> {
    let Some(target) = spec.snowflake.as_ref().filter(|target| target.load == Load::Procedure) else {
        return Vec::new();
    };
    let at = |key| Path::root().key("snowflake").key(key);
    let mut faults = Vec::new();
    if environment != LOCAL {
        let needed = [
            (
                "account",
                &target.account,
                "write the account's identifier, ORGANISATION-ACCOUNT",
            ),
            (
                "aws_issuer",
                &target.aws_issuer,
                "run `aws iam enable-outbound-web-identity-federation` once in the AWS account, and write the IssuerIdentifier that `aws iam get-outbound-web-identity-federation-info` tells",
            ),
        ];
        for (key, _, hint) in needed.into_iter().filter(|(_, value, _)| value.is_none()) {
            let message =
                format!("`load = \"procedure\"` needs `{key}`: the function that calls procedures signs in by it");
            faults.push(Fault::new(code::REQUIRED, at("load"), message).hint(hint));
        }
    }
    let star = [
        (!spec.dimensions.is_empty(), "dimensions"),
        (!spec.facts.is_empty(), "facts"),
        (!spec.transforms.is_empty(), "transforms"),
    ];
    for (_, what) in star.into_iter().filter(|(is_there, _)| *is_there) {
        let message = format!("{what} are made by tasks from what pipes load, and `load = \"procedure\"` has neither");
        faults.push(Fault::new(code::TABLE, at("load"), message).hint("write `load = \"snowpipe\"`"));
    }
    faults
}

/// Missing values are told by [`procedures`].
fn apply(spec: &Snowflake, names: &Names) -> Apply {
    if names.environment == LOCAL {
        return Apply {
            account: LOCAL_SNOWFLAKE.to_owned(),
            issuer: format!(
                "https://00000000-0000-4000-8000-{}.tokens.sts.global.api.aws",
                names.account
            ),
        };
    }
    Apply {
        account: spec.account.clone().unwrap_or_default(),
        issuer: spec.aws_issuer.clone().unwrap_or_default(),
    }
}

fn snowflake(spec: &Snowflake, names: &Names, schedule: Schedule) -> SnowflakeTarget {
    let local = names.environment == LOCAL;
    let default_role = if local { "ACCOUNTADMIN" } else { "SYSADMIN" };
    let database = Name::account(&spec.database.clone().unwrap_or_else(|| names.snowflake("")));
    let schema = spec.schema.clone().unwrap_or_else(|| "MAIN".to_owned());
    let raw_schema = database.child(&format!("{schema}_RAW"));
    let stage = match &spec.stage {
        Some(stage) => stage
            .schema
            .as_ref()
            .map_or_else(|| raw_schema.clone(), |schema| database.child(schema))
            .child(&stage.name),
        None => raw_schema.child("CURATED"),
    };
    SnowflakeTarget {
        adopt: spec.adopt,
        stage,
        adopt_stage: spec.stage.as_ref().is_some_and(|stage| stage.adopt),
        deployer: Name::account(spec.role.as_deref().filter(|_| !local).unwrap_or(default_role)),
        schema: database.child(&schema),
        raw_schema,
        database,
        warehouse: Name::account(
            &spec
                .warehouse
                .clone()
                .filter(|_| !local)
                .unwrap_or_else(|| names.snowflake("WH")),
        ),
        own_warehouse: spec.warehouse.is_none() || local,
        schedule,
        load: spec.load,
        apply: (spec.load == Load::Procedure).then(|| apply(spec, names)),
    }
}
