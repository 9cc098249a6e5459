//! The Python environment of the local cloud: made on first use, then found by name.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::{lock, package};

const OLDEST: (u32, u32) = (3, 11);
/// `python3` first, because it is the one the user chose; then the named ones, newest first.
const CANDIDATES: [&str; 4] = ["python3", "python3.13", "python3.12", "python3.11"];
/// Written last: an environment without it was interrupted and is made anew.
const COMPLETE: &str = "pipectl-complete";
/// Lines of a failed tool's output that an error shows.
const SHOWN_LINES: usize = 15;

/// Why there is no environment.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// No Python on PATH, or only old ones.
    #[error(
        "the local cloud needs Python {}.{} or newer and none was found{seen}\n  \
         hint: Debian and Ubuntu: apt-get install python3 python3-venv; macOS: brew install python3; \
         or set PIPECTL_PYTHON to a Python elsewhere", OLDEST.0, OLDEST.1
    )]
    NoPython {
        /// What was found instead.
        seen: String,
    },
    /// `PIPECTL_PYTHON` leads nowhere.
    #[error("PIPECTL_PYTHON is {}, which {problem}", path.display())]
    ChosenPython {
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Python without what makes environments; Debian packages it apart.
    #[error(
        "{} has no venv module (ensurepip), which the local cloud needs\n  \
         hint: Debian and Ubuntu: apt-get install python3-venv; or install uv (https://docs.astral.sh/uv/)", python.display()
    )]
    NoVenv {
        /// The Python.
        python: PathBuf,
    },
    /// A tool failed.
    #[error("{what} failed:\n{output}")]
    Failed {
        /// The tool and what it did.
        what: String,
        /// The last lines it printed.
        output: String,
    },
}

/// A Python that is new enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Python {
    pub(super) path: PathBuf,
    /// Implementation, version and platform: what an environment depends on.
    pub(super) identity: String,
}

/// Finds or makes the environment, and gives its interpreter.
pub(super) async fn prepare(cache: &Path, chosen: Option<&Path>, progress: &dyn Fn(&str)) -> anyhow::Result<PathBuf> {
    let python = find_python(chosen).await?;
    let name = format!(
        "local-{}",
        package::short_hash(&[package::REQUIREMENTS.as_bytes(), python.identity.as_bytes()])
    );
    let folder = cache.join(&name);
    let interpreter = folder.join("bin/python");
    if is_complete(&folder) {
        return Ok(interpreter);
    }
    std::fs::create_dir_all(cache)?;
    let _lock = lock::take(
        &cache.join(format!("{name}.lock")),
        "that makes the Python environment",
        progress,
    )
    .await?;
    if is_complete(&folder) {
        return Ok(interpreter);
    }
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    make(&python, &folder, progress).await?;
    std::fs::write(folder.join(COMPLETE), "")?;
    Ok(interpreter)
}

/// `is_file` follows the link: an environment whose Python was removed from the machine is not complete.
fn is_complete(folder: &Path) -> bool {
    folder.join(COMPLETE).is_file() && folder.join("bin/python").is_file()
}

async fn make(python: &Python, folder: &Path, progress: &dyn Fn(&str)) -> anyhow::Result<()> {
    let requirements = folder.with_extension("requirements.txt");
    std::fs::write(&requirements, package::REQUIREMENTS)?;
    let interpreter = folder.join("bin/python");
    let uv = find_on_path("uv");
    progress("Making the Python environment of the local cloud (once; about a minute)");
    match &uv {
        Some(uv) => {
            run(
                Command::new(uv)
                    .args(["venv", "--quiet", "--no-project", "--python"])
                    .arg(&python.path)
                    .arg(folder),
                "uv venv",
            )
            .await?;
        }
        None => venv(python, folder).await?,
    }
    progress("Installing the packages of the local cloud");
    // Hashes pin what is installed, wheels only keep build scripts from running. Dependencies are resolved although all
    // are pinned: with hashes required, one that the list forgot is an error here and not an import error later.
    let mut install = match &uv {
        Some(uv) => {
            let mut install = Command::new(uv);
            install
                .args(["pip", "install", "--quiet", "--python"])
                .arg(&interpreter);
            install
        }
        None => {
            let mut install = Command::new(&interpreter);
            install.args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--no-input",
                "--disable-pip-version-check",
                "--progress-bar",
                "off",
            ]);
            install
        }
    };
    install
        .args(["--require-hashes", "--only-binary", ":all:", "-r"])
        .arg(&requirements);
    run(&mut install, "installing the local cloud's packages").await?;
    let _ = std::fs::remove_file(&requirements);
    Ok(())
}

