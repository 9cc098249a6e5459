//! One run at a time changes a pipeline: the lease, who holds it, and how it ends.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cloud::{Cloud, Iam, wait};
use crate::run::{ended, go_on, started, stop};

const LEASE: &str = "/pipectl/chinook-invoices/local/lease";

#[test]
fn of_two_deploys_one_does_it_and_the_other_says_who() {
    let cloud = Cloud::up(Iam::Off);
    // A first deploy that stands still in its middle, so that the second one surely comes meanwhile.
    let first = holding(&cloud, cloud.command("deploy --yes"));
    stop(&first);
    let lease = lease(&cloud).unwrap();
    assert_eq!(lease["pid"], first.id());

    let second = cloud.run("deploy --yes").exits(1);
    assert!(second.stdout.is_empty(), "{second:?}");
    for told in [
        "arn:aws:iam::000000000000:root",
        lease["host"].as_str().unwrap(),
        lease["since"].as_str().unwrap(),
        "until ",
        "hint: wait for it with `--wait SECONDS`; if that run is dead, `pipectl unlock` removes its lease",
    ] {
        assert!(second.stderr.contains(told), "{told}: {second:?}");
    }
    cloud.run("destroy --yes").exits(1).complains("another run is changing");
    let refused = cloud.run("deploy --yes --format json").exits(1).json();
    assert!(
        refused["errors"][0]["message"].to_string().contains("another run"),
        "{refused}"
    );
    // Looking needs no lease.
    cloud.run("diff").exits(2);

    let waited = Instant::now();
    cloud
        .run("deploy --yes --wait 1")
        .exits(1)
        .complains("Waiting for another run: ");
    assert!(waited.elapsed() >= Duration::from_secs(1));

    let mut third = cloud.start("deploy --yes --wait 60");
    let mut said = BufReader::new(third.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert!(
        line.starts_with("Waiting for another run: arn:aws:iam::000000000000:root on "),
        "{line}"
    );
    go_on(&first);
    ended(first).exits(0).prints("done: ");
    said.read_to_string(&mut line).unwrap();
    ended(third).exits(0).prints("no change");
    assert!(lease_is_gone(&cloud));
    cloud.run("destroy --yes --delete-data").exits(0);
    let left = cloud.aws("ssm", "describe_parameters", json!({}));
    assert_eq!(left["Parameters"], json!([]));
}

/// The machine sees that the process is gone: nobody waits for the lease to end.
#[test]
fn a_deploy_that_was_killed_on_this_machine_holds_nothing_up() {
    let cloud = Cloud::up(Iam::Off);
    let mut killed = holding(&cloud, cloud.command("deploy --yes"));
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(!lease_is_gone(&cloud));
    cloud.run("deploy --yes").exits(0);
    assert!(lease_is_gone(&cloud));
}

#[test]
fn a_lease_of_another_machine_ends_by_its_time() {
    let cloud = Cloud::with_pipeline(Iam::Off);
    held_elsewhere(&cloud, 3);
    cloud
        .run("deploy --yes")
        .exits(1)
        .complains("arn:aws:iam::000000000000:user/somebody on faraway (process 7)");
    // Both wait, and one after the other has it.
    let others: Vec<Child> = (0..2).map(|_| cloud.start("deploy --yes --wait 60")).collect();
    for other in others {
        ended(other).exits(0).prints("no change");
    }
    assert!(lease_is_gone(&cloud));
}

/// Two that take over the same dead lease at the same moment: the log of versions says who was first.
#[test]
fn an_entry_that_was_not_written_after_the_last_one_is_void() {
    let cloud = Cloud::with_pipeline(Iam::Off);
    held_elsewhere(&cloud, 600);
    let mut late = somebody(600);
    late["id"] = json!("late");
    late["holder"] = json!("arn:aws:iam::000000000000:user/late");
    // It saw version 0 of somebody else, and so takes nothing.
    late["after"] = json!({ "version": 0, "id": "nobody" });
    put(&cloud, &late, true);
    cloud.run("deploy --yes").exits(1).complains("user/somebody");
    late["after"] = json!({ "version": 2, "id": "late" });
    put(&cloud, &late, true);
    cloud.run("deploy --yes").exits(1).complains("user/late");
}

#[test]
fn unlock_shows_the_holder_and_removes_the_lease() {
    let cloud = Cloud::with_pipeline(Iam::Off);
    cloud
        .run("unlock")
        .exits(0)
        .prints("chinook-invoices/local: nobody holds the lease");
    held_elsewhere(&cloud, 600);
    let refused = cloud.run("unlock").exits(1).complains("run again with --yes");
    assert!(
        refused
            .stdout
            .contains("user/somebody on faraway (process 7) since 2026-01-02T03:04:05Z"),
        "{refused:?}"
    );
    assert!(!lease_is_gone(&cloud));
    cloud.run("unlock --yes").exits(0).prints("removed");
    assert!(lease_is_gone(&cloud));
    held_elsewhere(&cloud, 600);
    let told = cloud.run("unlock --yes --format json").exits(0).json();
    assert_eq!(
        (&told["removed"], &told["held"]["host"]),
        (&json!(true), &json!("faraway"))
    );
    cloud.run("deploy --yes").exits(0).prints("no change");
}

#[test]
fn a_run_that_loses_its_lease_starts_nothing_more() {
    let cloud = Cloud::up(Iam::Off);
    let mut command = cloud.command("deploy --yes");
    command.env("PIPECTL_LEASE_SECONDS", "2");
    let run = holding(&cloud, command);
    stop(&run);
    cloud.run("unlock --yes").exits(0).prints("removed");
    // Its next renewal is due as soon as it goes on.
    std::thread::sleep(Duration::from_secs(1));
    go_on(&run);
    let lost = ended(run);
    assert!(
        lost.stderr.contains("The lease of chinook-invoices/local was lost"),
        "{lost:?}"
    );
    lost.exits(1).prints("not started");
    cloud.run("deploy --yes").exits(0);
    cloud.run("diff").exits(0);
    assert!(lease_is_gone(&cloud));
}

#[test]
fn a_long_run_renews_its_lease() {
    let cloud = Cloud::up(Iam::Off);
    let mut command = cloud.command("deploy");
    // Held at the question, which waits for an answer at a terminal; `script` gives it one.
    command.env("PIPECTL_LEASE_SECONDS", "6");
    let mut asked = at_a_terminal(&command);
    wait_until_held(&cloud);
    let first = lease(&cloud).unwrap();
    // Past the end it had at first.
    std::thread::sleep(Duration::from_secs(8));
    let later = lease(&cloud).unwrap();
    assert_eq!(first["id"], later["id"]);
    assert!(later["after"]["version"].as_i64().unwrap() >= 3, "{later}");
    cloud.run("deploy --yes").exits(1).complains("another run");
    drop(asked.stdin.take());
    asked.wait().unwrap();
    wait("the lease to be given back", Duration::from_secs(240), || {
        lease_is_gone(&cloud).then_some(()).ok_or_else(|| "there".to_owned())
    });
}

fn at_a_terminal(command: &Command) -> Child {
    let words: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| format!("'{}'", word.to_str().unwrap()))
        .collect();
    let mut script = Command::new("script");
    script.args(["-qec", &words.join(" "), "/dev/null"]).env_clear();
    for (name, value) in command.get_envs() {
        script.env(name, value.unwrap_or_default());
    }
    script.current_dir(command.get_current_dir().unwrap());
    script
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn somebody(seconds: u32) -> Value {
    json!({
        "id": "somebody", "holder": "arn:aws:iam::000000000000:user/somebody", "host": "faraway", "space": "another boot",
        "pid": 7, "started": 1, "since": "2026-01-02T03:04:05Z", "expires": "2026-01-02T03:09:05Z", "seconds": seconds, "after": null,
    })
}

fn held_elsewhere(cloud: &Cloud, seconds: u32) {
    put(cloud, &somebody(seconds), false);
}

fn put(cloud: &Cloud, lease: &Value, overwrite: bool) {
    cloud.aws(
        "ssm",
        "put_parameter",
        json!({ "Name": LEASE, "Value": lease.to_string(), "Type": "String", "Overwrite": overwrite }),
    );
}

fn lease(cloud: &Cloud) -> Option<Value> {
    let answer = cloud.try_aws("ssm", "get_parameter", json!({ "Name": LEASE })).ok()?;
    Some(serde_json::from_str(answer["Parameter"]["Value"].as_str().unwrap()).unwrap())
}

fn lease_is_gone(cloud: &Cloud) -> bool {
    lease(cloud).is_none()
}

/// A run that has the lease.
fn holding(cloud: &Cloud, command: Command) -> Child {
    // The client starts with its first call, which may take longer than a whole deploy.
    assert!(lease_is_gone(cloud));
    let run = started(command);
    wait_until_held(cloud);
    run
}

fn wait_until_held(cloud: &Cloud) {
    let started = Instant::now();
    while lease(cloud).is_none() {
        assert!(started.elapsed() < Duration::from_secs(240), "nobody takes the lease");
    }
}
