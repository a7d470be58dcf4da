//! The configuration: the document as written becomes a [`Config`] that holds only checked,
//! ready-to-use values.
//!
//! A document is refused with every problem found, each named by its path, so that one push mends
//! them all. While Envoy refuses a document, the configuration before it keeps serving.

mod bridge;
mod client_documents;
mod compile;
mod compiler;
pub mod document;
mod duration;
mod injection;
mod issuer;
mod issuer_site;
mod json_path;
mod oauth2_provider;
mod oidc_provider;
mod policies;
mod problem;
mod provider;
mod providers;
mod quirks;
mod resource;
mod sealer;
mod secrets;
mod sections;
mod storage;
mod tenants;
mod token_exchange;
mod trusted_issuer;
mod upstream_client;
mod users;
mod whole;

pub use self::bridge::BridgeSettings;
pub use self::client_documents::ClientDocumentPolicy;
pub use self::compile::{Compiled, Config, Draft};
pub use self::compiler::Environment;
pub use self::document::{
    AssertionAudience, ClientAuthentication, DefaultAction, IdentityClaim, LoginMode, ResourceKind, SubjectTokenType,
};
pub use self::injection::{IdentitySettings, IdentityTokenSettings, Injection, UpstreamInjection};
pub use self::issuer::Issuer;
pub use self::issuer_site::IssuerSite;
pub use self::json_path::JsonPath;
pub use self::oauth2_provider::{IdentityMembers, IdentitySource, OAuth2Provider, TokenMembers};
pub use self::oidc_provider::{OidcProvider, OidcUserInfo};
pub use self::policies::{ConsentPolicy, Lifespans, RegistrationPolicy};
pub use self::problem::Problem;
pub use self::provider::{Provider, ProviderId, ProviderKind};
pub use self::providers::{Leg, MAX_LEGS, Progress, Providers};
pub use self::resource::Resource;
pub use self::sealer::Sealer;
pub use self::storage::Storage;
pub use self::tenants::Tenants;
pub use self::token_exchange::TokenExchange;
pub use self::trusted_issuer::{AcceptedIssuers, TrustedIssuer};
pub use self::upstream_client::{ClientKey, UpstreamClient};
pub use self::users::{AllowedUsers, DescribedUser};

#[cfg(test)]
#[path = "config/config_tests.rs"]
mod config_tests;
