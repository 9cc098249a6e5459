//! The mark in an object's COMMENT that says whose it is and what definition it has.
//!
//! No state file: `about [pipectl chinook/dev 0123456789abcdef]`.

use std::fmt;

/// Stands in the place of the hash while an object's grants are not all made.
pub const UNFINISHED: &str = "unfinished";

/// How far the replacement of a pipe has come, told in place of the hash: `paused@TIME` or `made@TIME`.
///
/// A pipe made anew knows nothing of the files that came while there was none. So the moment from which its successor has
/// to load is written down before anything else is done, and goes over to it: whenever a deploy is cut off, the next one
/// knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handover<'a> {
    /// The old pipe is paused; the new one has to load what was staged since this moment (UTC, as `REFRESH` takes it).
    Paused(&'a str),
    /// The new pipe is there, and has yet to load what was staged since this moment.
    Made(&'a str),
}

impl<'a> Handover<'a> {
    /// The handover that stands in place of a hash, where one does.
    pub fn read(hash: &'a str) -> Option<Self> {
        match hash.split_once('@')? {
            ("paused", since) => Some(Handover::Paused(since)),
            ("made", since) => Some(Handover::Made(since)),
            _ => None,
        }
    }

    /// The moment from which the new pipe has to load.
    pub fn since(self) -> &'a str {
        match self {
            Handover::Paused(since) | Handover::Made(since) => since,
        }
    }
}

impl fmt::Display for Handover<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Handover::Paused(since) => write!(f, "paused@{since}"),
            Handover::Made(since) => write!(f, "made@{since}"),
        }
    }
}

/// The comment of an object: what it is for, and the mark.
pub fn comment(about: &str, owner: &str, hash: &str) -> String {
    let about = about.trim();
    let space = if about.is_empty() { "" } else { " " };
    format!("{about}{space}[pipectl {owner} {hash}]")
}

/// Stands behind the hash of an object that was taken over and is to be given back.
const ADOPTED: &str = " adopted";

/// The comment of an object that was taken over.
pub fn adopted(about: &str, owner: &str, hash: &str) -> String {
    comment(about, owner, &format!("{hash}{ADOPTED}"))
}

/// Owner (`pipeline/environment`) and hash in a comment, where it has a mark.
pub fn read(comment: &str) -> Option<(&str, &str)> {
    let (owner, hash) = inside(comment)?;
    Some((owner, hash.strip_suffix(ADOPTED).unwrap_or(hash)))
}

/// Whether the mark says that the object was taken over.
pub fn is_adopted(comment: &str) -> bool {
    inside(comment).is_some_and(|(_, hash)| hash.ends_with(ADOPTED))
}

fn inside(comment: &str) -> Option<(&str, &str)> {
    let inside = comment.trim_end().strip_suffix(']')?;
    let (_, inside) = inside.rsplit_once("[pipectl ")?;
    inside.split_once(' ')
}

/// What stands before the mark; the whole comment where it has none.
pub fn about(comment: &str) -> &str {
    match (read(comment), comment.rsplit_once("[pipectl ")) {
        (Some(_), Some((about, _))) => about.trim_end(),
        _ => comment,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_reads_back() {
        assert_eq!(
            read(&comment("Sold [net]", "chinook/dev", "00ff")),
            Some(("chinook/dev", "00ff"))
        );
        assert_eq!(read(&comment("", "chinook/dev", "00ff")), Some(("chinook/dev", "00ff")));
    }

    #[test]
    fn what_stands_before_the_mark_reads_back() {
        assert_eq!(about(&comment("Sold [net]", "chinook/dev", "00ff")), "Sold [net]");
        assert_eq!(about(&comment("", "chinook/dev", "00ff")), "");
    }

    #[test]
    fn a_mark_tells_what_was_adopted() {
        let comment = adopted("theirs", "chinook/dev", "00ff");
        assert_eq!(read(&comment), Some(("chinook/dev", "00ff")));
        assert_eq!(about(&comment), "theirs");
        assert!(is_adopted(&comment));
        assert!(!is_adopted(&super::comment("adopted", "chinook/dev", "00ff")));
    }

    #[test]
    fn a_handover_reads_back_and_a_hash_is_none() {
        let moment = "2026-02-03T04:05:06Z";
        for handover in [Handover::Paused(moment), Handover::Made(moment)] {
            let marked = comment("Loads invoices/", "chinook/dev", &handover.to_string());
            let (_, hash) = read(&marked).unwrap();
            assert_eq!(Handover::read(hash), Some(handover));
            assert_eq!(handover.since(), moment);
        }
        assert_eq!(Handover::read("0123456789abcdef"), None);
        assert_eq!(Handover::read(UNFINISHED), None);
    }

    #[test]
    fn a_foreign_comment_has_none() {
        assert_eq!(read("made by hand"), None);
        assert_eq!(read("[pipectl]"), None);
    }
}
