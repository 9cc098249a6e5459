//! CloudFormation stacks and what is uploaded for them.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::snowflake::ident::Name;

/// One CloudFormation stack.
#[derive(Debug, Clone)]
pub struct Stack {
    /// Name of the stack in the account.
    pub name: String,
    /// What it is for, in a few words.
    pub about: &'static str,
    /// The template as data.
    pub template: Value,
    /// Values of its parameters.
    pub parameters: BTreeMap<String, Parameter>,
    /// Tags of the stack, which CloudFormation puts on every resource.
    pub tags: BTreeMap<String, String>,
    /// Buckets of the stack that hold what only they hold.
    pub data_buckets: Vec<String>,
    /// Buckets of the stack that pipectl fills and may empty.
    pub own_buckets: Vec<String>,
    /// Databases of the stack, by their RDS identifiers; a snapshot is all that stays of them.
    pub databases: Vec<String>,
}

impl Stack {
    /// The template as YAML, the same on every machine.
    pub fn yaml(&self) -> Result<String, serde_yaml::Error> {
        super::yaml::text(&self.template)
    }
}

/// Value of a stack's parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parameter {
    /// Key of the runtime's zip, known once the binary is at hand.
    RuntimeKey,
    /// A property of a Snowflake integration, known once the integration exists.
    Integration {
        /// The integration.
        name: Name,
        /// The property that DESC INTEGRATION tells.
        property: &'static str,
    },
    /// An output of another stack, known once that exists.
    Output {
        /// The other stack.
        stack: String,
        /// Its output.
        output: &'static str,
    },
}

/// A file that pipectl puts into a bucket.
#[derive(Debug, Clone)]
pub struct Upload {
    /// The artefact bucket.
    pub bucket: String,
}
