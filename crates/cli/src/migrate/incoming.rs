//! Whose tokens a server accepts: `oidcConfig`, `oidcConfigRef` and what they refer to.

use crate::migrate::document::{Members, Value};
use crate::migrate::field::Field;
use crate::migrate::objects::{Kind, Objects};
use crate::migrate::report::Report;
use crate::migrate::work::Work;

/// The issuer of the tokens that a server accepts.
#[derive(Debug, Clone)]
pub(crate) struct Incoming<'a> {
    /// The issuer's URL.
    pub(crate) issuer: String,
    /// The server's URL, if it is said.
    pub(crate) resource_url: Option<String>,
    /// The audience that tokens must have, if it is said.
    pub(crate) audience: Option<String>,
    /// The subjects that are accepted; empty for all.
    pub(crate) subjects: Vec<String>,
    /// The scopes that the server's metadata names.
    pub(crate) scopes: Option<Field<'a>>,
    /// The field with the audience.
    audience_field: Option<Field<'a>>,
    /// The field with the issuer and what else is said of it.
    body: Field<'a>,
    is_kubernetes: bool,
}

/// Whose tokens a server accepts, by its field with `oidcConfig` or `oidcConfigRef`; `None` if it
/// has neither, and for one that is refused.
pub(crate) fn incoming<'a>(
    spec: &Field<'a>,
    namespace: &str,
    objects: &Objects<'a>,
    report: &mut Report,
) -> Option<Incoming<'a>> {
    let (reference, kind, body) = match (spec.get("oidcConfig"), spec.get("oidcConfigRef")) {
        (Some(config), None) => {
            let (kind, body) = of_config(&config, namespace, objects, report)?;
            (config, kind, body)
        }
        (None, Some(reference)) => {
            let shared = objects.referred(&reference, Kind::Oidc, namespace, report)?;
            let config = shared.root.get("spec").unwrap_or_else(|| shared.root.clone());
            reference.get("name").iter().for_each(|name| report.cover(name));
            let (kind, body) = of_config(&config, namespace, objects, report)?;
            (reference, kind, body)
        }
        (Some(_), Some(both)) => {
            report.refuse(&both, "must not be next to `oidcConfig`; take one of the two out");
            return None;
        }
        (None, None) => return None,
    };
    let is_kubernetes = kind == "kubernetes";
    let default = is_kubernetes.then_some(KUBERNETES);
    let Some(issuer) = body.text_of("issuer").filter(|issuer| !issuer.is_empty()).or(default) else {
        report.refuse(&body, "has no `issuer`");
        return None;
    };
    let own = |field: &Field<'a>, name: &str| field.get(name).filter(|field| field.text() != Some(""));
    let audience_field = own(&reference, "audience").or_else(|| own(&body, "audience"));
    let audience = audience_field.as_ref().and_then(|field| field.text()).map(str::to_owned);
    let url = [spec, &reference, &body].into_iter().find_map(|field| own(field, "resourceUrl"));
    let incoming = Incoming {
        issuer: issuer.to_owned(),
        resource_url: url.as_ref().and_then(|field| field.text()).map(str::to_owned),
        audience: audience.or_else(|| is_kubernetes.then(|| "toolhive".to_owned())),
        subjects: if is_kubernetes { subjects(&body, namespace, report) } else { Vec::new() },
        scopes: own(&reference, "scopes").or_else(|| own(&body, "scopes")),
        audience_field,
        body,
        is_kubernetes,
    };
    if let Some(url) = url {
        report.carried(&url, "resources[].resource");
    }
    Some(incoming)
}

