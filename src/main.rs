//! The program `pipectl`: parse, run, exit.

fn main() -> std::process::ExitCode {
    pipectl::command::main()
}
