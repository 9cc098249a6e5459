//! The command line: what can be asked, and the exit code of each answer. One file for each command.

mod backfill;
mod completions;
mod context;
mod deploy;
mod destroy;
mod diff;
mod doctor;
mod init;
mod leased;
mod local;
mod redrive;
mod render;
mod schema;
mod status;
mod unlock;
mod validate;
mod verify;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::report::out::{errln, outln};
use crate::report::style::Style;
use context::Failure;
use leased::unless_interrupted;

/// Exit code of what Ctrl-C ended before it changed anything: 128 and the number of SIGINT, as shells have it.
const INTERRUPTED: u8 = 130;

/// One pipeline.toml becomes a running data pipeline across AWS and Snowflake.
///
/// `pipectl init` writes a first file, `pipectl deploy --env local --yes` runs it on this machine without any account,
/// `pipectl diff` shows what a deploy would change, and `pipectl destroy` takes everything away again.
#[derive(Debug, Parser)]
#[command(name = "pipectl", version, max_term_width = 100, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of every command")]
struct Global {
    /// The pipeline's file
    #[arg(short, long, global = true, value_name = "FILE", default_value = "pipeline.toml")]
    file: PathBuf,
    /// The environment; `local` runs on this machine and needs no account
    #[arg(long, global = true, value_name = "NAME", default_value = "dev")]
    env: String,
    /// How results are printed; `json` prints exactly one document to stdout
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Print without colour (as does NO_COLOR)
    #[arg(long, global = true)]
    no_color: bool,
    /// Say more: each event of a stack, and how many calls were made
    #[arg(short, long, global = true)]
    verbose: bool,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs
    Json,
    /// For pull requests (`diff` only)
    Markdown,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a commented pipeline.toml that validates; never overwrites
    Init(init::Options),
    /// Find every error in the file at once, each with its place and a hint
    Validate,
    /// Write the CloudFormation templates and the SQL, without any account
    Render(render::Options),
    /// Show what a deploy would change, property by property, and what would be lost
    ///
    /// Exit code 0: nothing. 2: changes. 1: an error.
    Diff(diff::Options),
    /// Make the clouds what the file says; a second run changes nothing
    Deploy(deploy::Options),
    /// Remove the pipeline; buckets with objects and tables with rows stay
    Destroy(destroy::Options),
    /// Show the state of every hop
    ///
    /// Exit code 0: healthy. 2: not. 1: an error.
    Status,
    /// Write a table of the database, or a part of it, into files that the pipeline loads
    ///
    /// For first loads and for rows that the watermark does not reach: the function that reads the database writes chunk
    /// after chunk by key, and the place is kept after each, so the same command goes on after a kill. Rows that are there
    /// already are merged by key, so nothing is there twice.
    ///
    /// A table that comes from the binary log is read anew by the reader of the log, as a whole: for one that was passed
    /// over, and for what `verify` finds.
    Backfill(backfill::Options),
    /// Compare the database with the warehouse, and list the rows that differ
    ///
    /// By counts and checksums of key ranges; only what differs is looked at closer.
    ///
    /// Rows that the pipeline has not read yet (newer than the watermark) are no differences, and rows that may be on the
    /// way are looked at again. Exit code 0: equal. 2: differences. 1: an error.
    Verify(verify::Options),
    /// Show the messages that were given up, and put them back where they came from
    ///
    /// Exit code 0: all are back, or there are none. 1: some are not, or an error.
    Redrive(redrive::Options),
    /// Check identities, rights, quotas, runtime and database, without changing anything
    ///
    /// Exit code 0: nothing is missing. 1: something is.
    Doctor(doctor::Options),
    /// Show which run holds the pipeline's lease, and remove it
    Unlock(unlock::Options),
    /// The local cloud: AWS and Snowflake on this machine, for development and tests
    #[command(subcommand)]
    Local(local::Command),
    /// Print the JSON Schema of pipeline.toml, for editors, or of a plan
    Schema(schema::Options),
    /// Print completions for a shell
    Completions(completions::Options),
}

/// Parses the command line, runs the command and gives the exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refused(&error),
    };
    let global = cli.global.clone();
    if global.format == Format::Markdown && !matches!(cli.command, Command::Diff(_)) {
        return fail(
            &global,
            &Failure::from(anyhow::anyhow!("markdown is a format of `pipectl diff` only")),
        );
    }
    let answer = match cli.command {
        Command::Init(options) => init::run(&global, &options),
        Command::Validate => validate::run(&global),
        Command::Render(options) => render::run(&global, &options),
        Command::Schema(options) => schema::run(&options),
        Command::Completions(options) => completions::run::<Cli>(&options),
        command => run_async(&global, command),
    };
    answer.unwrap_or_else(|failure| fail(&global, &failure))
}

/// A wrong command line exits with 1, because 2 means changes; or it was a question for help.
fn refused(error: &clap::Error) -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if !error.use_stderr() || !wants_json(&arguments) {
        // A reader that closed the pipe wants no more output, which is no failure of ours.
        let _ = error.print();
        return ExitCode::from(u8::from(error.use_stderr()));
    }
    let text = error.render().to_string();
    let message = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
    outln!("{:#}", Failure::from(anyhow::anyhow!("{message}")).json());
    ExitCode::from(1)
}

/// Whether a command line that could not be parsed asks for JSON.
fn wants_json(arguments: &[OsString]) -> bool {
    let mut formats =
        arguments
            .iter()
            .enumerate()
            .filter_map(|(position, argument)| match argument.to_str()?.split_once('=') {
                Some(("--format", value)) => Some(value),
                None if argument == "--format" => arguments.get(position + 1)?.to_str(),
                _ => None,
            });
    formats.next_back() == Some("json")
}

fn run_async(global: &Global, command: Command) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)?;
    let answer = runtime.block_on(async {
        match command {
            // These two change things, and end in order.
            Command::Deploy(options) => deploy::run(global, &options).await,
            Command::Destroy(options) => destroy::run(global, &options).await,
            Command::Diff(options) => unless_interrupted(diff::run(global, &options)).await,
            Command::Status => unless_interrupted(status::run(global)).await,
            // What it wrote stays, and it says where it stopped.
            Command::Backfill(options) => backfill::run(global, &options).await,
            Command::Verify(options) => unless_interrupted(verify::run(global, &options)).await,
            // This one ends between two batches.
            Command::Redrive(options) => redrive::run(global, &options).await,
            Command::Doctor(options) => unless_interrupted(doctor::run(global, &options)).await,
            Command::Unlock(options) => unless_interrupted(unlock::run(global, &options)).await,
            Command::Local(command) => unless_interrupted(local::run(global, &command)).await,
            // The commands without any network ran before a runtime was needed.
            _ => Ok(ExitCode::SUCCESS),
        }
    });
    runtime.shutdown_background();
    answer
}

fn fail(global: &Global, failure: &Failure) -> ExitCode {
    match global.format {
        Format::Json => outln!("{:#}", failure.json()),
        Format::Text | Format::Markdown => errln!("{}", failure.text(&Style::of_stderr(global.no_color)).trim_end()),
    }
    match failure {
        Failure::Interrupted | Failure::Stopped(_) => ExitCode::from(INTERRUPTED),
        Failure::File(_) | Failure::Other(_) => ExitCode::from(1),
    }
}
