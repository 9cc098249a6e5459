//! The target `snowflake`: handshake, database, and what moves records into typed tables.
//!
//! Order (DESIGN 1.1): integrations, whose role ARNs are computed → the delivery stack with the exact trust → stage, raw
//! table, stream, pipe → tasks. The nodes returned are those that must listen before the source is switched on.

mod access;
mod apply;
pub mod cdc;
#[cfg(test)]
mod cdc_golden_tests;
mod each;
mod granted;
mod load;
mod objects;
pub use granted::securable;
pub use objects::{hash, hexadecimal};
mod rows;
pub mod star;
mod tasks;
mod typed;

use serde_json::json;

use crate::model::names::APPLY;
use crate::model::{Model, SnowflakeTarget};
use crate::snowflake::ident::Name;
use crate::snowflake::sql::Templates;

use super::landing::{Shared, stack};
use super::policy::{Principal, Statement, external_trust, policy};
use super::stack::Parameter;
use super::{Body, Graph, NodeId};

/// What all objects of the target are built with.
pub(super) struct Context<'a> {
    pub model: &'a Model,
    pub target: &'a SnowflakeTarget,
    pub templates: &'a Templates,
    pub roles: Roles,
    pub storage_integration: Name,
    pub error_integration: Name,
}

/// The pipeline's roles.
pub(super) struct Roles {
    pub owner: Name,
    pub loader: Name,
    pub reader: Name,
    /// Who calls procedures, where files are applied by them.
    pub apply: Option<Name>,
}

/// Names of the pipeline's AWS roles that Snowflake takes.
struct HandshakeRoles {
    read: String,
    errors: String,
}

/// Adds the target's nodes.
pub fn contribute(
    model: &Model,
    target: &SnowflakeTarget,
    shared: &Shared,
    templates: &Templates,
    graph: &mut Graph,
) -> anyhow::Result<Vec<NodeId>> {
    let names = &model.names;
    let account = |part: &str| Name::account(&names.snowflake(part));
    let context = Context {
        model,
        target,
        templates,
        roles: Roles {
            owner: account("OWNER"),
            loader: account("LOADER"),
            reader: account("READER"),
            apply: target.apply.as_ref().map(|_| account(APPLY)),
        },
        storage_integration: account("S3"),
        error_integration: account("ERRORS"),
    };
    let handshake = HandshakeRoles {
        read: names.resource("snowflake-read"),
        errors: names.resource("snowflake-errors"),
    };
    let access = access::contribute(&context, &handshake, graph)?;
    let delivery = delivery(&context, &handshake, access.integrations.clone(), graph)?;
    let mut listening = load::contribute(&context, &access, delivery.clone(), graph)?;
    if let Some(apply) = &target.apply {
        let mut needs = std::mem::take(&mut listening);
        needs.extend(access.user);
        needs.push(delivery);
        listening.push(super::apply::contribute(model, target, apply, shared, needs, graph)?);
    }
    granted::settle(graph);
    Ok(listening)
}

/// The stack with the topic that Snowflake hears and the roles that it takes.
fn delivery(
    context: &Context,
    handshake: &HandshakeRoles,
    integrations: Vec<NodeId>,
    graph: &mut Graph,
) -> anyhow::Result<NodeId> {
    let names = &context.model.names;
    let landing = &context.model.landing;
    let topic_arn = names.arn("sns", &landing.topic);
    let user = json!({ "Ref": "SnowflakeUserArn" });
    let from_bucket = Statement::allow(
        "CuratedBucket",
        Principal::Service("s3.amazonaws.com"),
        &["sns:Publish"],
        std::slice::from_ref(&topic_arn),
    )
    .on_behalf_of(json!(names.bucket_arn(&landing.bucket, None)), &names.account);
    let snowflake = Statement::allow(
        "SnowflakeSubscribes",
        Principal::Arn(user.clone()),
        &["sns:Subscribe"],
        std::slice::from_ref(&topic_arn),
    );
    let values = json!({
        "topic": { "name": landing.topic, "policy": policy(&[from_bucket, snowflake]) },
        "read_role": {
            "name": handshake.read,
            "trust": external_trust(user, json!(names.external_id())),
            "policy": read_policy(context),
        },
        "error_role": {
            "name": handshake.errors,
            "trust": external_trust(json!({ "Ref": "SnowflakeErrorUserArn" }), json!({ "Ref": "SnowflakeErrorExternalId" })),
            "policy": policy(&[Statement::allow(
                "Report",
                Principal::Holder,
                &["sns:Publish"],
                &[names.arn("sns", &names.resource("alerts"))],
            )]),
        },
    });
    let mut delivery = stack(context.model, "delivery", "handshake with Snowflake", values)?;
    let property = |name: &Name, property| Parameter::Integration {
        name: name.clone(),
        property,
    };
    delivery.parameters = [
        (
            "SnowflakeUserArn",
            property(&context.storage_integration, "STORAGE_AWS_IAM_USER_ARN"),
        ),
        (
            "SnowflakeErrorUserArn",
            property(&context.error_integration, "SF_AWS_IAM_USER_ARN"),
        ),
        (
            "SnowflakeErrorExternalId",
            property(&context.error_integration, "SF_AWS_EXTERNAL_ID"),
        ),
    ]
    .map(|(key, parameter)| (key.to_owned(), parameter))
    .into();
    Ok(graph.add("aws:delivery", integrations, Body::Stack(delivery)))
}

/// What Snowflake may read: <https://docs.snowflake.com/en/user-guide/data-load-s3-config-storage-integration>.
fn read_policy(context: &Context) -> serde_json::Value {
    let names = &context.model.names;
    let landing = &context.model.landing;
    let bucket = names.bucket_arn(&landing.bucket, None);
    let objects = names.bucket_arn(&landing.bucket, Some(&format!("{}*", landing.prefix)));
    policy(&[
        Statement::allow(
            "Read",
            Principal::Holder,
            &["s3:GetObject", "s3:GetObjectVersion"],
            &[objects],
        ),
        Statement::allow(
            "List",
            Principal::Holder,
            &["s3:ListBucket"],
            std::slice::from_ref(&bucket),
        )
        .condition("StringLike", "s3:prefix", json!([format!("{}*", landing.prefix)])),
        Statement::allow("Locate", Principal::Holder, &["s3:GetBucketLocation"], &[bucket]),
    ])
}
