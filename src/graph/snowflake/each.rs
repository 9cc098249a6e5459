//! The same work for many tables, on every processor.

use std::num::NonZero;
use std::thread;

/// A thread costs more than it gains for fewer items than this.
const FEW: usize = 16;

/// What `make` makes of every item, in the order of the items; the first error where there is one.
pub(super) fn each<'a, T: Sync, R: Send>(
    items: &'a [T],
    make: impl Fn(&'a T) -> anyhow::Result<R> + Sync,
) -> anyhow::Result<Vec<R>> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let threads = threads.min(items.len() / FEW);
    if threads < 2 {
        return items.iter().map(make).collect();
    }
    let make = &make;
    let (first, others) = items.split_at(items.len().div_ceil(threads));
    thread::scope(|scope| {
        let running: Vec<_> = others
            .chunks(first.len())
            .map(|part| scope.spawn(move || part.iter().map(make).collect::<anyhow::Result<Vec<R>>>()))
            .collect();
        let mut made = first.iter().map(make).collect::<anyhow::Result<Vec<R>>>()?;
        made.reserve(others.len());
        for part in running {
            // A thread that panicked goes on doing so here.
            made.extend(part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(made)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_that_of_the_items() {
        for count in [0, 1, FEW, 1000] {
            let items: Vec<usize> = (0..count).collect();
            let made = each(&items, |item| Ok(item + 1)).unwrap();
            assert_eq!(made, (1..=count).collect::<Vec<usize>>());
        }
    }

    #[test]
    fn the_first_error_is_told() {
        let items: Vec<usize> = (0..1000).collect();
        let error = each(&items, |item| match item {
            700 | 20 | 999 => anyhow::bail!("{item}"),
            _ => Ok(()),
        });
        assert_eq!(error.unwrap_err().to_string(), "20");
    }
}
