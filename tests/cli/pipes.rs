//! A pipe that is made anew: whatever was cut off, the same command goes on, and no file is lost.

use crate::cloud::{Cloud, Iam, RAW, example};

const PIPE: &str = "{db}.SHOP_RAW.INVOICES_PIPE";
const DEPLOY: &str = "deploy --yes --allow-loss snowflake:pipe:CHINOOK_INVOICES_LOCAL.SHOP_RAW.INVOICES_PIPE";
const RECORDS: &str = "select count(*) from {db}.SHOP_RAW.RAW_INVOICES";
const FILES: &str = "select count(distinct FILE_NAME) from {db}.SHOP_RAW.RAW_INVOICES";
const INVOICES: &str = "select count(*), count(distinct INVOICE_ID), sum(TOTAL) from {db}.SHOP.INVOICE";

/// A moment by Snowflake's clock, as a pipe's mark has it.
fn moment(cloud: &Cloud, unit: &str, amount: i32) -> String {
    let ask = format!(r#"select to_char(dateadd('{unit}', {amount}, sysdate()), 'YYYY-MM-DD"T"HH24:MI:SS')"#);
    format!("{}Z", cloud.value(&ask))
}

/// What a deploy that was cut off leaves: the pipe is marked, and paused or not.
fn cut_off(cloud: &Cloud, mark: &str, paused: bool) {
    let comment = format!("Loads invoices/ [pipectl chinook-invoices/local {mark}]");
    cloud.sql(&format!(
        "ALTER PIPE {PIPE} SET PIPE_EXECUTION_PAUSED = {paused} COMMENT = '{comment}'"
    ));
}

fn put(cloud: &Cloud, name: &str) {
    let file = example().join("data/invoices").join(name);
    cloud.put(RAW, &format!("invoices/{name}"), std::fs::read(file).unwrap());
}

/// One with a first file loaded.
fn loaded() -> Cloud {
    let cloud = Cloud::with_pipeline(Iam::Off);
    put(&cloud, "2021.json");
    cloud.wait_for("select count(*) from {db}.SHOP.INVOICE", "83");
    cloud.wait_until_quiet();
    cloud
}

/// The pipe runs, with its mark and no file left out, and nothing is left to do.
fn is_whole(cloud: &Cloud, files: &str) {
    cloud.wait_for(FILES, files);
    cloud.wait_until_quiet();
    cloud.run("diff").exits(0).prints("no change");
    cloud.run("status").exits(0);
}

#[test]
fn a_paused_pipe_is_replaced_and_its_successor_loads_what_came_since() {
    let cloud = loaded();
    let before = cloud.sql(INVOICES);
    let records: u64 = cloud.value(RECORDS).parse().unwrap();
    cut_off(&cloud, &format!("paused@{}", moment(&cloud, "MINUTE", -15)), true);
    put(&cloud, "2022.json.gz");
    cloud.run("status").exits(2).prints("its replacement was cut off");
    cloud.run("diff").exits(2).prints("its replacement was cut off");
    cloud.run("deploy --yes").exits(1);
    cloud.run(DEPLOY).exits(0);
    is_whole(&cloud, "2");
    // The new pipe has loaded the first file once more; the tables took it once.
    let now: u64 = cloud.value(RECORDS).parse().unwrap();
    let of_second = "select count(*) from {db}.SHOP_RAW.RAW_INVOICES where FILE_NAME like '%2022%'";
    let of_second: u64 = cloud.value(of_second).parse().unwrap();
    assert_eq!(now, 2 * records + of_second);
    cloud.wait_for("select count(*) from {db}.SHOP.INVOICE", "166");
    let doubled = "select count(*) from (select INVOICE_ID from {db}.SHOP.INVOICE group by 1 having count(*) > 1)";
    assert_eq!(cloud.value(doubled), "0");
    let of_first =
        "select count(*), count(distinct INVOICE_ID), sum(TOTAL) from {db}.SHOP.INVOICE where _FILE like '%2021%'";
    assert_eq!(cloud.sql(of_first), before);
}

#[test]
fn a_new_pipe_that_was_not_refreshed_loads_what_came_before_it_and_asks_nobody() {
    let cloud = loaded();
    // As after a replacement: the file came while no pipe listened.
    cut_off(&cloud, &format!("paused@{}", moment(&cloud, "MINUTE", -15)), true);
    put(&cloud, "2022.json.gz");
    let deploy = cloud.run(DEPLOY).exits(0);
    assert!(
        deploy.stdout.contains("its replacement was cut off"),
        "{}",
        deploy.stdout
    );
    is_whole(&cloud, "2");
    cut_off(&cloud, &format!("made@{}", moment(&cloud, "MINUTE", -15)), false);
    cloud.run("status").exits(2).prints("its replacement was cut off");
    cloud.run("deploy --yes").exits(0);
    is_whole(&cloud, "2");
}

#[test]
fn a_pipe_that_was_dropped_by_hand_loads_what_it_missed() {
    let cloud = loaded();
    cloud.sql(&format!("DROP PIPE {PIPE}"));
    put(&cloud, "2022.json.gz");
    cloud
        .run("diff")
        .exits(2)
        .prints("the files of the last 7 days are loaded again");
    cloud.run("deploy --yes").exits(0);
    is_whole(&cloud, "2");
}

#[test]
fn what_refresh_does_not_reach_is_told_with_the_statement_that_loads_it() {
    let cloud = loaded();
    cut_off(&cloud, &format!("paused@{}", moment(&cloud, "DAY", -9)), true);
    put(&cloud, "2022.json.gz");
    let run = cloud.run(DEPLOY).exits(1);
    for part in [
        "REFRESH reaches 7 days back",
        "COPY INTO CHINOOK_INVOICES_LOCAL.SHOP_RAW.RAW_INVOICES",
    ] {
        assert!(
            run.stdout.contains(part) || run.stderr.contains(part),
            "no {part}: {run:?}"
        );
    }
    cloud.run("deploy --yes").exits(0).prints("no change");
    is_whole(&cloud, "2");
}

#[test]
fn a_pipe_paused_by_hand_is_told_with_the_way_to_resume_it() {
    let cloud = loaded();
    cloud.sql(&format!("ALTER PIPE {PIPE} SET PIPE_EXECUTION_PAUSED = TRUE"));
    let status = cloud.run("status").exits(2);
    let resume = "ALTER PIPE CHINOOK_INVOICES_LOCAL.SHOP_RAW.INVOICES_PIPE SET PIPE_EXECUTION_PAUSED = FALSE";
    assert!(
        status.stdout.contains(resume) && status.stdout.contains("SYSTEM$PIPE_FORCE_RESUME"),
        "{}",
        status.stdout
    );
    cloud.sql(resume);
    cloud.run("status").exits(0);
}

#[test]
fn a_stage_that_was_dropped_with_its_pipe_paused_comes_back_with_a_new_pipe() {
    let cloud = loaded();
    // Where a deploy that replaces the stage was killed between its DROP and its CREATE.
    cut_off(&cloud, &format!("paused@{}", moment(&cloud, "MINUTE", -15)), true);
    cloud.sql("DROP STAGE {db}.SHOP_RAW.CURATED");
    put(&cloud, "2022.json.gz");
    cloud.run(DEPLOY).exits(0);
    is_whole(&cloud, "2");
}
