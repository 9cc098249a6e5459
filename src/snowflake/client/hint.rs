//! What a user can do about an error code.

use super::error::Failure;

/// A sentence for codes whose cause is known; none is better than a guess.
pub(super) fn for_failure(failure: &Failure) -> Option<String> {
    let about = &failure.about;
    let role = match &about.role {
        Some(role) => format!("role {role}"),
        None => "the user's default role".to_owned(),
    };
    let hint = match failure.code.as_str() {
        "002003" | "002043" => format!(
            "the statement ran as {role}: either the object is missing, or that role has no privilege on it or on its database and schema (USAGE)"
        ),
        "003001" => format!(
            "{role} lacks the privilege; grant it as a role that owns the object, or deploy with another role ([snowflake] role)"
        ),
        "002002" => "an object of this name exists already and pipectl did not make it; rename one of them or drop it"
            .to_owned(),
        "090153" => {
            "the database holds too much besides; give the pipeline a database of its own ([snowflake] database)"
                .to_owned()
        }
        "000606" => format!(
            "the statement needs a warehouse and {role} had none; set [snowflake] warehouse, and grant USAGE on it"
        ),
        "000630" | "000604" => {
            "the statement was stopped: it ran into STATEMENT_TIMEOUT_IN_SECONDS, or somebody cancelled it".to_owned()
        }
        "000666" => {
            "the account is suspended or locked; only Snowflake or the organisation's administrator can open it"
                .to_owned()
        }
        "390144" => jwt_hint(failure),
        "390189" | "390186" => format!(
            "{role} does not exist or is not granted to the user; role names are case-sensitive here: write them as SHOW ROLES does"
        ),
        "390201" => match &about.warehouse {
            Some(warehouse) => format!(
                "warehouse {warehouse} does not exist, or {role} has no USAGE on it; names are case-sensitive here"
            ),
            None => format!("the warehouse does not exist, or {role} has no USAGE on it"),
        },
        "390303" | "390318" => {
            "the OAuth token is wrong or has ended; get a new one and set SNOWFLAKE_TOKEN".to_owned()
        }
        "390422" | "390420" => "a network policy of the account or user does not allow this address".to_owned(),
        _ if failure.status == 401 || failure.status == 403 => sign_in_hint(failure),
        _ => return None,
    };
    Some(hint)
}

fn jwt_hint(failure: &Failure) -> String {
    let fingerprint = failure.about.fingerprint.as_deref().unwrap_or("SHA256:…");
    format!(
        "signed in as {}; check that DESC USER shows RSA_PUBLIC_KEY_FP = {fingerprint}, that account and user are right, that the user is not disabled, \
         and that this machine's clock is right",
        failure.about.who
    )
}

fn sign_in_hint(failure: &Failure) -> String {
    format!(
        "signed in as {}; check that the token is whole, has not ended, and that the user's network and authentication policies allow it",
        failure.about.who
    )
}
