//! Output that ends quietly when its reader has gone: `pipectl schema | head` is no failure.

use std::fmt::Arguments;
use std::io::Write;

/// Writes to stdout.
pub fn write(text: Arguments<'_>) {
    // Nobody is left to tell when the reader has gone.
    let _ = std::io::stdout().lock().write_fmt(text);
}

/// Writes to stderr.
pub fn write_err(text: Arguments<'_>) {
    let _ = std::io::stderr().lock().write_fmt(text);
}

/// Prints to stdout.
macro_rules! out {
    ($($part:tt)*) => { $crate::report::out::write(format_args!($($part)*)) };
}

/// Prints a line to stdout.
macro_rules! outln {
    ($($part:tt)*) => { $crate::report::out::write(format_args!("{}\n", format_args!($($part)*))) };
}

/// Prints a line to stderr.
macro_rules! errln {
    ($($part:tt)*) => { $crate::report::out::write_err(format_args!("{}\n", format_args!($($part)*))) };
}

pub(crate) use {errln, out, outln};