/// The kind of a configuration, and the field that its words are in.
fn of_config<'a>(
    config: &Field<'a>,
    namespace: &str,
    objects: &Objects<'a>,
    report: &mut Report,
) -> Option<(&'static str, Field<'a>)> {
    config.get("type").iter().for_each(|field| report.cover(field));
    let written = config.text_of("type").unwrap_or_default();
    let found = FORMS.iter().find_map(|(name, kind)| {
        let fits = written.is_empty() || written.eq_ignore_ascii_case(name);
        config.get(name).filter(|_| fits).map(|body| (*kind, body))
    });
    match found {
        Some(("configMap", reference)) => {
            let body = objects.in_config_map(&reference, "oidc.json", namespace, report)?;
            Some(("inline", body))
        }
        Some(found) => Some(found),
        None => {
            let what = "must be of type `inline`, `configMap`, `kubernetes` or `kubernetesServiceAccount`, with a field of that name";
            report.refuse(config, what);
            None
        }
    }
}

/// The service accounts that are accepted.
fn subjects(body: &Field<'_>, namespace: &str, report: &mut Report) -> Vec<String> {
    let text = |name: &str| body.get(name).filter(|field| field.text() != Some(""));
    let (account, of) = (text("serviceAccount"), text("namespace"));
    for field in [&account, &of].into_iter().flatten() {
        report.carried(field, "trustedIssuers[].allowedSubjects");
    }
    let of = of.as_ref().and_then(|field| field.text());
    match (account.as_ref().and_then(|field| field.text()), of) {
        (Some(account), of) => vec![format!("system:serviceaccount:{}:{account}", of.unwrap_or(namespace))],
        (None, Some(of)) => vec![format!("system:serviceaccount:{of}:*")],
        (None, None) => {
            let what = "no service account is named: every one is accepted that has a token for the audience; name \
                        those that may call in `trustedIssuers[].allowedSubjects`";
            report.changed(body, what);
            Vec::new()
        }
    }
}

impl<'a> Incoming<'a> {
    /// Returns `true` if both mean the same tokens, so that one entry of `trustedIssuers` is both.
    pub(crate) fn agrees_with(&self, other: &Self) -> bool {
        self.issuer != other.issuer
            || (self.audience == other.audience
                && self.subjects == other.subjects
                && self.body.text_of("jwksUrl") == other.body.text_of("jwksUrl"))
    }

    /// Reports the fields of one behind an authorization server, whose issuer it should be.
    pub(crate) fn own(&self, work: &mut Work<'a, '_>, issuer: &str) {
        if let Some(field) = self.body.get("issuer") {
            if self.issuer == issuer {
                work.report.note(&field, "is the gateway's own issuer, whose tokens a resource accepts by itself");
            } else {
                let what = "is not the issuer of the authorization server in front of it; only that one's tokens are \
                            accepted";
                work.report.left(&field, what);
            }
        }
        if let Some(field) = &self.audience_field {
            work.report.note(field, "the audience of the gateway's own tokens is `resources[].resource`");
        }
        let own = "the gateway verifies its own tokens itself";
        let fields =
            ["jwksUrl", "jwksAllowPrivateIP", "protectedResourceAllowPrivateIP", "introspectionUrl", "clientId"];
        let more = ["clientSecretRef", "clientSecret", "caBundleRef", "thvCABundlePath", "insecureAllowHTTP"];
        for name in fields.into_iter().chain(more) {
            work.need_not(&self.body, &[(name, own)]);
        }
    }

