//! The words of refusals: each cause has its own, and they fit in an `error_description`.
#![cfg(test)]

use std::fmt::Display;

use portcullis_protocol::http::bearer::BearerError;
use portcullis_protocol::http::path::PathError;
use portcullis_protocol::jose::keys::KeyError;
use portcullis_protocol::json::JsonError;
use portcullis_protocol::oauth::authorize::{AuthorizeError, ClientReferenceError};
use portcullis_protocol::oauth::client_document::ClientDocumentError;
use portcullis_protocol::oauth::client_id_url::ClientIdUrlError;
use portcullis_protocol::oauth::params::ParamsError;
use portcullis_protocol::oauth::pkce::PkceError;
use portcullis_protocol::oauth::redirect::RedirectError;
use portcullis_protocol::oauth::register::RegistrationError;
use portcullis_protocol::oauth::resource::ResourceError;
use portcullis_protocol::oauth::scope::{ScopeError, ScopeWidening, UnknownScope};
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// Checks the words of all causes of one kind.
fn speak_apart<E: Display>(causes: impl IntoIterator<Item = E>) {
    let mut seen: Vec<String> = Vec::new();
    for text in causes.into_iter().map(|cause| cause.to_string()) {
        assert!(text.contains(' ') && !text.ends_with('.'), "{text:?} is no sentence without its full stop");
        let fits = |byte: u8| matches!(byte, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e);
        assert!(text.bytes().all(fits), "{text:?} has a character that RFC 6749 §5.2 forbids");
        assert!(!seen.contains(&text), "two causes say {text:?}");
        seen.push(text);
    }
}

#[test]
fn each_cause_of_a_refused_request_has_words_of_its_own() {
    use BearerError as Bearer;
    speak_apart([
        Bearer::Repeated,
        Bearer::OtherScheme,
        Bearer::Empty,
        Bearer::List,
        Bearer::TooLong,
        Bearer::Malformed,
    ]);
    speak_apart([
        PathError::TooLong,
        PathError::NotOriginForm,
        PathError::ControlByte,
        PathError::NotAscii,
        PathError::Fragment,
        PathError::Backslash,
        PathError::EncodedSlash,
        PathError::EncodedTwice,
        PathError::BadEscape,
        PathError::NotUtf8,
        PathError::EmptySegment,
        PathError::DotSegment,
    ]);
    speak_apart([ParamsError::TooLong, ParamsError::TooMany, ParamsError::BadEncoding, ParamsError::NotUtf8]);
}

#[test]
fn each_cause_of_a_refused_login_has_words_of_its_own() {
    use ClientReferenceError as Reference;
    speak_apart([Reference::MissingClientId, Reference::RepeatedClientId, Reference::RepeatedRedirectUri]);
    speak_apart([
        AuthorizeError::Repeated,
        AuthorizeError::RepeatedResource,
        AuthorizeError::RequestObject,
        AuthorizeError::RequestUri,
        AuthorizeError::ResponseType,
        AuthorizeError::ResponseMode,
        AuthorizeError::State,
        AuthorizeError::Pkce(PkceError::MissingChallenge),
        AuthorizeError::Pkce(PkceError::MalformedChallenge),
        AuthorizeError::Pkce(PkceError::MethodNotS256),
        AuthorizeError::Pkce(PkceError::MalformedVerifier),
        AuthorizeError::Scope(ScopeError::TooLong),
        AuthorizeError::Scope(ScopeError::TooMany),
        AuthorizeError::Scope(ScopeError::BadName),
        AuthorizeError::Resource(ResourceError::TooLong),
        AuthorizeError::Resource(ResourceError::NotAbsolute),
        AuthorizeError::Resource(ResourceError::Fragment),
        AuthorizeError::Resource(ResourceError::UserInfo),
        AuthorizeError::Resource(ResourceError::BadHost),
        AuthorizeError::Resource(ResourceError::BadPath),
        AuthorizeError::ContradictoryPrompt,
        AuthorizeError::PromptNone,
    ]);
    assert_eq!(UnknownScope("a".to_owned()).to_string(), "the scope a is not available to this client");
    assert_eq!(ScopeWidening("a".to_owned()).to_string(), "the scope a was not granted");
}

#[test]
fn each_cause_of_a_refused_client_has_words_of_its_own() {
    let redirects = || {
        [
            RedirectError::TooLong,
            RedirectError::BadCharacter,
            RedirectError::Fragment,
            RedirectError::NotAbsolute,
            RedirectError::UserInfo,
            RedirectError::BadHost,
            RedirectError::BadPort,
            RedirectError::BadPath,
            RedirectError::PlainHttp,
            RedirectError::ForbiddenScheme,
        ]
    };
    let registrations = [
        RegistrationError::ContentType,
        RegistrationError::Json(JsonError::TooLarge),
        RegistrationError::Json(JsonError::Syntax),
        RegistrationError::RedirectUris,
        RegistrationError::Type("client_name"),
        RegistrationError::Value("client_name"),
        RegistrationError::AuthMethod,
        RegistrationError::GrantTypes,
        RegistrationError::ResponseTypes,
        RegistrationError::Scope(ScopeError::BadName),
    ];
    let redirect_uri = |error| RegistrationError::RedirectUri { index: 3, error };
    speak_apart(registrations.into_iter().chain(redirects().map(redirect_uri)));
    let fourth = redirect_uri(RedirectError::BadPort).to_string();
    assert_eq!(fourth, format!("redirect_uris[3]: {}", RedirectError::BadPort));
    let documents = [
        ClientDocumentError::Json(JsonError::TooLarge),
        ClientDocumentError::Json(JsonError::Syntax),
        ClientDocumentError::OtherClientId,
        ClientDocumentError::Secret,
        ClientDocumentError::SharedSecret,
        ClientDocumentError::AuthMethod,
        ClientDocumentError::RedirectUris,
        ClientDocumentError::GrantTypes,
        ClientDocumentError::ResponseTypes,
    ];
    speak_apart(documents.into_iter().chain(redirects().map(ClientDocumentError::RedirectUri)));
    speak_apart([
        ClientIdUrlError::TooLong,
        ClientIdUrlError::NotHttps,
        ClientIdUrlError::UserOrFragment,
        ClientIdUrlError::NotPlain,
        ClientIdUrlError::NoPath,
        ClientIdUrlError::IpAddress,
    ]);
}

#[test]
fn each_cause_of_a_refused_signing_key_has_words_of_its_own() {
    speak_apart([
        KeyError::NoPrivateKey,
        KeyError::Encrypted,
        KeyError::Pem,
        KeyError::Der,
        KeyError::UnsupportedAlgorithm,
        KeyError::RsaSize,
        KeyError::RsaExponent,
        KeyError::Inconsistent,
    ]);
}
