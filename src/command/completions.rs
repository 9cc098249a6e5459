//! `pipectl completions`.

use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::context::Failure;

/// Options of `completions`.
#[derive(Debug, Args)]
pub struct Options {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the completions.
pub fn run<C: CommandFactory>(options: &Options) -> Result<ExitCode, Failure> {
    clap_complete::generate(options.shell, &mut C::command(), "pipectl", &mut std::io::stdout());
    Ok(ExitCode::SUCCESS)
}