    /// The entry of `trustedIssuers`; `resource` is the audience where none is said.
    pub(crate) fn trusted(&self, work: &mut Work<'a, '_>, resource: &str) -> Members {
        const TARGET: &str = "trustedIssuers[]";
        let body = &self.body;
        body.get("issuer").iter().for_each(|field| work.report.carried(field, "trustedIssuers[].issuer"));
        match &self.audience_field {
            Some(field) => work.report.carried(field, "trustedIssuers[].audiences"),
            None if self.is_kubernetes => {}
            None => work.report.changed(
                body,
                "no audience is said, and ToolHive accepts every token of the issuer; here tokens must be for the \
                 resource: let clients ask for that, or name another audience in `trustedIssuers[].audiences`",
            ),
        }
        let jwks_url = work.text(body, "jwksUrl", &format!("{TARGET}.jwksUrl"));
        let preferred = if self.is_kubernetes { "kube-api" } else { "issuer" };
        let cluster = work.clusters.of(preferred, jwks_url.as_deref().unwrap_or(&self.issuer));
        if let (true, Some(cluster)) = (self.is_kubernetes, &cluster) {
            work.clusters.set_authority(cluster, KUBERNETES_AUTHORITY);
        }
        self.connection(work, cluster.as_deref());
        self.client(work);
        let audience = self.audience.clone().unwrap_or_else(|| resource.to_owned());
        Members::new()
            .with("issuer", self.issuer.as_str())
            .with_some("jwksUrl", jwks_url)
            .with_some("cluster", cluster)
            .with("audiences", vec![audience])
            .with_some("allowedSubjects", Some(self.subjects.clone()))
    }

    /// The client in whose name ToolHive asks about opaque tokens.
    fn client(&self, work: &mut Work<'a, '_>) {
        let body = &self.body;
        if let Some(secret) = body.get("clientSecret") {
            work.report.left(&secret, "is a secret in the file, and is not copied: change it");
        }
        if let Some(url) = body.get("introspectionUrl") {
            let what = "opaque tokens are not accepted: let the issuer give signed ones (JWT)";
            work.report.left(&url, what);
        }
        let unasked = "nothing is asked of the issuer in the name of a client";
        work.need_not(body, &[("clientId", unasked), ("clientSecretRef", unasked)]);
    }

    fn connection(&self, work: &mut Work<'a, '_>, cluster: Option<&str>) {
        let body = &self.body;
        let private = "Envoy's clusters say which addresses are called";
        let private = [("jwksAllowPrivateIP", private), ("protectedResourceAllowPrivateIP", private)];
        work.need_not(body, &private);
        work.leave(
            body,
            &[
                ("jwksAuthTokenPath", "the issuer's keys are read without a token; allow that at the issuer"),
                ("insecureAllowHTTP", "an issuer is called by https alone"),
            ],
        );
        if let Some(field) = body.get("useClusterAuth") {
            work.report.note(&field, "the API server's keys are read without a token (docs/guides/trusted-issuers.md)");
        }
        let (Some(cluster), Some(bundle)) = (cluster, body.get("caBundleRef").or_else(|| body.get("thvCABundlePath")))
        else {
            return;
        };
        let (file, what) = match bundle.text() {
            Some(path) => {
                (path.to_owned(), format!("carried over to the cluster `{cluster}`: mount it at the same path"))
            }
            None => {
                let file = format!("/etc/portcullis/{cluster}-ca.crt");
                let what = format!("carried over to the cluster `{cluster}`: mount it at {file}");
                (file, what)
            }
        };
        work.clusters.set_authority(cluster, &file);
        work.report.note(&bundle, what);
    }
}

/// The scopes that a resource asks for: ToolHive names them in the metadata and does not look at
/// those of a token.
pub(crate) fn scopes<'a>(work: &mut Work<'a, '_>, incoming: Option<&Incoming<'a>>, is_own: bool) -> Option<Value> {
    let field = incoming?.scopes.as_ref()?;
    if !is_own {
        let what = "ToolHive names these scopes and asks none of a token; add them to `resources[].scopes` if the \
                    issuer's tokens have them";
        work.report.changed(field, what);
        return None;
    }
    let scopes: Vec<&str> = field.items().iter().filter_map(Field::text).collect();
    work.report.carried(field, "resources[].scopes");
    Some(scopes.into())
}

const KUBERNETES: &str = "https://kubernetes.default.svc";
const KUBERNETES_AUTHORITY: &str = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";
/// The names of the forms, and what they come down to.
const FORMS: [(&str, &str); 4] = [
    ("inline", "inline"),
    ("configMap", "configMap"),
    ("kubernetes", "kubernetes"),
    ("kubernetesServiceAccount", "kubernetes"),
];
