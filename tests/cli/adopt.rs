//! What exists and is somebody's: taken over with all that is in it, used, and given back as it was.

use std::fs;
use std::io::{BufRead, BufReader, Read};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::cloud::{Cloud, Iam};
use crate::run::signal;
use crate::with_iam_off_and_enforced;

const BUCKET: &str = "acme-invoices-landing";
const TABLE: &str = "ANALYTICS.SHOP.INVOICE";

/// Rows of the table that matter here.
const ROWS: &str = "select INVOICE_ID, CUSTOMER_ID, TOTAL, NOTE from ANALYTICS.SHOP.INVOICE order by 1";

/// A bucket with a file in it, to which somebody listens, and a table with rows beside one of somebody else.
fn theirs(cloud: &Cloud) {
    cloud.aws("s3", "create_bucket", json!({ "Bucket": BUCKET }));
    cloud.put(BUCKET, "invoices/old.json", invoice(8000, "1.00"));
    let rule =
        json!({ "ID": "theirs", "Status": "Enabled", "Filter": { "Prefix": "" }, "Expiration": { "Days": 900 } });
    cloud.aws(
        "s3",
        "put_bucket_lifecycle_configuration",
        json!({ "Bucket": BUCKET, "LifecycleConfiguration": { "Rules": [rule] } }),
    );
    cloud.aws("sqs", "create_queue", json!({ "QueueName": "audit" }));
    let queue = "arn:aws:sqs:us-east-1:000000000000:audit";
    let policy = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": { "Service": "s3.amazonaws.com" }, "Action": "sqs:SendMessage", "Resource": queue,
    }] });
    cloud.aws(
        "sqs",
        "set_queue_attributes",
        json!({ "QueueUrl": cloud.queue_url("audit"), "Attributes": { "Policy": policy.to_string() } }),
    );
    let heard = json!({ "QueueConfigurations": [{ "QueueArn": queue, "Events": ["s3:ObjectCreated:*"] }] });
    cloud.aws(
        "s3",
        "put_bucket_notification_configuration",
        json!({ "Bucket": BUCKET, "NotificationConfiguration": heard }),
    );
    for statement in [
        "create database ANALYTICS comment = 'All of finance'",
        "create schema ANALYTICS.SHOP",
        "create table ANALYTICS.SHOP.OTHER (A NUMBER)",
        "insert into ANALYTICS.SHOP.OTHER values (1)",
        "create table ANALYTICS.SHOP.INVOICE (TOTAL NUMBER(12,2), NOTE VARCHAR(100), INVOICE_ID NUMBER(10,0), \
         INVOICE_DATE TIMESTAMP_NTZ(9), CUSTOMER_ID NUMBER(10,0) COMMENT 'Who') comment = 'Finance''s own'",
        "insert into ANALYTICS.SHOP.INVOICE values (7, 'by hand', 9001, '2020-01-01', 1), (8, 'too', 9002, '2020-01-02', 2)",
    ] {
        cloud.sql(statement);
    }
}

fn invoice(id: u32, total: &str) -> String {
    format!(
        r#"{{"InvoiceId":{id},"InvoiceDate":"2025-01-01 00:00:00","Customer":{{"CustomerId":5}},"Total":{total},"Lines":[]}}"#
    )
}

/// The file names what exists, and does not say yet that it is to be adopted.
fn name_them(cloud: &Cloud) {
    cloud.edit("schema = \"SHOP\"", "database = \"ANALYTICS\"\nschema = \"SHOP\"");
    cloud.edit("type = \"files\"", &format!("type = \"files\"\nbucket = \"{BUCKET}\""));
    cloud.edit("description = \"One row per invoice\"\n", "");
}

fn adopt_them(cloud: &Cloud) {
    cloud.edit("database = \"ANALYTICS\"", "database = \"ANALYTICS\"\nadopt = true");
    cloud.edit("bucket = ", "adopt = true\nbucket = ");
    cloud.edit("name = \"invoice\"\n", "name = \"invoice\"\nadopt = true\n");
}

fn comment(cloud: &Cloud, kind: &str, name: &str) -> String {
    let shown = cloud.try_sql(&format!("SHOW {kind} LIKE '{name}' IN ACCOUNT")).exits(0);
    let document = shown.json();
    let columns = document["columns"].as_array().unwrap();
    let position = columns.iter().position(|column| column == "comment").unwrap();
    shown.rows()[0][position].clone()
}

/// ARNs that hear of the bucket's objects.
fn listeners(cloud: &Cloud) -> Vec<String> {
    let found = cloud.aws(
        "s3",
        "get_bucket_notification_configuration",
        json!({ "Bucket": BUCKET }),
    );
    let of = |kind: &str, arn: &str| -> Vec<String> {
        let all = found[kind].as_array().cloned().unwrap_or_default();
        all.iter()
            .map(|one: &Value| one[arn].as_str().unwrap().to_owned())
            .collect()
    };
    [
        of("TopicConfigurations", "TopicArn"),
        of("QueueConfigurations", "QueueArn"),
    ]
    .concat()
}

