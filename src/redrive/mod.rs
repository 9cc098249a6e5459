//! Dead letters: what they are, and the way back to the queue they came from.
//!
//! Messages are moved one batch at a time, each deleted only after the queue that gets it has acknowledged it. Cut off at
//! any point, a message is in one of the queues or in both, and whoever reads it does nothing twice. SQS has a task of its
//! own for this (`StartMessageMoveTask`), of about the same speed; it does not tell what it moved, and would move again
//! and again what fails at once.
//!
//! Records that Firehose gave up are files and no messages: see [`undelivered`].

mod entry;
mod letter;
mod shift;
pub mod undelivered;

use serde::Serialize;
use serde_json::Value;

use crate::aws::Aws;
use crate::graph::Graph;
use crate::status::queue;

pub use letter::{Letter, letters};
pub use shift::{Moved, shift};

/// A queue of dead letters, and where they came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Route {
    /// Name of the queue of dead letters.
    pub queue: String,
    /// Name of the queue that they came from.
    pub source: String,
    /// Log group of the function that could not do what they ask.
    pub logs: Option<String>,
}

/// A route whose queues are there.
#[derive(Debug, Clone)]
pub struct Open {
    /// The route.
    pub route: Route,
    /// URL of the queue of dead letters.
    pub from: String,
    /// URL of the queue that they came from.
    pub to: String,
    /// Messages in it, about.
    pub depth: u64,
}

/// The routes of a pipeline, as its templates say: each queue with a redrive policy, and the function that reads it.
pub fn routes(graph: &Graph) -> Vec<Route> {
    graph
        .stacks()
        .flat_map(|(_, stack)| of_template(&stack.template["Resources"]))
        .collect()
}

fn of_template(resources: &Value) -> Vec<Route> {
    let all = || resources.as_object().into_iter().flatten();
    let name = |id: &Value, property: &str| {
        let id = id["Fn::GetAtt"][0].as_str().or_else(|| id["Ref"].as_str())?;
        resources[id]["Properties"][property].as_str().map(str::to_owned)
    };
    let reader = |queue: &str| {
        let mapping = all().map(|(_, resource)| resource).find(|resource| {
            resource["Type"] == "AWS::Lambda::EventSourceMapping"
                && resource["Properties"]["EventSourceArn"]["Fn::GetAtt"][0] == queue
        })?;
        let function = name(&mapping["Properties"]["FunctionName"], "FunctionName")?;
        Some(format!("/aws/lambda/{function}"))
    };
    let queues = all().filter(|(_, resource)| resource["Type"] == "AWS::SQS::Queue");
    queues
        .filter_map(|(id, resource)| {
            let properties = &resource["Properties"];
            Some(Route {
                queue: name(&properties["RedrivePolicy"]["deadLetterTargetArn"], "QueueName")?,
                source: properties["QueueName"].as_str()?.to_owned(),
                logs: reader(id),
            })
        })
        .collect()
}

/// Finds the queues of a route; nothing where they were not deployed.
pub async fn open(aws: &Aws, route: &Route) -> anyhow::Result<Option<Open>> {
    let (from, to) = tokio::try_join!(queue::url(aws, &route.queue), queue::url(aws, &route.source))?;
    let (Some(from), Some(to)) = (from, to) else {
        return Ok(None);
    };
    let depth = queue::depth(aws, &route.queue, &from).await?.iter().sum();
    Ok(Some(Open {
        route: route.clone(),
        from,
        to,
        depth,
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn routes_are_read_from_the_templates() {
        let resources = json!({
            "Dead": { "Type": "AWS::SQS::Queue", "Properties": { "QueueName": "p-copy-dead-letters" } },
            "Work": { "Type": "AWS::SQS::Queue", "Properties": {
                "QueueName": "p-copy", "RedrivePolicy": { "deadLetterTargetArn": { "Fn::GetAtt": ["Dead", "Arn"] } },
            } },
            "Copy": { "Type": "AWS::Lambda::Function", "Properties": { "FunctionName": "p-copier" } },
            "Map": { "Type": "AWS::Lambda::EventSourceMapping", "Properties": {
                "FunctionName": { "Ref": "Copy" }, "EventSourceArn": { "Fn::GetAtt": ["Work", "Arn"] },
            } },
        });
        let expected = Route {
            queue: "p-copy-dead-letters".into(),
            source: "p-copy".into(),
            logs: Some("/aws/lambda/p-copier".into()),
        };
        assert_eq!(of_template(&resources), [expected]);
        assert_eq!(of_template(&Value::Null), []);
    }
}
