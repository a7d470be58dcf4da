//! The trusted issuers, and the resources that name them.

use portcullis_protocol::crypto::key_ring::Purpose;
use portcullis_protocol::jose::alg::Alg;

use super::*;

const ISSUER: &str = "https://issuer.example/";

fn issuer() -> Value {
    json!({ "issuer": ISSUER, "cluster": "issuer", "audiences": ["portcullis"] })
}

/// The minimal document with these issuers, all of which its resource names.
fn trusting(issuers: &[Value]) -> Value {
    let names: Vec<_> = issuers.iter().map(|issuer| issuer["issuer"].clone()).collect();
    with(with(minimal(), "/trustedIssuers", json!(issuers)), "/resources/0/issuers", json!(names))
}

fn one(name: &str, value: Value) -> Value {
    trusting(&[with(issuer(), &format!("/{name}"), value)])
}

fn compiled(document: &Value) -> Config {
    compile(document).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn trusted(document: &Value) -> Vec<TrustedIssuer> {
    compiled(document).trusted_issuers
}

#[test]
fn what_is_left_out_has_its_default() {
    let config = compiled(&trusting(&[issuer()]));
    let [trusted] = config.trusted_issuers.as_slice() else { panic!("one issuer") };
    assert_eq!((trusted.site.issuer.as_str(), trusted.site.discovery_path.as_str()), (ISSUER, DISCOVERY));
    assert_eq!(trusted.site.clusters.get("issuer.example").map(String::as_str), Some("issuer"));
    assert!(trusted.jwks_url.is_none() && trusted.scopes.is_empty() && trusted.allows("anyone"));
    assert_eq!((trusted.leeway, trusted.max_key_age), (60, 24 * 3_600));
    assert_eq!(trusted.algorithms, Alg::ALL);
    assert_eq!(config.resources[0].issuers, AcceptedIssuers { own: false, trusted: vec![0] });
    assert_eq!(compiled(&minimal()).resources[0].issuers, AcceptedIssuers { own: true, trusted: vec![] });
}

#[test]
fn what_is_written_is_kept() {
    let config = compiled(&full());
    let [trusted] = config.trusted_issuers.as_slice() else { panic!("one issuer") };
    assert_eq!(trusted.jwks_url.as_ref().unwrap().to_string(), "https://10.0.0.1:6443/openid/v1/jwks");
    assert_eq!(trusted.site.clusters.get("10.0.0.1:6443").map(String::as_str), Some("kube-api"));
    assert_eq!((trusted.site.clusters.len(), trusted.leeway, trusted.max_key_age), (1, 5, 7_200));
    assert_eq!((trusted.algorithms.as_slice(), trusted.scopes.to_string().as_str()), (&[Alg::Rs256][..], "tools"));
    assert_eq!(config.resources[1].issuers, AcceptedIssuers { own: true, trusted: vec![0] });
}

#[test]
fn a_subject_is_named_whole_or_by_its_beginning() {
    let [trusted] = trusted(&one("allowedSubjects", json!(["alice", "system:serviceaccount:apps:*"])))
        .try_into()
        .unwrap_or_else(|_| panic!("one issuer"));
    for (subject, allowed) in [
        ("alice", true),
        ("system:serviceaccount:apps:a", true),
        ("system:serviceaccount:apps:", true),
        ("Alice", false),
        ("alice2", false),
        ("system:serviceaccount:apps2:a", false),
        ("", false),
    ] {
        assert_eq!(trusted.allows(subject), allowed, "{subject}");
    }
}

#[test]
fn a_value_that_is_not_allowed_is_refused_where_it_stands() {
    let many = |count: usize| json!((0..count).map(|number| number.to_string()).collect::<Vec<_>>());
    for (name, value, complaint) in [
        ("issuer", json!("http://issuer.example"), "must be https"),
        ("issuer", json!("issuer.example"), "must be an absolute https URL"),
        ("issuer", json!("https://issuer.example?a"), "must have no query, fragment or user name"),
        ("issuer", json!("https://gateway.example"), "is this gateway's own issuer"),
        ("jwksUrl", json!("http://issuer.example/keys"), "must be https"),
        ("jwksUrl", json!("/keys"), "must be an absolute https URL"),
        ("cluster", json!(""), "must name Envoy's cluster"),
        ("audiences", json!([]), "must have 1 to 16 entries"),
        ("audiences", json!([""]), "must have 1 to 16 entries"),
        ("audiences", many(17), "must have 1 to 16 entries"),
        ("allowedSubjects", json!(["*"]), "each must be a subject"),
        ("allowedSubjects", json!(["a*b"]), "each must be a subject"),
        ("allowedSubjects", json!([""]), "each must be a subject"),
        ("allowedSubjects", many(257), "must have at most 256 entries"),
        ("algorithms", json!([]), "must be some of RS256"),
        ("algorithms", json!(["none"]), "must be some of RS256"),
        ("algorithms", json!(["HS256"]), "must be some of RS256"),
        ("algorithms", json!(["ES256", "PS256"]), "must be some of RS256"),
        ("scopes", json!(["a b"]), "a scope is a single word"),
        ("leeway", json!("301s"), "must be between 0s and 300s"),
        ("leeway", json!("soon"), "must be a duration"),
        ("maxKeyAge", json!("59m"), "must be between 3600s and 2592000s"),
        ("maxKeyAge", json!("31d"), "must be between 3600s and 2592000s"),
    ] {
        let problem = problem_of(one(name, value.clone()));
        assert!(problem.starts_with(&format!("trustedIssuers[0].{name}: {complaint}")), "{name} {value}: {problem}");
    }
    for name in ["issuer", "cluster", "audiences"] {
        let mut document = full();
        document["trustedIssuers"][0].as_object_mut().unwrap().remove(name);
        assert_eq!(problem_of(document), format!("trustedIssuers[0].{name}: is required"));
    }
}

#[test]
fn an_issuer_is_listed_once_and_by_a_resource() {
    let twice = problems(&trusting(&[issuer(), issuer()]));
    assert!(twice.contains(&"trustedIssuers[1].issuer: is another trusted issuer, too".to_owned()), "{twice:?}");
    let unnamed = with(minimal(), "/trustedIssuers", json!([issuer()]));
    assert_eq!(problem_of(unnamed), "trustedIssuers[0].issuer: is in no resource's `issuers`");
    let many: Vec<_> =
        (0..33).map(|number| with(issuer(), "/issuer", json!(format!("https://{number}.example")))).collect();
    assert!(problems(&trusting(&many)).contains(&"trustedIssuers: must have at most 32 entries".to_owned()));
    let both = with(one("jwksUrl", json!("https://a.example/k")), "/trustedIssuers/0/clusters", json!({ "b": "c" }));
    assert!(problem_of(both).starts_with("trustedIssuers[0].clusters: is only for discovery"));
}

#[test]
fn a_resource_names_issuers_that_there_are() {
    let problem = |issuers: Value| problem_of(with(trusting(&[issuer()]), "/resources/0/issuers", issuers));
    assert!(problem(json!([ISSUER, "Self"])).starts_with("resources[0].issuers[1]: is neither \"self\" nor"));
    assert!(problem(json!([ISSUER, "https://issuer.example"])).starts_with("resources[0].issuers[1]: is neither"));
    assert_eq!(problem(json!([ISSUER, ISSUER])), "resources[0].issuers[1]: is listed twice");
    let none = problem_of(with(minimal(), "/resources/0/issuers", json!([])));
    assert!(none.starts_with("resources[0].issuers: must have at least one entry"), "{none}");
}

#[test]
fn a_token_without_a_login_injects_no_upstream_token() {
    let inject = json!({ "type": "upstreamInject", "providerName": "idp" });
    let problem = problem_of(with(trusting(&[issuer()]), "/resources/0/inject", inject));
    assert!(
        problem.starts_with("resources[0].issuers: a token of a trusted issuer comes without a login"),
        "{problem}"
    );
}

#[test]
fn plain_http_is_for_loopback_in_development_here_too() {
    let keys = one("jwksUrl", json!("http://127.0.0.1:8000/keys"));
    assert!(problem_of(keys.clone()).contains("must be https"));
    let [trusted] = trusted(&with(keys, "/development", json!(true))).try_into().unwrap_or_else(|_| panic!("one"));
    assert!(!trusted.site.plain_http && trusted.jwks_url.is_some_and(|url| !url.is_https()));
}

const DISCOVERY: &str = "/.well-known/openid-configuration";

/// The least that a gateway needs which issues nothing.
fn without_a_server() -> Value {
    json!({
        "trustedIssuers": [issuer()],
        "resources": [{ "resource": "https://gateway.example/mcp", "match": { "prefix": "/mcp" }, "scopes": ["tools"] }],
    })
}

#[test]
fn a_gateway_may_accept_tokens_and_issue_none() {
    let config = compiled(&without_a_server());
    assert!(!config.is_server && config.signing_keys.is_empty() && config.providers.iter().next().is_none());
    assert_eq!(config.resources[0].issuers, AcceptedIssuers { own: false, trusted: vec![0] });
    assert_eq!((config.issuer.url.as_str(), config.default_endpoints), ("https://gateway.example", false));
    assert!(config.sealer.open(Purpose::Record, &[], vec![0; 100]).is_none());
    assert!(compiled(&minimal()).is_server);
}

#[test]
fn a_server_is_configured_whole_or_not_at_all() {
    for name in ["issuer", "signingKeys", "secrets", "upstreamProviders"] {
        let found = problems(&with(without_a_server(), &format!("/{name}"), minimal()[name].clone()));
        let missing = |other: &&str| *other != name;
        for other in ["issuer", "signingKeys", "secrets", "upstreamProviders"].iter().filter(|other| missing(other)) {
            assert!(found.contains(&format!("{other}: is required")), "{name}: {found:?}");
        }
    }
    let own = with(without_a_server(), "/resources/0/issuers", json!(["self", ISSUER]));
    assert_eq!(problem_of(own), "resources[0].issuers[0]: there are no tokens of this gateway: it has no `issuer`");
    for (name, value) in [
        ("storage", json!({ "type": "memory" })),
        ("tokenLifespans", json!({})),
        ("clients", json!({})),
        ("consent", json!({})),
        ("logins", json!({})),
        ("scopesSupported", json!(["tools"])),
        ("defaultResource", json!("https://gateway.example/mcp")),
        ("defaultEndpoints", json!(true)),
        ("trustedProxies", json!(1)),
    ] {
        let problem = problem_of(with(without_a_server(), &format!("/{name}"), value));
        assert!(problem.starts_with(&format!("{name}: needs an authorization server")), "{problem}");
    }
}
