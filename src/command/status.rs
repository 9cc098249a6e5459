//! `pipectl status`.

use std::process::ExitCode;

use serde_json::json;

use super::context::{Failure, connect, load};
use super::{Format, Global};
use crate::model::Model;
use crate::report::out::{out, outln};
use crate::report::progress;
use crate::report::style::Style;
use crate::report::table::table;
use crate::status::{Hop, hops};

/// Exit code when a hop is not healthy.
const UNHEALTHY: u8 = 2;

/// Shows every hop.
pub async fn run(global: &Global) -> Result<ExitCode, Failure> {
    let loaded = load(global)?;
    let clouds = connect(&loaded, &progress::say).await?;
    let hops = hops(&loaded.model, &loaded.graph, &clouds.aws, clouds.snowflake.as_ref()).await?;
    let healthy = hops.iter().all(|hop| hop.healthy);
    let names = &loaded.model.names;
    match global.format {
        Format::Json => outln!(
            "{:#}",
            json!({
                "pipeline": names.pipeline, "environment": names.environment, "healthy": healthy, "hops": hops,
            })
        ),
        Format::Text | Format::Markdown => out!("{}", text(&hops, &loaded.model, &Style::of_stdout(global.no_color))),
    }
    if global.verbose {
        progress::say(&clouds.calls());
    }
    Ok(if healthy {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(UNHEALTHY)
    })
}

/// What most names of the pipeline start with, which is said once.
fn prefixes(model: &Model) -> Vec<String> {
    let database = model.snowflake().map(|target| format!("{}.", target.database));
    let mut prefixes = vec![
        format!("s3://{}/", model.landing.bucket),
        format!("{}-", model.names.prefix()),
    ];
    prefixes.extend(database);
    prefixes
}

fn text(hops: &[Hop], model: &Model, style: &Style) -> String {
    let prefixes = prefixes(model);
    let short = |name: &str| {
        let rest = prefixes.iter().find_map(|prefix| name.strip_prefix(prefix.as_str()));
        rest.unwrap_or(name).to_owned()
    };
    let rows: Vec<Vec<String>> = hops
        .iter()
        .map(|hop| {
            let (sign, state) = if hop.healthy {
                (style.good("ok"), hop.state.clone())
            } else {
                (style.error("ill"), format!("{}; next: {}", hop.state, hop.next))
            };
            // Messages of services may have several lines.
            let state = state.replace('\n', " ");
            vec![sign, hop.kind.to_owned(), short(&hop.name), state]
        })
        .collect();
    let ill = hops.iter().filter(|hop| !hop.healthy).count();
    let verdict = match ill {
        0 => style.good("healthy"),
        ill => style.error(&format!("{ill} of {} hops are ill", hops.len())),
    };
    let names: Vec<String> = prefixes.iter().map(|prefix| format!("{prefix}…")).collect();
    let about = style.dim(&format!("names are short for {}", names.join(", ")));
    let table = table(&["", "HOP", "NAME", "STATE"], &rows);
    format!("{}: {verdict}\n{about}\n{table}", model.names.mark())
}
