//! Becomes the runtime that the tests have built. Its path is told when this is compiled.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

fn main() {
    let error = Command::new(env!("RUNTIME")).args(std::env::args_os().skip(1)).exec();
    panic!("{}: {error}", env!("RUNTIME"));
}
