//! Parameters of Systems Manager that stand below a path.

use aws_sdk_ssm::types::Parameter;

use super::Aws;
use super::failure::explain;

/// Every parameter below a path, which may end in `/`: <https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParametersByPath.html>.
pub async fn below(aws: &Aws, path: &str) -> anyhow::Result<Vec<Parameter>> {
    let request = aws.ssm.get_parameters_by_path().path(path.trim_end_matches('/'));
    let pages: Vec<_> = request
        .into_paginator()
        .send()
        .try_collect()
        .await
        .map_err(|error| explain(&format!("ssm:GetParametersByPath of {path}"), error))?;
    Ok(pages.into_iter().filter_map(|page| page.parameters).flatten().collect())
}