/// The pipeline works in what was adopted: a row that was there is updated, a new one comes, nothing else changes.
fn files_flow(cloud: &Cloud) {
    cloud.put(BUCKET, "invoices/a.json", invoice(9001, "70.5"));
    cloud.put(BUCKET, "invoices/b.json", invoice(9003, "90.5"));
    cloud.wait_for_rows(
        ROWS,
        &[
            &["9001", "5", "70.50", "by hand"],
            &["9002", "2", "8.00", "too"],
            &["9003", "5", "90.50", "NULL"],
        ],
    );
}

fn is_given_back(cloud: &Cloud, rows: usize) {
    assert_eq!(cloud.sql(ROWS).len(), rows);
    assert_eq!(comment(cloud, "TABLES", "INVOICE"), "Finance's own");
    assert_eq!(comment(cloud, "DATABASES", "ANALYTICS"), "All of finance");
    assert_eq!(cloud.value("select count(*) from ANALYTICS.SHOP.OTHER"), "1");
    assert_eq!(listeners(cloud), Vec::<String>::new());
    assert!(cloud.keys(BUCKET, "").contains(&"invoices/old.json".to_owned()));
    let stacks = cloud.aws("cloudformation", "describe_stacks", json!({}));
    assert_eq!(stacks["Stacks"].as_array().map(Vec::len), Some(0), "{stacks}");
    let schemas = cloud.sql("SHOW SCHEMAS LIKE 'SHOP%' IN DATABASE ANALYTICS");
    assert_eq!(schemas.len(), 1, "{schemas:?}");
}

with_iam_off_and_enforced!(what_exists_is_taken_over_and_given_back);

fn what_exists_is_taken_over_and_given_back(iam: Iam) {
    let cloud = Cloud::up(iam);
    theirs(&cloud);
    name_them(&cloud);
    cloud
        .run("deploy --yes")
        .exits(1)
        .complains("`adopt = true` in [snowflake]")
        .complains("`adopt = true` in its [[table]]");

    adopt_them(&cloud);
    cloud
        .run("diff")
        .exits(2)
        .prints("= bucket acme-invoices-landing into stack chinook-invoices-local-storage")
        .prints("1 lifecycle rules")
        .prints("= database ANALYTICS")
        .prints("= table ANALYTICS.SHOP.INVOICE")
        .prints("its 2 rows, and one whose INVOICE_ID arrives again is updated; the pipeline never writes NOTE")
        .prints("column COUNTRY: (none)")
        .prints("arn:aws:sqs:us-east-1:000000000000:audit");
    cloud.run("deploy --yes").exits(1).complains("--allow-loss aws:storage");
    cloud.run("deploy --yes --allow-loss aws:storage").exits(0);
    cloud.run("diff").exits(0).prints("no change");
    cloud.run("deploy --yes").exits(0).prints("no change");
    assert_eq!(
        listeners(&cloud),
        ["arn:aws:sns:us-east-1:000000000000:chinook-invoices-local-raw"]
    );
    files_flow(&cloud);
    let lifecycle = cloud.aws("s3", "get_bucket_lifecycle_configuration", json!({ "Bucket": BUCKET }));
    assert_eq!(lifecycle["Rules"][0]["ID"], "theirs");
    assert_eq!(cloud.value(&format!("select count(_FILE) from {TABLE}")), "2");

    // A file that forgets what it adopted is refused, and nothing of it is dropped.
    cloud.edit("name = \"invoice\"\nadopt = true\n", "name = \"invoice\"\n");
    cloud
        .run("diff")
        .exits(1)
        .complains("was adopted, and the file does not say so any more");
    cloud.edit("name = \"invoice\"\n", "name = \"invoice\"\nadopt = true\n");

    cloud
        .run("destroy --yes --delete-data")
        .exits(0)
        .prints("it was adopted and is given back: it keeps what it holds")
        .prints("its rows and all its columns stay");
    is_given_back(&cloud, 3);
    cloud.run("destroy --yes --delete-data").exits(0);

    // There and back once more: what is left is adopted as it is now.
    cloud.run("deploy --yes").exits(0);
    cloud.run("diff").exits(0);
    cloud.run("destroy --yes --delete-data").exits(0);
    is_given_back(&cloud, 3);
}

/// Starts a command and kills it as soon as a line says that this step is done.
fn killed_after(cloud: &Cloud, words: &str, step: &str) {
    let mut child = cloud.start(words);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    let mut said = String::new();
    while stderr.read_line(&mut line).unwrap() > 0 {
        said.push_str(&line);
        if line.contains('✓') && line.contains(step) {
            break;
        }
        line.clear();
    }
    assert!(line.contains(step), "{step} was not done:\n{said}");
    signal(&child, Signal::KILL);
    let _ = stderr.read_to_string(&mut said);
    child.wait().unwrap();
}

