//! The Lambda bootstrap (`provided.al2023`): one binary for every function of a pipeline.

use std::process::ExitCode;

fn main() -> ExitCode {
    pipectl::runtime::main()
}
