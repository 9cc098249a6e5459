//! The runtime of the Lambda functions: found beside this program, named by its content, zipped the same everywhere.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use aws_sdk_s3::error::ProvideErrorMetadata;
use sha2::{Digest, Sha256};

use super::Aws;
use super::failure::explain;

/// The runtime binary of one architecture.
#[derive(Debug, Clone)]
pub struct Runtime {
    path: PathBuf,
    /// Key of its zip in the artefact bucket.
    pub key: String,
}

/// `e_machine` of ELF: <https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html>.
const ELF_MACHINES: [(&str, u16); 2] = [("x86_64", 62), ("arm64", 183)];

/// Finds the runtime for `architecture`: `PIPECTL_RUNTIME`, or `pipectl-runtime-ARCHITECTURE` or `pipectl-runtime` beside
/// this program.
pub fn find(architecture: &str) -> anyhow::Result<Runtime> {
    let path = match std::env::var_os("PIPECTL_RUNTIME") {
        Some(path) => PathBuf::from(path),
        None => beside(architecture)?,
    };
    let hash = check(&path, architecture).with_context(|| format!("the runtime {}", path.display()))?;
    Ok(Runtime {
        path,
        key: format!("runtime/{hash}-{architecture}.zip"),
    })
}

fn beside(architecture: &str) -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe().context("where this program lies")?;
    let folder = program.parent().unwrap_or(Path::new("."));
    let candidates = [
        folder.join(format!("pipectl-runtime-{architecture}")),
        folder.join("pipectl-runtime"),
    ];
    match candidates.iter().find(|path| path.is_file()) {
        Some(path) => Ok(path.clone()),
        None => bail!(
            "there is no runtime for {architecture} beside {}\n  hint: build it (`cargo build --bins`), or point PIPECTL_RUNTIME to it",
            program.display()
        ),
    }
}

/// Checks that the file is a program for `architecture` and gives the hash of its content.
fn check(path: &Path, architecture: &str) -> anyhow::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let mut header = [0_u8; 20];
    file.read_exact(&mut header).context("is too short for a program")?;
    let machine = u16::from_le_bytes([header[18], header[19]]);
    ensure!(header.starts_with(b"\x7fELF"), "is not a Linux program");
    let wanted = ELF_MACHINES
        .iter()
        .find(|(name, _)| *name == architecture)
        .map(|(_, machine)| *machine);
    ensure!(
        wanted == Some(machine),
        "is not built for {architecture}\n  hint: set aws.architecture, or point PIPECTL_RUNTIME to one that is"
    );
    let mut digest = Sha256::new();
    digest.update(header);
    std::io::copy(&mut file, &mut digest)?;
    Ok(digest
        .finalize()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

impl Runtime {
    /// The zip that Lambda takes: one file `bootstrap`, without times, so the same binary gives the same bytes.
    fn zip(&self) -> anyhow::Result<Vec<u8>> {
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Deflated)
            .last_modified_time(zip::DateTime::default())
            .unix_permissions(0o755);
        zip.start_file("bootstrap", options)?;
        zip.write_all(&std::fs::read(&self.path)?)?;
        Ok(zip.finish()?.into_inner())
    }

    /// Puts the zip into the artefact bucket unless it is there.
    pub async fn upload(&self, aws: &Aws, bucket: &str, note: &(dyn Fn(String) + Send + Sync)) -> anyhow::Result<()> {
        match aws.s3.head_object().bucket(bucket).key(&self.key).send().await {
            Ok(_) => return Ok(()),
            Err(error)
                if error
                    .code()
                    .is_some_and(|code| code == "NotFound" || code == "NoSuchKey") => {}
            Err(error) => return Err(explain(&format!("s3:HeadObject of s3://{bucket}/{}", self.key), error)),
        }
        let runtime = self.clone();
        let zip = tokio::task::spawn_blocking(move || runtime.zip())
            .await?
            .context("zipping the runtime")?;
        note(format!("{:.1} MB", zip.len() as f64 / 1e6));
        let put = aws.s3.put_object().bucket(bucket).key(&self.key).body(zip.into());
        put.send()
            .await
            .map_err(|error| explain(&format!("s3:PutObject of s3://{bucket}/{}", self.key), error))?;
        Ok(())
    }
}
