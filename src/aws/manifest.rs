//! What was deployed last, by whom and when: one parameter in Systems Manager, without any secret.

use aws_sdk_ssm::error::ProvideErrorMetadata;
use aws_sdk_ssm::types::ParameterType;
use serde::{Deserialize, Serialize};

use super::Aws;
use super::failure::explain;
use crate::model::names::Names;

/// The last deploy that came to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of pipectl.
    pub pipectl: String,
    /// ARN of who deployed.
    pub by: String,
    /// When, in seconds since 1970.
    pub at: u64,
    /// Hash of all that was rendered.
    pub definition: String,
}

/// The manifest, where there is one.
pub async fn read(aws: &Aws, names: &Names) -> anyhow::Result<Option<Manifest>> {
    match aws.ssm.get_parameter().name(names.manifest_parameter()).send().await {
        Ok(answer) => Ok(answer
            .parameter()
            .and_then(|parameter| serde_json::from_str(parameter.value()?).ok())),
        Err(error) if error.code() == Some("ParameterNotFound") => Ok(None),
        Err(error) => Err(explain("ssm:GetParameter of the manifest", error)),
    }
}

/// Writes the manifest of a deploy that came to its end.
pub async fn write(aws: &Aws, names: &Names, definition: &str) -> anyhow::Result<()> {
    let identity = aws
        .sts
        .get_caller_identity()
        .send()
        .await
        .map_err(|error| explain("sts:GetCallerIdentity", error))?;
    let at = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map(|since| since.as_secs())
        .unwrap_or(0);
    let manifest = Manifest {
        pipectl: env!("CARGO_PKG_VERSION").to_owned(),
        by: identity.arn().unwrap_or_default().to_owned(),
        at,
        definition: definition.to_owned(),
    };
    let put = aws
        .ssm
        .put_parameter()
        .name(names.manifest_parameter())
        .value(serde_json::to_string(&manifest)?);
    let put = put.r#type(ParameterType::String).overwrite(true);
    put.send()
        .await
        .map_err(|error| explain("ssm:PutParameter of the manifest", error))?;
    Ok(())
}

/// Writes the manifest unless it tells of this definition already.
pub async fn keep(aws: &Aws, names: &Names, definition: &str) -> anyhow::Result<()> {
    match read(aws, names).await? {
        Some(manifest) if manifest.definition == definition => Ok(()),
        _ => write(aws, names, definition).await,
    }
}

/// Deletes what the functions kept, and then the manifest. Watermarks and positions go, too, whatever rows stay: what was read and had
/// not arrived went with the stream, so another deploy reads the tables from their beginning, and merges.
pub async fn delete(aws: &Aws, names: &Names) -> anyhow::Result<()> {
    let mut found = vec![names.last_mail_parameter()];
    for path in [
        names.watermark_parameters(),
        names.backfill_parameters(),
        names.binlog_parameters(),
    ] {
        let request = aws.ssm.get_parameters_by_path().path(path.trim_end_matches('/'));
        let mut pages = request.into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| explain(&format!("ssm:GetParametersByPath of {path}"), error))?;
            found.extend(
                page.parameters
                    .into_iter()
                    .flatten()
                    .filter_map(|parameter| parameter.name),
            );
        }
    }
    for name in found.into_iter().chain([names.manifest_parameter()]) {
        match aws.ssm.delete_parameter().name(&name).send().await {
            Ok(_) => {}
            Err(error) if error.code() == Some("ParameterNotFound") => {}
            Err(error) => return Err(explain(&format!("ssm:DeleteParameter of {name}"), error)),
        }
    }
    Ok(())
}
