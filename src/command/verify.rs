//! `pipectl verify`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::context::{Failure, connect, load};
use super::{Format, Global};
use crate::model::Origin;
use crate::report::bar::Bar;
use crate::report::out::{out, outln};
use crate::report::progress;
use crate::report::style::Style;
use crate::report::table::table;
use crate::verify::{self, Difference, Kind, TableReport, Verify};

/// Exit code when a table differs.
const DIFFERENT: u8 = 2;

/// Options of `verify`.
#[derive(Debug, Args)]
pub struct Options {
    /// Tables, by their name in the file or in the database; all without any
    #[arg(value_name = "TABLE")]
    tables: Vec<String>,
    /// Look again for so long at rows that may be on the way; without it as long as the pipeline's schedules take
    #[arg(long, value_name = "SECONDS")]
    wait: Option<u64>,
    /// List at most so many rows of each table; all are counted
    #[arg(long, value_name = "ROWS", default_value_t = 20)]
    limit: u32,
    /// Rows that only the warehouse has are no difference, since a watermark does not see deletes
    #[arg(long)]
    ignore_extra: bool,
}

/// Compares the tables, one after the other.
pub async fn run(global: &Global, options: &Options) -> Result<ExitCode, Failure> {
    let loaded = load(global)?;
    let tables = verify::tables(&loaded.model, &options.tables)?;
    let Some(target) = loaded.model.snowflake() else {
        return Err(
            anyhow::anyhow!("the pipeline has no [snowflake], so there is no warehouse to compare with").into(),
        );
    };
    if tables.is_empty() {
        return Err(anyhow::anyhow!(
            "the pipeline reads no database, so there is no source to compare with\n  hint: `verify` is for [source] type = \"mysql\""
        )
        .into());
    }
    let clouds = connect(&loaded, &progress::say).await?;
    let Some(client) = &clouds.snowflake else {
        return Err(anyhow::anyhow!("the pipeline has no way to Snowflake").into());
    };
    let how = verify::Options {
        limit: options.limit as usize,
        wait: options
            .wait
            .map_or_else(|| verify::path_time(&loaded.model), Duration::from_secs),
        ignore_extra: options.ignore_extra,
    };
    let mut reports = Vec::new();
    for table in tables {
        let Origin::Mysql(origin) = &table.origin else { continue };
        let bar = Bar::new(&table.name);
        let say = |text: &str| bar.say(text);
        let verify = Verify {
            model: &loaded.model,
            target,
            aws: &clouds.aws,
            client,
            options: &how,
            say: &say,
        };
        let report = verify.table(table, origin, &bar).await;
        bar.end();
        let report = report.map_err(|error| error.context(format!("comparing {} with {}", origin.name, table.name)))?;
        if global.format == Format::Text {
            out!(
                "{}",
                text(&report, options.ignore_extra, &Style::of_stdout(global.no_color))
            );
        }
        reports.push(report);
    }
    let equal = reports.iter().all(|report| report.equal);
    if global.format == Format::Json {
        outln!("{:#}", json!({ "equal": equal, "tables": reports }));
    }
    Ok(if equal {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(DIFFERENT)
    })
}

fn text(report: &TableReport, ignore_extra: bool, style: &Style) -> String {
    let mut lines = Vec::new();
    let sign = if report.equal {
        style.good("equal")
    } else {
        style.error("different")
    };
    lines.push(format!(
        "{sign}  {} ({} rows) and {} ({} rows)",
        report.source, report.source_rows, report.table, report.warehouse_rows
    ));
    let mut count = |rows: u64, what: &str| {
        if rows > 0 {
            lines.push(format!("  {rows} {what}"));
        }
    };
    count(report.missing, "missing in the warehouse");
    count(report.different, "with other values");
    count(
        report.extra,
        match ignore_extra {
            true if report.is_captured => "only in the warehouse (ignored)",
            false if report.is_captured => {
                "only in the warehouse: a delete that did not arrive, or rows from elsewhere"
            }
            true => "only in the warehouse (ignored: deleted in the source, which a watermark does not see)",
            false => "only in the warehouse: deleted in the source, which a watermark does not see, or from elsewhere",
        },
    );
    count(
        report.unlisted_parts,
        match report.is_captured {
            true => "more parts differ that are too large to be listed",
            false => "more parts differ that are too large to be listed; backfill first, then compare again",
        },
    );
    count(
        report.unread,
        "not read yet: newer than the watermark, so no differences",
    );
    count(
        report.deleted.unwrap_or_default(),
        "deleted in the source and kept with _DELETED, not compared",
    );
    if report.watermark.is_null() && !report.is_captured {
        lines.push("  the pipeline has not read this table yet: no watermark is kept".to_owned());
    }
    for column in &report.partly {
        let compared = match column.compared {
            "nulls" => "compared by NULLs only",
            _ => "not compared",
        };
        lines.push(format!("  {} {compared}: {}", column.column, column.reason));
    }
    let mut text = lines.join("\n") + "\n";
    if !report.keys.is_empty() {
        let rows: Vec<Vec<String>> = report.keys.iter().map(row).collect();
        let listed = table(&["ROW", "KEY", "COLUMNS"], &rows);
        text.push_str(&listed.lines().map(|line| format!("  {line}\n")).collect::<String>());
        let all = report.missing + report.different + report.extra;
        if all > rows.len() as u64 {
            text.push_str(&format!("  … {} of {all} rows; --limit lists more\n", rows.len()));
        }
    }
    if report.is_captured && !report.equal {
        text.push_str(
            "  next: pipectl status tells whether the reader goes on; to have every table read anew, delete its position \
             (docs/binlog.md) and start it again\n",
        );
    } else if report.missing + report.different > 0 {
        text.push_str(&format!(
            "  next: pipectl backfill {} writes rows of the source again; --from and --to limit it to a range of the key\n",
            report.source
        ));
    }
    text
}

fn row(difference: &Difference) -> Vec<String> {
    let kind = match difference.kind {
        Kind::Missing => "missing",
        Kind::Extra => "extra",
        Kind::Different => "different",
    };
    let part = |(name, value): &(String, Option<String>)| format!("{name}={}", value.as_deref().unwrap_or("NULL"));
    let key: Vec<String> = difference.key.iter().map(part).collect();
    vec![kind.to_owned(), key.join(" "), difference.columns.join(", ")]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::Partly;

    #[test]
    fn a_report_tells_what_differs_what_was_not_compared_and_what_to_do() {
        let report = TableReport {
            table: "D.S.SITE".to_owned(),
            source: "video.site".to_owned(),
            source_rows: 3,
            warehouse_rows: 3,
            missing: 1,
            extra: 1,
            unread: 2,
            keys: vec![Difference {
                kind: Kind::Missing,
                key: vec![("id".to_owned(), Some("7".to_owned()))],
                columns: Vec::new(),
            }],
            partly: vec![Partly {
                column: "META".to_owned(),
                compared: "nulls",
                reason: "of JSON".to_owned(),
            }],
            watermark: json!("2026-01-01"),
            ..TableReport::default()
        };
        insta::assert_snapshot!(text(&report, false, &Style::plain()), @r"
        different  video.site (3 rows) and D.S.SITE (3 rows)
          1 missing in the warehouse
          1 only in the warehouse: deleted in the source, which a watermark does not see, or from elsewhere
          2 not read yet: newer than the watermark, so no differences
          META compared by NULLs only: of JSON
          ROW      KEY   COLUMNS
          missing  id=7
          … 1 of 2 rows; --limit lists more
          next: pipectl backfill video.site writes rows of the source again; --from and --to limit it to a range of the key
        ");
    }
}
