//! The contract of the command line: help, exit codes, one JSON document, no colour where nobody sees it.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::cloud::{Cloud, Iam, PIPECTL, command_in, example};
use crate::run::Run;

fn in_folder(folder: &Path, words: &str) -> Run {
    Run::of(command_in(folder).args(words.split_whitespace()))
}

/// A folder with a good file and a bad one.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let good = fs::read_to_string(example().join("pipeline.toml")).unwrap();
    fs::write(folder.path().join("bad.toml"), good.replace("[[table]]", "[[tabel]]")).unwrap();
    fs::write(folder.path().join("pipeline.toml"), good).unwrap();
    folder
}

#[test]
fn help_names_every_command() {
    let folder = folder();
    let help = in_folder(folder.path(), "--help").exits(0);
    let commands: Vec<&str> = help
        .stdout
        .lines()
        .skip_while(|line| *line != "Commands:")
        .take_while(|line| !line.is_empty())
        .collect();
    insta::assert_snapshot!(commands.join("\n"), @r"
    Commands:
      init         Write a commented pipeline.toml that validates; never overwrites
      validate     Find every error in the file at once, each with its place and a hint
      render       Write the CloudFormation templates and the SQL, without any account
      diff         Show what a deploy would change, property by property, and what would be lost
      deploy       Make the clouds what the file says; a second run changes nothing
      destroy      Remove the pipeline; buckets with objects and tables with rows stay
      status       Show the state of every hop
      backfill     Write a table of the database, or a part of it, into files that the pipeline loads
      verify       Compare the database with the warehouse, and list the rows that differ
      redrive      Show the messages that were given up, and put them back where they came from
      doctor       Check identities, rights, quotas, runtime and database, without changing anything
      unlock       Show which run holds the pipeline's lease, and remove it
      local        The local cloud: AWS and Snowflake on this machine, for development and tests
      schema       Print the JSON Schema of pipeline.toml, for editors, or of a plan
      completions  Print completions for a shell
      help         Print this message or the help of the given subcommand(s)
    ");
    for command in commands
        .iter()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
    {
        let help = in_folder(folder.path(), &format!("help {command}")).exits(0);
        assert!(help.stdout.contains("Usage: pipectl"), "{command}");
    }
}

#[test]
fn exit_codes_are_those_of_the_contract() {
    let folder = folder();
    let run = |words| in_folder(folder.path(), words);
    run("validate").exits(0).prints("is valid");
    run("validate -f bad.toml")
        .exits(1)
        .complains("bad.toml:")
        .complains("tabel");
    run("validate -f none.toml")
        .exits(1)
        .complains("none.toml")
        .complains("hint:");
    run("render -f bad.toml").exits(1);
    assert!(
        !folder.path().join("rendered").exists(),
        "nothing is rendered of a bad file"
    );
    run("deploy -f bad.toml --env local --yes").exits(1);
    run("nonsense").exits(1);
    run("validate --nonsense").exits(1).complains("Usage:");
    run("--version").exits(0);
    run("local status").exits(1).prints("down");
    run("local sql select").exits(1).complains("pipectl local up");
    run("local down").exits(0);
    run("diff --format markdown -f bad.toml").exits(1);
    run("validate --format markdown").exits(1);
}

#[test]
fn init_never_overwrites() {
    let folder = folder();
    let file = folder.path().join("pipeline.toml");
    let before = fs::read(&file).unwrap();
    in_folder(folder.path(), "init")
        .exits(1)
        .complains("pipeline.toml")
        .complains("never overwritten");
    assert_eq!(fs::read(&file).unwrap(), before);
    in_folder(folder.path(), "init elsewhere --template nonsense")
        .exits(1)
        .complains("hint:");
}

#[test]
fn without_a_cloud_json_is_exactly_one_document() {
    let folder = folder();
    let run = |words: &str| {
        let run = in_folder(folder.path(), &format!("{words} --format json"));
        (run.json(), run.code)
    };
    let errors = |document: &Value| document["errors"].as_array().map(Vec::len);
    assert_eq!(errors(&run("validate").0), Some(0));
    for words in ["validate", "render", "diff", "deploy --yes", "destroy --yes", "status"] {
        let (document, code) = run(&format!("{words} -f bad.toml --env local"));
        assert!(errors(&document) > Some(0) && code == Some(1), "{words}: {document:#}");
    }
    let (document, _) = run("validate -f bad.toml");
    let place = &document["errors"][0];
    assert!(place["line"].is_u64() && place["column"].is_u64(), "{place:#}");
    for words in ["init", "local sql select", "local env"] {
        let (document, code) = run(words);
        assert!(errors(&document) == Some(1) && code == Some(1), "{words}: {document:#}");
    }
    // A wrong command line too; 2 would mean changes.
    for words in [
        "nonsense",
        "diff --nonsense",
        "deploy --wait soon",
        "doctor --managed",
        "",
    ] {
        let (document, code) = run(words);
        assert!(errors(&document) == Some(1) && code == Some(1), "{words}: {document:#}");
    }
    let message = run("diff --nonsense").0["errors"][0]["message"].to_string();
    assert!(
        message.contains("--nonsense") && !message.contains("error:"),
        "{message}"
    );
    for words in ["init other", "render", "schema", "local down"] {
        assert_eq!(run(words).1, Some(0), "{words}");
    }
    assert_eq!(run("local status").1, Some(1));
}

#[test]
fn with_a_cloud_json_is_exactly_one_document_and_nothing_prompts() {
    let cloud = Cloud::up(Iam::Off);
    let run = |words: &str, code| cloud.run(&format!("{words} --format json")).exits(code).json();
    run("local status", 0);
    let refused = run("deploy", 1);
    assert!(
        refused["errors"][0]["message"].as_str().unwrap().contains("--yes"),
        "{refused:#}"
    );
    assert!(!run("diff", 2)["steps"].as_array().unwrap().is_empty());
    run("status", 2);
    let deployed = run("deploy --yes", 0);
    assert_eq!(deployed["ok"], true);
    assert_eq!(run("deploy --yes", 0)["ok"], true);
    assert_eq!(run("diff", 0)["steps"].as_array().unwrap().len(), 0);
    assert_eq!(run("status", 0)["healthy"], true);
    assert_eq!(
        cloud.try_sql("select 1 as A").json(),
        serde_json::json!({ "columns": ["A"], "rows": [["1"]] })
    );
    assert_eq!(
        cloud.try_sql("select nonsense from nowhere").exits(1).json()["errors"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    run("destroy", 1);
    assert_eq!(run("destroy --yes --delete-data", 0)["ok"], true);
    assert_eq!(run("destroy --yes", 0)["ok"], true);
    // Nobody watches: no colour, no bars.
    let plain = cloud.run("deploy --yes -v").exits(0).complains("AWS calls");
    assert!(!plain.stdout.contains('\x1b') && !plain.stderr.contains('\x1b') && !plain.stderr.contains('\r'));
    cloud
        .run("deploy --yes -v")
        .exits(0)
        .prints("no change")
        .complains("AWS calls");
}

#[test]
fn colour_is_for_terminals() {
    let folder = folder();
    let plain = in_folder(folder.path(), "validate -f bad.toml").exits(1);
    assert!(!plain.stderr.contains('\x1b') && !plain.stdout.contains('\x1b'));
    // `script` gives it a terminal; it is on every Debian (bsdutils).
    let at_terminal = |options: &str, variables: &[(&str, &str)]| {
        let command = format!("{PIPECTL} validate -f bad.toml {options}");
        let mut script = Command::new("script");
        script
            .args(["-qec", &command, "/dev/null"])
            .current_dir(folder.path())
            .env_remove("NO_COLOR")
            .env("TERM", "xterm");
        Run::of(script.envs(variables.iter().copied())).stdout
    };
    assert!(at_terminal("", &[]).contains('\x1b'));
    assert!(!at_terminal("--no-color", &[]).contains('\x1b'));
    assert!(!at_terminal("", &[("NO_COLOR", "1")]).contains('\x1b'));
    assert!(!at_terminal("--format json", &[]).contains('\x1b'));
}
