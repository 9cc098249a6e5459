//! What the deploying role needs on the account, and whether it has it.

use std::collections::BTreeSet;

use super::Check;
use crate::model::SnowflakeTarget;
use crate::snowflake::client::{Client, SnowflakeError, Statement};
use crate::snowflake::ident::Name;

/// What stands for the deploying role where the file names none of its own.
const SUGGESTED: &str = "PIPECTL_DEPLOYER";

/// A privilege on the account.
struct Privilege {
    name: &'static str,
    why: &'static str,
    /// Whether it is given on, which needs the grant option or MANAGE GRANTS.
    given_on: bool,
}

fn privileges(target: &SnowflakeTarget) -> Vec<Privilege> {
    let privilege = |name, why, given_on| Privilege { name, why, given_on };
    let mut list = vec![
        privilege("CREATE ROLE", "owner, loader and reader", false),
        privilege("CREATE DATABASE", "the pipeline's database", false),
        privilege("CREATE INTEGRATION", "reading the bucket, reporting errors", false),
    ];
    if target.apply.is_some() {
        list.push(privilege("CREATE USER", "the function that applies files", false));
    }
    if target.own_warehouse {
        list.push(privilege("CREATE WAREHOUSE", "the warehouse of the tasks", false));
    }
    if target.apply.is_none() {
        list.push(privilege(
            "EXECUTE TASK",
            "given on to the role that owns the tasks",
            true,
        ));
    }
    list
}

/// The statements that an administrator runs once.
pub fn grants(target: &SnowflakeTarget) -> Vec<String> {
    let role = match target.deployer.last() {
        "ACCOUNTADMIN" | "SYSADMIN" => Name::account(SUGGESTED),
        _ => target.deployer.clone(),
    };
    let mut statements = vec![format!("CREATE ROLE IF NOT EXISTS {role}")];
    for privilege in privileges(target) {
        let option = if privilege.given_on { " WITH GRANT OPTION" } else { "" };
        statements.push(format!("GRANT {} ON ACCOUNT TO ROLE {role}{option}", privilege.name));
    }
    if !target.own_warehouse {
        statements.push(format!(
            "GRANT USAGE ON WAREHOUSE {} TO ROLE {role} WITH GRANT OPTION",
            target.warehouse
        ));
    }
    statements
}

/// One grant as SHOW GRANTS tells it.
struct Grant {
    privilege: String,
    on: String,
    name: String,
    option: bool,
}

/// Who signs in, and what the role can do.
pub async fn checks(client: &Client, target: &SnowflakeTarget) -> Vec<Check> {
    let who = "SELECT CURRENT_USER() || ' as ' || CURRENT_ROLE() || ' of ' || CURRENT_ORGANIZATION_NAME() || '-' || CURRENT_ACCOUNT_NAME()";
    let role = &target.deployer;
    let answer = client.execute(Statement::quick(who).role(role.last())).await;
    let told = match &answer {
        Ok(answer) => answer.scalar().unwrap_or_default().to_owned(),
        Err(error) => return vec![Check::missing("Snowflake", "identity", &error.to_string())],
    };
    let mut checks = vec![Check::ok("Snowflake", "identity", told)];
    let held = match held(client, role).await {
        Ok(held) => held,
        Err(error) => {
            checks.push(Check::not_checked("Snowflake", "privileges", &error.to_string()));
            return checks;
        }
    };
    let owns_all = role.last() == "ACCOUNTADMIN"
        || held
            .iter()
            .any(|grant| grant.on == "ROLE" && grant.name == "ACCOUNTADMIN");
    let manages = held.iter().any(|grant| grant.privilege == "MANAGE GRANTS");
    for (privilege, statement) in privileges(target).iter().zip(&grants(target)[1..]) {
        let name = format!("{} on account", privilege.name);
        let has = held.iter().any(|grant| {
            grant.on == "ACCOUNT" && grant.privilege == privilege.name && (!privilege.given_on || grant.option)
        });
        checks.push(if owns_all || has || (privilege.given_on && manages) {
            Check::ok("Snowflake", name, privilege.why)
        } else {
            Check::missing("Snowflake", name, &format!("{role} lacks it\n  hint: {statement}"))
        });
    }
    if !target.own_warehouse {
        let name = format!("use of warehouse {}", target.warehouse);
        let has = held
            .iter()
            .any(|grant| grant.on == "WAREHOUSE" && grant.name == target.warehouse.last());
        checks.push(if owns_all || has {
            Check::ok("Snowflake", name, "runs the tasks")
        } else {
            let statement = grants(target).pop().unwrap_or_default();
            Check::missing(
                "Snowflake",
                name,
                &format!("{role} has no privilege on it\n  hint: {statement}"),
            )
        });
    }
    checks
}

/// The grants of a role and of all that it inherits, one statement for each role.
async fn held(client: &Client, role: &Name) -> Result<Vec<Grant>, SnowflakeError> {
    let mut held: Vec<Grant> = Vec::new();
    let (mut seen, mut left) = (BTreeSet::new(), vec![role.clone()]);
    while let Some(next) = left.pop() {
        if !seen.insert(next.clone()) {
            continue;
        }
        let shown = Statement::quick(format!("SHOW GRANTS TO ROLE {next}")).role(role.last());
        for row in client.execute(shown).await?.iter() {
            let text = |column: &str| row.get(column).unwrap_or_default().to_owned();
            let grant = Grant {
                privilege: text("privilege"),
                on: text("granted_on"),
                name: text("name"),
                option: row.get("grant_option") == Some("true"),
            };
            // Owning a role is not inheriting it.
            if grant.on == "ROLE" && grant.privilege == "USAGE" {
                left.push(Name::from_shown(&[&grant.name]));
            }
            held.push(grant);
        }
    }
    held.retain(|grant| grant.on != "ROLE" || grant.privilege == "USAGE");
    Ok(held)
}
