//! The written configuration: YAML with overrides of the environment.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::duration::duration;
use super::environment::{RawReference, apply_overrides};
use super::fetch::RawFetch;
use super::listen::{RawCaller, RawListen};
use super::problem::Problem;
use super::reader::Reader;
use super::redis::{DurabilityMode, RawRedis, RawUser};
use super::tree::Node;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Raw {
    pub(super) listen: RawListen,
    pub(super) callers: Option<Vec<RawCaller>>,
    #[serde(default = "default_prefix")]
    pub(super) key_prefix: String,
    pub(super) redis: RawRedis,
    #[serde(default)]
    pub(super) durability: DurabilityMode,
    pub(super) metrics: Option<RawMetrics>,
    pub(super) secrets_dir: Option<String>,
    pub(super) fetch: Option<RawFetch>,
    #[serde(default)]
    pub(super) limits: RawLimits,
    #[serde(default)]
    pub(super) admin: RawAdmin,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawMetrics {
    pub(super) listen: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct RawLimits {
    pub(super) connections: usize,
    pub(super) in_flight: usize,
    pub(super) queue: usize,
    #[serde(deserialize_with = "duration")]
    pub(super) deadline: Duration,
    #[serde(deserialize_with = "duration")]
    pub(super) drain: Duration,
    #[serde(deserialize_with = "duration")]
    pub(super) idle: Duration,
}

impl Default for RawLimits {
    fn default() -> Self {
        Self {
            connections: 1_024,
            in_flight: 256,
            queue: 256,
            deadline: Duration::from_secs(2),
            drain: Duration::from_secs(10),
            idle: Duration::from_secs(30),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct RawAdmin {
    pub(super) acl_user_config: Option<RawUser>,
    pub(super) gateway_secrets: Vec<RawReference>,
    pub(super) issuer: Option<String>,
    pub(super) namespace: Option<String>,
    pub(super) name: Option<String>,
}

fn default_prefix() -> String {
    "thv:auth:".to_owned()
}

/// Reads the file and the overrides. Unknown fields and values that do not fit are problems.
/// Without an environment nothing is looked up outside the text.
pub(super) fn parse<'a>(
    text: &str,
    environment: Option<&'a BTreeMap<String, String>>,
) -> Result<(Raw, Reader<'a>), Vec<Problem>> {
    let mut file = Node::of_file(text).map_err(|problem| vec![problem])?;
    if let Some(environment) = environment {
        apply_overrides(&mut file, environment);
    }
    let read = file.read();
    match read.value {
        Some(raw) => Ok((raw, Reader { environment, unfit: read.unfit, problems: read.problems })),
        None => Err(read.problems),
    }
}

impl Reader<'_> {
    /// Checks the key prefix, with or without a final colon. It can contain neither a pattern nor a
    /// hash tag.
    pub(super) fn prefix(&mut self, raw: String) -> Option<String> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.".contains(&byte);
        let fits = (1..=64).contains(&raw.len()) && raw.bytes().all(allowed);
        let prefix = fits.then(|| format!("{}:", raw.trim_end_matches(':'))).filter(|prefix| prefix.len() > 1);
        self.known(prefix, "keyPrefix", "must be 1 to 64 characters of a-z A-Z 0-9 : - _ .")
    }
}
