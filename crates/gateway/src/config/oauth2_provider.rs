//! The section of an OAuth 2.0 provider without discovery.

use std::collections::BTreeMap;

use portcullis_protocol::url::web_url::WebUrl;

use super::compiler::Compiler;
use super::document::{HttpMethod, IdentityFromToken, OAuth2Config, TokenResponseMapping, UserInfo};
use super::json_path::JsonPath;
use super::upstream_client::UpstreamClient;

/// An OAuth 2.0 provider without discovery.
pub struct OAuth2Provider {
    /// Where browsers log in, exactly as configured.
    pub authorization_endpoint: String,
    /// Where codes and refresh tokens are exchanged.
    pub token_endpoint: WebUrl,
    /// Where the tokens are in its answers.
    pub token_members: TokenMembers,
    /// Where it says who logged in.
    pub identity: IdentitySource,
    /// The gateway as its client.
    pub client: UpstreamClient,
}

/// Where the tokens are in a token endpoint's answer.
pub enum TokenMembers {
    /// Where RFC 6749 §5.1 has them.
    Standard,
    /// At these paths.
    Mapped {
        /// The access token's.
        access_token: JsonPath,
        /// The refresh token's.
        refresh_token: Option<JsonPath>,
        /// That of the access token's life.
        expires_in: Option<JsonPath>,
    },
}

/// Where a provider says who logged in.
pub enum IdentitySource {
    /// In an answer of its own.
    UserInfo {
        /// Where to ask.
        endpoint: WebUrl,
        /// How.
        method: &'static str,
        /// The headers of the request besides `Authorization`; the names are in lower case.
        headers: Vec<(String, String)>,
        /// Which members say what.
        members: IdentityMembers,
    },
    /// In the token endpoint's answer.
    TokenAnswer(IdentityMembers),
}

/// Which members of an answer say who logged in; of several the first that is there.
pub struct IdentityMembers {
    /// What names the account for good.
    pub subject: Vec<JsonPath>,
    /// The user's name.
    pub name: Vec<JsonPath>,
    /// The user's e-mail address.
    pub email: Vec<JsonPath>,
    /// Whether it was verified.
    pub email_verified: Vec<JsonPath>,
    /// The groups that the user is in.
    pub groups: Vec<JsonPath>,
}

