//! What `pipectl init` writes: pipelines that validate as they stand, with every key explained.

/// A pipeline.toml to start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Template {
    /// What `--template` takes.
    pub name: &'static str,
    /// One line that says what it is for.
    pub about: &'static str,
    /// The file, with a placeholder for the pipeline's name.
    pub text: &'static str,
}

/// Stands in a template where the pipeline's name belongs.
const NAME: &str = "{{name}}";

static TEMPLATES: [Template; 2] = [
    Template {
        name: "files",
        about: "JSON files put into a bucket, loaded into typed Snowflake tables",
        text: include_str!("../../templates/init/files.toml"),
    },
    Template {
        name: "mysql",
        about: "tables of a MySQL database, read by a watermark and kept in typed Snowflake tables",
        text: include_str!("../../templates/init/mysql.toml"),
    },
];

/// The templates, the first being the default.
#[must_use]
pub fn templates() -> &'static [Template] {
    &TEMPLATES
}

impl Template {
    /// The file for a pipeline of this name.
    #[must_use]
    pub fn for_pipeline(&self, name: &str) -> String {
        self.text.replace(NAME, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{check_every_env, parse};

    #[test]
    fn every_template_validates_in_every_environment() {
        for template in templates() {
            let text = template.for_pipeline("orders");
            for env in ["dev", "local"] {
                if let Err(report) = parse(&text, "pipeline.toml", env) {
                    panic!("{}\n{report}", template.name);
                }
            }
            assert!(check_every_env(&text, "pipeline.toml", "dev").is_ok());
        }
    }

    #[test]
    fn the_templates_name_every_key() {
        let schema: serde_json::Value = serde_json::from_str(&crate::spec::schema::json_schema()).unwrap();
        let text: String = templates().iter().map(|template| template.text).collect();
        for (name, definition) in schema["$defs"].as_object().unwrap() {
            for key in definition["properties"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(key, _)| key)
            {
                assert!(
                    text.contains(&format!("{key} =")) || text.contains(&format!("{key}]")),
                    "{name}.{key}"
                );
            }
        }
    }
}
