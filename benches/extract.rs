//! Writes a table's rows as JSON lines to standard output: the extraction without AWS.
//!
//! `cargo bench --bench extract -- PORT USER SCHEMA TABLE WATERMARK`, with the password in `PIPECTL_BENCH_PASSWORD`.

use std::io::{BufWriter, Write, stdout};

use anyhow::{Context, bail};
use pipectl::runtime::{LocalTable, write_lines};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    // cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let [port, username, schema, table, watermark] = arguments.as_slice() else {
        bail!("usage: extract PORT USER SCHEMA TABLE WATERMARK");
    };
    let password = std::env::var("PIPECTL_BENCH_PASSWORD").context("PIPECTL_BENCH_PASSWORD")?;
    let place = LocalTable {
        port: port.parse().context("the port")?,
        username,
        password: &password,
        schema,
        table,
    };
    let mut out = BufWriter::with_capacity(1 << 16, stdout().lock());
    let rows = write_lines(place, std::slice::from_ref(watermark), &mut out).await?;
    out.flush()?;
    eprintln!("{rows} rows");
    Ok(())
}
