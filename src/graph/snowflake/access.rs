//! Roles, warehouse, integrations, database and schemas: who may do what, and where.

use minijinja::Value;

use super::objects::{Blueprint, grants_on, shared, values};
use super::{Context, HandshakeRoles};
use crate::graph::apply;
use crate::graph::object::{Actor, Adoption, Kind, Object};
use crate::graph::{Body, Graph, NodeId};
use crate::snowflake::ident::Name;
use crate::snowflake::sql::raw;

/// Nodes that the loading part builds on.
pub struct Access {
    /// Both integrations exist.
    pub integrations: Vec<NodeId>,
    /// The schema of what arrives.
    pub raw_schema: NodeId,
    /// The schema of the typed tables.
    pub schema: NodeId,
    /// The warehouse, where it is the pipeline's own.
    pub warehouse: Option<NodeId>,
    /// The user that calls procedures, where files are applied by them.
    pub user: Option<NodeId>,
}

/// Adds a blueprint to the graph.
pub fn add(context: &Context, blueprint: Blueprint, needs: &[NodeId], graph: &mut Graph) -> anyhow::Result<NodeId> {
    let object = blueprint.build(context.templates, &context.model.names)?;
    Ok(insert(object, needs, graph))
}

/// Adds an object to the graph under its kind and name.
pub fn insert(object: Object, needs: &[NodeId], graph: &mut Graph) -> NodeId {
    let id = NodeId::of_object(object.kind, &object.name);
    graph.add(id.0, needs.to_vec(), Body::Object(object))
}

/// Adds what all loading needs.
pub(super) fn contribute(context: &Context, handshake: &HandshakeRoles, graph: &mut Graph) -> anyhow::Result<Access> {
    let roles = &context.roles;
    let deployer = raw(&context.target.deployer);
    let mut made = Vec::new();
    // The pipeline's own warehouse brings its grants; one of somebody else is granted with the roles.
    let foreign_warehouse = if context.target.own_warehouse {
        Value::from(())
    } else {
        raw(&context.target.warehouse)
    };
    let of_all = [
        (
            &roles.owner,
            "Owns the pipeline's structure",
            false,
            foreign_warehouse.clone(),
        ),
        (
            &roles.loader,
            "Moves the pipeline's rows",
            context.target.apply.is_none(),
            foreign_warehouse.clone(),
        ),
        (&roles.reader, "Reads the pipeline's tables", false, Value::from(())),
    ];
    let apply = roles.apply.iter();
    let apply = apply.map(|role| {
        (
            role,
            "Calls the pipeline's procedures",
            false,
            foreign_warehouse.clone(),
        )
    });
    for (name, about, executes_tasks, warehouse) in of_all.into_iter().chain(apply) {
        let blueprint = Blueprint {
            kind: Kind::Role,
            template: "role",
            name: name.clone(),
            actor: Actor::Deployer,
            about: about.to_owned(),
            values: values! { "deployer": deployer.clone(), "executes_tasks": executes_tasks, "warehouse": warehouse },
        };
        made.push(add(context, blueprint, &[], graph)?);
    }
    let [owner, loader, reader, apply @ ..] = &made[..] else {
        anyhow::bail!("three roles were to be made")
    };
    let users: Vec<NodeId> = [owner, loader].into_iter().chain(apply).cloned().collect();
    let warehouse = warehouse(context, &users, graph)?;
    let integrations = integrations(context, handshake, owner, loader, graph)?;
    let user = user(context, apply, graph)?;
    let database = database(context, &made, graph)?;
    let users = [database, loader.clone(), reader.clone()];
    let schema = schema(
        context,
        &context.target.schema,
        "Typed tables",
        typed_grants(context),
        &users,
        graph,
    )?;
    let users: Vec<NodeId> = users.iter().chain(apply).cloned().collect();
    let raw_schema = schema_raw(context, &users, graph)?;
    Ok(Access {
        integrations,
        raw_schema,
        schema,
        warehouse,
        user,
    })
}

/// The user that the function signs in as which applies files: AWS vouches for the function's role.
fn user(context: &Context, role: &[NodeId], graph: &mut Graph) -> anyhow::Result<Option<NodeId>> {
    let (Some(name), Some(apply)) = (&context.roles.apply, &context.target.apply) else {
        return Ok(None);
    };
    let names = &context.model.names;
    let blueprint = Blueprint {
        kind: Kind::User,
        template: "user",
        name: name.clone(),
        actor: Actor::Deployer,
        about: "Applies the pipeline's files".to_owned(),
        values: values! {
            "role": raw(name),
            "arn": names.role_arn(&names.resource(apply::PART)),
            "issuer": apply.issuer.clone(),
        },
    };
    let mut user = blueprint.build(context.templates, names)?;
    user.settings.insert("default_role", name.last().to_owned());
    user.settings.insert("disabled", "false");
    Ok(Some(insert(user, role, graph)))
}

fn warehouse(context: &Context, needs: &[NodeId], graph: &mut Graph) -> anyhow::Result<Option<NodeId>> {
    if !context.target.own_warehouse {
        return Ok(None);
    }
    let roles = &context.roles;
    let users = [&roles.owner, &roles.loader].into_iter().chain(&roles.apply);
    let users: Vec<Value> = users.map(raw).collect();
    let blueprint = Blueprint {
        kind: Kind::Warehouse,
        template: "warehouse",
        name: context.target.warehouse.clone(),
        actor: Actor::Deployer,
        about: "Runs the pipeline's tasks".to_owned(),
        values: values! { "users": users },
    };
    add(context, blueprint, needs, graph).map(Some)
}

