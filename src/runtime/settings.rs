//! Settings of a handler: environment variables, read once when the process starts.

use std::collections::BTreeMap;

use thiserror::Error;

/// A setting that is absent or wrong. Always names the variable.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SettingError {
    /// The variable is not set, or empty.
    #[error("the setting {name} is missing: set it as an environment variable of the function")]
    Missing { name: String },
    /// The variable is set to something it cannot be.
    #[error("the setting {name} is `{found}`, but must be {wanted}")]
    Wrong {
        name: String,
        found: String,
        wanted: &'static str,
    },
}

/// The environment, as a value, so that tests need not change the process.
#[derive(Debug, Clone)]
pub struct Settings(BTreeMap<String, String>);

impl Settings {
    /// The environment of this process. Variables that are not UTF-8 are left out: no setting of ours can be one.
    pub fn from_process() -> Self {
        let pairs =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self(pairs.collect())
    }

    /// The variable's value; an empty one counts as absent.
    pub fn optional(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The variable's value, or an error that names it.
    pub fn required(&self, name: &str) -> Result<&str, SettingError> {
        self.optional(name)
            .ok_or_else(|| SettingError::Missing { name: name.to_owned() })
    }

    /// A prefix of object keys: a relative folder that ends in `/`.
    pub fn prefix(&self, name: &str, default: &str) -> Result<String, SettingError> {
        let prefix = self.optional(name).unwrap_or(default);
        if prefix.ends_with('/') && !prefix.starts_with('/') {
            return Ok(prefix.to_owned());
        }
        Err(SettingError::Wrong {
            name: name.to_owned(),
            found: prefix.to_owned(),
            wanted: "a prefix like `data/`, without a leading and with a trailing slash",
        })
    }

    /// A prefix of parameter names: a folder that begins and ends in `/`.
    pub fn prefix_of_parameters(&self, name: &str) -> Result<String, SettingError> {
        let prefix = self.required(name)?;
        if prefix.starts_with('/') && prefix.ends_with('/') {
            return Ok(prefix.to_owned());
        }
        Err(SettingError::Wrong {
            name: name.to_owned(),
            found: prefix.to_owned(),
            wanted: "a prefix like `/pipectl/name/env/binlog/`, with a leading and a trailing slash",
        })
    }

    /// A positive whole number.
    pub fn number(&self, name: &str, default: u64) -> Result<u64, SettingError> {
        let Some(text) = self.optional(name) else {
            return Ok(default);
        };
        text.parse()
            .ok()
            .filter(|number| *number > 0)
            .ok_or_else(|| SettingError::Wrong {
                name: name.to_owned(),
                found: text.to_owned(),
                wanted: "a positive whole number",
            })
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Settings {
    fn from(pairs: [(&str, &str); N]) -> Self {
        Self(
            pairs
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_variable() {
        let settings = Settings::from([("EMPTY", ""), ("COUNT", "-1"), ("PREFIX", "data")]);
        assert!(settings.required("ABSENT").unwrap_err().to_string().contains("ABSENT"));
        assert!(settings.required("EMPTY").unwrap_err().to_string().contains("EMPTY"));
        assert!(
            settings
                .number("COUNT", 1)
                .unwrap_err()
                .to_string()
                .contains("COUNT is `-1`")
        );
        assert!(
            settings
                .prefix("PREFIX", "x/")
                .unwrap_err()
                .to_string()
                .contains("PREFIX")
        );
        assert_eq!(settings.number("ABSENT", 7), Ok(7));
    }
}
