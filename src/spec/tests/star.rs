//! What is said of a star schema that cannot be.

const BASE: &str = r#"[pipeline]
name = "p"
[source]
type = "files"
[snowflake]
[[table]]
name = "sale"
columns = [{ name = "id", type = "NUMBER", key = true }, { name = "sold_at", type = "DATE" }]
"#;

/// The message and hint of every fault, and the text that it points at.
fn told(star: &str) -> Vec<(String, String, String)> {
    let text = format!("{BASE}{star}");
    let report = crate::spec::parse(&text, "pipeline.toml", "local").unwrap_err();
    let faults = report.diagnostics().iter();
    faults
        .map(|fault| {
            (
                text[fault.span.clone()].to_owned(),
                fault.message.clone(),
                fault.hint.clone().unwrap_or_default(),
            )
        })
        .collect()
}

#[test]
fn a_misspelt_column_is_found_inside_its_expression() {
    let star = r#"[[dimension]]
name = "dim_month"
from = "sale"
columns = [{ name = "month", type = "NUMBER", sql = "MONTH(sold_on)", key = true }]
"#;
    let (at, message, hint) = told(star).remove(0);
    assert_eq!(at, "sold_on");
    assert_eq!(message, "the table has no column `sold_on`");
    assert_eq!(hint, "did you mean `sold_at`?");
}

#[test]
fn references_and_shapes_are_checked() {
    for (star, at, message) in [
        (
            "[[dimension]]\nname = \"d\"\nfrom = \"sales\"\ncolumns = [{ name = \"id\", type = \"NUMBER\", key = true }]\n",
            "\"sales\"",
            "there is no table `sales`",
        ),
        (
            "[[dimension]]\nname = \"d\"\nfrom = \"sale\"\ncolumns = [{ name = \"id\", type = \"NUMBER\" }]\n",
            "[{ name = \"id\", type = \"NUMBER\" }]",
            "nothing tells the members of this dimension apart",
        ),
        (
            "[[dimension]]\nname = \"sale\"\ncalendar = \"day\"\n",
            "\"sale\"",
            "there is already a table `sale`",
        ),
        (
            "[[dimension]]\nname = \"d\"\ncalendar = \"day\"\n[[fact]]\nname = \"f\"\nfrom = \"sale\"\ndimensions = [{ dimension = \"d\" }]\n",
            "\"d\"",
            "`d` is not made from the fact's table, so its key needs `sql` here",
        ),
        (
            "[[dimension]]\nname = \"d\"\nfrom = \"sale\"\nscd = 2\ncolumns = [{ name = \"id\", type = \"NUMBER\", key = true }]\n[[fact]]\nname = \"f\"\nfrom = \"sale\"\ndimensions = [{ dimension = \"d\" }]\n",
            "\"d\"",
            "`d` keeps versions, so a fact says of which moment it wants one",
        ),
        (
            "[[transform]]\nname = \"t\"\nsql = \"t.sql\"\nafter = [\"sall\"]\n",
            "\"sall\"",
            "there is no table, dimension, fact or transform `sall`",
        ),
        (
            "[[fact]]\nname = \"f\"\nfrom = \"sale\"\nwhere = \"COUNT(id) > 1\"\n",
            "COUNT",
            "`COUNT` looks at several rows, and an expression sees one",
        ),
    ] {
        let found = told(star);
        let expected = (at.to_owned(), message.to_owned());
        assert!(
            found
                .iter()
                .any(|(at, message, _)| (at, message) == (&expected.0, &expected.1)),
            "{star}\n{found:#?}"
        );
    }
}
