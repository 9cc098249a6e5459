//! Writes the changes in a binlog as JSON lines to standard output: the service `binlog` without AWS.
//!
//! `cargo bench --bench binlog -- PORT USER FILE SCHEMA.TABLE…`, with the password in `PIPECTL_BENCH_PASSWORD`.

use std::io::{BufWriter, Write, stdout};

use anyhow::{Context, bail};
use pipectl::runtime::{LocalBinlog, write_changes};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    // cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let [port, username, file, tables @ ..] = arguments.as_slice() else {
        bail!("usage: binlog PORT USER FILE SCHEMA.TABLE…");
    };
    let password = std::env::var("PIPECTL_BENCH_PASSWORD").context("PIPECTL_BENCH_PASSWORD")?;
    let named = |title: &String| {
        let (schema, table) = title.split_once('.').context("a table is SCHEMA.TABLE")?;
        Ok((schema.to_owned(), table.to_owned()))
    };
    let tables = tables.iter().map(named).collect::<anyhow::Result<Vec<_>>>()?;
    let place = LocalBinlog {
        port: port.parse().context("the port")?,
        username,
        password: &password,
        file,
        tables: &tables,
    };
    let mut out = BufWriter::with_capacity(1 << 16, stdout().lock());
    let records = write_changes(place, &mut out).await?;
    out.flush()?;
    eprintln!("{records} records");
    Ok(())
}
