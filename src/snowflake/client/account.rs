//! The forms of an account identifier.
//!
//! Sources: <https://docs.snowflake.com/en/user-guide/admin-account-identifier> and
//! <https://docs.snowflake.com/en/developer-guide/sql-api/authenticating>.

use super::error::SnowflakeError;

/// An account identifier: `ORGANISATION-ACCOUNT`, `organisation.account`, or an older locator such as
/// `xy12345.eu-central-1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account(String);

impl Account {
    /// Reads what a user wrote. A pasted host name or URL is understood as well.
    pub fn parse(text: &str) -> Result<Self, SnowflakeError> {
        let bare = text.trim().trim_start_matches("https://").trim_end_matches('/');
        let bare = bare
            .strip_suffix(".snowflakecomputing.com")
            .or_else(|| bare.strip_suffix(".snowflakecomputing.cn"))
            .unwrap_or(bare);
        // These characters end up in a host name: anything else could point the credentials at another host.
        let right = bare
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
            && bare.starts_with(|c: char| c.is_ascii_alphanumeric())
            && bare.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            && !bare.contains("..");
        if right {
            Ok(Self(bare.to_owned()))
        } else {
            Err(SnowflakeError::Configuration(format!(
                "the Snowflake account {text:?} is not an account identifier; write it as ORGANISATION-ACCOUNT"
            )))
        }
    }

    /// The identifier as written, without a domain.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name that `iss` and `sub` of a JWT carry: upper case, no region, `-` between organisation and account.
    pub fn jwt_name(&self) -> String {
        let name = match self.0.split_once('.') {
            None => self.0.clone(),
            // Replication URLs: the part before the hyphen names the account.
            Some((first, "global")) => first.split('-').next().unwrap_or(first).to_owned(),
            Some((organisation, account)) if names_account(account) => format!("{organisation}-{account}"),
            Some((locator, _region)) => locator.to_owned(),
        };
        name.to_uppercase()
    }

    /// Whether Snowflake's `ORGANISATION-ACCOUNT` or locator names this account. Hosts write underscores as hyphens, so a
    /// user may, too.
    pub fn is_called(&self, name: &str) -> bool {
        let alike = |name: &str| name.to_uppercase().replace('_', "-");
        !name.is_empty() && alike(name) == alike(&self.jwt_name())
    }

    /// The host of the account's API. Hyphens stand for underscores, which TLS host names do not allow.
    pub fn host(&self) -> String {
        let name = match self.0.split_once('.') {
            Some((organisation, account)) if names_account(account) => format!("{organisation}-{account}"),
            _ => self.0.clone(),
        };
        let china = self.0.split('.').any(|part| part.starts_with("cn-"));
        format!(
            "{}.snowflakecomputing.{}",
            name.to_lowercase().replace('_', "-"),
            if china { "cn" } else { "com" }
        )
    }
}

/// Whether what follows the dot names an account of an organisation. A region holds a hyphen or a further dot, an account
/// name never does.
fn names_account(part: &str) -> bool {
    !part.contains(['-', '.']) && !matches!(part, "global" | "privatelink" | "aws" | "gcp" | "azure")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        for (written, jwt, host) in [
            (
                "MyOrg-My_Account",
                "MYORG-MY_ACCOUNT",
                "myorg-my-account.snowflakecomputing.com",
            ),
            (
                "myorg.account1",
                "MYORG-ACCOUNT1",
                "myorg-account1.snowflakecomputing.com",
            ),
            ("xy12345", "XY12345", "xy12345.snowflakecomputing.com"),
            (
                "xy12345.eu-central-1",
                "XY12345",
                "xy12345.eu-central-1.snowflakecomputing.com",
            ),
            (
                "xy12345.us-east-2.aws",
                "XY12345",
                "xy12345.us-east-2.aws.snowflakecomputing.com",
            ),
            (
                "xy12345.cn-northwest-1.aws",
                "XY12345",
                "xy12345.cn-northwest-1.aws.snowflakecomputing.cn",
            ),
            (
                "org-acc.privatelink",
                "ORG-ACC",
                "org-acc.privatelink.snowflakecomputing.com",
            ),
            ("acc-abc123.global", "ACC", "acc-abc123.global.snowflakecomputing.com"),
            (
                "https://org-acc.snowflakecomputing.com/",
                "ORG-ACC",
                "org-acc.snowflakecomputing.com",
            ),
        ] {
            let account = Account::parse(written).unwrap();
            assert_eq!(
                (account.jwt_name().as_str(), account.host().as_str()),
                (jwt, host),
                "{written}"
            );
        }
    }

    #[test]
    fn an_account_is_known_by_its_name_and_its_locator() {
        let called = |written: &str, name: &str| Account::parse(written).unwrap().is_called(name);
        assert!(called("myorg-my-account", "MYORG-MY_ACCOUNT"));
        assert!(called("xy12345.eu-central-1", "XY12345"));
        assert!(called("org-acc.privatelink", "ORG-ACC"));
        assert!(!called("myorg-dev", "MYORG-PROD"));
        assert!(!called("xy12345", ""));
    }

    #[test]
    fn refuses_what_could_point_elsewhere() {
        for written in ["", "evil.com/x", "a b", "org-acc@evil", "a#b", "a..b", "http://x", "-a"] {
            assert!(Account::parse(written).is_err(), "{written}");
        }
    }
}
