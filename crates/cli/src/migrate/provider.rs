//! `upstreamProviders`: OpenID Connect and OAuth 2.0 providers.

use crate::migrate::document::{Members, Value};
use crate::migrate::field::Field;
use crate::migrate::work::Work;

/// The identity providers of an authorization server, by the field that lists them.
pub(crate) fn providers<'a>(work: &mut Work<'a, '_>, list: &Field<'a>, namespace: &str, issuer: &str) -> Vec<Members> {
    list.items().iter().filter_map(|item| provider(work, item, namespace, issuer)).collect()
}

/// The names of the providers, in their order.
pub(crate) fn names(list: &Field<'_>) -> Vec<String> {
    list.items().iter().map(name_of).collect()
}

fn name_of(provider: &Field<'_>) -> String {
    // A runtime file may leave the name of its only provider out.
    provider.text_of("name").filter(|name| !name.is_empty()).unwrap_or("default").to_owned()
}

fn provider<'a>(work: &mut Work<'a, '_>, written: &Field<'a>, namespace: &str, issuer: &str) -> Option<Members> {
    let name = name_of(written);
    if let Some(field) = written.get("name") {
        let callback = format!("{issuer}/oauth/callback");
        work.report.note(
            &field,
            format!("carried over to `upstreamProviders[].name`; its redirect URI at the provider is `{callback}`"),
        );
    }
    let (oidc, oauth2) = (written.get("oidcConfig"), written.get("oauth2Config"));
    if let Some(kind) = written.get("type") {
        work.report.cover(&kind);
    }
    let provider = Members::new().with("name", name.as_str());
    match (written.text_of("type"), oidc, oauth2) {
        (Some("oidc") | None, Some(oidc), None) => {
            let config = oidc_config(work, &oidc, &name, namespace, issuer);
            Some(provider.with("type", "oidc").with("oidcConfig", config))
        }
        (Some("oauth2") | None, None, Some(oauth2)) => {
            let config = oauth2_config(work, &oauth2, &name, namespace, issuer);
            Some(provider.with("type", "oauth2").with("oauth2Config", config))
        }
        _ => {
            let what = "must be of type `oidc` with an `oidcConfig`, or of type `oauth2` with an `oauth2Config`";
            work.report.refuse(written, what);
            None
        }
    }
}

fn oidc_config<'a>(work: &mut Work<'a, '_>, from: &Field<'a>, name: &str, namespace: &str, issuer: &str) -> Members {
    let target = |field: &str| format!("upstreamProviders[].oidcConfig.{field}");
    let issuer_url = work.text(from, "issuerUrl", &target("issuerUrl"));
    let cluster = issuer_url.as_ref().and_then(|url| work.clusters.of(name, url));
    let clusters: Members = HOSTS
        .iter()
        .filter(|(issuer, ..)| issuer_url.as_deref().is_some_and(|url| url.trim_end_matches('/') == *issuer))
        .filter_map(|(_, host, suffix)| {
            let cluster = work.clusters.of(&format!("{name}-{suffix}"), &format!("https://{host}/"))?;
            Some(((*host).to_owned(), Value::from(cluster)))
        })
        .collect();
    let authentication = authentication(work, from, &target("clientAuthentication"), None);
    let config = Members::new()
        .with_some("issuerUrl", issuer_url)
        .with_some("cluster", cluster.clone())
        .with_some("clusters", Some(clusters))
        .with_some("clientId", work.text(from, "clientId", &target("clientId")))
        .with_some("clientSecret", client_secret(work, from, name, namespace, &target("clientSecret")))
        .with_some("clientAuthentication", authentication)
        .with_some("scopes", work.texts(from, "scopes", &target("scopes")))
        .with_some("subjectClaim", work.text(from, "subjectClaim", &target("subjectClaim")))
        .with_some(
            "additionalAuthorizationParams",
            work.map(from, "additionalAuthorizationParams", &target("additionalAuthorizationParams")),
        )
        .with_some("additionalTokenParams", work.map(from, "additionalTokenParams", &target("additionalTokenParams")));
    let overrides = [
        ("userInfoOverride", "ToolHive reads users from ID tokens alone, too"),
        ("allowPrivateIPs", "Envoy's clusters say which addresses are called"),
    ];
    work.need_not(from, &overrides);
    connection(work, from, cluster.as_deref(), issuer);
    config
}

fn oauth2_config<'a>(work: &mut Work<'a, '_>, from: &Field<'a>, name: &str, namespace: &str, issuer: &str) -> Members {
    let target = |field: &str| format!("upstreamProviders[].oauth2Config.{field}");
    let authorization = work.text(from, "authorizationEndpoint", &target("authorizationEndpoint"));
    let token_endpoint = work.text(from, "tokenEndpoint", &target("tokenEndpoint"));
    let cluster = token_endpoint.as_ref().and_then(|url| work.clusters.of(name, url));
    let secret = client_secret(work, from, name, namespace, &target("clientSecret"));
    // ToolHive's default is the form.
    let default = secret.as_ref().map(|_| "post");
    let authentication = authentication(work, from, &target("clientAuthentication"), default);
    let user_info = from.get("userInfo").map(|user_info| user_info_of(work, &user_info, name));
    let identity = from.get("identityFromToken").map(|identity| identity_from_token(work, &identity));
    if user_info.is_none() && identity.is_none() {
        let what =
            "ToolHive makes a new user of each login here; say with `userInfo` or `identityFromToken` whose it is";
        work.report.changed(from, what);
    }
    let mapping = from.get("tokenResponseMapping").map(|mapping| token_response_mapping(work, &mapping));
    let config = Members::new()
        .with_some("authorizationEndpoint", authorization)
        .with_some("tokenEndpoint", token_endpoint)
        .with_some("cluster", cluster.clone())
        .with_some("clientId", work.text(from, "clientId", &target("clientId")))
        .with_some("clientSecret", secret)
        .with_some("clientAuthentication", authentication)
        .with_some("scopes", work.texts(from, "scopes", &target("scopes")))
        .with_some(
            "additionalAuthorizationParams",
            work.map(from, "additionalAuthorizationParams", &target("additionalAuthorizationParams")),
        )
        .with_some("additionalTokenParams", work.map(from, "additionalTokenParams", &target("additionalTokenParams")))
        .with_some("userInfo", user_info)
        .with_some("identityFromToken", identity)
        .with_some("tokenResponseMapping", mapping);
    work.need_not(from, &[("allowPrivateIPs", "Envoy's clusters say which addresses are called")]);
    connection(work, from, cluster.as_deref(), issuer);
    config
}