#[test]
fn an_adoption_that_was_cut_off_goes_on() {
    let cloud = Cloud::up(Iam::Off);
    theirs(&cloud);
    name_them(&cloud);
    adopt_them(&cloud);
    // Between the first statement and the columns.
    cloud.sql(&format!(
        "alter table {TABLE} set comment = 'Finance''s own [pipectl chinook-invoices/local unfinished adopted]'"
    ));
    cloud.run("diff").exits(2).prints("its adoption was cut off");
    // Between the import and what follows it.
    killed_after(
        &cloud,
        "deploy --yes --allow-loss aws:storage",
        "bucket acme-invoices-landing",
    );
    cloud.run("deploy --yes --allow-loss aws:storage").exits(0);
    cloud.run("diff").exits(0);
    files_flow(&cloud);
    // Between taking the bucket out of its stack and the rest.
    killed_after(&cloud, "destroy --yes --delete-data", "bucket acme-invoices-landing");
    cloud.run("destroy --yes --delete-data").exits(0);
    is_given_back(&cloud, 3);
}

#[test]
fn what_cannot_be_adopted_says_why() {
    let cloud = Cloud::up(Iam::Off);
    theirs(&cloud);
    name_them(&cloud);
    adopt_them(&cloud);
    let refused = |why: &str| cloud.run("diff").exits(1).complains(why);
    cloud.sql("alter table ANALYTICS.SHOP.INVOICE add column COUNTRY NUMBER");
    refused("its column COUNTRY is NUMBER(38,0), and the file says VARCHAR(40)");
    cloud.sql("alter table ANALYTICS.SHOP.INVOICE drop column COUNTRY");
    cloud.sql("alter table ANALYTICS.SHOP.INVOICE rename column INVOICE_ID to ID");
    refused("has no column INVOICE_ID, and rows are merged by it");
    cloud.sql("alter table ANALYTICS.SHOP.INVOICE rename column ID to INVOICE_ID");
    cloud.sql("alter table ANALYTICS.SHOP.INVOICE alter column NOTE set not null");
    refused("refuses rows without NOTE");
    cloud.sql("alter table ANALYTICS.SHOP.INVOICE alter column NOTE drop not null");
    cloud.sql("alter table ANALYTICS.SHOP.INVOICE set comment = '[pipectl other/dev 00]'");
    refused("belongs to the pipeline other/dev");
}

#[test]
fn a_stage_is_adopted_and_what_is_not_there_is_made() {
    let cloud = Cloud::up(Iam::Off);
    let text = fs::read_to_string(cloud.file()).unwrap();
    cloud.edit(
        "type = \"files\"",
        &format!("type = \"files\"\nbucket = \"{BUCKET}\"\nadopt = true"),
    );
    cloud.run("deploy --yes").exits(0);
    cloud.sql(
        "create stage {db}.SHOP_RAW.THEIRS url = 's3://chinook-invoices-local-curated-000000000000-us-east-1/data/' \
         storage_integration = CHINOOK_INVOICES_LOCAL_S3 comment = 'by hand'",
    );
    cloud.edit("schema = \"SHOP\"", "schema = \"SHOP\"\nstage = { name = \"theirs\" }");
    cloud.run("diff").exits(1).complains("adopt = true");
    cloud.edit("{ name = \"theirs\" }", "{ name = \"theirs\", adopt = true }");
    let consent = "deploy --yes --allow-loss snowflake:stage:CHINOOK_INVOICES_LOCAL.SHOP_RAW.CURATED --allow-loss \
                   snowflake:pipe:CHINOOK_INVOICES_LOCAL.SHOP_RAW.INVOICES_PIPE";
    cloud
        .run(consent)
        .exits(0)
        .prints("= stage CHINOOK_INVOICES_LOCAL.SHOP_RAW.THEIRS");
    cloud.run("diff").exits(0);
    cloud.put(BUCKET, "invoices/a.json", invoice(9001, "70.5"));
    cloud.wait_for("select count(*) from {db}.SHOP.INVOICE", "1");
    cloud.wait_until_quiet();
    cloud.run("destroy --yes --delete-data").exits(0).prints("THEIRS");
    assert_eq!(comment(&cloud, "STAGES", "THEIRS"), "by hand");
    // The bucket was made by the pipeline, so it is gone.
    assert!(cloud.try_aws("s3", "head_bucket", json!({ "Bucket": BUCKET })).is_err());
    fs::write(cloud.file(), text).unwrap();
}

