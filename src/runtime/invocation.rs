//! Invocations whose events and answers stay text: Lambda's Runtime API without a value of the event being built
//! (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>).

use std::convert::Infallible;

use anyhow::{Context as _, anyhow, bail};
use http::{HeaderName, Method, Request};
use http_body_util::BodyExt as _;
use lambda_runtime_api_client::body::Body;
use lambda_runtime_api_client::{PooledClient, build_request};
use serde_json::json;

use super::TextHandler;
use super::log::Line;

const REQUEST: HeaderName = HeaderName::from_static("lambda-runtime-aws-request-id");
/// Sent back with the answer, so that it cannot count for a later invocation.
const INVOCATION: HeaderName = HeaderName::from_static("lambda-runtime-invocation-id");

/// Answers one invocation after the other, until Lambda ends the process. `address` is the Runtime API's.
pub async fn serve(address: &str, handler: &dyn TextHandler) -> anyhow::Result<Infallible> {
    let address = address.parse().context("the setting AWS_LAMBDA_RUNTIME_API")?;
    let api = PooledClient::builder().with_endpoint(address).build();
    loop {
        one(&api, handler).await.context("the Lambda runtime API")?;
    }
}

async fn one(api: &PooledClient, handler: &dyn TextHandler) -> anyhow::Result<()> {
    let next = build_request().uri("/2018-06-01/runtime/invocation/next");
    let (head, event) = call(api, next.body(Body::empty())?).await?;
    let request = head.headers.get(&REQUEST).and_then(|id| id.to_str().ok());
    let request = request.context("an invocation has no request id")?;
    let answer = str::from_utf8(event.as_ref())
        .context("the event is not UTF-8")
        .and_then(|event| answer(handler, event));
    let (place, answer) = match answer {
        Ok(answer) => ("response", answer),
        Err(error) => {
            Line::error("invocation").detail(format!("{error:#}")).write();
            let told = json!({"errorType": "Error", "errorMessage": format!("{error:#}"), "stackTrace": []});
            ("error", told.to_string())
        }
    };
    let mut told = build_request()
        .method(Method::POST)
        .uri(format!("/2018-06-01/runtime/invocation/{request}/{place}"));
    if let Some(invocation) = head.headers.get(&INVOCATION) {
        told = told.header(&INVOCATION, invocation);
    }
    call(api, told.body(Body::from(answer))?).await?;
    Ok(())
}

/// The handler's answer; a panic fails this invocation only.
fn answer(handler: &dyn TextHandler, event: &str) -> anyhow::Result<String> {
    let guarded = std::panic::AssertUnwindSafe(|| handler.answer(event));
    std::panic::catch_unwind(guarded).unwrap_or_else(|_| Err(anyhow!("the handler panicked; stderr says where")))
}

/// Sends a request and reads the answer to its end, so that the connection serves the next one too.
async fn call(api: &PooledClient, request: Request<Body>) -> anyhow::Result<(http::response::Parts, impl AsRef<[u8]>)> {
    let path = request.uri().path().to_owned();
    let answer = api.call(request).await.map_err(|error| anyhow!("{path}: {error}"))?;
    let (head, body) = answer.into_parts();
    let body = body.collect().await.with_context(|| path.clone())?.to_bytes();
    if !head.status.is_success() {
        bail!("{path}: {}", head.status);
    }
    Ok((head, body))
}
