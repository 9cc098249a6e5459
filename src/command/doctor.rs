//! `pipectl doctor`.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::context::{Failure, Loaded, connect_aws, connect_snowflake, explained, load};
use super::{Format, Global};
use crate::aws::runtime;
use crate::doctor::policy::{Need, document, needs, parts};
use crate::doctor::{Check, State, aws, database, snowflake};
use crate::graph::Body;
use crate::report::out::{out, outln};
use crate::report::progress;
use crate::report::style::Style;
use crate::report::table::table;

/// Longest managed policy, blanks not counted: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>.
const MANAGED: usize = 6144;

/// Longest sum of a role's own policies, from the same page.
const OWN: usize = 10240;

/// Options of `doctor`.
#[derive(Debug, Args)]
pub struct Options {
    /// Print the least IAM policy for deploying this pipeline, and check nothing; needs no account
    #[arg(long)]
    print_policy: bool,
    /// With --print-policy: a list of policies, each short enough for a managed one
    #[arg(long, requires = "print_policy")]
    managed: bool,
    /// Print the GRANT statements for the deploying role, and check nothing; needs no account
    #[arg(long, conflicts_with = "print_policy")]
    print_grants: bool,
}

/// Looks at all that a deploy needs, and changes nothing.
pub async fn run(global: &Global, options: &Options) -> Result<ExitCode, Failure> {
    let loaded = load(global)?;
    if options.print_policy {
        print_policy(&needs(&loaded.graph, &loaded.model.names).0, options.managed);
        return Ok(ExitCode::SUCCESS);
    }
    if options.print_grants {
        let grants = loaded.model.snowflake().map(snowflake::grants).unwrap_or_default();
        match global.format {
            Format::Json => outln!("{:#}", json!(grants)),
            Format::Text | Format::Markdown => grants.iter().for_each(|grant| outln!("{grant};")),
        }
        return Ok(ExitCode::SUCCESS);
    }
    let checks = checks(&loaded).await;
    let ok = checks.iter().all(|check| check.state != State::Missing);
    match global.format {
        Format::Json => outln!("{:#}", json!({ "ok": ok, "checks": checks })),
        Format::Text | Format::Markdown => out!("{}", text(&checks, &Style::of_stdout(global.no_color))),
    }
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn print_policy(needs: &[Need], managed: bool) {
    if managed {
        outln!("{:#}", json!(parts(needs, MANAGED)));
        return;
    }
    let policy = document(needs);
    let length = policy.to_string().len();
    if length > MANAGED {
        progress::say(&format!(
            "{length} characters are too many for one managed policy ({MANAGED}). As the role's own ({OWN}):\n  \
             aws iam put-role-policy --role-name ROLE --policy-name pipectl --policy-document file://policy.json\n\
             or print a list of managed ones with --managed."
        ));
    }
    outln!("{policy:#}");
}

async fn checks(loaded: &Loaded) -> Vec<Check> {
    let mut checks = runtime(loaded);
    let side = match connect_aws(loaded, &progress::say).await {
        Ok(side) => side,
        // Signing in to Snowflake may need AWS, where a secret is kept there.
        Err(error) => {
            checks.push(Check::missing("AWS", "identity", &explained(&error)));
            return checks;
        }
    };
    checks.push(Check::found("AWS", "identity", &side.identity));
    let (needs, unknown) = needs(&loaded.graph, &loaded.model.names);
    checks.extend(aws::rights(&side.aws, &side.identity, &needs, &unknown).await);
    checks.extend(aws::quotas(&side.aws, &loaded.graph).await);
    checks.extend(database::checks(&side.aws, &loaded.model).await);
    match (connect_snowflake(loaded, &side).await, loaded.model.snowflake()) {
        (Ok(Some(client)), Some(target)) => checks.extend(snowflake::checks(&client, target).await),
        (Err(error), _) => checks.push(Check::missing("Snowflake", "identity", &explained(&error))),
        _ => {}
    }
    checks
}

fn runtime(loaded: &Loaded) -> Vec<Check> {
    let mut nodes = loaded.graph.nodes().iter();
    if !nodes.any(|node| matches!(node.body, Body::Upload(_))) {
        return Vec::new();
    }
    let what = format!("runtime for {}", loaded.model.architecture);
    vec![match runtime::find(loaded.model.architecture) {
        Ok(runtime) => Check::found("this machine", what, &runtime.key),
        Err(error) => Check::missing("this machine", what, &explained(&error)),
    }]
}

fn text(checks: &[Check], style: &Style) -> String {
    let rows: Vec<Vec<String>> = checks
        .iter()
        .map(|check| {
            // What may be long stands last, where it can be wrapped.
            let found = match check.state {
                State::Ok => style.dim(&check.found),
                State::Missing => style.error(&check.found),
                State::Risk | State::NotChecked => style.change(&check.found),
            };
            let next = match check.next.as_str() {
                "" => String::new(),
                next => format!("; next: {next}"),
            };
            let columns = [check.side, &check.what, check.state.word()];
            columns
                .iter()
                .map(|text| (*text).to_owned())
                .chain([found + &next])
                .collect()
        })
        .collect();
    table(&["SIDE", "WHAT", "STATE", ""], &rows)
}
