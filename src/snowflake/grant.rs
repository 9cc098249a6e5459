//! Grants: what a role may do with an object, as statements say it and as SHOW GRANTS tells it.

use std::borrow::Cow;
use std::fmt;

use super::client::Row;
use super::ident::Name;
use crate::graph::object::Kind;

/// One privilege of one role.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    /// The privilege, such as `SELECT`; `USAGE` of a role is membership.
    pub privilege: Cow<'static, str>,
    /// What it is on.
    pub on: On,
    /// Whose it is.
    pub role: Name,
}

/// Grants without repetition, in order. An object has few and a pipeline thousands of objects, so they lie side by side: a
/// tree would take a kilobyte for one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants(Vec<Grant>);

impl Grants {
    /// Adds a grant, unless it is there.
    pub fn insert(&mut self, grant: Grant) {
        if let Err(at) = self.0.binary_search(&grant) {
            self.0.insert(at, grant);
        }
    }

    /// Whether a grant is there.
    pub fn contains(&self, grant: &Grant) -> bool {
        self.0.binary_search(grant).is_ok()
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Grant> {
        self.0.iter()
    }

    /// Those that are not in `others`, in order.
    pub fn without<'a>(&'a self, others: &'a Grants) -> impl Iterator<Item = &'a Grant> {
        self.0.iter().filter(|grant| !others.contains(grant))
    }

    /// Keeps those that `keeps` says.
    pub fn retain(&mut self, keeps: impl FnMut(&Grant) -> bool) {
        self.0.retain(keeps);
    }
}

impl FromIterator<Grant> for Grants {
    fn from_iter<I: IntoIterator<Item = Grant>>(grants: I) -> Self {
        let mut all: Vec<Grant> = grants.into_iter().collect();
        all.sort_unstable();
        all.dedup();
        all.shrink_to_fit();
        Grants(all)
    }
}

/// What a grant is on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum On {
    /// The account.
    Account,
    /// An object: its kind in the words of SQL, and its name.
    Object(Cow<'static, str>, Name),
    /// All objects of a kind that are yet to be made in a schema.
    Future(Cow<'static, str>, Name),
}

/// Kinds of objects that this program grants on.
const KINDS: [&str; 9] = [
    "DATABASE",
    "FILE FORMAT",
    "INTEGRATION",
    "PROCEDURE",
    "SCHEMA",
    "STAGE",
    "STREAM",
    "TABLE",
    "WAREHOUSE",
];

/// Privileges that this program grants on many objects.
const PRIVILEGES: [&str; 5] = ["DELETE", "INSERT", "SELECT", "UPDATE", "USAGE"];

/// A word that is one of a few, without text of its own where it is known: a thousand tables have ten thousand grants.
fn word(text: &str) -> Cow<'static, str> {
    let mut known = PRIVILEGES.into_iter().chain(KINDS);
    match known.find(|known| *known == text) {
        Some(known) => Cow::Borrowed(known),
        None => Cow::Owned(text.to_owned()),
    }
}

impl Grant {
    /// The grants that a statement makes; nothing where it is none, or none that this program writes.
    pub fn of_statement(sql: &str) -> Option<Vec<Self>> {
        let (rest, role) = sql.trim().strip_prefix("GRANT ")?.rsplit_once(" TO ROLE ")?;
        let role = Name::from_text(
            role.trim_end_matches(" COPY CURRENT GRANTS")
                .trim_end_matches(" WITH GRANT OPTION"),
        )?;
        let grant = |privilege: &str, on: On| Grant {
            privilege: word(privilege.trim()),
            on,
            role: role.clone(),
        };
        if let Some(member) = rest.strip_prefix("ROLE ") {
            let on = On::Object("ROLE".into(), Name::from_text(member)?);
            return Some(vec![grant("USAGE", on)]);
        }
        let (privileges, target) = rest.split_once(" ON ")?;
        let target = target.trim_start();
        let on = match target.strip_prefix("FUTURE ") {
            Some(future) => {
                let (kinds, schema) = future.split_once(" IN SCHEMA ")?;
                On::Future(word(kinds.trim_end_matches('S')), Name::from_text(schema)?)
            }
            None if target == "ACCOUNT" => On::Account,
            None => {
                let kind = KINDS.iter().find(|kind| target.starts_with(&format!("{kind} ")))?;
                On::Object((*kind).into(), Name::from_text(&target[kind.len()..])?)
            }
        };
        Some(
            privileges
                .split(',')
                .map(|privilege| grant(privilege, on.clone()))
                .collect(),
        )
    }

