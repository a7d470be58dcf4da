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
    /// A user has logged in at one identity provider, and is redirected to the next one.
    Serve LoginContinued = "login_continued",
    /// A redirect to the client, with its authorization code.
    Serve LoggedIn = "logged_in",
    /// A redirect to the client, with its authorization code, after a login at which the user also
    /// connected the provider that the resource needs.
    Serve LoggedInConnected = "logged_in_connected",
    /// The same, but the user did not connect the provider, or it failed.
    Serve LoggedInNotConnected = "logged_in_not_connected",
    /// The page on which a user connects providers, or the choice of where to sign in for it.
    Serve ConnectionsShown = "connections_shown",
    /// A redirect to the identity provider, to sign in for the page of connections.
    Serve ConnectionsSignIn = "connections_sign_in",
    /// A user signed in for the page of connections.
    Serve ConnectionsSignedIn = "connections_signed_in",
    /// A redirect to the provider that a user connects.
    Serve ConnectionStarted = "connection_started",
    /// A user connected a provider.
    Serve Connected = "connected",
    /// A user disconnected a provider.
    Serve Disconnected = "disconnected",
    /// A client registered itself.
    Serve ClientRegistered = "client_registered",
    /// The token endpoint issued tokens.
    Serve TokensIssued = "tokens_issued",
    /// A client revoked a token; its session was ended.
    Serve TokenRevoked = "token_revoked",
    /// A client revoked what is no valid token here, or is one of a session that has ended.
    Serve NothingRevoked = "nothing_revoked",

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
    /// The bearer token is not a signed JWT: an opaque one, such as another server's.
    Deny TokenMalformed = "token_malformed",
    /// The header of the token cannot be read.
    Deny TokenMalformedHeader = "token_malformed_header",
    /// The `alg` of the token is not one that the gateway accepts (RFC 8725 §3.1).
    Deny TokenUnsupportedAlgorithm = "token_unsupported_algorithm",
    /// The header of the token has a member that must not be there: an extension (`crit`), or a key
    /// that the token brings (`jwk`, `jku`, `x5u`, `x5c`).
    Deny TokenForbiddenHeader = "token_forbidden_header",
    /// The token's `kid` is of no configured key: another server's token, or the key was removed.
    Deny TokenUnknownKey = "token_unknown_key",
    /// The token's signature is not its key's.
    Deny TokenBadSignature = "token_bad_signature",
    /// The token is signed, and what is signed is not a JSON object.
    Deny TokenNotClaims = "token_not_claims",
    /// The token is signed, and lacks a claim that access tokens have.
    Deny TokenLacksClaim = "token_lacks_claim",
    /// The token is signed, and a claim has another type or range than it has in access tokens.
    Deny TokenMalformedClaim = "token_malformed_claim",
    /// The token has expired.
    Deny TokenExpired = "token_expired",
    /// The token is not valid yet: the clocks of two gateways differ by more than 30 seconds, or
    /// that of a trusted issuer by more than its `leeway`.
    Deny TokenNotYetValid = "token_not_yet_valid",
    /// The token is another issuer's.
    Deny TokenWrongIssuer = "token_wrong_issuer",
    /// The token is for another resource.
    Deny TokenWrongAudience = "token_wrong_audience",
    /// The token is signed by this gateway, and is not an access token.
    Deny TokenWrongType = "token_wrong_type",
    /// The token's issuer is neither this gateway nor one of `trustedIssuers`.
    Deny TokenUntrustedIssuer = "token_untrusted_issuer",
    /// The token's issuer is known, and not in the `issuers` of the resource.
    Deny TokenIssuerNotOfResource = "token_issuer_not_of_resource",
    /// The `alg` of a trusted issuer's token is not in the issuer's `algorithms`.
    Deny TokenAlgorithmNotAllowed = "token_algorithm_not_allowed",
    /// The `typ` of another issuer's token is neither that of an access token nor `JWT`.
    Deny TokenForeignType = "token_foreign_type",
    /// The token's `kid` is not in the key set of its trusted issuer, which was fetched less than
    /// 30 seconds ago.
    Deny TokenUnknownIssuerKey = "token_unknown_issuer_key",
    /// The token of a trusted issuer has none of the issuer's `audiences`.
    Deny TokenForeignAudience = "token_foreign_audience",
    /// The subject of the token is not in its issuer's `allowedSubjects`.
    Deny TokenSubjectNotAllowed = "token_subject_not_allowed",
    /// The session of the token has ended.
    Deny SessionEnded = "session_ended",
    /// The record of the token's session does not open: it was sealed under a secret that is gone,
    /// or was changed or moved.
    Deny SessionUnreadable = "session_unreadable",
    /// The code of the token's session is not redeemed yet: the store was rolled back.
    Deny SessionRolledBack = "session_rolled_back",
    /// The token has another user, client or resource than its session: its key signed it, and not
    /// this gateway.
    Deny SessionOfAnother = "session_of_another",
    /// The token lacks a scope that the resource needs.
    Deny InsufficientScope = "insufficient_scope",
    /// The login at the identity provider has ended, so the client has to authorize again.
    Deny UpstreamLoginRequired = "upstream_login_required",
    /// The resource needs a token of a provider that the user is not logged in at by this session.
    Deny UpstreamNotConnected = "upstream_not_connected",
    /// The authorization server of the backend does not exchange the user's token for one of its
    /// own, and a login would not change that.
    Deny ExchangeRefused = "exchange_refused",
    /// The resource needs a provider that the user has not connected: an MCP client was given the
    /// address of the page to open.
    Deny ConnectionRequested = "connection_requested",
    /// The same, and the client has to log in again; that login goes to the provider, too.
    Deny ConnectionLoginRequired = "connection_login_required",

    /// The parameters of the authorization request cannot be read.
    Deny MalformedRequest = "malformed_request",
    /// The authorization request names no client.
    Deny NoClientNamed = "no_client_named",
    /// The authorization request has two `client_id`.
    Deny RepeatedClientId = "repeated_client_id",
    /// The authorization request has two `redirect_uri`.
    Deny RepeatedRedirectUri = "repeated_redirect_uri",
    /// The `client_id` is not one of this gateway, or an operator deleted the client.
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
    /// The authorization request has a parameter twice (RFC 6749 §3.1).
    Deny RepeatedParameter = "repeated_parameter",
    /// The authorization request has two `resource`: one token is for one resource.
    Deny RepeatedResource = "repeated_resource",
    /// The authorization request has a `request` (RFC 9101).
    Deny RequestObject = "request_object",
    /// The authorization request has a `request_uri` (RFC 9101), which is never fetched.
    Deny RequestUri = "request_uri",
    /// The `response_type` is not `code`.
    Deny UnsupportedResponseType = "unsupported_response_type",
    /// The `response_mode` is not `query`.
    Deny UnsupportedResponseMode = "unsupported_response_mode",
    /// The client's `state` is longer than 4096 bytes or has control characters.
    Deny MalformedState = "malformed_state",
    /// The client sent no PKCE challenge with the method `S256`.
    Deny InvalidCodeChallenge = "invalid_code_challenge",
    /// The `scope` of the authorization request is not a list of scopes.
    Deny MalformedScope = "malformed_scope",
    /// The `resource` of the authorization request is not a resource's URI (RFC 8707 §2).
    Deny MalformedResource = "malformed_resource",
    /// `prompt` is `none` together with another value.
    Deny ContradictoryPrompt = "contradictory_prompt",
    /// `prompt` is `none`, and the gateway never authorizes without a page.
    Deny PromptNone = "prompt_none",
    /// The `resource` parameter names no configured resource.
    Deny InvalidTarget = "invalid_target",
    /// The authorization request names no `resource`, and several are configured.
    Deny NoResourceNamed = "no_resource_named",
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
    /// The consent form's CSRF token is not of this form and this browser.
    Deny ConsentCsrf = "consent_csrf",
    /// The consent form was not shown in this browser, or its cookie is gone.
    Deny ConsentOtherBrowser = "consent_other_browser",
    /// The consent form's transaction was not sealed by this gateway.
    Deny ConsentForged = "consent_forged",
    /// The consent page was open for more than 10 minutes.
    Deny ConsentExpired = "consent_expired",
    /// The consent form was not sent as a form.
    Deny ConsentContentType = "consent_content_type",
    /// The consent form cannot be read.
    Deny ConsentMalformed = "consent_malformed",
    /// The consent form lacks a field of the gateway's page, or has it twice.
    Deny ConsentIncomplete = "consent_incomplete",
    /// The consent form's decision is neither `approve` nor `deny`.
    Deny ConsentUnknownDecision = "consent_unknown_decision",
    /// The consent form names a provider that users have not the choice of, or no longer have.
    Deny ConsentUnknownProvider = "consent_unknown_provider",
    /// The consent form was approved without a provider, and users have the choice of several.
    Deny ConsentWithoutProvider = "consent_without_provider",

    /// The page of connections was asked for with parameters, or sent a form, that cannot be read.
    Deny ConnectionsMalformed = "connections_malformed",
    /// The page of connections was asked for with a parameter twice.
    Deny ConnectionsRepeatedParameter = "connections_repeated_parameter",
    /// No provider of the configuration can be connected.
    Deny ConnectionsNone = "connections_none",
    /// The user cannot connect a provider of this name.
    Deny ConnectionsUnknownProvider = "connections_unknown_provider",
    /// A form of the page of connections came from another site.
    Deny ConnectionsCrossSite = "connections_cross_site",
    /// A form of the page of connections is too large.
    Deny ConnectionsTooLarge = "connections_too_large",
    /// A form of the page of connections was not sent as one.
    Deny ConnectionsContentType = "connections_content_type",
    /// A form of the page of connections lacks a field, or has it twice.
    Deny ConnectionsIncomplete = "connections_incomplete",
    /// A form of the page of connections asks for neither of its actions.
    Deny ConnectionsUnknownAction = "connections_unknown_action",
    /// A form of the page of connections came from a browser without its cookie.
    Deny ConnectionsSignedOut = "connections_signed_out",
    /// The CSRF token is not that of the page of connections of this browser's user.
    Deny ConnectionsCsrf = "connections_csrf",
    /// A form of the page of connections was open for longer than ten minutes.
    Deny ConnectionsExpired = "connections_expired",
    /// Another user signed in to the browser while one was connecting a provider.
    Deny ConnectionOtherUser = "connection_other_user",

    /// The parameters of the callback cannot be read.
    Deny MalformedCallback = "malformed_callback",
    /// The callback has a parameter twice.
    Deny CallbackRepeatedParameter = "callback_repeated_parameter",
    /// The callback has no `state`.
    Deny CallbackWithoutState = "callback_without_state",
    /// The callback's login was not started in this browser, or its cookie is gone.
    Deny CallbackUnknownLogin = "callback_unknown_login",
    /// The callback's login has a consent page that was not answered.
    Deny CallbackWithoutConsent = "callback_without_consent",
    /// The user took longer than 10 minutes to log in at the identity provider.
    Deny CallbackExpired = "callback_expired",
    /// The callback's login was finished before.
    Deny CallbackStateReused = "callback_state_reused",
    /// The configured providers of a login changed while the user logged in.
    Deny CallbackProvidersChanged = "callback_providers_changed",
    /// The tokens of the login's first provider are gone, before the user was back from the next.
    Deny CallbackFirstLegGone = "callback_first_leg_gone",
    /// The callback names another issuer (RFC 9207).
    Deny CallbackOtherIssuer = "callback_other_issuer",
    /// The callback has neither a code nor an error.
    Deny CallbackWithoutCode = "callback_without_code",
    /// The code in the callback is another login's: the nonce of its ID token differs.
    Deny CallbackOtherLogin = "callback_other_login",
    /// The user is of an organization whose users may not log in (`allowedTenants`).
    Deny LoginOtherTenant = "login_other_tenant",
    /// The user is none of those who may log in (`users`).
    Deny LoginUserNotAllowed = "login_user_not_allowed",
    /// More logins came from this address than `loginsPerMinute` allows.
    Deny LoginRate = "login_rate",
    /// An operator deleted the client, or closed registration, while the user logged in.
    Deny ClientGone = "client_gone",
    /// The identity provider sent the browser back with `access_denied`.
    Deny ProviderDenied = "provider_denied",
    /// The identity provider sent the browser back with `temporarily_unavailable`.
    Deny ProviderUnavailable = "provider_unavailable",
    /// The identity provider sent the browser back with `server_error`.
    Deny ProviderFailure = "provider_failure",
    /// The identity provider sent the browser back with an error about the gateway's request, such
    /// as `invalid_scope` or `unauthorized_client`: check `scopes` and the client there.
    Deny ProviderRefusedAuthorization = "provider_refused_authorization",
    /// The identity provider sent the browser back with an error about what the user has to do
    /// there, such as `login_required` or `consent_required`.
    Deny ProviderNeedsUser = "provider_needs_user",
    /// The identity provider sent the browser back with an error that the gateway does not know.
    Deny ProviderUnknownRefusal = "provider_unknown_refusal",
    /// The identity provider does not accept its own authorization code.
    Deny ProviderRefusedCode = "provider_refused_code",

    /// The body of the token request is larger than 16 KiB.
    Deny BodyTooLarge = "body_too_large",
    /// The body of the token request is not `application/x-www-form-urlencoded`.
    Deny TokenRequestContentType = "token_request_content_type",
    /// The token request has parameters in its URL (RFC 6749 §3.2).
    Deny TokenRequestInUrl = "token_request_in_url",
    /// The parameters of the token request cannot be read.
    Deny MalformedTokenRequest = "malformed_token_request",
    /// The token request has a parameter twice (RFC 6749 §3.2).
    Deny TokenRequestRepeatedParameter = "token_request_repeated_parameter",
    /// The token request has two `resource`: one token is for one resource.
    Deny TokenRequestRepeatedResource = "token_request_repeated_resource",
    /// The token request lacks a parameter that its grant needs.
    Deny TokenRequestLacksParameter = "token_request_lacks_parameter",
    /// A token request names one client in its header and another in its body.
    Deny TokenRequestSeveralClients = "token_request_several_clients",
    /// The `grant_type` is neither `authorization_code` nor `refresh_token`.
    Deny UnsupportedGrantType = "unsupported_grant_type",
    /// The `code_verifier` is absent or cannot match any challenge (RFC 7636 §4.6).
    Deny TokenRequestVerifier = "token_request_verifier",
    /// The `scope` of the token request is not a list of scopes.
    Deny TokenRequestScope = "token_request_scope",
    /// The `resource` of the token request is not a resource's URI (RFC 8707 §2).
    Deny TokenRequestResource = "token_request_resource",
    /// The client authenticated, and is registered as a public one.
    Deny ClientAuthenticated = "client_authenticated",
    /// The client id of a token request is a URL that is not, or no longer, accepted.
    Deny ClientDocumentNotAccepted = "client_document_not_accepted",
    /// The authorization code was not issued by this gateway.
    Deny CodeForged = "code_forged",
    /// The authorization code's session is not in the store: it expired or was ended.
    Deny CodeWithoutSession = "code_without_session",
    /// The record of the authorization code's session does not open: it was sealed under a secret
    /// that is gone, or was changed or moved.
    Deny CodeSessionUnreadable = "code_session_unreadable",
    /// The authorization code has expired, and its session is still in the store.
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
    /// The session of the refresh token has ended.
    Deny RefreshSessionEnded = "refresh_session_ended",
    /// The record of the refresh token's session does not open: it was sealed under a secret that
    /// is gone, or was changed or moved.
    Deny RefreshSessionUnreadable = "refresh_session_unreadable",
    /// The session's record is older than the refresh token: the store was rolled back.
    Deny RefreshSessionRolledBack = "refresh_session_rolled_back",
    /// The login at the identity provider has ended, so the session was ended.
    Deny RefreshUpstreamEnded = "refresh_upstream_ended",
    /// The user may not log in any more (`users`), so the session was ended.
    Deny RefreshUserNotAllowed = "refresh_user_not_allowed",
    /// The client is registered without refresh tokens.
    Deny RefreshNotGranted = "refresh_not_granted",
    /// The refresh token is another client's.
    Deny RefreshOtherClient = "refresh_other_client",
    /// The login was for another resource.
    Deny RefreshOtherResource = "refresh_other_resource",
    /// A scope is asked for that was not granted at login.
    Deny RefreshWiderScope = "refresh_wider_scope",

    /// The body of the revocation request is larger than 16 KiB.
    Deny RevocationTooLarge = "revocation_too_large",
    /// The body of the revocation request is not `application/x-www-form-urlencoded`.
    Deny RevocationContentType = "revocation_content_type",
    /// The revocation request has parameters in its URL.
    Deny RevocationInUrl = "revocation_in_url",
    /// The body of the revocation request cannot be read.
    Deny MalformedRevocation = "malformed_revocation",
    /// A parameter of the revocation request is repeated.
    Deny RevocationRepeatedParameter = "revocation_repeated_parameter",
    /// The revocation request has no token.
    Deny RevocationWithoutToken = "revocation_without_token",
    /// The revocation request names no client.
    Deny RevocationUnnamedClient = "revocation_unnamed_client",
    /// The revocation request names one client in its header and another in its body.
    Deny RevocationSeveralClients = "revocation_several_clients",
    /// The client that revokes is not known, or its registration has expired.
    Deny RevocationUnknownClient = "revocation_unknown_client",
    /// The client id of a revocation is a URL that is not, or no longer, accepted.
    Deny RevocationDocumentNotAccepted = "revocation_document_not_accepted",
    /// The client authenticated to revoke, and is registered as a public one.
    Deny RevocationClientAuthenticated = "revocation_client_authenticated",
    /// The token to revoke is another client's.
    Deny RevocationOtherClient = "revocation_other_client",

    /// The body of a registration is not `application/json`.
    Deny RegistrationContentType = "registration_content_type",
    /// The body of a registration is not one JSON object.
    Deny RegistrationNotJson = "registration_not_json",
    /// The `redirect_uris` of a registration are not an array of 1 to 10 texts.
    Deny RegistrationRedirectUris = "registration_redirect_uris",
    /// A redirect URI of a registration is of a kind that is refused.
    Deny RegistrationRedirectUri = "registration_redirect_uri",
    /// A field of a registration has the wrong JSON type.
    Deny RegistrationFieldType = "registration_field_type",
    /// A field of a registration is too long or has a character that is refused.
    Deny RegistrationFieldValue = "registration_field_value",
    /// The `token_endpoint_auth_method` of a registration cannot be replaced by `none`.
    Deny RegistrationAuthMethod = "registration_auth_method",
    /// The `grant_types` of a registration lack `authorization_code`.
    Deny RegistrationGrantTypes = "registration_grant_types",
    /// The `response_types` of a registration lack `code`.
    Deny RegistrationResponseTypes = "registration_response_types",
    /// The `scope` of a registration is not a list of scopes.
    Deny RegistrationMalformedScope = "registration_malformed_scope",
    /// The body of a registration is larger than 64 KiB.
    Deny RegistrationTooLarge = "registration_too_large",
    /// A registration does not fit into the `client_id` that carries it.
    Deny RegistrationTooLong = "registration_too_long",
    /// One address made more registrations in a minute than
    /// `clients.dynamicRegistration.ratePerMinute` allows.
    Deny RegistrationRate = "registration_rate",
    /// Registration is turned off.
    Deny RegistrationOff = "registration_off",

    /// The store does not answer.
    Fail StoreUnavailable = "store_unavailable",
    /// The store has no room for a record.
    Fail StoreFull = "store_full",
    /// A record is larger than the store takes.
    Fail RecordTooLarge = "record_too_large",
    /// Other requests changed the same session eight times in a row.
    Fail Contention = "contention",
    /// The bridge has no `fetch` section, or Envoy no such cluster: no metadata document is
    /// fetched.
    Fail ClientDocumentsNotFetched = "client_documents_not_fetched",
    /// The system's random generator failed.
    Fail EntropyUnavailable = "entropy_unavailable",
    /// Envoy did not sign a token.
    Fail SignerUnavailable = "signer_unavailable",
    /// The identity provider did not renew the upstream token in time.
    Fail UpstreamUnavailable = "upstream_unavailable",
    /// The provider ended what the user had connected while a call waited for it. The next call is
    /// answered as one without a connection.
    Fail ConnectionEnded = "connection_ended",
    /// There was no connection to the identity provider, or it broke.
    Fail ProviderUnreachable = "provider_unreachable",
    /// The identity provider did not answer within 5 seconds.
    Fail ProviderTimeout = "provider_timeout",
    /// The identity provider answered with a status that brings nothing: 5xx, or any but 200 for a
    /// document.
    Fail ProviderStatus = "provider_status",
    /// The identity provider answered that it is temporarily unavailable.
    Fail ProviderBusy = "provider_busy",
    /// Envoy has no cluster of the name that the provider's configuration gives.
    Fail ProviderWithoutCluster = "provider_without_cluster",
    /// Envoy does not trust the identity provider's certificate, or the TLS handshake fails in
    /// another way.
    Fail ProviderTls = "provider_tls",
    /// The discovery document names an endpoint at a host that is not in the provider's `clusters`.
    Fail ProviderEndpointWithoutCluster = "provider_endpoint_without_cluster",
    /// The discovery document names another issuer than the configured one.
    Fail ProviderWrongIssuer = "provider_wrong_issuer",
    /// The identity provider answered something else than JSON, such as HTML.
    Fail ProviderNotJson = "provider_not_json",
    /// The identity provider's discovery document or keys cannot be used.
    Fail ProviderInvalidDocuments = "provider_invalid_documents",
    /// The identity provider's token endpoint answered something that cannot be used.
    Fail ProviderInvalidAnswer = "provider_invalid_answer",
    /// The identity provider's ID token is missing, or is not valid for this login.
    Fail ProviderInvalidIdToken = "provider_invalid_id_token",
    /// The identity provider does not say who logged in, or by nothing that names an account.
    Fail ProviderInvalidUserInfo = "provider_invalid_user_info",
    /// The identity provider does not accept the gateway's client id or secret.
    Fail ProviderRefusedClient = "provider_refused_client",
    /// The identity provider refuses the token request as such.
    Fail ProviderRefusedRequest = "provider_refused_request",
    /// The identity provider takes no client authentication that the gateway has.
    Fail ProviderClientAuthentication = "provider_client_authentication",
    /// The keys of a trusted issuer could not be fetched yet.
    Fail IssuerKeysUnavailable = "issuer_keys_unavailable",
    /// The keys of a trusted issuer are older than its `maxKeyAge`, and cannot be fetched again.
    Fail IssuerKeysExpired = "issuer_keys_expired",
    /// The worker holds as many paused requests as it may.
    Fail TooManyWaiting = "too_many_waiting",
    /// The worker needed the memory that a request held which waited for its body.
    Fail BodyWaitEvicted = "body_wait_evicted",
    /// The request has more headers than the filter reads.
    Fail TooManyHeaders = "too_many_headers",
    /// The bridge's secrets are not there yet, or were refused.
    Fail NotReady = "not_ready",
    /// A step failed that cannot: please report it.
    Fail Internal = "internal_error",
}

#[cfg(test)]
#[path = "reason_tests.rs"]
mod reason_tests;
