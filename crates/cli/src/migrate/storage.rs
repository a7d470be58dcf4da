//! `storage`, and the configuration of `redis-bridge`.

use crate::migrate::clusters::{BRIDGE_CLUSTER, label};
use crate::migrate::document::{Members, Value};
use crate::migrate::environment::Process;
use crate::migrate::field::Field;
use crate::migrate::work::Work;

/// Where logins are kept: the section of the plugin's configuration, and the bridge's, if there is
/// one.
pub(crate) fn storage<'a>(
    work: &mut Work<'a, '_>,
    written: &Field<'a>,
    namespace: &str,
    name: &str,
) -> Option<(Members, String)> {
    if let Some(kind) = written.get("type") {
        match kind.text() {
            Some("redis") => work.report.carried(&kind, "storage.type"),
            Some("memory") => {
                work.report.note(&kind, "is the default of `storage`");
                return None;
            }
            _ => return work.not(&kind, "`memory` or `redis`"),
        }
    }
    let redis = written.get("redis").or_else(|| written.get("redisConfig"));
    let Some(redis) = redis else {
        // Without a type it is memory.
        return if written.get("type").is_some() {
            work.not(written, "of type `memory`, or have `redis`")
        } else {
            None
        };
    };
    let own = namespace;
    let (prefix, namespace, name) = space(work, written, namespace, name);
    let bridge = bridge(work, &redis, own, &prefix);
    let section = Members::new()
        .with("type", "bridge")
        .with("cluster", BRIDGE_CLUSTER)
        .with("namespace", namespace)
        .with("name", name);
    Some((section, bridge))
}

/// The prefix, namespace and name of the records: what a runtime file has before its
/// `{namespace:name}` and in it, or those of the resource.
fn space<'a>(work: &mut Work<'a, '_>, written: &Field<'a>, namespace: &str, name: &str) -> (String, String, String) {
    let field = written.get("keyPrefix");
    let space = field.as_ref().and_then(|field| field.text()).and_then(|prefix| {
        let (before, rest) = prefix.split_once('{')?;
        let (namespace, name) = rest.split_once('}')?.0.split_once(':')?;
        Some((before.to_owned(), label(namespace), label(name)))
    });
    match (&field, &space) {
        (Some(field), Some(_)) => {
            work.report.carried(field, "keyPrefix` of `bridge.yaml`, `storage.namespace` and `storage.name");
        }
        (Some(field), None) => work.report.left(field, "is not of the form `thv:auth:{namespace:name}:`"),
        (None, _) => {}
    }
    space.unwrap_or_else(|| (DEFAULT_PREFIX.to_owned(), label(namespace), label(name)))
}

fn bridge<'a>(work: &mut Work<'a, '_>, redis: &Field<'a>, namespace: &str, prefix: &str) -> String {
    let mut yaml = format!("{HEAD}keyPrefix: {}\nredis:\n", quoted(prefix));
    servers(work, redis, namespace, &mut yaml);
    if let Some(user) = redis.get("aclUserConfig") {
        let fields = [("username", "REDIS_USERNAME"), ("password", "REDIS_PASSWORD")];
        let values = fields.iter().filter_map(|(field, variable)| {
            let target = format!("redis.aclUserConfig.{field}` of `bridge.yaml");
            let reference = user.get(&format!("{field}SecretRef"));
            let value = match reference {
                Some(reference) => work.secret_key(&reference, namespace, variable, &target, Process::Bridge),
                None => work.runtime_secret(&user, field, variable, &target, Process::Bridge),
            };
            value.map(|value| format!("{field}: {}", inline(&value)))
        });
        let values: Vec<String> = values.collect();
        yaml.push_str(&format!("  aclUserConfig: {{ {} }}\n", values.join(", ")));
    }
    work.need_not(redis, &[("authType", "a user and a password say so")]);
    for (field, file) in [("tls", "redis-ca.crt"), ("sentinelTls", "sentinel-ca.crt")] {
        if let Some(tls) = redis.get(field) {
            tls_section(work, &tls, field, file, namespace, &mut yaml);
        }
    }
    timeouts(work, redis, &mut yaml);
    yaml.push_str("durability: auto\n");
    yaml
}

/// The part that says where Redis is.
fn servers<'a>(work: &mut Work<'a, '_>, redis: &Field<'a>, namespace: &str, yaml: &mut String) {
    match (redis.get("addr"), redis.get("sentinelConfig")) {
        (Some(addr), None) => {
            let Some(text) = addr.text() else { return work.report.refuse(&addr, "must be text") };
            if work.flag(redis, "clusterMode") == Some(true) {
                work.report.carried(&addr, "redis.cluster.addrs` of `bridge.yaml");
                yaml.push_str(&format!("  cluster: {{ addrs: [{}] }}\n", quoted(text)));
            } else {
                work.report.carried(&addr, "redis.addr` of `bridge.yaml");
                yaml.push_str(&format!("  addr: {}\n", quoted(text)));
            }
        }
        (None, Some(sentinel)) => sentinels(work, &sentinel, namespace, yaml),
        (Some(_), Some(_)) | (None, None) => {
            work.report.refuse(redis, "must have exactly one of `addr` and `sentinelConfig`");
        }
    }
}

