//! What is sent: one statement, or several in one transaction.
//!
//! Source: <https://docs.snowflake.com/en/developer-guide/sql-api/submitting-requests>.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

/// Role, warehouse, database and schema of one request. There is no session that would remember them.
///
/// Snowflake compares these names case-sensitively: they are written as `SHOW` prints them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context {
    /// Role that the statement runs as.
    pub role: Option<String>,
    /// Warehouse that computes.
    pub warehouse: Option<String>,
    /// Database of unqualified names.
    pub database: Option<String>,
    /// Schema of unqualified names.
    pub schema: Option<String>,
}

impl Context {
    /// This context, with gaps filled from `defaults`.
    pub(super) fn or(self, defaults: &Self) -> Self {
        Self {
            role: self.role.or_else(|| defaults.role.clone()),
            warehouse: self.warehouse.or_else(|| defaults.warehouse.clone()),
            database: self.database.or_else(|| defaults.database.clone()),
            schema: self.schema.or_else(|| defaults.schema.clone()),
        }
    }
}

/// A value for a `?` in a statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Binding {
    /// VARCHAR.
    Text(String),
    /// An integer.
    Integer(i64),
    /// A number with decimals, as text so that none is lost.
    Decimal(String),
    /// FLOAT.
    Real(f64),
    /// BOOLEAN.
    Boolean(bool),
    /// NULL.
    Null,
}

impl From<&str> for Binding {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Binding {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Binding {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<bool> for Binding {
    fn from(truth: bool) -> Self {
        Self::Boolean(truth)
    }
}

impl Binding {
    fn encoded(&self) -> EncodedBinding {
        let (kind, value) = match self {
            Self::Text(text) => ("TEXT", Some(text.clone())),
            Self::Integer(number) => ("FIXED", Some(number.to_string())),
            // Snowflake takes decimals as REAL, which rounds, or as TEXT, which it casts exactly.
            Self::Decimal(number) => ("TEXT", Some(number.clone())),
            Self::Real(number) => ("REAL", Some(number.to_string())),
            Self::Boolean(truth) => ("BOOLEAN", Some(truth.to_string())),
            Self::Null => ("TEXT", None),
        };
        EncodedBinding { kind, value }
    }
}

/// How an answer is awaited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Submitted asynchronously and polled: its handle is known at once, so it can be cancelled.
    Polled,
    /// Answered in the same request when it takes under 45 seconds: one round trip less, for reads that are quick.
    Direct,
}

/// One statement.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// The SQL text, with `?` for values.
    pub sql: String,
    /// Values of the `?`, in order.
    pub bindings: Vec<Binding>,
    /// Role, warehouse, database and schema.
    pub context: Context,
    /// After this time Snowflake stops it. Without one: the client's.
    pub timeout: Option<Duration>,
    /// How its answer is awaited.
    pub wait: Wait,
}

impl Statement {
    /// A statement that is submitted and polled.
    pub fn new(sql: impl Into<String>) -> Self {
        Self {
            sql: sql.into(),
            bindings: Vec::new(),
            context: Context::default(),
            timeout: None,
            wait: Wait::Polled,
        }
    }

    /// A read that is quick (`SHOW`, `DESC`, `SELECT SYSTEM$…`), answered in one round trip.
    pub fn quick(sql: impl Into<String>) -> Self {
        Self {
            wait: Wait::Direct,
            ..Self::new(sql)
        }
    }

    /// Binds the next `?`.
    #[must_use]
    pub fn bind(mut self, value: impl Into<Binding>) -> Self {
        self.bindings.push(value.into());
        self
    }

    /// Sets the role.
    #[must_use]
    pub fn role(mut self, role: impl Into<String>) -> Self {
        self.context.role = Some(role.into());
        self
    }

    /// Sets the warehouse.
    #[must_use]
    pub fn warehouse(mut self, warehouse: impl Into<String>) -> Self {
        self.context.warehouse = Some(warehouse.into());
        self
    }