fn client_secret<'a>(
    work: &mut Work<'a, '_>,
    from: &Field<'a>,
    name: &str,
    namespace: &str,
    target: &str,
) -> Option<Value> {
    work.secret(from, "clientSecret", namespace, &format!("{name}_CLIENT_SECRET"), target)
}

fn authentication<'a>(
    work: &mut Work<'a, '_>,
    from: &Field<'a>,
    target: &str,
    default: Option<&str>,
) -> Option<String> {
    let Some(method) = from.get("tokenEndpointAuthMethod") else { return default.map(str::to_owned) };
    if method.text() == Some("none") {
        work.report.note(&method, "a client without a secret sends none");
        return None;
    }
    let methods = [("client_secret_basic", "basic"), ("client_secret_post", "post")];
    work.one_of(from, "tokenEndpointAuthMethod", target, &methods)
}

/// What both kinds have: how the provider is reached, and where it sends users back.
fn connection<'a>(work: &mut Work<'a, '_>, from: &Field<'a>, cluster: Option<&str>, issuer: &str) {
    let callback = format!("{issuer}/oauth/callback");
    if let Some(redirect) = from.get("redirectUri") {
        if redirect.text() == Some(callback.as_str()) {
            work.report.note(&redirect, "is the redirect URI here, too");
        } else {
            work.report
                .changed(&redirect, format!("register `{callback}` at the provider: it is the redirect URI here"));
        }
    }
    if let (Some(bundle), Some(cluster)) = (from.get("caBundleRef"), cluster) {
        let file = format!("/etc/portcullis/{cluster}-ca.crt");
        let map = bundle.get("configMapRef").unwrap_or_else(|| bundle.clone());
        let (name, key) = (map.text_of("name").unwrap_or_default(), map.text_of("key").unwrap_or("ca.crt"));
        work.clusters.set_authority(cluster, &file);
        let what =
            format!("carried over to the cluster `{cluster}`: mount key `{key}` of the ConfigMap `{name}` at {file}");
        work.report.note(&bundle, what);
    }
    let left = [
        ("dcrConfig", "the gateway does not register itself at a provider; register it and give `clientId`"),
        ("insecureAllowHTTP", "a provider is called by https alone"),
    ];
    work.leave(from, &left);
}

fn user_info_of<'a>(work: &mut Work<'a, '_>, from: &Field<'a>, name: &str) -> Members {
    let target = |field: &str| format!("upstreamProviders[].oauth2Config.userInfo.{field}");
    let endpoint = work.text(from, "endpointUrl", &target("endpointUrl"));
    let cluster = endpoint.as_ref().and_then(|url| work.clusters.of(&format!("{name}-userinfo"), url));
    let methods = [("GET", "GET"), ("POST", "POST")];
    let mapping = from.get("fieldMapping").map(|mapping| {
        let target = |field: &str| format!("upstreamProviders[].oauth2Config.userInfo.fieldMapping.{field}");
        ["subjectFields", "nameFields", "emailFields"].into_iter().fold(Members::new(), |members, field| {
            members.with_some(field, work.texts(&mapping, field, &target(field)))
        })
    });
    Members::new()
        .with_some("endpointUrl", endpoint)
        .with_some("cluster", cluster)
        .with_some("httpMethod", work.one_of(from, "httpMethod", &target("httpMethod"), &methods))
        .with_some("additionalHeaders", work.map(from, "additionalHeaders", &target("additionalHeaders")))
        .with_some("fieldMapping", mapping)
}

fn identity_from_token<'a>(work: &mut Work<'a, '_>, from: &Field<'a>) -> Members {
    paths(work, from, "identityFromToken", &["subjectPath", "namePath", "emailPath"])
}

fn token_response_mapping<'a>(work: &mut Work<'a, '_>, from: &Field<'a>) -> Members {
    work.need_not(from, &[("scopePath", "the scopes that a provider grants are not looked at")]);
    paths(work, from, "tokenResponseMapping", &["accessTokenPath", "refreshTokenPath", "expiresInPath"])
}

fn paths<'a>(work: &mut Work<'a, '_>, from: &Field<'a>, of: &str, fields: &[&str]) -> Members {
    fields.iter().fold(Members::new(), |members, name| {
        let Some(field) = from.get(name) else { return members };
        if field.text().is_some_and(|path| path.contains(['|', '@', '#', '*', '?'])) {
            work.report.left(&field, "only member names with dots between them are paths here");
            return members;
        }
        members.with_some(name, work.text(from, name, &format!("upstreamProviders[].oauth2Config.{of}.{name}")))
    })
}

/// Issuers whose discovery document names other hosts: the issuer, a host, and the end of its
/// cluster's name.
const HOSTS: [(&str, &str, &str); 2] = [
    ("https://accounts.google.com", "oauth2.googleapis.com", "token"),
    ("https://accounts.google.com", "www.googleapis.com", "keys"),
];
