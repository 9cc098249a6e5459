use super::*;
use crate::spec::{Fault, Path, check_every_env};

#[test]
fn tables_merge_deeply_and_named_entries_by_name() {
    let text = format!(
        "{SOUND}\n[env.prod.aws]\naccount = \"444455556666\"\n\n[[env.prod.table]]\nname = \"invoice\"\ndescription = \"all\"\n\
         columns = [{{ name = \"PRICE\", type = \"FLOAT\" }}, {{ name = \"EXTRA\", type = \"TEXT\" }}]\n\n\
         [[env.prod.table]]\nname = \"OTHER\"\nprefix = \"others/\"\ncolumns = [{{ name = \"ID\", type = \"INT\", key = true }}]\n"
    );
    let spec = read(&text, "prod").spec;
    assert_eq!(spec.aws.account.as_deref(), Some("444455556666"));
    assert_eq!(spec.aws.region.as_deref(), Some("eu-west-1"));
    assert_eq!(spec.tables.len(), 2);
    let columns: Vec<_> = spec.tables[0]
        .columns
        .iter()
        .map(|c| (c.name.as_str(), c.data_type.as_str()))
        .collect();
    assert_eq!(columns, [("ID", "NUMBER"), ("PRICE", "FLOAT"), ("EXTRA", "TEXT")]);
    assert_eq!(spec.tables[0].columns[1].path.as_deref(), Some("@.price"));
    assert_eq!(read(&text, "dev").spec.aws.account.as_deref(), Some("111122223333"));
}

#[test]
fn a_file_without_aws_has_the_same_defaults_as_one_with_an_empty_table() {
    let without = changed(&[("[aws]\naccount = \"111122223333\"\nregion = \"eu-west-1\"\n", "")]);
    let empty = changed(&[("account = \"111122223333\"\nregion = \"eu-west-1\"\n", "")]);
    assert_eq!(read(&without, "local").spec, read(&empty, "local").spec);
    assert_eq!(read(&without, "local").spec.aws.log_retention_days, 30);
}

#[test]
fn a_key_column_is_never_null() {
    let spec = read(SOUND, "dev").spec;
    assert!(spec.tables[0].columns[0].not_null && !spec.tables[0].columns[1].not_null);
}

#[test]
fn an_override_is_reported_where_it_is_written() {
    let text = format!("{SOUND}\n[env.prod.aws]\nregion = \"Ireland\"\n");
    let report = parse(&text, "pipeline.toml", "prod").expect_err("the region is wrong");
    assert_eq!(places(&report), ["26:10 E0204"]);
}

#[test]
fn environments_must_be_declared_but_dev_and_local() {
    let text = format!("{SOUND}\n[env.staging]\n");
    for env in ["dev", "local", "staging"] {
        assert_eq!(read(&text, env).environment, env);
    }
    let report = parse(&text, "pipeline.toml", "stagin").expect_err("not declared");
    assert_eq!(report.diagnostics()[0].hint.as_deref(), Some("did you mean `staging`?"));
    let report = parse(SOUND, "pipeline.toml", "Prod").expect_err("not a name");
    assert_eq!(report.diagnostics()[0].code, "E0107");
}

#[test]
fn local_needs_no_account_and_others_do() {
    let text = changed(&[
        ("[aws]\naccount = \"111122223333\"\nregion = \"eu-west-1\"\n", ""),
        ("[snowflake]\naccount = \"EXAMPLEORG-EXAMPLE\"\n", ""),
    ]);
    assert!(parse(&text, "pipeline.toml", "local").is_ok());
    assert_eq!(places(&report(&text)), ["1:1 E0212", "1:1 E0212", "1:1 E0212"]);
}

#[test]
fn every_environment_is_checked_and_each_fault_said_once() {
    let wrong = changed(&[("eu-west-1", "Ireland")]);
    let text = format!("{wrong}\n[env.prod.aws]\naccount = \"1\"\n\n[env.test.alerts]\nemail = \"nobody\"\n");
    let report = check_every_env(&text, "pipeline.toml", "dev").expect_err("three faults");
    assert_eq!(places(&report), ["8:10 E0204", "26:11 E0204", "29:9 E0204"]);
}

#[test]
fn a_file_for_prod_alone_is_valid_without_an_account_for_dev() {
    let base = changed(&[("account = \"111122223333\"\n", "")]);
    let text = format!("{base}\n[env.prod.aws]\naccount = \"111122223333\"\n");
    assert!(check_every_env(&text, "pipeline.toml", "dev").is_ok());
    assert!(parse(&text, "pipeline.toml", "dev").is_err());
}

#[test]
fn a_later_stage_reports_by_path_alone() {
    let document = read(SOUND, "dev");
    let table = Path::root().key("table").index(0);
    let faults = vec![
        Fault::new("E0401", table.key("name"), "too long").hint("shorten it"),
        Fault::new("E0401", table.key("description"), "nowhere"),
        Fault::new("E0401", Path::root().key("alerts").key("email"), "nowhere at all"),
    ];
    let report = document.positions.report(faults).expect("three faults");
    assert_eq!(places(&report), ["1:1 E0401", "16:1 E0401", "17:8 E0401"]);
    assert!(document.positions.report(Vec::new()).is_none());
    assert_eq!(&SOUND[document.positions.locate(&table.key("name"))], "\"INVOICE\"");
}

#[test]
fn an_environment_of_a_wrong_kind_is_reported_where_it_stands() {
    assert_eq!(places(&report(&format!("env = 3\n{SOUND}"))), ["1:7 E0105"]);
    assert_eq!(places(&report(&format!("{SOUND}[env]\ndev = 3\n"))), ["25:7 E0105"]);
    let text = format!("{SOUND}[env.prod]\n");
    let report = parse(&text, "pipeline.toml", "production").expect_err("not declared");
    assert_eq!(places(&report), ["24:2 E0107"]);
}

#[test]
fn a_source_of_another_kind_replaces_the_one_below() {
    let text = format!("{SOUND}[env.dev.source]\ntype = \"pigeons\"\n");
    assert_eq!(places(&report(&text)), ["25:8 E0106"]);
    // The table still says what only one of files may; nothing is left of the source itself.
    let text = format!("{SOUND}[env.dev.source]\ntype = \"mysql\"\n");
    assert_eq!(places(&report(&text)), ["16:1 E0212", "18:1 E0211", "19:1 E0211"]);
}