fn is_untouched(cloud: &Cloud) {
    assert_eq!(cloud.keys(BUCKET, ""), ["invoices/old.json"]);
}

const STORAGE: &str = "chinook-invoices-local-storage";

/// The status of the storage stack.
fn storage(cloud: &Cloud) -> String {
    loop {
        let found = cloud.try_aws("cloudformation", "describe_stacks", json!({ "StackName": STORAGE }));
        let Ok(found) = found else { return "gone".to_owned() };
        let status = found["Stacks"][0]["StackStatus"].as_str().unwrap().to_owned();
        if !status.ends_with("_IN_PROGRESS") {
            return status;
        }
    }
}

/// The storage stack could not be made, because a bucket in it exists and is somebody's.
fn fail_to_make_storage(cloud: &Cloud) {
    let template = json!({ "Resources": {
        "RawBucket": { "Type": "AWS::S3::Bucket", "DeletionPolicy": "Retain", "Properties": { "BucketName": BUCKET } },
    } });
    let tags = json!([
        { "Key": "pipectl:pipeline", "Value": "chinook-invoices" },
        { "Key": "pipectl:environment", "Value": "local" },
    ]);
    let body = template.to_string();
    let stack = json!({ "StackName": STORAGE, "TemplateBody": body, "Tags": tags });
    cloud.aws("cloudformation", "create_stack", stack);
    assert_eq!(storage(cloud), "ROLLBACK_COMPLETE");
}

#[test]
fn a_bucket_that_a_stack_never_got_is_never_deleted() {
    let cloud = Cloud::up(Iam::Off);
    cloud.aws("s3", "create_bucket", json!({ "Bucket": BUCKET }));
    cloud.put(BUCKET, "invoices/old.json", invoice(8000, "1.00"));
    cloud.edit("type = \"files\"", &format!("type = \"files\"\nbucket = \"{BUCKET}\""));
    fail_to_make_storage(&cloud);
    cloud.run("destroy --yes --delete-data").exits(0);
    is_untouched(&cloud);
    fail_to_make_storage(&cloud);
    let refused = || {
        let run = cloud.run("deploy --yes").exits(1);
        run.prints(BUCKET).prints("taken over with `adopt = true` there");
    };
    refused();
    is_untouched(&cloud);
    cloud.run("destroy --yes --delete-data").exits(0);

    // Adopted, given back, and named without `adopt`: still somebody's, though a stack that is gone had it.
    fail_to_make_storage(&cloud);
    let bucket = format!("bucket = \"{BUCKET}\"");
    cloud.edit(&bucket, &format!("adopt = true\n{bucket}"));
    cloud.run("deploy --yes").exits(0);
    cloud.run("diff").exits(0);
    cloud.run("destroy --yes --delete-data").exits(0);
    is_untouched(&cloud);
    cloud.edit(&format!("adopt = true\n{bucket}"), &bucket);
    refused();
    cloud.run("destroy --yes --delete-data").exits(0);
    is_untouched(&cloud);
}

#[test]
fn an_adopted_bucket_whose_stack_is_gone_is_adopted_again() {
    let cloud = Cloud::up(Iam::Off);
    cloud.aws("s3", "create_bucket", json!({ "Bucket": BUCKET }));
    cloud.put(BUCKET, "invoices/old.json", invoice(8000, "1.00"));
    let named = format!("type = \"files\"\nbucket = \"{BUCKET}\"");
    cloud.edit("type = \"files\"", &format!("{named}\nadopt = true"));
    cloud.run("deploy --yes").exits(0);
    let gone = || {
        cloud.aws("cloudformation", "delete_stack", json!({ "StackName": STORAGE }));
        assert_eq!(storage(&cloud), "gone");
    };
    gone();
    cloud
        .run("deploy --yes")
        .exits(0)
        .prints("= bucket acme-invoices-landing");
    cloud.run("diff").exits(0);
    // What the stack had adopted is not its own, whatever the file says later.
    gone();
    cloud.edit(&format!("{named}\nadopt = true"), &named);
    let run = cloud.run("deploy --yes").exits(1);
    run.prints(&format!("bucket {BUCKET} exists and was never in a stack {STORAGE}"));
    cloud.run("destroy --yes --delete-data").exits(0);
    is_untouched(&cloud);
}

#[test]
fn a_bucket_that_only_the_file_names_is_never_deleted() {
    let cloud = Cloud::up(Iam::Off);
    cloud.aws("s3", "create_bucket", json!({ "Bucket": BUCKET }));
    cloud.put(BUCKET, "invoices/old.json", invoice(8000, "1.00"));
    cloud.run("deploy --yes").exits(0);
    cloud.edit("type = \"files\"", &format!("type = \"files\"\nbucket = \"{BUCKET}\""));
    cloud.run("destroy --yes --delete-data").exits(0);
    is_untouched(&cloud);
}
