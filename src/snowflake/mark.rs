//! The mark in an object's COMMENT that says whose it is and what definition it has.
//!
//! No state file: `about [pipectl chinook/dev 0123456789abcdef]`.

/// Stands in the place of the hash while an object's grants are not all made.
pub const UNFINISHED: &str = "unfinished";

/// The comment of an object: what it is for, and the mark.
pub fn comment(about: &str, owner: &str, hash: &str) -> String {
    let about = about.trim();
    let space = if about.is_empty() { "" } else { " " };
    format!("{about}{space}[pipectl {owner} {hash}]")
}

/// Owner (`pipeline/environment`) and hash in a comment, where it has a mark.
pub fn read(comment: &str) -> Option<(&str, &str)> {
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
    fn a_foreign_comment_has_none() {
        assert_eq!(read("made by hand"), None);
        assert_eq!(read("[pipectl]"), None);
    }
}
