//! The runtime as tests deploy it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// A small program that becomes the runtime. Built for debugging that one has 60 MB, and zipping, uploading and unpacking
/// it takes most of a deploy's time.
pub fn runtime() -> &'static Path {
    static LAUNCHER: LazyLock<PathBuf> = LazyLock::new(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        // Another test binary may run the same one, or build it at the same time.
        let (built, launcher) = (
            folder.join(format!("launcher-{}", std::process::id())),
            folder.join("launcher"),
        );
        let rustc = Command::new("rustc")
            .args([
                "--edition",
                "2024",
                "-C",
                "opt-level=s",
                "-C",
                "panic=abort",
                "-C",
                "strip=symbols",
                "-o",
            ])
            .arg(&built)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/shared/launcher.rs"))
            .env("RUNTIME", env!("CARGO_BIN_EXE_pipectl-runtime"))
            .output()
            .expect("rustc starts");
        assert!(rustc.status.success(), "{}", String::from_utf8_lossy(&rustc.stderr));
        std::fs::rename(&built, &launcher).unwrap();
        launcher
    });
    &LAUNCHER
}