fn integrations(
    context: &Context,
    handshake: &HandshakeRoles,
    owner: &NodeId,
    loader: &NodeId,
    graph: &mut Graph,
) -> anyhow::Result<Vec<NodeId>> {
    let names = &context.model.names;
    let landing = &context.model.landing;
    let storage = Blueprint {
        kind: Kind::StorageIntegration,
        template: "storage_integration",
        name: context.storage_integration.clone(),
        actor: Actor::Deployer,
        about: "Reads the curated files".to_owned(),
        values: values! {
            "role_arn": names.role_arn(&handshake.read),
            "external_id": names.external_id(),
            "location": format!("s3://{}/{}", landing.bucket, landing.prefix),
            "owner": raw(&context.roles.owner),
        },
    };
    let errors = Blueprint {
        kind: Kind::NotificationIntegration,
        template: "notification_integration",
        name: context.error_integration.clone(),
        actor: Actor::Deployer,
        about: "Reports failed files and tasks".to_owned(),
        values: values! {
            "topic_arn": names.arn("sns", &names.resource("alerts")),
            "role_arn": names.role_arn(&handshake.errors),
            "loader": raw(&context.roles.loader),
        },
    };
    let storage = add(context, storage, std::slice::from_ref(owner), graph)?;
    let errors = add(context, errors, std::slice::from_ref(loader), graph)?;
    Ok(vec![storage, errors])
}

fn database(context: &Context, roles: &[NodeId], graph: &mut Graph) -> anyhow::Result<NodeId> {
    let blueprint = Blueprint {
        kind: Kind::Database,
        template: "database",
        name: context.target.database.clone(),
        actor: Actor::Deployer,
        about: context.model.description.clone(),
        values: values! { "owner": raw(&context.roles.owner) },
    };
    let mut database = blueprint.build(context.templates, &context.model.names)?;
    adoptable(context, &mut database, context.target.adopt)?;
    // A role that was dropped is made before it gets its grants on the database again.
    Ok(insert(database, roles, graph))
}

/// Says how an object that exists is taken over, where the file says to.
pub(super) fn adoptable(context: &Context, object: &mut Object, adopt: bool) -> anyhow::Result<()> {
    object.can_be_adopted = true;
    if adopt {
        object.adoption = Some(Adoption {
            grants: shared(grants_on(context, object.kind, &object.name)?),
        });
    }
    Ok(())
}

/// A grant on a schema or on what will be in it.
fn grant(privileges: &str, objects: &str, role: &Name) -> Value {
    minijinja::context! { privileges => raw(privileges), objects => raw(objects), role => raw(role) }
}

fn typed_grants(context: &Context) -> Vec<Value> {
    vec![
        grant("SELECT", "TABLES", &context.roles.reader),
        grant("SELECT, INSERT, UPDATE", "TABLES", &context.roles.loader),
    ]
}

fn schema(
    context: &Context,
    name: &Name,
    about: &str,
    future: Vec<Value>,
    needs: &[NodeId],
    graph: &mut Graph,
) -> anyhow::Result<NodeId> {
    let users: Vec<Value> = vec![raw(&context.roles.loader), raw(&context.roles.reader)];
    schema_with(context, name, about, users, future, Vec::new(), needs, graph)
}

fn schema_raw(context: &Context, needs: &[NodeId], graph: &mut Graph) -> anyhow::Result<NodeId> {
    let loader = &context.roles.loader;
    let mut future = vec![
        grant("SELECT, INSERT", "TABLES", loader),
        grant("SELECT", "STREAMS", loader),
        grant("USAGE", "STAGES", loader),
        grant("USAGE", "FILE FORMATS", loader),
    ];
    let mut users = vec![raw(loader)];
    let mut creates = "CREATE PIPE, CREATE TASK";
    if let Some(apply) = &context.roles.apply {
        future.push(grant("USAGE", "PROCEDURES", apply));
        users.push(raw(apply));
        creates = "CREATE PROCEDURE";
    }
    let creators = vec![grant(creates, "", loader)];
    let name = &context.target.raw_schema;
    schema_with(
        context,
        name,
        "What arrived, as it arrived",
        users,
        future,
        creators,
        needs,
        graph,
    )
}

#[expect(clippy::too_many_arguments, reason = "two callers that name each argument")]
fn schema_with(
    context: &Context,
    name: &Name,
    about: &str,
    users: Vec<Value>,
    future: Vec<Value>,
    creators: Vec<Value>,
    needs: &[NodeId],
    graph: &mut Graph,
) -> anyhow::Result<NodeId> {
    let blueprint = Blueprint {
        kind: Kind::Schema,
        template: "schema",
        name: name.clone(),
        actor: Actor::Owner,
        about: about.to_owned(),
        values: values! {
            "database": raw(&context.target.database),
            "users": users,
            "future": future,
            "creators": creators,
        },
    };
    let mut schema = blueprint.build(context.templates, &context.model.names)?;
    // What arrives is the pipeline's own matter, whose database ever it is in.
    if *name == context.target.schema {
        adoptable(context, &mut schema, context.target.adopt)?;
    }
    Ok(insert(schema, needs, graph))
}