async fn venv(python: &Python, folder: &Path) -> Result<(), EnvironmentError> {
    let made = run(
        Command::new(&python.path).args(["-m", "venv"]).arg(folder),
        "python -m venv",
    )
    .await;
    match made {
        Err(EnvironmentError::Failed { output, .. })
            if output.contains("ensurepip") || output.contains("No module named venv") =>
        {
            Err(EnvironmentError::NoVenv {
                python: python.path.clone(),
            })
        }
        made => made,
    }
}

/// Runs a tool; its last lines are the error when it fails.
async fn run(command: &mut Command, what: &str) -> Result<(), EnvironmentError> {
    // A pipectl that ends takes its installer along; the half-made environment is recognised next time.
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await;
    let failed = |output: String| EnvironmentError::Failed {
        what: what.to_owned(),
        output,
    };
    let output = output.map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    Err(failed(last_lines(&String::from_utf8_lossy(&text), SHOWN_LINES)))
}

/// The last lines that hold something, indented.
pub(super) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let from = lines.len().saturating_sub(count);
    lines
        .iter()
        .skip(from)
        .map(|line| format!("  {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The chosen Python, or the first on PATH that is new enough.
pub(super) async fn find_python(chosen: Option<&Path>) -> Result<Python, EnvironmentError> {
    if let Some(path) = chosen {
        let wrong = |problem: String| EnvironmentError::ChosenPython {
            path: path.to_owned(),
            problem,
        };
        let (python, version) = ask(path)
            .await
            .ok_or_else(|| wrong("does not run as a Python".to_owned()))?;
        if version < OLDEST {
            return Err(wrong(format!(
                "is Python {}.{}; the local cloud needs {}.{} or newer",
                version.0, version.1, OLDEST.0, OLDEST.1
            )));
        }
        return Ok(python);
    }
    let mut old = Vec::new();
    for path in CANDIDATES.iter().filter_map(|name| find_on_path(name)) {
        match ask(&path).await {
            Some((python, version)) if version >= OLDEST => return Ok(python),
            Some((_, version)) => old.push(format!("{} is {}.{}", path.display(), version.0, version.1)),
            None => {}
        }
    }
    let seen = if old.is_empty() {
        String::new()
    } else {
        format!(" ({})", old.join(", "))
    };
    Err(EnvironmentError::NoPython { seen })
}

/// Asks a Python what it is. Version managers put stubs on PATH that fail; those are no Python.
async fn ask(path: &Path) -> Option<(Python, (u32, u32))> {
    const QUESTION: &str = "import sys, sysconfig; print(*sys.version_info[:2], sys.implementation.cache_tag, sysconfig.get_platform(), sys.executable, sep='\\n')";
    let output = Command::new(path)
        .args(["-I", "-c", QUESTION])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .ok()?;
    if !output.status.success() {
        return None;
    }
    let text = String::from_utf8(output.stdout).ok()?;
    let mut lines = text.lines();
    let version = (lines.next()?.parse().ok()?, lines.next()?.parse().ok()?);
    let identity = format!("{} {}", lines.next()?, lines.next()?);
    // A stub's own path may lead elsewhere tomorrow; the interpreter behind it is asked by its real name.
    let executable = lines
        .next()
        .filter(|path| !path.is_empty())
        .map_or_else(|| path.to_owned(), PathBuf::from);
    Some((
        Python {
            path: executable,
            identity,
        },
        version,
    ))
}

fn find_on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}
