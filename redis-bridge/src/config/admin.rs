//! The configuration of the operator's commands: a Redis user of their own, the gateway's secrets,
//! and the space. The service reads none of it, so its environment need not contain it.

use std::collections::BTreeMap;
use std::fmt;

use zeroize::Zeroizing;

use super::problem::Problem;
use super::raw::{Raw, parse};
use super::reader::Reader;
use super::redis::{RawUser, Redis};

/// A checked configuration of the operator's commands.
pub struct AdminConfig {
    /// The prefix of every key; ends with a colon.
    pub key_prefix: String,
    /// The connection to Redis, as `admin.aclUserConfig` or else the service's user.
    pub redis: Redis,
    /// The gateway's secrets, newest first; may be empty.
    pub gateway_secrets: Vec<Zeroizing<Vec<u8>>>,
    /// The gateway's issuer identifier, as its own configuration states it: records are sealed to
    /// it. Set if there are gateway secrets.
    pub issuer: Option<String>,
    /// The namespace of the gateway, unless the command line names one.
    pub namespace: Option<String>,
    /// The name of the gateway, likewise.
    pub name: Option<String>,
}

impl fmt::Debug for AdminConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secrets = self.gateway_secrets.len();
        f.debug_struct("AdminConfig")
            .field("redis", &self.redis)
            .field("gateway_secrets", &secrets)
            .finish_non_exhaustive()
    }
}

impl AdminConfig {
    /// Reads the configuration from the text of the file and the environment (overrides and
    /// secrets). The listener is not checked; the service's user is read only if `admin` names
    /// none.
    ///
    /// # Errors
    /// Every [`Problem`].
    pub fn read(text: &str, environment: &BTreeMap<String, String>) -> Result<Self, Vec<Problem>> {
        let (raw, mut reader) = parse(text, Some(environment))?;
        match reader.admin(raw) {
            Some(config) if reader.problems.is_empty() => Ok(config),
            Some(_) | None => Err(reader.problems),
        }
    }
}

impl Reader<'_> {
    /// The part of the operator's commands.
    pub(super) fn admin(&mut self, mut raw: Raw) -> Option<AdminConfig> {
        let admin = std::mem::take(&mut raw.admin);
        let own = admin.acl_user_config.map(|own| {
            raw.redis.acl_user_config = RawUser::default();
            self.user(&own, "admin.aclUserConfig")
        });
        let key_prefix = self.prefix(raw.key_prefix);
        let redis =
            self.redis(raw.redis).map(|redis| Redis { user: own.unwrap_or_else(|| redis.user.clone()), ..redis });
        let mut gateway_secrets = Vec::new();
        for (index, reference) in admin.gateway_secrets.iter().enumerate() {
            let found = self.secret(reference, &format!("admin.gatewaySecrets[{index}]")).map(Zeroizing::new);
            // As the filter reads them: without the newline of files and shells.
            gateway_secrets.extend(found.map(|text| Zeroizing::new(text.trim().as_bytes().to_vec())));
        }
        if !admin.gateway_secrets.is_empty() && admin.issuer.is_none() {
            self.problem("admin.issuer", "must be the gateway's issuer: its records open with it only");
        }
        Some(AdminConfig {
            key_prefix: key_prefix?,
            redis: redis?,
            gateway_secrets,
            issuer: admin.issuer,
            namespace: admin.namespace,
            name: admin.name,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const TEXT: &str = r#"
listen: { unix: /b }
redis: { addr: a, aclUserConfig: { username: { env: SERVING }, password: { env: SERVING_PASSWORD } } }
admin:
  aclUserConfig: { username: { env: ADMIN }, password: { env: ADMIN_PASSWORD } }
  gatewaySecrets: [{ env: NEW }, { env: OLD }]
  issuer: https://gateway.example
  namespace: prod
"#;

    fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn commands_and_the_service_each_need_their_own_variables_only() {
        let admin = [("ADMIN", "operator"), ("ADMIN_PASSWORD", "hidden"), ("NEW", "first\n"), ("OLD", "second")];
        let config = AdminConfig::read(TEXT, &environment(&admin)).unwrap();
        assert_eq!(config.redis.user.name.as_deref(), Some("operator"));
        assert_eq!(
            config.gateway_secrets.iter().map(|secret| secret.as_slice()).collect::<Vec<_>>(),
            [&b"first"[..], b"second"]
        );
        assert_eq!((config.namespace.as_deref(), config.name), (Some("prod"), None));
        assert_eq!(config.issuer.as_deref(), Some("https://gateway.example"));
        let shown = format!("{:?}", AdminConfig::read(TEXT, &environment(&admin)).unwrap());
        assert!(!shown.contains("hidden") && !shown.contains("first"), "{shown}");
        let serving = [("SERVING", "bridge"), ("SERVING_PASSWORD", "x")];
        assert_eq!(Config::read(TEXT, &environment(&serving)).unwrap().redis.user.name.as_deref(), Some("bridge"));
    }

    #[test]
    fn what_is_missing_is_named_with_its_path() {
        let problems = |text: &str| -> Vec<String> {
            let found = AdminConfig::read(text, &environment(&[("ADMIN", "operator")])).unwrap_err();
            found.into_iter().map(|problem| problem.path).collect()
        };
        let expected = ["admin.aclUserConfig.password", "admin.aclUserConfig.password", "admin.gatewaySecrets[0]"];
        assert_eq!(problems(TEXT)[..1], expected[..1]);
        assert!(problems(TEXT).contains(&expected[2].to_owned()));
        assert!(!problems(TEXT).contains(&"admin.issuer".to_owned()));
        assert!(
            problems(&TEXT.replace("  issuer: https://gateway.example\n", "")).contains(&"admin.issuer".to_owned())
        );
        assert_eq!(problems(&TEXT.replace("namespace", "space")).first().map(String::as_str), Some("admin"));
    }

    #[test]
    fn without_a_user_of_their_own_commands_take_the_services() {
        let text = "listen: { unix: /b }\nredis: { addr: a, aclUserConfig: { password: { env: P } } }";
        let config = AdminConfig::read(text, &environment(&[("P", "x")])).unwrap();
        assert_eq!(config.redis.user.password.as_ref().unwrap().as_str(), "x");
        assert!(config.gateway_secrets.is_empty());
    }
}
