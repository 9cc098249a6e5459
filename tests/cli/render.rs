//! `render` is offline and says the same everywhere.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::cloud::{PIPECTL, example};
use crate::run::Run;

#[test]
fn rendering_is_the_same_every_time_and_everywhere() {
    let here = tempfile::tempdir().unwrap();
    let there = tempfile::tempdir().unwrap();
    let copy = there.path().join("other.toml");
    fs::copy(example().join("pipeline.toml"), &copy).unwrap();
    for environment in ["local", "dev", "prod"] {
        let first = rendered(&example().join("pipeline.toml"), environment, here.path(), "first");
        let second = rendered(&example().join("pipeline.toml"), environment, here.path(), "first");
        let elsewhere = rendered(&copy, environment, there.path(), "elsewhere");
        assert!(first == second, "{environment}: twice from one folder differs");
        assert!(first == elsewhere, "{environment}: another folder gives other files");
        assert!(first.keys().any(|path| path.ends_with(".yaml")) && first.keys().any(|path| path.ends_with(".sql")));
        assert!(first.contains_key("graph.mmd"));
    }
}

/// Renders without any environment: no home, no credentials, and proxies that lead nowhere.
fn rendered(file: &Path, environment: &str, folder: &Path, name: &str) -> BTreeMap<String, Vec<u8>> {
    let output = folder.join(name);
    let mut command = Command::new(PIPECTL);
    command
        .env_clear()
        .envs([
            ("HTTP_PROXY", "http://127.0.0.1:1"),
            ("HTTPS_PROXY", "http://127.0.0.1:1"),
        ])
        .current_dir(folder)
        .args(["render", "--env", environment, "-o"])
        .arg(&output)
        .arg("-f")
        .arg(file);
    Run::of(&mut command).exits(0);
    let mut files = BTreeMap::new();
    read(&output, &output, &mut files);
    files
}

fn read(folder: &Path, root: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            read(&path, root, files);
        } else {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            files.insert(name, fs::read(&path).unwrap());
        }
    }
}
