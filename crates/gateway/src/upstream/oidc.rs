//! A provider as an OpenID Connect client sees it: discovery, keys, the authorization request, the
//! token endpoint, the ID token.
//!
//! What the provider says is trusted only as far as it is checked: its documents must name the
//! configured issuer, its endpoints must lie at authorities that the configuration knows a cluster
//! for, its answers must be the JSON they claim.

use std::borrow::Cow;
use std::rc::Rc;

use portcullis_protocol::crypto::secret::Secret;
use portcullis_protocol::jose::foreign::ForeignTokenError;
use portcullis_protocol::jose::id_token::{ExpectedIdToken, IdToken};
use portcullis_protocol::jose::keys::{JwkSet, PublicKey};
use portcullis_protocol::oauth::params;

use crate::browser::pending_login::Seed;
use crate::config::{OidcProvider, ProviderId, TokenMembers};
use crate::ports::Ports;
use crate::state::document_state::DocumentState;
use crate::state::gateway::Gateway;
use crate::upstream::authorization_request::{callback_url, further_parameters};
use crate::upstream::discovery::{Discovery, Known, fetch_documents};
use crate::upstream::endpoint::{Document, Target};
use crate::upstream::identity::TokenReply;
use crate::upstream::profile::{LoggedIn, Profile};
use crate::upstream::provider_error::ProviderError;
use crate::upstream::token_endpoint::TokenEndpoint;
use crate::upstream::user_info::UserInfo;

/// The claim with the tenant of a user, at a provider that is many.
const TENANT: &str = "tid";

/// How far the provider's clock may be from ours, in seconds.
const LEEWAY: u64 = 60;

/// An OpenID Connect provider of a gateway.
pub(super) struct Oidc<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) name: &'a str,
    pub(super) id: ProviderId,
    pub(super) settings: &'a OidcProvider,
}