    /// From a row of SHOW GRANTS TO ROLE, or of SHOW FUTURE GRANTS TO ROLE:
    /// <https://docs.snowflake.com/en/sql-reference/sql/show-grants#output>.
    pub fn of_row(row: &Row<'_>) -> Option<Self> {
        let kind = |text: &str| word(&text.replace('_', " "));
        let name = row.get("name")?;
        let on = match (row.get("granted_on"), row.get("grant_on")) {
            (Some("ACCOUNT"), _) => On::Account,
            (Some("PROCEDURE"), _) => On::Object("PROCEDURE".into(), without_arguments(&Name::from_text(name)?)?),
            (Some(on), _) => On::Object(kind(on), Name::from_text(name)?),
            (None, Some(future)) => On::Future(kind(future), Name::from_text(name.rsplit_once(".<")?.0)?),
            (None, None) => return None,
        };
        Some(Grant {
            privilege: word(row.get("privilege")?),
            on,
            role: Name::from_shown(&[row.get("grantee_name")?]),
        })
    }

    /// The statement that gives it.
    pub fn give(&self) -> String {
        let copy = match self.privilege.as_ref() {
            "OWNERSHIP" => " COPY CURRENT GRANTS",
            _ => "",
        };
        format!("GRANT {} TO ROLE {}{copy}", self.what(), self.role)
    }

    /// The statement that takes it back.
    pub fn take(&self) -> String {
        format!("REVOKE {} FROM ROLE {}", self.what(), self.role)
    }

    fn what(&self) -> String {
        match &self.on {
            On::Object(kind, role) if kind == "ROLE" => format!("ROLE {role}"),
            on => format!("{} ON {on}", self.privilege),
        }
    }
}

/// A procedure's name, of which SHOW GRANTS tells the arguments and the type, too: `"P(A VARCHAR):VARCHAR"`.
fn without_arguments(shown: &Name) -> Option<Name> {
    let (name, _) = shown.last().split_once('(')?;
    Some(shown.parent()?.child(name))
}

impl fmt::Display for On {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            On::Account => f.write_str("ACCOUNT"),
            On::Object(kind, name) if kind == "PROCEDURE" => write!(f, "{kind} {name}{}", Kind::Procedure.arguments()),
            On::Object(kind, name) => write!(f, "{kind} {name}"),
            On::Future(kind, schema) => write!(f, "FUTURE {kind}S IN SCHEMA {schema}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Statements that this program makes come back as they were.
    #[test]
    fn procedures_are_granted_on_with_their_arguments() {
        let shown = Name::from_text(r#"D.S."APPLY_T(F VARCHAR, E VARCHAR):NUMBER(38,0)""#).unwrap();
        let grant = Grant {
            privilege: "USAGE".into(),
            on: On::Object("PROCEDURE".into(), without_arguments(&shown).unwrap()),
            role: Name::account("R"),
        };
        assert_eq!(
            grant.give(),
            "GRANT USAGE ON PROCEDURE D.S.APPLY_T(VARCHAR, VARCHAR) TO ROLE R"
        );
    }

    #[test]
    fn grants_are_read_and_written() {
        for sql in [
            "GRANT ROLE A TO ROLE B",
            "GRANT OWNERSHIP ON DATABASE D TO ROLE R COPY CURRENT GRANTS",
            "GRANT EXECUTE TASK ON ACCOUNT TO ROLE R",
            "GRANT USAGE ON WAREHOUSE \"odd name\" TO ROLE R",
            "GRANT SELECT ON FUTURE FILE FORMATS IN SCHEMA D.S TO ROLE \"r.1\"",
            "GRANT USAGE ON FILE FORMAT D.S.F TO ROLE R",
            "GRANT USAGE ON FUTURE PROCEDURES IN SCHEMA D.S TO ROLE R",
        ] {
            let [grant] = &Grant::of_statement(sql).unwrap()[..] else {
                panic!("{sql}")
            };
            assert_eq!(grant.give(), sql);
        }
        let two = Grant::of_statement("GRANT CREATE PIPE, CREATE TASK ON  SCHEMA D.S TO ROLE R").unwrap();
        assert_eq!(two[1].give(), "GRANT CREATE TASK ON SCHEMA D.S TO ROLE R");
        assert_eq!(two[0].take(), "REVOKE CREATE PIPE ON SCHEMA D.S FROM ROLE R");
        assert_eq!(Grant::of_statement("ALTER SCHEMA D.S SET COMMENT = ''"), None);
    }
}
