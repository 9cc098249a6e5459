//! The keys of what is written.

use sha2::{Digest, Sha256};

/// The longest key of S3, in bytes (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html>).
const KEY_LIMIT: usize = 1024;

/// What stands beside a rejected object.
const REASON: &str = ".reason.json";

/// How keys are made of a raw object's key and entity tag.
///
/// Snowpipe loads a name once, for 14 days, whatever its content
/// (<https://docs.snowflake.com/en/user-guide/data-load-snowpipe-intro>). So the name carries the content: the same
/// object again is the same name and loads once, changed content under the same raw key is a new name and loads anew.
/// The entity tag stands for the content. It is hashed because it is opaque (multipart tags have a suffix). For
/// multipart and KMS-encrypted objects the tag may differ between two uploads of the same bytes; those load again, and
/// the MERGE on the table's key takes care of it. A replay of one upload always has one tag.
#[derive(Debug, PartialEq, Eq)]
pub struct Names {
    /// Prefix of what is loaded.
    pub curated: String,
    /// Prefix of what could not be.
    pub errors: String,
}

impl Names {
    /// Where the JSON lines of an object go.
    pub fn lines(&self, key: &str, etag: &str, gzipped: bool) -> String {
        let suffix = if gzipped { ".jsonl.gz" } else { ".jsonl" };
        fitted(&self.curated, key, &format!(".{}{suffix}", digest(bare(etag))), 0)
    }

    /// Where an object goes that cannot be loaded.
    pub fn rejected(&self, key: &str, etag: &str) -> String {
        fitted(&self.errors, key, &format!(".{}", digest(bare(etag))), REASON.len())
    }

    /// Where the reason goes, given where the object went.
    pub fn reason(rejected: &str) -> String {
        format!("{rejected}{REASON}")
    }
}

/// The entity tag without the quotes it is sent in.
pub fn bare(etag: &str) -> &str {
    etag.trim_matches('"')
}

/// The key, whole where it fits. Of a longer one only the start is kept, and its hash keeps it apart from the others:
/// a key that S3 refuses would make its message fail for ever.
fn fitted(prefix: &str, key: &str, suffix: &str, reserve: usize) -> String {
    let room = KEY_LIMIT.saturating_sub(prefix.len() + suffix.len() + reserve);
    if key.len() <= room {
        return format!("{prefix}{key}{suffix}");
    }
    let hash = digest(key);
    let start = key.floor_char_boundary(room.saturating_sub(hash.len() + 1));
    format!("{prefix}{}.{hash}{suffix}", &key[..start])
}

/// The first 16 hexadecimal digits of the SHA-256.
fn digest(text: &str) -> String {
    Sha256::digest(text)
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names {
            curated: "data/".into(),
            errors: "errors/".into(),
        }
    }

    #[test]
    fn names_carry_the_content() {
        // printf d41d8cd98f00b204e9800998ecf8427e | sha256sum
        let etag = "\"d41d8cd98f00b204e9800998ecf8427e\"";
        assert_eq!(
            names().lines("in/a b.json", etag, false),
            "data/in/a b.json.f215faf9d88b7f0a.jsonl"
        );
        assert_eq!(names().lines("in/a", etag, true), "data/in/a.f215faf9d88b7f0a.jsonl.gz");
        let rejected = names().rejected("in/a", etag);
        assert_eq!(rejected, "errors/in/a.f215faf9d88b7f0a");
        assert_eq!(Names::reason(&rejected), "errors/in/a.f215faf9d88b7f0a.reason.json");
    }

    #[test]
    fn long_keys_fit_and_stay_apart() {
        let (one, two) = ("é".repeat(512), format!("{}a", "é".repeat(511)));
        for name in [
            names().lines(&one, "e", true),
            Names::reason(&names().rejected(&one, "e")),
        ] {
            assert!(name.len() <= KEY_LIMIT && name.len() > KEY_LIMIT - 3, "{}", name.len());
        }
        assert_ne!(names().lines(&one, "e", false), names().lines(&two, "e", false));
    }
}
