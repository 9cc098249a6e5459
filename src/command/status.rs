//! `pipectl status`.

use std::process::ExitCode;

use super::context::{Failure, connect, load};
use super::{Format, Global};
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
    match global.format {
        Format::Json => outln!("{:#}", serde_json::json!({ "healthy": healthy, "hops": hops })),
        Format::Text | Format::Markdown => out!("{}", text(&hops, &Style::of_stdout(global.no_color))),
    }
    Ok(if healthy {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(UNHEALTHY)
    })
}

fn text(hops: &[Hop], style: &Style) -> String {
    let rows: Vec<Vec<String>> = hops
        .iter()
        .map(|hop| {
            let (sign, state) = if hop.healthy {
                (style.good("ok"), hop.state.clone())
            } else {
                (style.error("ill"), format!("{}; next: {}", hop.state, hop.next))
            };
            vec![sign, hop.kind.to_owned(), hop.name.clone(), state]
        })
        .collect();
    table(&["", "HOP", "NAME", "STATE"], &rows)
}
