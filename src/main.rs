//! The program `pipectl`: parse, run, exit.

/// Plans of many tables are many small texts, made on every processor: glibc's allocator takes a quarter more time for
/// them, and keeps more memory per thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    pipectl::command::main()
}
