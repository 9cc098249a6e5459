//! The Lambda bootstrap (`provided.al2023`): one binary for every function of a pipeline.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    pipectl::runtime::main().await
}
