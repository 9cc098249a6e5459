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
    fn a_foreign_comment_has_none() {
        assert_eq!(read("made by hand"), None);
        assert_eq!(read("[pipectl]"), None);
    }
}
