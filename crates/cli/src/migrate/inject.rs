//! `resources[].inject`: what the backend of a server gets.

use crate::migrate::document::Members;
use crate::migrate::field::Field;
use crate::migrate::objects::Object;
use crate::migrate::work::Work;

/// The credential of a server's backend, as it is written.
#[derive(Debug, Clone)]
pub(crate) enum Injection<'a, 'w> {
    /// Nothing.
    Nothing,
    /// The user's token of the authorization server's first provider.
    FirstProvider,
    /// That of an MCPExternalAuthConfig.
    Config(&'w Object<'a>),
    /// The headers of an MCPRemoteProxy, with its namespace.
    Headers(Field<'a>, &'w str),
}

/// The type of an MCPExternalAuthConfig: what is written, or that of the only block there is.
pub(crate) fn type_of<'a>(config: &Object<'a>) -> Option<&'a str> {
    let spec = config.root.get("spec")?;
    let written = spec.text_of("type").filter(|written| !written.is_empty());
    written.or_else(|| TYPES.iter().copied().find(|known| spec.get(known).is_some()))
}

/// `inject` of a resource; `None` for nothing. `providers` are the names of the authorization
/// server's.
pub(crate) fn inject<'a>(
    work: &mut Work<'a, '_>,
    injection: &Injection<'a, '_>,
    providers: &[String],
) -> Option<Members> {
    match injection {
        Injection::Nothing => None,
        Injection::FirstProvider => {
            let first = providers.first()?;
            Some(Members::new().with("type", "upstreamInject").with("providerName", first.as_str()))
        }
        Injection::Config(config) => of_config(work, config, providers),
        Injection::Headers(field, namespace) => headers(work, field, namespace),
    }
}

fn of_config<'a>(work: &mut Work<'a, '_>, config: &Object<'a>, providers: &[String]) -> Option<Members> {
    let spec = config.root.get("spec")?;
    spec.get("type").iter().for_each(|field| work.report.cover(field));
    let kind = type_of(config).unwrap_or_default();
    let block = spec.get(kind);
    match (kind, block) {
        ("upstreamInject", Some(block)) => {
            let provider = work.text(&block, "providerName", "resources[].inject.providerName")?;
            is_known(work, &block, "providerName", &provider, providers);
            Some(Members::new().with("type", "upstreamInject").with("providerName", provider))
        }
        ("tokenExchange", Some(block)) => token_exchange(work, &block, config, providers),
        ("headerInjection", Some(block)) => {
            let preferred = format!("{}_VALUE", config.name);
            let value = work.secret(&block, "value", &config.namespace, &preferred, "resources[].inject.value");
            let name = work.text(&block, "headerName", "resources[].inject.name");
            Some(Members::new().with("type", "header").with_some("name", name).with_some("value", value))
        }
        ("bearerToken", Some(block)) => {
            let preferred = format!("{}_TOKEN", config.name);
            let token = work.secret(&block, "token", &config.namespace, &preferred, "resources[].inject.token");
            Some(Members::new().with("type", "bearer").with_some("token", token))
        }
        ("unauthenticated", _) => None,
        ("awsSts" | "obo" | "xaa", block) => {
            let field = block.unwrap_or(spec);
            work.report.left(&field, "the gateway has no such exchange; the backend gets no credential");
            None
        }
        _ => {
            work.report.refuse(&spec, "must have a known `type`, and a field of that name");
            None
        }
    }
}

fn token_exchange<'a>(
    work: &mut Work<'a, '_>,
    block: &Field<'a>,
    config: &Object<'a>,
    providers: &[String],
) -> Option<Members> {
    if providers.is_empty() {
        let what = "the gateway exchanges a provider's token of its own logins, and there is no authorization server: \
                    the backend gets no credential";
        work.report.left(block, what);
        return None;
    }
    let target = |field: &str| format!("resources[].inject.{field}");
    let url = work.text(block, "tokenUrl", &target("tokenUrl"))?;
    let cluster = work.clusters.of(&config.name, &url);
    let secret = format!("{}_CLIENT_SECRET", config.name);
    let secret = work.secret(block, "clientSecret", &config.namespace, &secret, &target("clientSecret"));
    let subject = work.text(block, "subjectProviderName", &target("subjectProviderName"));
    if let Some(subject) = &subject {
        is_known(work, block, "subjectProviderName", subject, providers);
    }
    let types: Vec<(String, &str)> = SUBJECT_TYPES
        .iter()
        .flat_map(|kind| [((*kind).to_owned(), *kind), (format!("urn:ietf:params:oauth:token-type:{kind}"), *kind)])
        .collect();
    let types: Vec<(&str, &str)> = types.iter().map(|(written, ours)| (written.as_str(), *ours)).collect();
    let header = work.text(block, "externalTokenHeaderName", &target("header"));
    let inject = Members::new()
        .with("type", "tokenExchange")
        .with("tokenUrl", url)
        .with_some("cluster", cluster)
        .with_some("clientId", work.text(block, "clientId", &target("clientId")))
        .with_some("clientSecret", secret)
        .with_some("audience", work.text(block, "audience", &target("audience")))
        .with_some("scopes", work.texts(block, "scopes", &target("scopes")))
        // ToolHive takes the first provider's token, too.
        .with_some("subjectProviderName", subject.or_else(|| providers.first().cloned()))
        .with_some("subjectTokenType", work.one_of(block, "subjectTokenType", &target("subjectTokenType"), &types))
        .with_some("header", header);
    Some(inject)
}

fn is_known<'a>(work: &mut Work<'a, '_>, block: &Field<'a>, name: &str, provider: &str, providers: &[String]) {
    if let Some(field) = block.get(name).filter(|_| !providers.iter().any(|known| known == provider)) {
        work.report.refuse(&field, "is not the name of a provider of the authorization server");
    }
}

/// One header from a Secret is carried over.
fn headers<'a>(work: &mut Work<'a, '_>, field: &Field<'a>, namespace: &str) -> Option<Members> {
    let from_secret = field.get("addHeadersFromSecret").map_or_else(Vec::new, |list| list.items());
    if let Some(plain) = field.get("addPlaintextHeaders") {
        work.report.left(&plain, "set these headers by `request_headers_to_add` of Envoy's route");
    }
    let (first, others) = from_secret.split_first()?;
    for other in others {
        work.report.left(other, "a resource has one header from a secret");
    }
    let name = work.text(first, "headerName", "resources[].inject.name");
    let preferred = format!("{}_VALUE", name.as_deref().unwrap_or("HEADER"));
    let value = work.secret(first, "value", namespace, &preferred, "resources[].inject.value");
    Some(Members::new().with("type", "header").with_some("name", name).with_some("value", value))
}

const TYPES: [&str; 8] =
    ["tokenExchange", "headerInjection", "bearerToken", "embeddedAuthServer", "upstreamInject", "awsSts", "obo", "xaa"];
const SUBJECT_TYPES: [&str; 3] = ["access_token", "id_token", "jwt"];
