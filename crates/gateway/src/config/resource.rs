//! The protected resources' section.

use std::rc::Rc;

use portcullis_protocol::http::path::RoutePath;
use portcullis_protocol::oauth::resource::ResourceUri;
use portcullis_protocol::oauth::scope::ScopeSet;
use portcullis_protocol::url::web_url::WebUrl;

use super::compiler::Compiler;
use super::document::{self, Document, ResourceKind};
use super::injection::{IdentitySettings, Injection};
use super::issuer::Issuer;
use super::trusted_issuer::AcceptedIssuers;
use crate::routing::endpoint_table::{Endpoint, OWN, WELL_KNOWN};

/// A protected resource.
pub struct Resource {
    /// Its URI: the audience of its tokens.
    pub uri: ResourceUri,
    /// The same as text, shared with the audit trail.
    pub name: Rc<str>,
    /// The path prefix, without a trailing slash; empty for everything.
    pub prefix: String,
    /// What is served there.
    pub kind: ResourceKind,
    /// The scopes that a token must have.
    pub scopes: ScopeSet,
    /// The same, space-separated, for challenges.
    pub scope_text: String,
    /// Whose tokens it accepts.
    pub issuers: AcceptedIssuers,
    /// What the backend gets in place of the client's token.
    pub injection: Injection,
    /// The headers about the caller that it gets; `None` for none.
    pub identity: Option<IdentitySettings>,
    /// The path of its metadata document (RFC 9728 §3.1).
    pub metadata_path: String,
    /// The absolute URL of the same, for challenges.
    pub metadata_url: String,
}

impl Resource {
    /// The host and port of its URI.
    #[must_use]
    pub fn authority(&self) -> Option<&str> {
        self.uri.as_str().split_once("://")?.1.split('/').next()
    }
}

impl Compiler<'_> {
    pub(super) fn resources(
        &mut self,
        document: &Document,
        issuer: Option<&Issuer>,
        supported: Option<&ScopeSet>,
        development: bool,
    ) -> Option<Vec<Resource>> {
        let compiled: Vec<Option<Resource>> = document
            .resources
            .iter()
            .enumerate()
            .map(|(index, written)| {
                self.resource(&format!("resources[{index}]"), written, document, issuer, supported, development)
            })
            .collect();
        let resources = compiled.into_iter().collect::<Option<Vec<_>>>()?;
        for (index, resource) in resources.iter().enumerate() {
            let before = resources.iter().take(index);
            // Some backends ignore case, and then a path would lie under both.
            if before.clone().any(|other| other.prefix.eq_ignore_ascii_case(&resource.prefix)) {
                let what = "is another resource's prefix too (whatever the case of its letters)";
                self.problem::<()>(&format!("resources[{index}].match.prefix"), what);
            }
            // The metadata of two such resources would be the same document (RFC 9728 §3.1).
            if before.clone().any(|other| other.metadata_path == resource.metadata_path) {
                self.problem::<()>(&format!("resources[{index}].resource"), "has the path of another resource's URI");
            }
        }
        Some(resources)
    }

    /// The place of the resource that requests without one are about.
    pub(super) fn default_resource(
        &mut self,
        document: &Document,
        resources: Option<&[Resource]>,
    ) -> Option<Option<usize>> {
        let Some(written) = &document.default_resource else { return Some(None) };
        let uri = match ResourceUri::parse(written) {
            Ok(uri) => uri,
            Err(error) => return self.problem("defaultResource", error.to_string()),
        };
        // Without resources there are problems enough.
        match resources?.iter().position(|resource| resource.uri == uri) {
            Some(place) => Some(Some(place)),
            None => self.problem("defaultResource", "is not the URI of one of `resources`"),
        }
    }

    fn resource(
        &mut self,
        path: &str,
        written: &document::Resource,
        document: &Document,
        issuer: Option<&Issuer>,
        supported: Option<&ScopeSet>,
        development: bool,
    ) -> Option<Resource> {
        let uri = match ResourceUri::parse(&written.resource) {
            Ok(uri) => Some(uri),
            Err(error) => self.problem(&format!("{path}.resource"), error.to_string()),
        };
        let prefix = self.prefix(&format!("{path}.match.prefix"), &written.r#match.prefix, issuer);
        let scopes = self.scopes(&format!("{path}.scopes"), &written.scopes);
        if let (Some(scopes), Some(supported)) = (&scopes, supported)
            && !scopes.is_subset_of(supported)
        {
            self.problem::<()>(&format!("{path}.scopes"), "must all be in scopesSupported");
        }
        let issuers = self.accepted_issuers(&format!("{path}.issuers"), written, document);
        let injection = self.injection(&format!("{path}.inject"), &written.inject, document, development);
        let injected = injection.as_ref().and_then(Injection::header).map(|name| &**name);
        let identity = self.identity(path, written, document, injected);
        let (uri, scopes) = (uri?, scopes?);
        let url = WebUrl::parse(uri.as_str()).ok()?;
        let metadata_path = Endpoint::ProtectedResourceMetadata.well_known_path() + url.path().trim_end_matches('/');
        if let Err(error) = RoutePath::parse(metadata_path.as_bytes()) {
            self.problem::<()>(&format!("{path}.resource"), format!("its metadata could not be asked for: {error}"));
        }
        Some(Resource {
            name: Rc::from(uri.as_str()),
            metadata_url: format!("{}{metadata_path}", url.origin()),
            metadata_path,
            uri,
            prefix: prefix?,
            kind: written.kind,
            scope_text: scopes.to_string(),
            scopes,
            issuers: issuers?,
            injection: injection?,
            identity: identity?,
        })
    }

    fn prefix(&mut self, path: &str, written: &str, issuer: Option<&Issuer>) -> Option<String> {
        // What `RoutePath::longest_prefix` asks for. Parameters and dots at the end are dropped by
        // some backends.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,=:@".contains(&byte);
        let ends_in_dot = written.split('/').any(|segment| segment.ends_with('.'));
        if !written.starts_with('/') || written.contains("//") || ends_in_dot || !written.bytes().all(plain) {
            return self.problem(path, "must be a plain absolute path such as \"/mcp\"");
        }
        let prefix = written.trim_end_matches('/');
        let base = issuer.map_or("", |issuer| issuer.path.as_str());
        for own in [format!("{base}{OWN}"), WELL_KNOWN.to_owned()] {
            if prefix == own || prefix.starts_with(&format!("{own}/")) {
                return self.problem(path, format!("{own} belongs to the gateway itself"));
            }
        }
        Some(prefix.to_owned())
    }
}
