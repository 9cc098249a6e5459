//! What exists and is somebody's: taken over, refused, given back.

use super::*;
use crate::aws::import::LiveBucket;

#[test]
fn adoption() {
    let bucket = || {
        EXAMPLE.replacen(
            "max_attempts = 5",
            "max_attempts = 5\nbucket = \"theirs\"\nadopt = true",
            1,
        )
    };
    let table = || EXAMPLE.replacen("name = \"invoice\"\n", "name = \"invoice\"\nadopt = true\n", 1);
    let database = || {
        EXAMPLE.replacen(
            "schema = \"SHOP\"",
            "database = \"THEIRS\"\nadopt = true\nschema = \"SHOP\"",
            1,
        )
    };
    let stage = || {
        EXAMPLE.replacen(
            "schema = \"SHOP\"",
            "schema = \"SHOP\"\nstage = { name = \"theirs\", adopt = true }",
            1,
        )
    };
    let live = |listeners: &[&str]| LiveBucket {
        listeners: listeners.iter().map(|arn| (*arn).to_owned()).collect(),
        encryption: "aws:kms KEY".to_owned(),
        versioning: "Suspended".to_owned(),
        lifecycle_rules: 2,
        has_policy: true,
        ..LiveBucket::default()
    };
    let mut golden = Golden::default();
    // As if somebody made it, and nothing of the pipeline's mark were on it.
    let made_by_hand = |world: &mut World, kind: Kind, last: &str| {
        let live = object(world, kind, last);
        live.comment = "theirs".to_owned();
        live.properties.insert("owner", "FINANCE".to_owned());
        live.properties.insert("rows", "12".to_owned());
    };
    golden
        .of("a bucket, before there is a stack", &bucket(), |world| {
            world.stacks.remove("chinook-invoices-local-storage");
            world.buckets.insert("theirs".to_owned(), live(&[]));
        })
        .of("a bucket that somebody listens to", &bucket(), |world| {
            world.stacks.remove("chinook-invoices-local-storage");
            world
                .buckets
                .insert("theirs".to_owned(), live(&["arn:aws:sqs:us-east-1:0:audit"]));
        })
        .of("a bucket in the place of the pipeline's own", &bucket(), |world| {
            let resource = &mut stack(world, "storage").template["Resources"]["RawBucket"];
            resource["Properties"]["BucketName"] = "own".into();
            world.buckets.insert("theirs".to_owned(), live(&[]));
        })
        .of("a bucket of another stack", &bucket(), |world| {
            world.stacks.remove("chinook-invoices-local-storage");
            let stack = Some("theirs".to_owned());
            world
                .buckets
                .insert("theirs".to_owned(), LiveBucket { stack, ..live(&[]) });
        })
        .of("a bucket that was imported, and no more", &bucket(), |world| {
            let live = stack(world, "storage");
            live.template =
                serde_json::json!({"Resources": {"RawBucket": crate::graph::stack::imported(&"theirs".into(), "chinook-invoices/local")}});
        })
        .of("a bucket that does not exist", &bucket(), |world| {
            world.stacks.remove("chinook-invoices-local-storage");
        })
        .of("a bucket that is the pipeline's own", &bucket(), |_| {})
        .world("a bucket that was adopted, and the file does not say so", |world| {
            let resource = &mut stack(world, "storage").template["Resources"]["RawBucket"];
            resource["Metadata"] = serde_json::json!({"pipectl": {"adopted": "chinook-invoices/local"}});
        })
        .of("a table", &table(), |world| {
            made_by_hand(world, Kind::Table, "INVOICE");
            let table = object(world, Kind::Table, "INVOICE");
            table
                .columns
                .retain(|column| !column.name.starts_with('_') && column.name != "CITY");
            let mut note = table.columns[0].clone();
            (note.name, note.not_null) = ("NOTE".to_owned(), false);
            table.columns.insert(0, note);
        })
        .of("a table with another type", &table(), |world| {
            made_by_hand(world, Kind::Table, "INVOICE");
            column(world, "INVOICE", "TOTAL").data_type = "FLOAT".into();
        })
        .of("a table with a wider type", &table(), |world| {
            made_by_hand(world, Kind::Table, "INVOICE");
            column(world, "INVOICE", "TOTAL").data_type = "NUMBER(38,2)".into();
        })
        .of("a table without the key", &table(), |world| {
            made_by_hand(world, Kind::Table, "INVOICE");
            object(world, Kind::Table, "INVOICE").columns.remove(0);
        })
        .of("a table whose adoption was cut off", &table(), |world| {
            object(world, Kind::Table, "INVOICE").comment =
                mark::adopted("theirs", "chinook-invoices/local", mark::UNFINISHED);
        })
        .of("a table of another pipeline", &table(), |world| {
            object(world, Kind::Table, "INVOICE").comment = mark::comment("", "other/dev", "00");
        })
        .of("a table that is the pipeline's own", &table(), |_| {})
        .world("a table that was adopted, and the file does not say so", |world| {
            object(world, Kind::Table, "INVOICE").comment = mark::adopted("theirs", "chinook-invoices/local", "00");
        })
        .of(
            "a table that was adopted, and the file does not name",
            &without_the_lines(),
            |world| {
                let name = Name::account("CHINOOK_INVOICES_LOCAL").child("SHOP").child("LEFT");
                let comment = mark::adopted("theirs", "chinook-invoices/local", "00");
                world.objects.insert(
                    (Kind::Table, name),
                    LiveObject {
                        comment,
                        ..LiveObject::default()
                    },
                );
            },
        )
        .of("a database and a schema", &database(), |world| {
            made_by_hand(world, Kind::Database, "THEIRS");
            made_by_hand(world, Kind::Schema, "SHOP");
        })
        .of("a stage", &stage(), |world| {
            made_by_hand(world, Kind::Stage, "THEIRS");
        })
        .of("a stage that leads elsewhere", &stage(), |world| {
            made_by_hand(world, Kind::Stage, "THEIRS");
            object(world, Kind::Stage, "THEIRS")
                .properties
                .insert("url", "s3://elsewhere/".to_owned());
        });
    insta::assert_snapshot!("adoption", golden.text());
}