impl Compiler<'_> {
    pub(super) fn oauth2(&mut self, path: &str, written: &OAuth2Config, development: bool) -> Option<OAuth2Provider> {
        let authorization = self.provider_endpoint(
            &format!("{path}.authorizationEndpoint"),
            &written.authorization_endpoint,
            development,
        );
        let token = self.provider_endpoint(&format!("{path}.tokenEndpoint"), &written.token_endpoint, development);
        let client = self.upstream_client(path, &written.into(), token.as_ref(), development);
        let token_members = match &written.token_response_mapping {
            Some(mapping) => self.token_members(&format!("{path}.tokenResponseMapping"), mapping),
            None => Some(TokenMembers::Standard),
        };
        let identity = match (&written.user_info, &written.identity_from_token) {
            (Some(user_info), None) => {
                let path = format!("{path}.userInfo");
                self.user_info(&path, user_info, (token.as_ref(), &written.cluster), development)
            }
            (None, Some(members)) => {
                let members = self.identity_paths(&format!("{path}.identityFromToken"), members);
                members.map(|members| (IdentitySource::TokenAnswer(members), None))
            }
            (Some(_), Some(_)) => self.problem(
                &format!("{path}.identityFromToken"),
                "must be absent where there is a userInfo: only one can say who logged in",
            ),
            (None, None) => self.problem(&format!("{path}.userInfo"), "is required, or identityFromToken is"),
        };
        let ((identity, further), mut client) = (identity?, client?);
        authorization?;
        client.clusters.extend(further);
        Some(OAuth2Provider {
            authorization_endpoint: written.authorization_endpoint.clone(),
            token_endpoint: token?,
            token_members: token_members?,
            identity,
            client,
        })
    }

    /// Checks an endpoint's URL, which may have a query (RFC 6749 §3.1).
    fn provider_endpoint(&mut self, path: &str, text: &str, development: bool) -> Option<WebUrl> {
        match WebUrl::parse(text) {
            Ok(url) => self.provider_url(path, url, development),
            Err(_) => self.problem(path, "must be an absolute https URL without fragment and user name"),
        }
    }

    /// Compiles where to ask who logged in, and which cluster leads there if it is not `token`'s.
    fn user_info(
        &mut self,
        path: &str,
        written: &UserInfo,
        token: (Option<&WebUrl>, &str),
        development: bool,
    ) -> Option<(IdentitySource, Option<(String, String)>)> {
        let endpoint = self.provider_endpoint(&format!("{path}.endpointUrl"), &written.endpoint_url, development);
        let headers = self.additional_headers(&format!("{path}.additionalHeaders"), &written.additional_headers);
        let mapping = &written.field_mapping;
        let subjects: Vec<_> = mapping.subject_fields.iter().filter(|field| names_for_good(field)).collect();
        if subjects.is_empty() {
            let what = "needs a member that names the account for good, such as \"id\": what is here can be given to \
                        another account";
            self.problem::<()>(&format!("{path}.fieldMapping.subjectFields"), what);
        }
        let cluster_path = format!("{path}.cluster");
        let (endpoint, (token, token_cluster)) = (endpoint?, token);
        let token = token?;
        let is_same_host = token.authority() == endpoint.authority();
        if token.is_https() != endpoint.is_https() {
            self.problem::<()>(&format!("{path}.endpointUrl"), "must have the scheme of tokenEndpoint");
        }
        let cluster = match &written.cluster {
            Some(cluster) => {
                self.cluster_name(&cluster_path, cluster);
                if is_same_host && cluster != token_cluster {
                    self.problem::<()>(&cluster_path, "must be the cluster of tokenEndpoint, which has the same host");
                }
                Some((endpoint.authority(), cluster.clone()))
            }
            None if is_same_host => None,
            None => return self.problem(&cluster_path, "is required: the host is not that of tokenEndpoint"),
        };
        let members_of = |fields: &[String]| fields.iter().map(|field| JsonPath::member(field)).collect();
        let members = IdentityMembers {
            subject: subjects.into_iter().map(|field| JsonPath::member(field)).collect(),
            name: members_of(&mapping.name_fields),
            email: members_of(&mapping.email_fields),
            email_verified: members_of(&mapping.email_verified_fields),
            groups: members_of(&mapping.groups_fields),
        };
        let method = match written.http_method {
            HttpMethod::Get => "GET",
            HttpMethod::Post => "POST",
        };
        Some((IdentitySource::UserInfo { endpoint, method, headers: headers?, members }, cluster))
    }

    fn identity_paths(&mut self, path: &str, written: &IdentityFromToken) -> Option<IdentityMembers> {
        let subject_path = format!("{path}.subjectPath");
        let subject = self.json_path(&subject_path, &written.subject_path)?;
        if !subject.names().last().is_some_and(|name| names_for_good(name)) {
            return self.problem(&subject_path, "must name the account for good: this can be given to another account");
        }
        let name = self.json_paths(&format!("{path}.namePath"), written.name_path.as_deref());
        let email = self.json_paths(&format!("{path}.emailPath"), written.email_path.as_deref());
        let email_verified =
            self.json_paths(&format!("{path}.emailVerifiedPath"), written.email_verified_path.as_deref());
        let groups = self.json_paths(&format!("{path}.groupsPath"), written.groups_path.as_deref());
        Some(IdentityMembers {
            subject: vec![subject],
            name: name?,
            email: email?,
            email_verified: email_verified?,
            groups: groups?,
        })
    }

    fn token_members(&mut self, path: &str, written: &TokenResponseMapping) -> Option<TokenMembers> {
        let access_token = self.json_path(&format!("{path}.accessTokenPath"), &written.access_token_path);
        let refresh_token = self.json_paths(&format!("{path}.refreshTokenPath"), written.refresh_token_path.as_deref());
        let expires_in = self.json_paths(&format!("{path}.expiresInPath"), written.expires_in_path.as_deref());
        Some(TokenMembers::Mapped {
            access_token: access_token?,
            refresh_token: refresh_token?.pop(),
            expires_in: expires_in?.pop(),
        })
    }

    fn additional_headers(&mut self, path: &str, written: &BTreeMap<String, String>) -> Option<Vec<(String, String)>> {
        let before = self.problems.len();
        let mut headers = Vec::new();
        for (name, value) in written {
            let lower = name.to_ascii_lowercase();
            let is_name = !lower.is_empty() && lower.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            // A name that is none is not repeated: it may be a secret in the wrong place.
            if !is_name || lower.len() > MAX_NAME_BYTES {
                self.problem::<()>(path, "has a name that no header can have here: a-z, 0-9 and '-', at most 64");
            } else if NOT_TO_SET.contains(&lower.as_str()) || lower.starts_with("x-envoy-") {
                self.problem::<()>(&format!("{path}.{name}"), "is set by the gateway or by Envoy");
            } else if !value.bytes().all(|byte| matches!(byte, b' '..=b'~')) || value.len() > MAX_VALUE_BYTES {
                self.problem::<()>(&format!("{path}.{name}"), "must be printable ASCII of at most 1024 bytes");
            } else if headers.iter().any(|(held, _)| *held == lower) {
                self.problem::<()>(&format!("{path}.{name}"), "is there twice, in different letters");
            } else {
                headers.push((lower, value.clone()));
            }
        }
        if written.len() > MAX_HEADERS {
            self.problem::<()>(path, "must be at most 16 headers");
        }
        (self.problems.len() == before).then_some(headers)
    }
}

/// Whether a member can name an account for good: its name is none of those that everywhere stand
/// for what users and administrators change, and what another account may have tomorrow.
fn names_for_good(member: &str) -> bool {
    !REASSIGNED.iter().any(|name| member.eq_ignore_ascii_case(name))
}

const REASSIGNED: [&str; 10] = [
    "email",
    "login",
    "mail",
    "name",
    "nickname",
    "preferred_username",
    "upn",
    "user_name",
    "userPrincipalName",
    "username",
];

/// What the gateway, Envoy or HTTP itself says in a request.
const NOT_TO_SET: [&str; 11] = [
    "accept-encoding",
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "expect",
    "host",
    "proxy-authorization",
    "te",
    "transfer-encoding",
    "upgrade",
];

const MAX_HEADERS: usize = 16;
const MAX_NAME_BYTES: usize = 64;
const MAX_VALUE_BYTES: usize = 1_024;