impl Oidc<'_> {
    /// Fetches the provider's documents when they are due, so that no login has to wait for them.
    pub(super) async fn warm<P: Ports>(&self, ports: &P) {
        if self.state(|state| state.is_due(ports.now())) {
            // A failure is remembered by `learn` itself; the next login or tick tries again.
            let _known = self.learn(ports).await;
        }
    }

    /// Fetches the provider's documents where they are not known.
    ///
    /// # Errors
    /// [`ProviderError`]: why they could not be fetched.
    pub(super) async fn prepare<P: Ports>(&self, ports: &P) -> Result<(), ProviderError> {
        self.discovery(ports).await.map(drop)
    }

    /// Returns where to send a browser to log in (OIDC Core §3.1.2.1); `prompt` replaces the
    /// configured one.
    ///
    /// # Errors
    /// [`ProviderError`] while the provider's documents are not known: why they could not be
    /// fetched.
    pub(super) fn authorization_url(&self, seed: &Seed, prompt: Option<&str>) -> Result<String, ProviderError> {
        let settings = self.settings;
        let discovery = self.state(|state| state.known().map(|known| Rc::clone(&known.discovery)))?;
        let client = &settings.client;
        let redirect_uri = callback_url(self.gateway);
        let (state, nonce, challenge) = (seed.state(), seed.nonce(), seed.verifier().challenge().to_string());
        let mut query = vec![
            ("response_type", "code"),
            ("client_id", &client.client_id),
            ("redirect_uri", &redirect_uri),
            ("scope", &client.scope),
            ("state", &state),
            ("nonce", &nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        query.extend(further_parameters(client, prompt));
        Ok(params::append_query(&discovery.authorization_endpoint, &query))
    }

    /// Redeems the provider's code (OIDC Core §3.1.3.1) and verifies who logged in.
    ///
    /// # Errors
    /// [`ProviderError`].
    pub(super) async fn log_in<P: Ports>(&self, seed: &Seed, code: &str, ports: &P) -> Result<LoggedIn, ProviderError> {
        let redirect_uri = callback_url(self.gateway);
        let discovery = self.discovery(ports).await?;
        let tokens = self.token_endpoint(&discovery).redeem(code, (&redirect_uri, seed), ports).await?.tokens;
        let keys = self.keys(ports).await?;
        let verified = self.verify_id_token(&tokens, &keys, &seed.nonce(), ports).await;
        if let Err(error @ (ProviderError::InvalidIdToken(_) | ProviderError::OtherLogin)) = &verified {
            ports.provider_failed(error.failure(self.name, &self.settings.issuer));
        }
        let Verified { subject, sub, mut profile } = verified?;
        if let Some(target) = discovery.user_info.as_ref().filter(|_| profile.has_gaps()) {
            let asked = self.ask_user_info(target, &tokens.access_token, &sub, ports).await;
            if let Err(error) = &asked {
                ports.provider_failed(error.failure(self.name, &target.url(&self.settings.client)));
            }
            profile.fill(asked?);
        }
        Ok(LoggedIn { tokens, subject, profile })
    }

    /// Exchanges a refresh token (RFC 6749 §6), and returns what an ID token in the answer says of
    /// the user. It must be about the same `subject` (OIDC Core §12.2).
    ///
    /// # Errors
    /// [`ProviderError`]; an answer about another user ends the grant.
    pub(super) async fn refresh<P: Ports>(
        &self,
        refresh_token: &Secret<String>,
        subject: &str,
        ports: &P,
    ) -> Result<(TokenReply, Profile), ProviderError> {
        let discovery = self.discovery(ports).await?;
        let tokens = self.token_endpoint(&discovery).refresh(refresh_token, ports).await?.tokens;
        match tokens.id_token.as_ref().map(|id_token| about(id_token.expose(), self.settings, subject)) {
            Some(Err(error)) => {
                let error = ProviderError::InvalidIdToken(error.reason());
                ports.provider_failed(error.failure(self.name, &self.settings.issuer));
                Err(ProviderError::GrantEnded { prompt: None })
            }
            Some(Ok(profile)) => Ok((tokens, profile)),
            None => Ok((tokens, Profile::default())),
        }
    }

    /// Asks the userinfo endpoint what else it says of the user (OIDC Core §5.3).
    async fn ask_user_info<P: Ports>(
        &self,
        target: &Target,
        access_token: &Secret<String>,
        sub: &str,
        ports: &P,
    ) -> Result<Profile, ProviderError> {
        let reply = UserInfo { target, method: "GET", headers: &[] }.ask(access_token, ports).await?;
        let groups = &self.settings.groups_claim;
        let claims = Profile::claims(groups);
        let claims = Document::UserInfo.members(&reply, &needed(&claims, "sub"))?;
        // OIDC Core §5.3.2: otherwise it is another user's.
        if claims.text("sub").is_some_and(|told| told == sub) {
            Ok(Profile::of_claims(&claims, groups))
        } else {
            let reason = "the userinfo answer's `sub` is not that of the ID token";
            Err(ProviderError::InvalidUserInfo(reason))
        }
    }

    /// Verifies an ID token (OIDC Core §3.1.3.7), and returns whom it names. A key id that is not
    /// known makes the keys be fetched again, at most once in a while.
    async fn verify_id_token<P: Ports>(
        &self,
        reply: &TokenReply,
        keys: &JwkSet,
        nonce: &str,
        ports: &P,
    ) -> Result<Verified, ProviderError> {
        let absent = "the provider gave no ID token; it gives one for the scope `openid`";
        let id_token = reply.id_token.as_ref().ok_or(ProviderError::InvalidIdToken(absent))?;
        let token = IdToken::parse(id_token.expose()).map_err(refused)?;
        let subject_claim = self.settings.subject_claim.as_str();
        let groups = &self.settings.groups_claim;
        let names = Profile::claims(groups);
        let names = [needed(&names, subject_claim).as_slice(), &[TENANT]].concat();
        let (tenants, claimed) = (self.settings.tenants.as_ref(), token.claimed_issuer().unwrap_or_default());
        let may_sign = |key: &PublicKey| {
            let of_tenant = tenants.zip(key.issuer());
            of_tenant.is_none_or(|(tenants, issuer)| tenants.is_key_of(issuer, &claimed))
        };
        let verify = |keys: &JwkSet| {
            token.verify(keys, &names, |key, alg, message, signature| {
                may_sign(key) && ports.verify(key, alg, message, signature)
            })
        };
        let signed = match verify(keys) {
            Err(ForeignTokenError::UnknownKey) if self.state(|state| state.may_ask_again(ports.now())) => {
                verify(&self.learn(ports).await?.keys)
            }
            other => other,
        };
        let signed = signed.map_err(refused)?;
        let tenant = tenants.map(|_| signed.claims().text(TENANT).map(Cow::into_owned).unwrap_or_default());
        let issuer = match tenants.zip(tenant.as_deref()) {
            Some((tenants, tenant)) => Cow::Owned(tenants.issuer_of(tenant).ok_or(ProviderError::OtherTenant)?),
            None => Cow::Borrowed(self.settings.issuer.as_str()),
        };
        let client_id = &self.settings.client.client_id;
        let expected = ExpectedIdToken { issuer: &issuer, client_id, nonce, leeway: LEEWAY };
        let verified = signed.accept(&expected, ports.now()).map_err(refused)?;
        let unnamed = "the ID token's `subjectClaim` is absent, or not a string of 1 to 255 bytes";
        let subject = verified.name(subject_claim).ok_or(ProviderError::InvalidIdToken(unnamed))?;
        let subject = match tenant {
            // Tenants may give the same name to different users.
            Some(tenant) => format!("{tenant}:{subject}"),
            None => subject,
        };
        let sub = verified.name("sub").unwrap_or_default();
        Ok(Verified { subject, sub, profile: Profile::of_claims(verified.claims(), groups) })
    }

    fn state<T>(&self, access: impl FnOnce(&mut DocumentState<Known>) -> T) -> T {
        self.gateway.provider_state(self.id, access)
    }

    async fn discovery<P: Ports>(&self, ports: &P) -> Result<Rc<Discovery>, ProviderError> {
        match self.state(|state| state.known.as_ref().map(|known| Rc::clone(&known.discovery))) {
            Some(discovery) => Ok(discovery),
            None => Ok(self.learn(ports).await?.discovery),
        }
    }

    async fn keys<P: Ports>(&self, ports: &P) -> Result<Rc<JwkSet>, ProviderError> {
        match self.state(|state| state.known.as_ref().map(|known| Rc::clone(&known.keys))) {
            Some(keys) => Ok(keys),
            None => Ok(self.learn(ports).await?.keys),
        }
    }

    /// Fetches the discovery document and the keys, unless that has just failed. What was known
    /// before stays in use.
    async fn learn<P: Ports>(&self, ports: &P) -> Result<Known, ProviderError> {
        let now = ports.now();
        if let Some(error) = self.state(|state| state.just_failed(now).cloned()) {
            return Err(error);
        }
        self.state(|state| state.asked_at = Some(now));
        match fetch_documents(self.settings, ports).await {
            Ok(known) => {
                ports.provider_answered(self.name);
                self.state(|state| (state.known, state.failed) = (Some(known.clone()), None));
                Ok(known)
            }
            Err((url, error)) => {
                ports.provider_failed(error.failure(self.name, &url));
                self.state(|state| state.failed = Some((ports.now(), error.clone())));
                Err(error)
            }
        }
    }

    fn token_endpoint<'d>(&'d self, discovery: &'d Discovery) -> TokenEndpoint<'d> {
        TokenEndpoint {
            provider: self.name,
            client: &self.settings.client,
            target: &discovery.token,
            authentication: discovery.authentication,
            members: &TokenMembers::Standard,
            issuer: Some(&self.settings.issuer),
            usual_audience: self.settings.assertion_audience,
        }
    }
}

/// The user who logged in, as an ID token has it.
struct Verified {
    subject: String,
    /// The claim of this name, whichever names the user.
    sub: String,
    profile: Profile,
}

/// The claims to read, each once.
fn needed<'a>(profile: &[&'a str], subject: &'a str) -> Vec<&'a str> {
    let mut names = vec![subject];
    for name in profile {
        if !names.contains(name) {
            names.push(name);
        }
    }
    names
}

fn refused(error: ForeignTokenError) -> ProviderError {
    if error == ForeignTokenError::WrongNonce {
        ProviderError::OtherLogin
    } else {
        ProviderError::InvalidIdToken(error.reason())
    }
}

/// Returns what an ID token says of the user that came with a refresh, and must be about this one.
fn about(id_token: &str, provider: &OidcProvider, subject: &str) -> Result<Profile, ForeignTokenError> {
    let (token, groups) = (IdToken::parse(id_token)?, &provider.groups_claim);
    let (issuer, subject) = match &provider.tenants {
        Some(tenants) => {
            let (tenant, subject) = subject.split_once(':').ok_or(ForeignTokenError::WrongSubject)?;
            (Cow::Owned(tenants.issuer_of(tenant).ok_or(ForeignTokenError::WrongIssuer)?), subject)
        }
        None => (Cow::Borrowed(provider.issuer.as_str()), subject),
    };
    let user = (provider.subject_claim.as_str(), subject);
    let names = Profile::claims(groups);
    let claims = token.about(&issuer, &provider.client.client_id, user, &names)?;
    Ok(Profile::of_claims(&claims, groups))
}