    /// Sets database and schema of unqualified names.
    #[must_use]
    pub fn within(mut self, database: impl Into<String>, schema: Option<String>) -> Self {
        self.context.database = Some(database.into());
        self.context.schema = schema;
        self
    }

    /// Sets the time after which Snowflake stops it.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    pub(super) fn body(&self, context: &Context, timeout: Duration) -> Body {
        let bindings = self
            .bindings
            .iter()
            .enumerate()
            .map(|(at, binding)| (at + 1, binding.encoded()));
        Body::new(self.sql.clone(), context, self.timeout.unwrap_or(timeout)).with_bindings(bindings.collect())
    }
}

/// Statements that must succeed or fail together. They run in one session, between `BEGIN` and `COMMIT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// The statements, without `BEGIN` and `COMMIT`. Bindings are not possible here.
    pub statements: Vec<String>,
    /// Role, warehouse, database and schema. Snowflake wants a warehouse for several statements.
    pub context: Context,
}

impl Transaction {
    pub(super) fn body(&self, context: &Context, timeout: Duration) -> Body {
        let mut parts = Vec::with_capacity(self.statements.len() + 2);
        parts.push("BEGIN TRANSACTION");
        parts.extend(self.statements.iter().map(|sql| sql.trim().trim_end_matches(';')));
        parts.push("COMMIT");
        // A newline before each `;` keeps a trailing `-- comment` from swallowing it.
        let mut body = Body::new(parts.join("\n;\n"), context, timeout);
        body.parameters.insert("MULTI_STATEMENT_COUNT", parts.len().to_string());
        body
    }
}

#[derive(Debug, Serialize)]
struct EncodedBinding {
    #[serde(rename = "type")]
    kind: &'static str,
    value: Option<String>,
}

/// The body of `POST /api/v2/statements`.
#[derive(Debug, Serialize)]
pub(super) struct Body {
    statement: String,
    timeout: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    warehouse: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    database: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    bindings: BTreeMap<usize, EncodedBinding>,
    parameters: BTreeMap<&'static str, String>,
}

impl Body {
    fn new(statement: String, context: &Context, timeout: Duration) -> Self {
        Self {
            statement,
            timeout: timeout.as_secs().max(1),
            role: context.role.clone(),
            warehouse: context.warehouse.clone(),
            database: context.database.clone(),
            schema: context.schema.clone(),
            bindings: BTreeMap::new(),
            parameters: BTreeMap::from([("QUERY_TAG", "pipectl".to_owned())]),
        }
    }

    fn with_bindings(self, bindings: BTreeMap<usize, EncodedBinding>) -> Self {
        Self { bindings, ..self }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn body_as_documented() {
        let statement = Statement::new("SELECT ?, ?, ?, ?")
            .bind("a'b")
            .bind(7)
            .bind(true)
            .bind(Binding::Null)
            .role("R")
            .within("D", None);
        let body = statement.body(&statement.context, Duration::from_secs(60));
        assert_eq!(
            serde_json::to_value(body).unwrap(),
            json!({
                "statement": "SELECT ?, ?, ?, ?", "timeout": 60, "role": "R", "database": "D",
                "bindings": {
                    "1": {"type": "TEXT", "value": "a'b"}, "2": {"type": "FIXED", "value": "7"},
                    "3": {"type": "BOOLEAN", "value": "true"}, "4": {"type": "TEXT", "value": null},
                },
                "parameters": {"QUERY_TAG": "pipectl"},
            })
        );
    }

    #[test]
    fn a_transaction_counts_its_statements() {
        let transaction = Transaction {
            statements: vec!["DELETE FROM A; ".into(), "INSERT INTO A SELECT 1 -- one".into()],
            context: Context::default(),
        };
        let body = serde_json::to_value(transaction.body(&Context::default(), Duration::from_secs(1))).unwrap();
        assert_eq!(body["parameters"]["MULTI_STATEMENT_COUNT"], "4");
        assert_eq!(
            body["statement"],
            "BEGIN TRANSACTION\n;\nDELETE FROM A\n;\nINSERT INTO A SELECT 1 -- one\n;\nCOMMIT"
        );
    }
}
