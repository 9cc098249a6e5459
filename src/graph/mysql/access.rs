//! How the database is reached, by whatever reads it: address, password, network.

use serde_json::{Value, json};

use crate::graph::policy::{Principal, Statement};
use crate::graph::stack::{Parameter, Stack};
use crate::model::names::Names;
use crate::model::{Database, Model, MysqlSource};

/// Parameters of a stack that the stack `source` gives, and what they are.
const OF_DATABASE: [(&str, &str); 3] = [
    ("DatabaseHost", "Host name of the database."),
    ("DatabasePort", "Port of the database."),
    ("DatabaseSecret", "The secret with user and password of the database."),
];
const OF_NETWORK: (&str, &str) = (
    "FunctionSecurityGroup",
    "The security group of the pipeline's functions.",
);

/// The way of a pipeline to its database.
pub struct Access<'a> {
    source: &'a MysqlSource,
    database: &'a Database,
    names: &'a Names,
}

impl<'a> Access<'a> {
    /// The way to the source's database; `None` where only the user's own reader knows it.
    pub fn of(model: &'a Model, source: &'a MysqlSource) -> Option<Self> {
        Some(Self {
            source,
            database: source.database.as_ref()?,
            names: &model.names,
        })
    }

    fn parameters(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let of_database = OF_DATABASE
            .into_iter()
            .filter(|_| matches!(self.database, Database::New(_)));
        of_database.chain(self.source.network.iter().map(|_| OF_NETWORK))
    }

    /// The parameters as a template declares them.
    pub fn declared(&self) -> Vec<Value> {
        let declared = |(name, about)| json!({ "name": name, "about": about });
        self.parameters().map(declared).collect()
    }

    /// Gives the stack the values of the parameters.
    pub fn fill(&self, stack: &mut Stack) {
        for (name, _) in self.parameters() {
            let parameter = Parameter::Output {
                stack: self.names.resource(super::database::PART),
                output: name,
            };
            stack.parameters.insert(name.to_owned(), parameter);
        }
    }

    /// The runtime's settings of the database; values may be references.
    pub fn variables(&self) -> Vec<(&'static str, Value)> {
        let (host, port, secret) = match self.database {
            Database::Existing { host, port, secret } => (json!(host), json!(port.to_string()), json!(secret)),
            Database::New(_) => (
                json!({ "Ref": "DatabaseHost" }),
                json!({ "Ref": "DatabasePort" }),
                json!({ "Ref": "DatabaseSecret" }),
            ),
        };
        vec![
            ("PIPECTL_DATABASE_HOST", host),
            ("PIPECTL_DATABASE_PORT", port),
            ("PIPECTL_DATABASE_SECRET", secret),
            ("PIPECTL_DATABASE_TLS", json!("verify")),
        ]
    }

    /// Subnets and security groups of what reaches the database; null where there is no network.
    pub fn network(&self) -> Value {
        let network = self.source.network.as_ref().map(|network| {
            let own = std::iter::once(json!({ "Ref": OF_NETWORK.0 }));
            json!({
                "subnets": network.subnets,
                "groups": own.chain(network.security_groups.iter().map(|group| json!(group))).collect::<Vec<_>>(),
            })
        });
        json!(network)
    }

    /// Reading the password.
    pub fn password(&self) -> Statement {
        let secret = match self.database {
            Database::New(_) => json!({ "Ref": "DatabaseSecret" }),
            Database::Existing { secret, .. } => json!(self.names.secret_arn(secret)),
        };
        Statement::allow("Password", Principal::Holder, &["secretsmanager:GetSecretValue"], &[]).on(secret)
    }
}
