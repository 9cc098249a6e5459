//! CloudFormation stacks and what is uploaded for them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

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
    /// Buckets of the stack that may exist already and are then taken over.
    pub adoptable: Vec<Adoptable>,
}

/// A bucket that may exist already and is then taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adoptable {
    /// Its name in the template.
    pub logical_id: String,
    /// The bucket.
    pub bucket: String,
    /// ARN of the topic that is to hear of its objects.
    pub topic: String,
}

/// Whether a resource of a template is one that was taken over.
pub fn is_adopted(resource: &Value) -> bool {
    resource["Metadata"]["pipectl"]["adopted"].is_string()
}

/// A template without a resource and those that refer to it.
pub fn without(template: &Value, logical_id: &str) -> Value {
    let mut template = template.clone();
    let reference = json!({ "Ref": logical_id });
    if let Some(resources) = template["Resources"].as_object_mut() {
        resources.retain(|id, resource| id != logical_id && !refers(resource, &reference));
    }
    template
}

fn refers(value: &Value, reference: &Value) -> bool {
    value == reference
        || match value {
            Value::Object(fields) => fields.values().any(|value| refers(value, reference)),
            Value::Array(items) => items.iter().any(|value| refers(value, reference)),
            _ => false,
        }
}

impl Stack {
    /// The template as YAML, the same on every machine.
    pub fn yaml(&self) -> Result<String, serde_yaml::Error> {
        super::yaml::text(&self.template)
    }

    /// The pipeline and environment that the stack is of, as in marks.
    pub fn owner(&self) -> String {
        let tag = |key: &str| self.tags.get(key).map(String::as_str).unwrap_or_default();
        format!("{}/{}", tag("pipectl:pipeline"), tag("pipectl:environment"))
    }

    /// The stack in which these buckets were taken over. Of such a bucket it holds the notification only: everything
    /// else of it, its policy too, stays as its owner made it.
    pub fn adopting<'a>(&self, logical_ids: impl IntoIterator<Item = &'a str>) -> Self {
        let mut stack = self.clone();
        for id in logical_ids {
            let own = stack.template["Resources"][id]["Properties"].take();
            stack.template = without(&stack.template, id);
            let mut resource = imported(&own["BucketName"], &self.owner());
            resource["Properties"]["NotificationConfiguration"] = own["NotificationConfiguration"].clone();
            stack.template["Resources"][id] = resource;
        }
        stack
    }

    /// The name of a bucket in the template.
    pub fn bucket_id(&self, bucket: &str) -> Option<&str> {
        let resources = self.template["Resources"].as_object()?;
        let named = |resource: &Value| resource["Properties"]["BucketName"] == *bucket;
        let found = resources.iter().find(|(_, resource)| named(resource));
        found.map(|(id, _)| id.as_str())
    }

    /// Buckets that are in the template as taken over.
    pub fn adopted_buckets(&self) -> Vec<&str> {
        let resources = self.template["Resources"].as_object().into_iter().flatten();
        let adopted = resources.filter(|(_, resource)| is_adopted(resource));
        adopted
            .filter_map(|(_, resource)| resource["Properties"]["BucketName"].as_str())
            .collect()
    }

    /// The stack in which every bucket that may be taken over was.
    pub fn adopting_all(&self) -> Self {
        self.adopting(self.adoptable.iter().map(|bucket| bucket.logical_id.as_str()))
    }
}

/// A bucket as `owner` imports it: nothing of it is said, so nothing of it changes. An import cannot tag its stack, so the
/// resource says whose it is.
pub fn imported(bucket: &Value, owner: &str) -> Value {
    let mut resource = bare(bucket);
    resource["Metadata"] = json!({ "pipectl": { "adopted": owner } });
    resource
}

/// A bucket of which nothing is said but its name.
pub fn bare(bucket: &Value) -> Value {
    json!({
        "Type": "AWS::S3::Bucket",
        "DeletionPolicy": "Retain",
        "UpdateReplacePolicy": "Retain",
        "Properties": { "BucketName": bucket },
    })
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
