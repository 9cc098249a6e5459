//! One snapshot per kind of fault: what a user reads.

use insta::assert_snapshot;

use super::*;

#[test]
fn not_toml() {
    assert_snapshot!(said(&changed(&[("name = \"orders\"", "name = orders")])), @r##"
    error[E0101]: string values must be quoted
     --> pipeline.toml:4:8
      |
    4 | name = orders
      |        ^^^^^^ expected literal string

    1 error in pipeline.toml
    "##);
}

#[test]
fn a_number_too_large() {
    assert_snapshot!(said(&changed(&[("version = 1", "version = 99999999999999999999")])), @r##"
    error[E0102]: this number is too large
     --> pipeline.toml:1:11
      |
    1 | version = 99999999999999999999
      |           ^^^^^^^^^^^^^^^^^^^^ at most 9223372036854775807

    1 error in pipeline.toml
    "##);
}

#[test]
fn an_unknown_key() {
    assert_snapshot!(said(&changed(&[("columns = [", "colums = [")])), @r##"
    error[E0103]: unknown key `colums`
      --> pipeline.toml:20:1
       |
    20 | colums = [
       | ^^^^^^ did you mean `columns`?

    1 error in pipeline.toml
    "##);
}

#[test]
fn missing_keys() {
    assert_snapshot!(said(&changed(&[("name = \"orders\"\n", ""), ("type = \"files\"\n", "")])), @r##"
    error[E0104]: `pipeline` has no `name`
     --> pipeline.toml:3:1
      |
    3 | [pipeline]
      | ^^^^^^^^^^ add `name = "…"`

    error[E0104]: `source` has no `type`
      --> pipeline.toml:12:1
       |
    12 | [source]
       | ^^^^^^^^ add `type = "files"`

    2 errors in pipeline.toml
    "##);
}

#[test]
fn wrong_kinds() {
    assert_snapshot!(said(&changed(&[("\"111122223333\"", "111122223333"), ("key = true", "key = \"yes\""), ("[[table]]", "[table]")])), @r##"
    error[E0105]: expected a string, found an integer
     --> pipeline.toml:7:11
      |
    7 | account = 111122223333
      |           ^^^^^^^^^^^^ put it in quotes

    error[E0105]: expected an array, found a table
      --> pipeline.toml:16:1
       |
    16 | [table]
       | ^^^^^^^ write `[[table]]`, or put it in `[…]`

    2 errors in pipeline.toml
    "##);
}

#[test]
fn an_unknown_word() {
    assert_snapshot!(said(&changed(&[("\"files\"", "\"file\""), ("[aws]", "[aws]\narchitecture = \"arm\"")])), @r##"
    error[E0106]: `arm` is not known here
     --> pipeline.toml:7:16
      |
    7 | architecture = "arm"
      |                ^^^^^ one of `arm64`, `x86_64`

    error[E0106]: `file` is not known here
      --> pipeline.toml:15:8
       |
    15 | type = "file"
       |        ^^^^^^ did you mean `files`?

    2 errors in pipeline.toml
    "##);
}

#[test]
fn a_bad_pipeline_name() {
    assert_snapshot!(said(&changed(&[("\"orders\"", "\"Orders_1\"")])), @r##"
    error[E0201]: a pipeline's name cannot contain `O`
     --> pipeline.toml:4:8
      |
    4 | name = "Orders_1"
      |        ^^^^^^^^^^ lower-case letters, digits and single hyphens, starting with a letter, at most 30 characters

    1 error in pipeline.toml
    "##);
}

#[test]
fn duplicates() {
    assert_snapshot!(said(&changed(&[("name = \"PRICE\"", "name = \"Id\""), ("[pipeline]", "[pipeline]\nname = \"a\"")])), @r##"
    error[E0202]: this key or table is already there
     --> pipeline.toml:5:1
      |
    5 | name = "orders"
      | ^^^^ keep one of them

    error[E0202]: there is already a column `ID`
      --> pipeline.toml:23:14
       |
    23 |     { name = "Id", type = "NUMBER(12,2)", path = "@.price" },
       |              ^^^^ names that differ only in case are the same in Snowflake

    2 errors in pipeline.toml
    "##);
}

#[test]
fn reserved_words() {
    assert_snapshot!(said(&changed(&[("name = \"PRICE\"", "name = \"order\""), ("name = \"ID\"", "name = \"_file\"")])), @r##"
    error[E0203]: `_file` is a column that pipectl adds itself
      --> pipeline.toml:21:14
       |
    21 |     { name = "_file", type = "NUMBER", path = "$.id", key = true },
       |              ^^^^^^^ choose another name

    error[E0203]: `order` is a word of SQL and cannot name a column
      --> pipeline.toml:22:14
       |
    22 |     { name = "order", type = "NUMBER(12,2)", path = "@.price" },
       |              ^^^^^^^ such as `order_`

    2 errors in pipeline.toml
    "##);
}

#[test]
fn bad_shapes() {
    assert_snapshot!(said(&changed(&[("111122223333", "1111-2222-3333"), ("eu-west-1", "eu-wst1"), ("EXAMPLEORG-EXAMPLE", "https://x.snowflakecomputing.com")])), @r##"
    error[E0204]: an AWS account is 12 digits
     --> pipeline.toml:7:11
      |
    7 | account = "1111-2222-3333"
      |           ^^^^^^^^^^^^^^^^ such as `111122223333`, without hyphens

    error[E0204]: this is not an AWS region
     --> pipeline.toml:8:10
      |
    8 | region = "eu-wst1"
      |          ^^^^^^^^^ did you mean `eu-west-1`?

    error[E0204]: this is not a Snowflake account identifier
      --> pipeline.toml:11:11
       |
    11 | account = "https://x.snowflakecomputing.com"
       |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ such as `MYORG-MYACCOUNT`: what stands before `.snowflakecomputing.com`

    3 errors in pipeline.toml
    "##);
}

#[test]
fn numbers_out_of_limits() {
    assert_snapshot!(said(&changed(&[("type = \"files\"", "type = \"files\"\nmax_attempts = 0"), ("[snowflake]", "log_retention_days = 31\n[snowflake]")])), @r##"
    error[E0205]: CloudWatch cannot keep logs for 31 days
      --> pipeline.toml:10:22
       |
    10 | log_retention_days = 31
       |                      ^^ nearest is 30; it can for 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653

    error[E0205]: this number of attempts is out of its limits
      --> pipeline.toml:16:16
       |
    16 | max_attempts = 0
       |                ^ 1 to 1000

    2 errors in pipeline.toml
    "##);
}

#[test]
fn sql_types() {
    assert_snapshot!(said(&changed(&[("NUMBER(12,2)", "NUMBER(12,13)"), ("\"NUMBER\"", "\"NUMBR\"")])), @r##"
    error[E0206]: `NUMBR` is not a type that a column can have
      --> pipeline.toml:21:28
       |
    21 |     { name = "ID", type = "NUMBR", path = "$.id", key = true },
       |                            ^^^^^ did you mean `NUMBER`?

    error[E0206]: this scale is out of its limits
      --> pipeline.toml:22:41
       |
    22 |     { name = "PRICE", type = "NUMBER(12,13)", path = "@.price" },
       |                                         ^^ 0 to 12

    2 errors in pipeline.toml
    "##);
}

#[test]
fn json_paths() {
    assert_snapshot!(said(&changed(&[("$.id", "$.id..x"), ("@.price", "@.odd-key"), ("$.lines", "@.lines")])), @r##"
    error[E0207]: `flatten` names an array of the record
      --> pipeline.toml:19:12
       |
    19 | flatten = "@.lines"
       |            ^ start with `$`

    error[E0207]: expected a name after `.`, found `.`
      --> pipeline.toml:21:50
       |
    21 |     { name = "ID", type = "NUMBER", path = "$.id..x", key = true },
       |                                                  ^ put a name with other characters in `["…"]`

    error[E0207]: this cannot stand in a name, found `-`
      --> pipeline.toml:22:59
       |
    22 |     { name = "PRICE", type = "NUMBER(12,2)", path = "@.odd-key" },
       |                                                           ^ put a name with other characters in `["…"]`

    3 errors in pipeline.toml
    "##);
}

#[test]
fn a_json_path_with_escapes() {
    assert_snapshot!(said(&changed(&[("\"$.id\"", "\"$[\\\"é\\\"]!\"")])), @r##"
    error[E0207]: expected `.` or `[`, found `!`
      --> pipeline.toml:21:53
       |
    21 |     { name = "ID", type = "NUMBER", path = "$[\"é\"]!", key = true },
       |                                                     ^ steps are `.name`, `["odd name"]` or `[0]`

    1 error in pipeline.toml
    "##);
}

#[test]
fn an_item_without_flatten() {
    assert_snapshot!(said(&changed(&[("flatten = \"$.lines\"\n", "")])), @r##"
    error[E0207]: `@` is the item of a flattened array, and this table flattens none
      --> pipeline.toml:21:54
       |
    21 |     { name = "PRICE", type = "NUMBER(12,2)", path = "@.price" },
       |                                                      ^ start with `$`, or add `flatten = "$.…"` to the table

    1 error in pipeline.toml
    "##);
}

#[test]
fn a_folder() {
    assert_snapshot!(said(&changed(&[("invoices/", "/invoices")])), @r##"
    error[E0208]: a folder in S3 does not start with `/`
      --> pipeline.toml:18:10
       |
    18 | prefix = "/invoices"
       |          ^^^^^^^^^^^ write `invoices`

    1 error in pipeline.toml
    "##);
}

#[test]
fn nested_folders() {
    assert_snapshot!(said(&changed(&[("[[table]]", "[[table]]\nname = \"OLD\"\nprefix = \"invoices/old/\"\ncolumns = [{ name = \"A\", type = \"INT\", key = true }]\n\n[[table]]")])), @r##"
    error[E0208]: files in this folder are also in `invoices/` of `INVOICE`, and would load twice
      --> pipeline.toml:18:10
       |
    18 | prefix = "invoices/old/"
       |          ^^^^^^^^^^^^^^^ use the same folder for both, or folders beside each other

    1 error in pipeline.toml
    "##);
}

#[test]
fn a_schedule_and_an_address() {
    assert_snapshot!(said(&changed(&[("[source]", "schedule = \"5 seconds\"\n[alerts]\nemail = \"me\"\n[source]")])), @r##"
    error[E0209]: this schedule is out of Snowflake's limits
      --> pipeline.toml:13:12
       |
    13 | schedule = "5 seconds"
       |            ^^^^^^^^^^^ 10 to 691200 SECONDS

    error[E0204]: this is not an e-mail address
      --> pipeline.toml:15:9
       |
    15 | email = "me"
       |         ^^^^ such as `data-alarms@example.com`

    2 errors in pipeline.toml
    "##);
}

#[test]
fn tags() {
    assert_snapshot!(said(&changed(&[("[aws]", "tags = { \"aws:x\" = \"1\", owner = \"a;b\" }\n[aws]")])), @r##"
    error[E0210]: `aws:x` has a prefix that is not yours to use
     --> pipeline.toml:6:10
      |
    6 | tags = { "aws:x" = "1", owner = "a;b" }
      |          ^^^^^^^ `aws:` is kept by AWS, `pipectl:` by pipectl

    error[E0210]: `;` cannot stand in a tag
     --> pipeline.toml:6:33
      |
    6 | tags = { "aws:x" = "1", owner = "a;b" }
      |                                 ^^^^^ letters, digits, spaces and `+ - = . _ : / @`

    2 errors in pipeline.toml
    "##);
}

#[test]
fn no_key() {
    assert_snapshot!(said(&changed(&[(", key = true", "")])), @r##"
    error[E0211]: `INVOICE` has no key, so its rows cannot be merged
      --> pipeline.toml:20:1
       |
    20 | columns = [
       | ^^^^^^^ add `key = true` to the columns that make a row unique

    1 error in pipeline.toml
    "##);
}

#[test]
fn a_bucket() {
    assert_snapshot!(said(&changed(&[("type = \"files\"", "type = \"files\"\nbucket = \"My_Bucket\"")])), @r##"
    error[E0201]: this cannot name a bucket: it contains `M`
      --> pipeline.toml:15:10
       |
    15 | bucket = "My_Bucket"
       |          ^^^^^^^^^^^ 3 to 63 lower-case letters, digits, hyphens and dots, starting and ending with a letter or digit

    1 error in pipeline.toml
    "##);
}

#[test]
fn what_an_environment_needs() {
    assert_snapshot!(said(&changed(&[("account = \"111122223333\"\n", ""), ("account = \"EXAMPLEORG-EXAMPLE\"\n", "")])), @r##"
    error[E0212]: environment `dev` needs `aws.account`
     --> pipeline.toml:6:1
      |
    6 | [aws]
      | ^^^^^ add `account = "111122223333"` to `[aws]` or `[env.dev.aws]`; only `local` needs none

    error[E0212]: environment `dev` needs `snowflake.account` or `snowflake.connection`
     --> pipeline.toml:9:1
      |
    9 | [snowflake]
      | ^^^^^^^^^^^ add `account = "MYORG-MYACCOUNT"` to `[snowflake]` or `[env.dev.snowflake]`; only `local` needs none

    2 errors in pipeline.toml
    "##);
}

#[test]
fn a_secret() {
    assert_snapshot!(said(&changed(&[("[snowflake]", "[snowflake]\nprivate_key = \"MIIEvQIBADANBgkq\"")])), @r##"
    error[E0301]: a secret stands in the file
      --> pipeline.toml:11:15
       |
    11 | private_key = ********
       |               ^^^^^^^^ keep it elsewhere and write `env:NAME`, `secretsmanager:NAME` or `ssm:NAME`

    1 error in pipeline.toml
    "##);
}

#[test]
fn tabs_and_wide_characters() {
    assert_snapshot!(said(&changed(&[("name = \"INVOICE\"", "name\t= \"INVOICE\"\nprefix = \"x/\"\t# é"), ("{ name = \"ID\", type = \"NUMBER\"", "{\tdescription = \"名前\", name = \"ID\", typ = \"NUMBER\"")])), @r##"
    error[E0202]: this key or table is already there
      --> pipeline.toml:19:1
       |
    19 | prefix = "invoices/"
       | ^^^^^^ keep one of them

    error[E0103]: unknown key `typ`
      --> pipeline.toml:22:40
       |
    22 |     {    description = "名前", name = "ID", typ = "NUMBER", path = "$.id", key = true },
       |                                             ^^^ did you mean `type`?

    2 errors in pipeline.toml
    "##);
}

#[test]
fn everything_wrong_is_said_at_once() {
    let text = changed(&[
        ("\"orders\"", "\"Orders\""),
        ("eu-west-1", "europe"),
        ("type = \"files\"", "type = \"files\"\nretries = 3"),
        ("invoices/", "invoices"),
        ("NUMBER(12,2)", "NUMBER(40)"),
    ]);
    assert_eq!(
        places(&report(&text)),
        ["4:8 E0201", "8:10 E0204", "15:1 E0103", "19:10 E0208", "23:38 E0206"]
    );
}

#[test]
fn json_has_every_field() {
    let json = serde_json::to_string_pretty(&report(&changed(&[("columns", "colums")]))).unwrap_or_default();
    assert_snapshot!(json, @r##"
    [
      {
        "file": "pipeline.toml",
        "line": 20,
        "column": 1,
        "end_line": 20,
        "end_column": 7,
        "code": "E0103",
        "path": "table[0].colums",
        "message": "unknown key `colums`",
        "text": "colums",
        "hint": "did you mean `columns`?"
      }
    ]
    "##);
}

#[test]
fn colours_are_for_terminals() {
    let mut styled = String::new();
    let report = report(&changed(&[("eu-west-1", "x")]));
    assert!(report.write(&mut styled, true).is_ok());
    assert!(styled.contains("\u{1b}[1;31merror[E0204]\u{1b}[0m") && !report.to_string().contains('\u{1b}'));
}

#[test]
fn windows_lines_and_byte_order_marks_do_not_move_the_caret() {
    let text = changed(&[("eu-west-1", "x")]);
    for text in [text.replace('\n', "\r\n"), format!("\u{feff}{text}")] {
        assert_eq!(places(&report(&text)), ["8:10 E0204"]);
        assert!(
            said(&text).contains("8 | region = \"x\"\n  |          ^^^ such as"),
            "{}",
            said(&text)
        );
    }
}

#[test]
fn a_misspelt_key_is_not_also_a_missing_one() {
    assert_eq!(
        places(&report(&changed(&[("[[table]]", "[[tables]]")]))),
        ["16:3 E0103"]
    );
    assert_eq!(places(&report(&changed(&[("columns", "colums")]))), ["20:1 E0103"]);
}

#[test]
fn a_column_that_was_another_one() {
    let was = |path: &str, was: &str| said(&changed(&[("path = \"@.price\"", &format!("{path}was = \"{was}\""))]));
    let still = was("path = \"@.price\", ", "id");
    assert!(still.contains("is still a column of this table"), "{still}");
    let no_path = was("", "amount");
    assert!(no_path.contains("add `path = \"@.amount\"`"), "{no_path}");
}

#[test]
fn nothing_to_adopt() {
    let text = changed(&[
        ("type = \"files\"\n", "type = \"files\"\nadopt = true\n"),
        ("[snowflake]\n", "[snowflake]\nadopt = true\n"),
        ("name = \"INVOICE\"\n", "name = \"INVOICE\"\nadopt = true\n"),
        ("path = \"@.price\"", "path = \"@.price\", was = \"COST\""),
    ]);
    let said = said(&text);
    for message in [
        "error[E0213]: there is no bucket to adopt",
        "error[E0213]: there is no database to adopt",
        "error[E0213]: a column of an adopted table keeps its name",
    ] {
        assert!(said.contains(message), "{said}");
    }
}
