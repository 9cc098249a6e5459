//! One bar on stderr for work whose size is known; without a terminal a line at each tenth.

use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::out::errln;

/// The bar of one piece of work.
pub struct Bar {
    bar: Option<ProgressBar>,
    title: String,
    total: AtomicU64,
    done: AtomicU64,
}

impl Bar {
    /// A bar that is shown when the work starts.
    pub fn new(title: &str) -> Self {
        Bar {
            bar: std::io::stderr().is_terminal().then(ProgressBar::hidden),
            title: title.to_owned(),
            total: AtomicU64::new(0),
            done: AtomicU64::new(0),
        }
    }

    /// So many rows are to be done.
    pub fn start(&self, rows: u64) {
        self.total.store(rows, Ordering::Relaxed);
        let Some(bar) = &self.bar else { return };
        bar.set_length(rows);
        let template = "{prefix} {wide_bar:.dim} {human_pos}/{human_len} rows {per_sec:.dim} {eta:.dim}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_prefix(self.title.clone());
        bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
        bar.enable_steady_tick(Duration::from_millis(200));
    }

    /// So many rows are to be done besides.
    pub fn more(&self, rows: u64) {
        let total = self.total.fetch_add(rows, Ordering::Relaxed) + rows;
        if let Some(bar) = &self.bar {
            bar.set_length(total);
        }
    }

    /// So many rows are done.
    pub fn advance(&self, rows: u64) {
        let total = self.total.load(Ordering::Relaxed);
        let before = self.done.fetch_add(rows, Ordering::Relaxed);
        match &self.bar {
            Some(bar) => bar.set_position((before + rows).min(total)),
            None => {
                let tenth = |rows: u64| (10 * rows).checked_div(total).unwrap_or_default();
                if tenth(before + rows) > tenth(before) && before + rows < total {
                    errln!("{}: {} of {total} rows", self.title, before + rows);
                }
            }
        }
    }

    /// A line above the bar.
    pub fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) if !bar.is_hidden() => bar.println(text),
            _ => errln!("{text}"),
        }
    }

    /// Takes the bar away.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
