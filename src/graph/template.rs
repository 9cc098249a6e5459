//! CloudFormation templates: YAML skeletons in which every value is inserted as JSON, so no text can break out.

use anyhow::Context;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Value as Jinja};
use serde_json::Value;

/// The skeletons, by the part of the pipeline they make.
const SKELETONS: [(&str, &str); 14] = [
    (
        "artifacts",
        include_str!("../../templates/cloudformation/artifacts.yaml"),
    ),
    ("apply", include_str!("../../templates/cloudformation/apply.yaml")),
    ("alerts", include_str!("../../templates/cloudformation/alerts.yaml")),
    ("ingest", include_str!("../../templates/cloudformation/ingest.yaml")),
    ("delivery", include_str!("../../templates/cloudformation/delivery.yaml")),
    ("storage", include_str!("../../templates/cloudformation/storage.yaml")),
    ("source", include_str!("../../templates/cloudformation/source.yaml")),
    ("stream", include_str!("../../templates/cloudformation/stream.yaml")),
    ("extract", include_str!("../../templates/cloudformation/extract.yaml")),
    ("reader", include_str!("../../templates/cloudformation/reader.yaml")),
    ("notify", include_str!("../../templates/cloudformation/notify.yaml")),
    ("watch", include_str!("../../templates/cloudformation/watch.yaml")),
    (
        "transform",
        include_str!("../../templates/cloudformation/transform.yaml"),
    ),
    ("schedule", include_str!("../../templates/cloudformation/schedule.yaml")),
];

/// The one that others include.
const SHARED: &str = "watch";

/// Fills the skeleton `part` and reads it back as data.
pub fn render(part: &str, values: Value) -> anyhow::Result<Value> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Json);
    environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    // A logical id is a key of the template: letters and digits only, by CloudFormation's rule.
    environment.add_filter("key", |text: String| {
        Jinja::from_safe_string(text.chars().filter(char::is_ascii_alphanumeric).collect())
    });
    // Reading a skeleton takes longer than filling it.
    for (name, text) in SKELETONS.iter().filter(|(name, _)| [part, SHARED].contains(name)) {
        environment.add_template(name, text)?;
    }
    let skeleton = environment
        .get_template(part)
        .with_context(|| format!("no CloudFormation skeleton `{part}`"))?;
    let text = skeleton
        .render(Serde(values))
        .with_context(|| format!("filling the CloudFormation skeleton `{part}`"))?;
    serde_yaml::from_str(&text).with_context(|| format!("the filled CloudFormation skeleton `{part}` is not YAML"))
}