fn sentinels<'a>(work: &mut Work<'a, '_>, sentinel: &Field<'a>, namespace: &str, yaml: &mut String) {
    let target = |field: &str| format!("redis.sentinelConfig.{field}` of `bridge.yaml");
    yaml.push_str("  sentinelConfig:\n");
    if let Some(name) = work.text(sentinel, "masterName", &target("masterName")) {
        yaml.push_str(&format!("    masterName: {}\n", quoted(&name)));
    }
    match (sentinel.get("sentinelAddrs"), sentinel.get("sentinelService")) {
        (Some(_), None) => {
            let addresses = work.texts(sentinel, "sentinelAddrs", &target("sentinelAddrs")).unwrap_or_default();
            let addresses: Vec<String> = addresses.iter().map(|address| quoted(address)).collect();
            yaml.push_str(&format!("    sentinelAddrs: [{}]\n", addresses.join(", ")));
        }
        (None, Some(service)) => {
            let name = work.text(&service, "name", &target("sentinelService.name")).unwrap_or_default();
            let own = work.text(&service, "namespace", &target("sentinelService.namespace"));
            let own = own.unwrap_or_else(|| namespace.to_owned());
            let port = number(work, &service, "port", &target("sentinelService.port"));
            let port = port.map_or_else(String::new, |port| format!(", port: {port}"));
            let service = format!("{{ name: {}, namespace: {}{port} }}", quoted(&name), quoted(&own));
            yaml.push_str(&format!("    sentinelService: {service}\n"));
        }
        (Some(_), Some(both)) => {
            work.report.refuse(&both, "must not be next to `sentinelAddrs`; take one of the two out");
        }
        (None, None) => work.report.refuse(sentinel, "must have one of `sentinelAddrs` and `sentinelService`"),
    }
    if let Some(db) = number(work, sentinel, "db", &target("db")).filter(|db| *db != 0) {
        yaml.push_str(&format!("    db: {db}\n"));
    }
}

fn number<'a>(work: &mut Work<'a, '_>, from: &Field<'a>, name: &str, target: &str) -> Option<u64> {
    let field = from.get(name)?;
    let Some(number) = field.number() else { return work.not(&field, "a whole number") };
    work.report.carried(&field, target);
    Some(number)
}

fn tls_section<'a>(
    work: &mut Work<'a, '_>,
    tls: &Field<'a>,
    name: &str,
    file: &str,
    namespace: &str,
    yaml: &mut String,
) {
    work.report.about(tls, format!("carried over to `redis.{name}` of `bridge.yaml`"));
    let mut parts = Vec::new();
    let path = format!("/etc/portcullis/{file}");
    if let Some(reference) = tls.get("caCertSecretRef") {
        if let Some(source) = work.key_of(&reference, namespace) {
            let what = format!("carried over to `redis.{name}.caCert` of `bridge.yaml`: mount {source} at {path}");
            work.report.note(&reference, what);
            parts.push(format!("caCert: {path}"));
        }
    } else if let Some(known) = tls.get("caCertFile") {
        work.report.carried(&known, &format!("redis.{name}.caCert` of `bridge.yaml"));
        parts.extend(known.text().map(|known| format!("caCert: {}", quoted(known))));
    }
    if work.flag(tls, "insecureSkipVerify") == Some(true) {
        parts.push("insecureSkipVerify: true".to_owned());
    }
    yaml.push_str(&format!("  {name}: {{ {} }}\n", parts.join(", ")));
}

fn timeouts<'a>(work: &mut Work<'a, '_>, redis: &Field<'a>, yaml: &mut String) {
    let fields = [("dialTimeout", "dial"), ("readTimeout", "read"), ("writeTimeout", "write")];
    let timeouts = fields.iter().filter_map(|(field, ours)| {
        let timeout = work.duration(redis, field, &format!("redis.timeouts.{ours}` of `bridge.yaml"))?;
        Some(format!("{ours}: {timeout}"))
    });
    let timeouts: Vec<String> = timeouts.collect();
    if !timeouts.is_empty() {
        yaml.push_str(&format!("  timeouts: {{ {} }}\n", timeouts.join(", ")));
    }
}

/// A text in quotes: what JSON takes for one is one in YAML, too.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

/// `{ env: NAME }`.
fn inline(value: &Value) -> String {
    match value {
        Value::Map(members) => format!("{{ env: {} }}", members.text("env").unwrap_or_default()),
        Value::Text(_) | Value::Flag(_) | Value::List(_) => String::new(),
    }
}

const HEAD: &str = "# redis-bridge next to Envoy. redis-bridge/README.md has every field.
listen:
  unix: /run/portcullis/bridge.sock
  mode: \"0660\"
  # The user that Envoy runs as. No other user may connect.
  allowedUids: [101]
";
const DEFAULT_PREFIX: &str = "thv:auth:";
