//! Why a request was decided as it was: the words that a dashboard groups by.

use crate::audit::outcome::AuditOutcome;

/// Makes [`Reason`] of the table: outcome, name, word; the meaning is the documentation.
macro_rules! reasons {
    ($($(#[doc = $meaning:literal])+ $outcome:ident $name:ident = $word:literal,)+) => {
        /// Why a request was decided as it was. No two causes share one.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[doc = $meaning])+ $name,)+
        }

        impl Reason {
            /// Every reason, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The word in the audit trail and in the metrics.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }

            /// What was decided.
            #[must_use]
            pub const fn outcome(self) -> AuditOutcome {
                match self { $(Self::$name => AuditOutcome::$outcome,)+ }
            }

            /// What the reason means to an operator, as Markdown on one line.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($meaning),+),)+ }
            }
        }
    };
}

reasons! {
    /// The call had a valid access token.
    Allow ValidToken = "valid_token",
    /// No resource has this path, and the configuration lets such requests pass.
    Allow NotProtected = "not_protected",

    /// A discovery document or the keys.
    Serve Metadata = "metadata",
    /// A browser's CORS preflight.
    Serve Preflight = "preflight",
    /// The consent page.
    Serve ConsentShown = "consent_shown",
    /// A redirect to the identity provider.
    Serve LoginStarted = "login_started",
    /// A redirect to the client, with its authorization code.
    Serve LoggedIn = "logged_in",
    /// A client registered itself.
    Serve ClientRegistered = "client_registered",
    /// The token endpoint issued tokens.
    Serve TokensIssued = "tokens_issued",

    /// The path could be read in two ways, so a backend might read another one.
    Deny AmbiguousPath = "ambiguous_path",
    /// The path spells the prefix of a resource in another way, such as `/MCP` or `/%6dcp`.
    Deny AmbiguousResource = "ambiguous_resource",
    /// No resource has this path, and the configuration denies such requests.
    Deny NotFound = "not_found",
    /// The path is the gateway's own, and no endpoint is there.
    Deny NoEndpoint = "no_endpoint",
    /// The path is the gateway's own, and the host name is none of the configuration's.
    Deny ForeignHost = "foreign_host",
    /// The endpoint does not answer this method.
    Deny MethodNotAllowed = "method_not_allowed",
    /// The headers of a request to the gateway itself are larger than 16 KiB.
    Deny HeadersTooLarge = "headers_too_large",
    /// The body did not arrive within its 20 seconds.
    Deny BodyTooSlow = "body_too_slow",

    /// The call had no bearer token.
    Deny NoToken = "no_token",
    /// The `Authorization` header is not one bearer token (RFC 6750 §2.1).
    Deny MalformedCredentials = "malformed_credentials",
    /// The access token was sent in the URL.
    Deny TokenInUrl = "token_in_url",
    /// The bearer token is not a signed JWT, or its header cannot be accepted.
    Deny TokenMalformed = "token_malformed",
    /// The token's `kid` is of no configured key: another server's token, or the key was removed.
    Deny TokenUnknownKey = "token_unknown_key",
    /// The token's signature is not its key's.
    Deny TokenBadSignature = "token_bad_signature",
    /// The token is signed, and its claims cannot be read or lack a required one.
    Deny TokenBadClaims = "token_bad_claims",
    /// The token has expired.
    Deny TokenExpired = "token_expired",
    /// The token is not valid yet: the clocks of two gateways differ by more than 30 seconds.
    Deny TokenNotYetValid = "token_not_yet_valid",
    /// The token is another issuer's.
    Deny TokenWrongIssuer = "token_wrong_issuer",
    /// The token is for another resource.
    Deny TokenWrongAudience = "token_wrong_audience",
    /// The token is signed by this gateway, and is not an access token.
    Deny TokenWrongType = "token_wrong_type",
    /// The session of the token has ended, or its record cannot be opened.
    Deny SessionEnded = "session_ended",
    /// The token lacks a scope that the resource needs.
    Deny InsufficientScope = "insufficient_scope",
    /// The login at the identity provider has ended, so the client has to authorize again.
    Deny UpstreamLoginRequired = "upstream_login_required",

    /// The parameters of the authorization request cannot be read, or name the client twice.
    Deny MalformedRequest = "malformed_request",
    /// The authorization request names no client.
    Deny NoClientNamed = "no_client_named",
    /// The client is not registered, or its registration has expired.
    Deny UnknownClient = "unknown_client",
    /// The client id is a URL, and client-id metadata documents are turned off.
    Deny ClientDocumentsOff = "client_documents_off",
    /// The client id is a URL that none may be: not https, without a path, an IP address, another
    /// spelling.
    Deny ClientIdUrl = "client_id_url",
    /// `clients.metadataDocuments` allows no client of this host, or of this port.
    Deny ClientDocumentNotAllowed = "client_document_not_allowed",
    /// The client's metadata document was not fetched, for a request that is refused anyway.
    Deny ClientDocumentNotAsked = "client_document_not_asked",
    /// A limit of fetches in `clients.metadataDocuments` was reached.
    Deny ClientDocumentRate = "client_document_rate",
    /// The address of the client's metadata document is not public, or not allowed by the bridge.
    Deny ClientDocumentAddress = "client_document_address",
    /// The client's metadata document could not be fetched: no answer, or another status than 200.
    /// The bridge's log has the cause.
    Deny ClientDocumentUnavailable = "client_document_unavailable",
    /// The answer with the client's metadata document is a redirect, not JSON, or too large.
    Deny ClientDocumentAnswer = "client_document_answer",
    /// The client's metadata document names another client, or breaks another rule.
    Deny InvalidClientDocument = "invalid_client_document",
    /// The redirect URI is not one that the client registered.
    Deny WrongRedirectUri = "wrong_redirect_uri",
    /// A parameter of the authorization request is missing or not supported.
    Deny InvalidAuthorizationRequest = "invalid_authorization_request",
    /// The `resource` parameter names no configured resource.
    Deny InvalidTarget = "invalid_target",
    /// A requested scope is not supported.
    Deny InvalidScope = "invalid_scope",
    /// `state` and `redirect_uri` are too long for the login's cookie.
    Deny AuthorizationTooLong = "authorization_too_long",

    /// The user denied the client's request.
    Deny ConsentDenied = "consent_denied",
    /// The consent form was sent from a page of another origin.
    Deny ConsentCrossSite = "consent_cross_site",
    /// The consent form is larger than any that the gateway shows.
    Deny ConsentTooLarge = "consent_too_large",
    /// The consent form was not shown in this browser, or its cookies are gone.
    Deny ConsentCsrf = "consent_csrf",
    /// The consent page was open for more than 10 minutes.
    Deny ConsentExpired = "consent_expired",
    /// The consent form was changed.
    Deny ConsentMalformed = "consent_malformed",

    /// The parameters of the callback cannot be read.
    Deny MalformedCallback = "malformed_callback",
    /// The callback has no `state`.
    Deny CallbackWithoutState = "callback_without_state",
    /// The callback's login was not started in this browser, or its cookie is gone.
    Deny CallbackUnknownLogin = "callback_unknown_login",
    /// The user took longer than 10 minutes to log in at the identity provider.
    Deny CallbackExpired = "callback_expired",
    /// The callback's login was finished before.
    Deny CallbackStateReused = "callback_state_reused",
    /// The callback names another issuer (RFC 9207).
    Deny CallbackOtherIssuer = "callback_other_issuer",
    /// The callback has neither a code nor an error.
    Deny CallbackWithoutCode = "callback_without_code",
    /// More logins came from this address than `loginsPerMinute` allows.
    Deny LoginRate = "login_rate",
    /// The client's registration ended while the user logged in.
    Deny ClientGone = "client_gone",
    /// The identity provider answered `access_denied`.
    Deny ProviderDenied = "provider_denied",
    /// The identity provider answered `temporarily_unavailable`.
    Deny ProviderUnavailable = "provider_unavailable",
    /// The identity provider answered another error than these two.
    Deny ProviderRefused = "provider_refused",
    /// The identity provider cannot be reached, or answers with an outage.
    Deny ProviderUnreachable = "provider_unreachable",
    /// The identity provider does not accept its own authorization code.
    Deny ProviderRefusedCode = "provider_refused_code",
    /// The identity provider refuses the token request as such.
    Deny ProviderRefusedRequest = "provider_refused_request",
    /// The identity provider takes no client authentication that the gateway has.
    Deny ProviderClientAuthentication = "provider_client_authentication",
    /// The identity provider does not accept the gateway's client id or secret, or an endpoint of
    /// it has no cluster.
    Deny ProviderMisconfigured = "provider_misconfigured",
    /// The identity provider's answer or ID token is not valid.
    Deny ProviderNotUnderstood = "provider_not_understood",

    /// The body of the token request is larger than 16 KiB.
    Deny BodyTooLarge = "body_too_large",
    /// The token request cannot be read, lacks a parameter, or is for another grant.
    Deny MalformedTokenRequest = "malformed_token_request",
    /// The client authenticated, and is registered as a public one.
    Deny ClientAuthenticated = "client_authenticated",
    /// The client id of a token request is a URL that is not, or no longer, accepted.
    Deny ClientDocumentNotAccepted = "client_document_not_accepted",
    /// The authorization code was not issued by this gateway.
    Deny CodeForged = "code_forged",
    /// The authorization code has expired, or its session has ended.
    Deny CodeExpired = "code_expired",
    /// The authorization code was used before; its session was ended.
    Deny CodeReplayed = "code_replayed",
    /// The authorization code is another client's; its session was ended.
    Deny CodeOtherClient = "code_other_client",
    /// The `redirect_uri` is not the one of the authorization request; the session was ended.
    Deny CodeOtherRedirect = "code_other_redirect",
    /// The `code_verifier` does not meet the `code_challenge`; the session was ended.
    Deny CodeWrongVerifier = "code_wrong_verifier",
    /// The `resource` is not the one of the authorization request; the session was ended.
    Deny CodeOtherResource = "code_other_resource",
    /// The refresh token was not issued by this gateway.
    Deny RefreshTokenForged = "refresh_token_forged",
    /// The refresh token was used before; its session was ended.
    Deny RefreshTokenReplayed = "refresh_token_replayed",
    /// The session of the refresh token has ended, or its record cannot be opened.
    Deny RefreshSessionEnded = "refresh_session_ended",
    /// The session's record is older than the refresh token: the store was rolled back.
    Deny RefreshSessionRolledBack = "refresh_session_rolled_back",
    /// The login at the identity provider has ended, so the session was ended.
    Deny RefreshUpstreamEnded = "refresh_upstream_ended",
    /// The client is registered without refresh tokens.
    Deny RefreshNotGranted = "refresh_not_granted",
    /// The refresh token is another client's.
    Deny RefreshOtherClient = "refresh_other_client",
    /// The login was for another resource.
    Deny RefreshOtherResource = "refresh_other_resource",
    /// A scope is asked for that was not granted at login.
    Deny RefreshWiderScope = "refresh_wider_scope",

    /// The client metadata of a registration is not acceptable.
    Deny InvalidRegistration = "invalid_registration",
    /// The body of a registration is larger than 64 KiB.
    Deny RegistrationTooLarge = "registration_too_large",
    /// A limit of `registration` was reached.
    Deny RegistrationRate = "registration_rate",
    /// Registration is turned off.
    Deny RegistrationOff = "registration_off",

    /// The store does not answer.
    Fail StoreUnavailable = "store_unavailable",
    /// Other requests changed the same session eight times in a row.
    Fail Contention = "contention",
    /// The bridge has no `fetch` section, or Envoy no such cluster: no metadata document is fetched.
    Fail ClientDocumentsNotFetched = "client_documents_not_fetched",
    /// The system's random generator failed.
    Fail EntropyUnavailable = "entropy_unavailable",
    /// Envoy did not sign a token.
    Fail SignerUnavailable = "signer_unavailable",
    /// The identity provider did not renew the upstream token in time.
    Fail UpstreamUnavailable = "upstream_unavailable",
    /// The worker holds as many paused requests as it may.
    Fail TooManyWaiting = "too_many_waiting",
    /// The worker needed the memory that a request held which waited for its body.
    Fail BodyWaitEvicted = "body_wait_evicted",
    /// The request has more headers than the filter reads.
    Fail TooManyHeaders = "too_many_headers",
    /// Envoy did not change the headers of a request, so it was not sent on.
    Fail HeadersNotChanged = "headers_not_changed",
    /// The bridge's secrets are not there yet, or were refused.
    Fail NotReady = "not_ready",
    /// A step failed that cannot: please report it.
    Fail Internal = "internal_error",
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_reason_has_a_word_and_a_meaning_of_its_own() {
        let words: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        let meanings: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.meaning()).collect();
        assert_eq!((words.len(), meanings.len()), (Reason::ALL.len(), Reason::ALL.len()));
        let is_word = |word: &str| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        assert!(words.iter().all(|word| !word.is_empty() && is_word(word)));
    }
}
