//! The configuration as it is written: YAML, with overrides from the environment.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, Unexpected};

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
    pub(super) durability: super::DurabilityMode,
    pub(super) metrics: Option<RawMetrics>,
    pub(super) secrets_dir: Option<String>,
    pub(super) fetch: Option<super::fetch::RawFetch>,
    #[serde(default)]
    pub(super) limits: RawLimits,
    #[serde(default)]
    pub(super) admin: super::admin::RawAdmin,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawListen {
    pub(super) unix: Option<String>,
    pub(super) mode: Option<String>,
    pub(super) allowed_uids: Option<Vec<u32>>,
    pub(super) tcp: Option<RawTcp>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawTcp {
    pub(super) address: String,
    pub(super) cert: String,
    pub(super) key: String,
    pub(super) client_ca: String,
    pub(super) allowed_names: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawCaller {
    pub(super) uid: Option<u32>,
    pub(super) name: Option<String>,
    pub(super) spaces: Vec<String>,
    #[serde(default)]
    pub(super) secrets: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawRedis {
    pub(super) sentinel_config: Option<RawSentinel>,
    pub(super) addr: Option<String>,
    pub(super) cluster: Option<RawCluster>,
    pub(super) db: Option<u8>,
    #[serde(default)]
    pub(super) acl_user_config: RawUser,
    #[serde(default)]
    pub(super) sentinel_acl_user_config: RawUser,
    pub(super) tls: Option<RawTls>,
    pub(super) sentinel_tls: Option<RawTls>,
    #[serde(default)]
    pub(super) timeouts: RawTimeouts,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawCluster {
    pub(super) addrs: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawSentinel {
    pub(super) master_name: String,
    pub(super) sentinel_addrs: Option<Vec<String>>,
    pub(super) sentinel_service: Option<RawService>,
    pub(super) db: Option<u8>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawService {
    pub(super) name: String,
    pub(super) namespace: String,
    #[serde(default = "default_sentinel_port")]
    pub(super) port: u16,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawUser {
    pub(super) username: Option<RawReference>,
    pub(super) password: Option<RawReference>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "the name of a variable of the environment, as { env: NAME }")]
pub(super) struct RawReference {
    pub(super) env: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawTls {
    pub(super) ca_cert: Option<String>,
    pub(super) client_cert: Option<String>,
    pub(super) client_key: Option<String>,
    #[serde(default)]
    pub(super) insecure_skip_verify: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct RawTimeouts {
    #[serde(deserialize_with = "duration")]
    pub(super) dial: Duration,
    #[serde(deserialize_with = "duration")]
    pub(super) read: Duration,
    #[serde(deserialize_with = "duration")]
    pub(super) write: Duration,
}

impl Default for RawTimeouts {
    fn default() -> Self {
        Self { dial: Duration::from_secs(5), read: Duration::from_secs(3), write: Duration::from_secs(3) }
    }
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

/// Lays the overrides over the file: `PORTCULLIS_BRIDGE__REDIS__ACL_USER_CONFIG__…` names
/// `redis.aclUserConfig.…`. A value is read as YAML, and as plain text where it is none or its
/// field takes text.
pub(super) fn lay_over(file: &mut Node, environment: &BTreeMap<String, String>) {
    // In their order, so that a whole table and one of its fields can both be named.
    for (name, text) in environment {
        let Some(path) = name.strip_prefix(PREFIX) else { continue };
        file.put(&mut path.split("__").map(camel_case), Node::of_variable(text.clone()));
    }
}

fn camel_case(part: &str) -> String {
    let mut name = String::new();
    for (index, word) in part.split('_').enumerate() {
        let mut letters = word.chars();
        match letters.next() {
            Some(first) if index > 0 => name.push(first.to_ascii_uppercase()),
            Some(first) => name.push(first.to_ascii_lowercase()),
            None => {}
        }
        name.extend(letters.map(|letter| letter.to_ascii_lowercase()));
    }
    name
}

/// A whole number with `ms`, `s` or `m`.
fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text)
        .ok_or_else(|| D::Error::invalid_value(Unexpected::Str(&text), &"a time from 1ms to 10m, like 250ms or 5s"))
}

fn parse_duration(text: &str) -> Option<Duration> {
    let end = text.find(|letter: char| !letter.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(end)?;
    let factor = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        _ => return None,
    };
    let milliseconds = number.parse::<u64>().ok()?.checked_mul(factor)?;
    (1..=600_000).contains(&milliseconds).then(|| Duration::from_millis(milliseconds))
}

fn default_prefix() -> String {
    "thv:auth:".to_owned()
}

fn default_sentinel_port() -> u16 {
    26_379
}

const PREFIX: &str = "PORTCULLIS_BRIDGE__";
