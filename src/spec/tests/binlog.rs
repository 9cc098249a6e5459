//! What `capture = "binlog"` takes, and what it refuses.

use insta::assert_snapshot;

use super::*;

const SOUND_BINLOG: &str = r#"[pipeline]
name = "orders"

[aws]
account = "111122223333"
region = "eu-west-1"

[snowflake]
account = "EXAMPLEORG-EXAMPLE"

[source]
type = "mysql"
capture = "binlog"

[source.database]
host = "shop.example.com"
secret = "secretsmanager:shop"

[source.network]
vpc = "vpc-0a1b2c3d4e5f67890"
subnets = ["subnet-0a1b2c3d4e5f67890"]

[[table]]
name = "persons"
from = "shop.persons"
columns = [
    { name = "id", type = "NUMBER", key = true },
]
"#;

fn with(from: &str, to: &str) -> String {
    replaced(SOUND_BINLOG, &[(from, to)])
}

#[test]
fn a_table_needs_no_watermark() {
    read(SOUND_BINLOG, "dev");
}

#[test]
fn what_is_of_a_reading_by_watermark_is_refused() {
    let text = with("capture = \"binlog\"", "capture = \"binlog\"\nschedule = \"5 minutes\"");
    let text = text.replacen(
        "from = \"shop.persons\"",
        "from = \"shop.persons\"\nwatermark = \"at\"\noverlap = \"1 minute\"",
        1,
    );
    assert_snapshot!(said(&text), @r#"
    error[E0204]: `schedule` is of a reading by watermark, and this source's changes come from the binary log
      --> pipeline.toml:14:1
       |
    14 | schedule = "5 minutes"
       | ^^^^^^^^ remove it: changes come as they are made; or write `capture = "watermark"`

    error[E0204]: `watermark` is of a reading by watermark, and this source's changes come from the binary log
      --> pipeline.toml:27:1
       |
    27 | watermark = "at"
       | ^^^^^^^^^ remove it: changes come as they are made; or write `capture = "watermark"`

    error[E0204]: `overlap` is of a reading by watermark, and this source's changes come from the binary log
      --> pipeline.toml:28:1
       |
    28 | overlap = "1 minute"
       | ^^^^^^^ remove it: changes come as they are made; or write `capture = "watermark"`

    3 errors in pipeline.toml
    "#);
}

#[test]
fn what_is_of_the_binary_log_is_refused_by_watermark() {
    let text = with("capture = \"binlog\"\n", "format = \"records\"\n").replacen(
        "[[table]]",
        "[source.reader]\n\n[[table]]",
        1,
    );
    assert_snapshot!(said(&text), @r#"
    error[E0204]: `format` is of the binary log, and this source is read by watermark
      --> pipeline.toml:13:1
       |
    13 | format = "records"
       | ^^^^^^ remove it, or write `capture = "binlog"`

    error[E0204]: `reader` is of the binary log, and this source is read by watermark
      --> pipeline.toml:23:9
       |
    23 | [source.reader]
       |         ^^^^^^ remove it, or write `capture = "binlog"`

    2 errors in pipeline.toml
    "#);
}

#[test]
fn a_table_has_a_key_and_the_reader_a_network() {
    let text = with(", key = true", "");
    let at = text.find("[source.network]").unwrap_or_default();
    let until = text.find("[[table]]").unwrap_or_default();
    assert_snapshot!(said(&format!("{}{}", &text[..at], &text[until..])), @r#"
    error[E0212]: environment `dev` needs `source.network`: the reader of the binary log runs in it
      --> pipeline.toml:11:1
       |
    11 | [source]
       | ^^^^^^^^ add `network = { vpc = "vpc-…", subnets = ["subnet-…", "subnet-…"] }` to `[source]` or `[env.dev.source]`

    error[E0211]: `persons` has no key, so its rows cannot be merged
      --> pipeline.toml:22:1
       |
    22 | columns = [
       | ^^^^^^^ add `key = true` to the columns that make a row unique

    2 errors in pipeline.toml
    "#);
}

#[test]
fn a_reader_has_what_its_host_takes() {
    let text = with(
        "[[table]]",
        "[source.reader]\nimage = \"x y\"\ninstance_type = \"small\"\n\n[[table]]",
    );
    assert_snapshot!(said(&text), @r#"
    error[E0204]: a server runs the runtime that pipectl uploads, without an image
      --> pipeline.toml:24:1
       |
    24 | image = "x y"
       | ^^^^^ remove it, or write `on = "ecs"`

    error[E0204]: this is not the name of an image
      --> pipeline.toml:24:9
       |
    24 | image = "x y"
       |         ^^^^^ such as `111122223333.dkr.ecr.eu-west-1.amazonaws.com/pipectl-runtime:1.0`

    error[E0204]: this is not a type of an EC2 server
      --> pipeline.toml:25:17
       |
    25 | instance_type = "small"
       |                 ^^^^^^^ such as `t4g.small`

    3 errors in pipeline.toml
    "#);
    let text = text.replace("image =", "on = \"ecs\"\nimage =");
    assert_snapshot!(said(&text), @r#"
    error[E0204]: this is not the name of an image
      --> pipeline.toml:25:9
       |
    25 | image = "x y"
       |         ^^^^^ such as `111122223333.dkr.ecr.eu-west-1.amazonaws.com/pipectl-runtime:1.0`

    error[E0204]: Fargate has no servers to choose from
      --> pipeline.toml:26:1
       |
    26 | instance_type = "small"
       | ^^^^^^^^^^^^^ remove it, or write `on = "ec2"`

    error[E0204]: this is not a type of an EC2 server
      --> pipeline.toml:26:17
       |
    26 | instance_type = "small"
       |                 ^^^^^^^ such as `t4g.small`

    3 errors in pipeline.toml
    "#);
}

#[test]
fn dicts_come_from_a_program_that_knows_the_database_itself() {
    let text = with("capture = \"binlog\"", "capture = \"binlog\"\nformat = \"python-dict\"");
    assert_snapshot!(said(&text), @r#"
    error[E0204]: with `format = "python-dict"` a program of your own reads the database, so nothing would use `database`
      --> pipeline.toml:16:9
       |
    16 | [source.database]
       |         ^^^^^^^^ remove it, or remove `format`: then pipectl's reader reads the binary log

    error[E0204]: with `format = "python-dict"` a program of your own reads the database, so nothing would use `network`
      --> pipeline.toml:20:9
       |
    20 | [source.network]
       |         ^^^^^^^ remove it, or remove `format`: then pipectl's reader reads the binary log

    2 errors in pipeline.toml
    "#);
}
