//! Ctrl-C or a kill during a deploy: Ctrl-C says how to go on, and the same command goes on.

use std::io::{BufRead, BufReader, Read};
use std::thread::sleep;
use std::time::Duration;

use rustix::process::Signal;

use crate::cloud::{Cloud, Iam};
use crate::run::{Run, ended, signal, started};
use crate::second_deploy::all_tasks_are_started;
use crate::with_iam_off_and_enforced;

/// When Ctrl-C comes.
#[derive(Debug)]
enum Moment {
    /// So long after the start.
    After(Duration),
    /// When so many steps are done.
    Done(usize),
    /// When so many steps are done, and not Ctrl-C but a kill that nobody can hear.
    Killed(usize),
}

with_iam_off_and_enforced!(an_interrupted_deploy_goes_on);

fn an_interrupted_deploy_goes_on(iam: Iam) {
    let cloud = Cloud::up(iam);
    let times = [300, 800, 1500].map(|milliseconds| Moment::After(Duration::from_millis(milliseconds)));
    let kills = [3, 9, 24].map(Moment::Killed);
    for moment in times
        .into_iter()
        .chain([1, 5, 12, 20, 27].map(Moment::Done))
        .chain(kills)
    {
        let (run, done) = interrupted(&cloud, &moment);
        match run.code {
            None if matches!(moment, Moment::Killed(_)) => {}
            // Before it listens the signal ends the process as it ends any other.
            None => assert!(run.stdout.is_empty() && done == 0, "{moment:?}: {run:?}"),
            // Before there is a plan nothing was done; the lease is given back first.
            Some(130) => {
                assert!(
                    run.stderr.contains("interrupted; nothing was changed") && done == 0,
                    "{moment:?}: {run:?}"
                );
            }
            // The deploy was faster.
            Some(0) => assert!(matches!(moment, Moment::After(_)), "{moment:?}: {run:?}"),
            code => {
                assert_eq!(code, Some(1), "{moment:?}: {run:?}");
                let next = format!("next: pipectl -f {} --env local deploy", cloud.file().display());
                assert!(run.stdout.contains(&next), "{moment:?}: {run:?}");
                assert!(run.stdout.contains("interrupted"), "{moment:?}: {run:?}");
            }
        }
        cloud.run("deploy --yes").exits(0);
        cloud.run("diff").exits(0);
        all_tasks_are_started(&cloud);
        cloud.run("destroy --yes --delete-data").exits(0);
    }
}

/// Deploys, interrupts, and tells how it ended and how many steps were done.
fn interrupted(cloud: &Cloud, moment: &Moment) -> (Run, usize) {
    let mut child = cloud.start("deploy --yes");
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    match moment {
        Moment::After(time) => {
            sleep(*time);
            signal(&child, Signal::INT);
        }
        Moment::Done(steps) | Moment::Killed(steps) => {
            while said.matches('✓').count() < *steps && stderr.read_line(&mut said).unwrap() > 0 {}
            let kill = matches!(moment, Moment::Killed(_));
            signal(&child, if kill { Signal::KILL } else { Signal::INT });
        }
    }
    stderr.read_to_string(&mut said).unwrap();
    let mut run = ended(child);
    let done = said.matches('✓').count();
    run.stderr = said;
    (run, done)
}

#[test]
fn what_changes_nothing_says_so_when_it_is_interrupted() {
    let cloud = Cloud::up(Iam::Off);
    cloud.edit(
        "aws = { account = \"111122223333\", region = \"eu-west-1\" }",
        "aws = { account = \"000000000000\", region = \"us-east-1\" }",
    );
    cloud.edit(
        "account = \"EXAMPLEORG-DEV\", connection = \"dev\"",
        "account = \"LOCAL\"",
    );
    for words in ["diff", "status", "deploy --yes", "destroy --yes --format json"] {
        // A Snowflake that takes the connection and never answers, so that the signal surely comes before any plan. Each
        // command has its own: one that was interrupted may have tried to connect again.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut command = crate::cloud::pipectl();
        command
            .args(words.split_whitespace())
            .args(["--env", "dev", "-f"])
            .arg(cloud.file())
            .envs(cloud.variables().iter().cloned())
            .env(
                "PIPECTL_SNOWFLAKE_URL",
                format!("http://{}", silent.local_addr().unwrap()),
            );
        let child = started(command);
        let (_asked, _) = silent.accept().unwrap();
        signal(&child, Signal::INT);
        let run = ended(child).exits(130);
        let said = format!("{}{}", run.stdout, run.stderr);
        assert!(said.contains("interrupted; nothing was changed"), "{words}: {run:?}");
        assert!(!words.contains("json") || run.json()["errors"].is_array(), "{run:?}");
    }
}
