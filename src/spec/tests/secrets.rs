use super::*;

/// Nothing that is said of the text, in any form, repeats the secret.
fn assert_hidden(text: &str, secret: &str, code: &str) {
    let report = report(text);
    let mut styled = String::new();
    report.write(&mut styled, true).expect("a string takes everything");
    let json = serde_json::to_string(&report).expect("a report is JSON");
    for shown in [report.to_string(), styled, json, format!("{:?}", report.diagnostics())] {
        assert!(!shown.contains(secret), "{shown}");
    }
    assert!(report.diagnostics().iter().any(|d| d.code == code), "{report}");
}

fn in_snowflake(line: &str) -> String {
    changed(&[("[snowflake]\n", &format!("[snowflake]\n{line}\n"))])
}

#[test]
fn a_literal_is_never_shown() {
    for line in [
        "token = \"hunter22hunter\"",
        "private_key = 'hunter22hunter'",
        "password = \"hunter22hunter\"",
        "pasword = \"hunter22hunter\"",
        "token = [\"hunter22hunter\"]",
        "client = { secret = \"hunter22hunter\" }",
    ] {
        let code = "E0301";
        assert_hidden(&in_snowflake(line), "hunter22", code);
    }
}

#[test]
fn a_literal_of_another_environment_is_never_shown_and_always_said() {
    assert_hidden(
        &format!("{SOUND}\n[env.prod.snowflake]\ntoken = \"hunter22hunter\"\n"),
        "hunter22",
        "E0301",
    );
}

#[test]
fn a_fault_on_the_same_line_does_not_show_it() {
    let text = changed(&[(
        "[snowflake]\naccount = \"EXAMPLEORG-EXAMPLE\"",
        "snowflake = { token = \"hunter22hunter\", colums = 1 }",
    )]);
    let text = text.replacen("snowflake = {", "[pipeline.tags]\n[snowflake]\nx = {", 1);
    assert_hidden(&text, "hunter22", "E0103");
}

#[test]
fn a_file_that_is_not_toml_does_not_show_it() {
    for line in [
        "token = \"hunter22hunter",
        "token = hunter22hunter",
        "token == \"hunter22hunter\"",
        "x = { password = \"hunter22hunter\"",
        "password = hunter22hunter # \"",
    ] {
        assert_hidden(&in_snowflake(line), "hunter22", "E0101");
    }
}

#[test]
fn what_looks_like_a_secret_is_one_wherever_it_stands() {
    let key = concat!("AKIA", "IOSFODNN7EXAMPLE");
    assert_hidden(&changed(&[("eu-west-1", key)]), key, "E0301");
    assert_hidden(
        &changed(&[("version = 1", &format!("version = 1 # {key}"))]),
        key,
        "E0301",
    );
    assert_hidden(
        &changed(&[("name = \"orders\"", &format!("name = \"orders\"\n{key} = 1"))]),
        key,
        "E0301",
    );
    let pem = format!(
        "private_key = \"\"\"\n-----BEGIN {}-----\nMIIEhunter22\n-----END PRIVATE KEY-----\n\"\"\"",
        "PRIVATE KEY"
    );
    assert_hidden(&in_snowflake(&pem), "hunter22", "E0301");
}

#[test]
fn a_number_is_a_secret_too() {
    assert_hidden(&in_snowflake("token = 1234567890123"), "1234567890123", "E0301");
}

#[test]
fn references_are_taken() {
    for line in [
        "token = \"env:TOKEN\"",
        "private_key = \"secretsmanager:prod/snowflake\"",
        // As RDS names the one that it manages.
        "private_key = \"secretsmanager:arn:aws:secretsmanager:eu-west-1:111122223333:secret:rds!db-0a1b2c3d-AbCdEf\"",
        "private_key = \"ssm:/prod/key\"",
    ] {
        assert!(parse(&in_snowflake(line), "pipeline.toml", "dev").is_ok(), "{line}");
    }
    assert_hidden(&in_snowflake("token = \"env:hunter22 hunter\""), "hunter22", "E0302");
    let tags = changed(&[("[aws]", "tags = { token-owner = \"data\" }\n[aws]")]);
    assert!(parse(&tags, "pipeline.toml", "dev").is_ok());
}
