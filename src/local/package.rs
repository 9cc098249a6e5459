//! The Python package inside the binary.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use include_dir::{Dir, include_dir};
use sha2::{Digest as _, Sha256};

static PACKAGE: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/local/pipectl_local");

/// What is installed into the environment: every package with its version and hashes.
pub(super) const REQUIREMENTS: &str = include_str!("../../local/requirements.txt");

/// The first half of a SHA-256: enough for names.
pub(super) fn short_hash(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        // The length keeps "ab","c" apart from "a","bc".
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize()
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Name of the folder that the package is unpacked to: that of its content.
pub(super) fn name() -> String {
    let files = files(&PACKAGE);
    let parts: Vec<&[u8]> = files
        .iter()
        .flat_map(|file| [file.path().as_os_str().as_encoded_bytes(), file.contents()])
        .collect();
    format!("package-{}", short_hash(&parts))
}

/// Unpacks the package under `cache`, in a folder named by its content, and gives the folder for `PYTHONPATH`.
///
/// An older pipectl keeps running its own version beside this one, and nothing is ever overwritten.
pub(super) fn unpack(cache: &Path) -> anyhow::Result<PathBuf> {
    let target = cache.join(name());
    if target.is_dir() {
        return Ok(target);
    }
    let unwritable = || format!("the local cloud's package cannot be unpacked to {}", target.display());
    // Renaming makes it appear whole; whoever comes second finds the same content there.
    let staging = cache.join(format!(".unpacking-{}", uuid::Uuid::new_v4()));
    for file in files(&PACKAGE) {
        let path = staging.join("pipectl_local").join(file.path());
        fs::create_dir_all(path.parent().unwrap_or(&staging)).with_context(unwritable)?;
        fs::write(&path, file.contents()).with_context(unwritable)?;
    }
    let renamed = fs::rename(&staging, &target);
    if target.is_dir() {
        let _ = fs::remove_dir_all(&staging);
        return Ok(target);
    }
    renamed.with_context(unwritable)?;
    Ok(target)
}

/// All files but caches, which exist when somebody ran the package in the source tree.
fn files(folder: &Dir<'static>) -> Vec<&'static include_dir::File<'static>> {
    fn collect(folder: &Dir<'static>, found: &mut Vec<&'static include_dir::File<'static>>) {
        found.extend(
            folder_files(folder).filter(|file| file.path().extension().is_none_or(|extension| extension != "pyc")),
        );
        for inner in
            folder_dirs(folder).filter(|inner| inner.path().file_name().is_none_or(|name| name != "__pycache__"))
        {
            collect(inner, found);
        }
    }
    let mut found = Vec::new();
    collect(folder, &mut found);
    found.sort_by_key(|file| file.path());
    found
}

fn folder_files(folder: &Dir<'static>) -> impl Iterator<Item = &'static include_dir::File<'static>> {
    folder.entries().iter().filter_map(include_dir::DirEntry::as_file)
}

fn folder_dirs(folder: &Dir<'static>) -> impl Iterator<Item = &'static Dir<'static>> {
    folder.entries().iter().filter_map(include_dir::DirEntry::as_dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unpacks_once_and_whole() {
        let cache = tempfile::tempdir().unwrap();
        let target = unpack(cache.path()).unwrap();
        assert!(target.join("pipectl_local/__init__.py").is_file());
        assert_eq!(unpack(cache.path()).unwrap(), target);
        let left: Vec<_> = fs::read_dir(cache.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }

    #[test]
    fn holds_no_caches_and_no_tests() {
        for file in files(&PACKAGE) {
            let path = file.path().display().to_string();
            assert!(!path.contains("__pycache__") && !path.contains("test_"), "{path}");
        }
    }

    #[test]
    fn every_requirement_is_pinned_by_hash() {
        let pinned = REQUIREMENTS.matches("==").count();
        assert!(pinned > 10 && REQUIREMENTS.matches("--hash=sha256:").count() >= pinned);
    }
}
