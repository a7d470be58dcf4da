//! Sealed values of every layout that was ever released: they still open, and read to what was
//! written.
//!
//! `testdata/records/<layout>` has one file for each type of value, base64url text. A change of
//! what the gateway writes is a new layout: raise [`LAYOUT`], run the test with `UPDATE=1`, which
//! adds the folder and never changes one, and say in [`expected`] what the values of the older
//! layouts read to now.

use std::fs;
use std::path::{Path, PathBuf};

use minicbor::Encode;
use portcullis_protocol::base64url;
use portcullis_protocol::credentials::{SealedClientId, SessionId, UserId};
use portcullis_protocol::crypto::key_ring::KeyRing;
use portcullis_protocol::crypto::secret::Secret;
use portcullis_protocol::oauth::scope::GrantedScope;
use portcullis_storage_api::wire::Space;
use portcullis_storage_api::{Key, Kind};

use crate::browser::cookies::Browser;
use crate::browser::pending_login::{self, Authorization, DoneLegs, PendingLogin, Seed, UsedLogin};
use crate::browser::pending_visit::{self, Connect, PendingVisit, SignIn, VisitPurpose};
use crate::clients::registered::{Client, client_key};
use crate::clients::sealed_id::CarriedRegistration;
use crate::config::{ProviderId, Sealer};
use crate::endpoints::consent::Transaction;
use crate::ports::{Entropy, NoEntropy};
use crate::sessions::ended::{EndedSessions, Writer, list_key};
use crate::sessions::keys::{session_key, upstream_key};
use crate::sessions::last_grant::LastGrant;
use crate::sessions::next_prompt::NextPrompt;
use crate::sessions::remembered_consent::Consent;
use crate::sessions::state::{Generation, PendingCode, Predecessor, Session, State};
use crate::store::records::{self, Record};
use crate::upstream::connections::offer::{Asked, Offer};
use crate::upstream::tokens::{Connected, Upstream};

/// The layout that this release writes.
const LAYOUT: &str = "1";

#[test]
fn what_this_release_writes_is_checked_in_as_its_layout() {
    let folder = folder().join(LAYOUT);
    if !folder.exists() && std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(&folder).unwrap();
        for golden in written() {
            fs::write(file(&folder, golden.name), base64url::encode(&golden.sealed) + "\n").unwrap();
        }
    }
    for golden in written() {
        let hint = "the layout has changed: raise `LAYOUT` and run this test with `UPDATE=1`";
        assert!(read(&folder, golden.name).as_ref() == Some(&golden.sealed), "{}: {hint}", golden.name);
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), written().len());
}

#[test]
fn values_of_every_layout_open_and_read_to_what_was_written() {
    let mut layouts = 0;
    for folder in fs::read_dir(folder()).unwrap() {
        let folder = folder.unwrap().path();
        layouts += 1;
        for golden in expected(folder.file_name().unwrap().to_str().unwrap()) {
            let sealed = read(&folder, golden.name).unwrap();
            let read = (golden.reread)(&sealed).unwrap_or_else(|| panic!("{} {}", folder.display(), golden.name));
            assert!(read == golden.encoded, "{} {}", folder.display(), golden.name);
        }
    }
    assert!(layouts > 0);
}

/// What the values of a layout read to.
fn expected(layout: &str) -> Vec<Golden> {
    match layout {
        "1" => written(),
        unknown => panic!("testdata/records/{unknown}: no test says what these records read to"),
    }
}

/// A value, sealed and unsealed.
struct Golden {
    name: &'static str,
    sealed: Vec<u8>,
    encoded: Vec<u8>,
    reread: Box<Reread>,
}

/// Opens a sealed value and encodes what was read.
type Reread = dyn Fn(&[u8]) -> Option<Vec<u8>>;

/// Every type of value that this release writes, with every field.
fn written() -> Vec<Golden> {
    let session_id = SessionId::new([5; 16]);
    let session = session_key(session_id);
    let upstream = upstream_key(&session, ProviderId::of("corp", "https://idp.example"));
    let consent = Key { kind: Kind::Consent, id: [3; 32] };
    let code = State::Code(PendingCode {
        nonce: [2; 16],
        redirect_uri: REDIRECT.to_owned(),
        challenge: CHALLENGE.to_owned(),
        expires_at: 1_800_000_060,
    });
    let previous = Predecessor { number: 6, nonce: [3; 16], replaced_at: 1_800_000_003, unconfirmed: true };
    let active = State::Active(Generation { number: 7, nonce: [4; 16], previous: Some(previous) });
    let no_refresh = Upstream {
        refresh_token: None,
        expires_at: None,
        refused_since: None,
        session: [5; 16],
        name: None,
        email: None,
        groups: Vec::new(),
        email_verified: false,
        ..upstream_tokens()
    };
    vec![
        record("session-with-code", session, session_in(code)),
        record("session-with-generations", session, session_in(active)),
        record("upstream-tokens", upstream, upstream_tokens()),
        record("upstream-tokens-without-refresh", upstream, no_refresh),
        record("connection", upstream, connection()),
        record("connection-offer", consent, Offer { asked: Asked::Done, prompt: Some("consent".to_owned()) }),
        record("client", client_key("client"), client()),
        record("consent", consent, Consent { given_at: 1_800_000_004 }),
        record("next-prompt", consent, NextPrompt { prompt: "login".to_owned() }),
        record("ended-sessions", list_key(Writer::Gateway), ended_sessions()),
        record("last-grant", consent, LastGrant { session: [5; 16] }),
        record("used-login", Key { kind: Kind::Pending, id: [1; 32] }, UsedLogin),
        login_cookie("login-cookie-of-a-shown-page", None),
        login_cookie("login-cookie", Some(pending_login())),
        browser_cookie(),
        visit_cookie("visit-cookie-to-sign-in", VisitPurpose::SignIn(sign_in())),
        visit_cookie("visit-cookie-to-connect", VisitPurpose::Connect(Connect { user: user() })),
        consent_form(),
        client_id(),
    ]
}

fn record<R: Record + 'static>(name: &'static str, key: Key, record: R) -> Golden {
    Golden {
        name,
        sealed: records::seal(&sealer(), &key, &record, NONCE).unwrap(),
        encoded: encoded(&record),
        reread: Box::new(move |sealed| records::open::<R>(&sealer(), &key, sealed).map(|read| encoded(&read))),
    }
}

fn login_cookie(name: &'static str, login: Option<PendingLogin>) -> Golden {
    let state = seed().state();
    let encoded = |(seed, login): &(Seed, Option<PendingLogin>)| encoded(&(seed, login.as_ref()));
    let sealed = pending_login::seal(&seed(), login.as_ref(), &sealer(), NONCE).unwrap();
    Golden {
        name,
        sealed,
        encoded: encoded(&(seed(), login)),
        reread: Box::new(move |sealed| {
            pending_login::open(sealed.to_vec(), &sealer(), &state).map(|read| encoded(&read))
        }),
    }
}

fn browser_cookie() -> Golden {
    let browser = Browser {
        user_id: user(),
        chosen: Some(ProviderId::of("corp", "https://idp.example")),
        signed_in_at: 1_800_000_008,
        name: Some("name@example".to_owned()),
    };
    Golden {
        name: "browser-cookie",
        sealed: browser.seal(&sealer(), NONCE).unwrap(),
        encoded: encoded(&browser),
        reread: Box::new(|sealed| Browser::open(sealed.to_vec(), &sealer()).map(|read| encoded(&read))),
    }
}

fn sign_in() -> SignIn {
    SignIn { about: Some("github".to_owned()), is_chosen: true }
}

fn visit_cookie(name: &'static str, purpose: VisitPurpose) -> Golden {
    let visit = PendingVisit { purpose, provider: [7; 16], expires_at: 1_800_000_600 };
    let state = seed().state();
    let read = |(seed, visit): (Seed, PendingVisit)| encoded(&(&seed, &visit));
    Golden {
        name,
        sealed: pending_visit::seal(&seed(), &visit, &sealer(), NONCE).unwrap(),
        encoded: read((seed(), visit)),
        reread: Box::new(move |sealed| pending_visit::open(sealed.to_vec(), &sealer(), &state).map(read)),
    }
}

fn consent_form() -> Golden {
    let form = Transaction { seed: seed(), request: authorization(), shown_at: 1_800_000_005 };
    Golden {
        name: "consent-form",
        sealed: form.seal(&sealer(), NONCE).unwrap(),
        encoded: encoded(&form),
        reread: Box::new(|sealed| Transaction::open(sealed.to_vec(), &sealer()).map(|read| encoded(&read))),
    }
}

fn session_in(state: State) -> Session {
    Session {
        client_id: "client".to_owned(),
        user_id: user(),
        resource: RESOURCE.to_owned(),
        state,
        providers: vec![ProviderId::of("corp", "https://idp.example")],
        scope: scope(),
        refreshable: true,
        upstream_ends_at: Some(1_800_003_600),
    }
}

fn upstream_tokens() -> Upstream {
    Upstream {
        access_token: Secret::new("upstream access".to_owned()),
        obtained_at: 1_800_000_001,
        expires_at: Some(1_800_003_601),
        refresh_token: Some(Secret::new("upstream refresh".to_owned())),
        subject: "subject".to_owned(),
        refused_since: Some(1_800_000_002),
        session: [5; 16],
        name: Some("name".to_owned()),
        email: Some("name@example".to_owned()),
        client_name: Some("client name".to_owned()),
        login_subject: Some("first subject".to_owned()),
        id_token: None,
        connected: None,
        groups: vec!["one group".to_owned(), "another".to_owned()],
        email_verified: true,
    }
}

fn connection() -> Upstream {
    let connected = Connected { at: 1_800_000_000, provider: "github".to_owned() };
    let login = Upstream { client_name: None, login_subject: None, ..upstream_tokens() };
    Upstream { refused_since: None, connected: Some(connected), ..login }
}

fn ended_sessions() -> EndedSessions {
    let mut ended = EndedSessions { overflowed_at: Some(1_800_000_005_000), ..EndedSessions::default() };
    ended.add(&[SessionId::new([5; 16]), SessionId::new([6; 16])], 1_800_000_006_000);
    ended
}

fn client() -> Client {
    Client {
        id: "client".to_owned(),
        name: Some("name".to_owned()),
        redirect_uris: vec![REDIRECT.to_owned(), "http://127.0.0.1/".to_owned()],
        refresh: true,
        registered_at: 1_800_000_000,
        scope: Some("openid".to_owned()),
        deleted_at: Some(1_800_000_006),
    }
}

fn client_id() -> Golden {
    let carried = CarriedRegistration {
        redirect_uris: vec![REDIRECT.to_owned()],
        name: Some("name".to_owned()),
        refresh: true,
        registered_at: 1_800_000_000,
        scope: Some("openid".to_owned()),
    };
    Golden {
        name: "client-id",
        sealed: SealedClientId::parse(&carried.seal(&sealer(), NONCE).unwrap()).unwrap().into_sealed(),
        encoded: encoded(&carried),
        reread: Box::new(|sealed| {
            CarriedRegistration::open(SealedClientId::new(sealed.to_vec())?, &sealer()).map(|read| encoded(&read))
        }),
    }
}

fn pending_login() -> PendingLogin {
    let provider = ProviderId::of("corp", "https://idp.example");
    let done = DoneLegs { session: [5; 16], user: user(), providers: vec![provider], connects: true };
    PendingLogin {
        request: authorization(),
        consented_by: Some(user()),
        expires_at: 1_800_000_600,
        provider: Some(provider),
        chosen: Some(provider),
        done: Some(done),
    }
}

fn authorization() -> Authorization {
    Authorization {
        client_id: "client".to_owned(),
        redirect_uri: REDIRECT.to_owned(),
        state: Some("state".to_owned()),
        challenge: CHALLENGE.to_owned(),
        scope: scope(),
        resource: RESOURCE.to_owned(),
        prompt: Some("login".to_owned()),
        refreshable: Some(true),
        client_name: Some("client name".to_owned()),
    }
}

fn scope() -> GrantedScope {
    GrantedScope::restore("openid offline_access").unwrap()
}

fn user() -> UserId {
    UserId::derive("https://idp.example", "subject")
}

fn seed() -> Seed {
    struct Fixed;
    impl Entropy for Fixed {
        fn random<const N: usize>(&self) -> Result<[u8; N], NoEntropy> {
            Ok([8; N])
        }
    }
    Seed::new(&Fixed).unwrap()
}

fn sealer() -> Sealer {
    let ring = KeyRing::new(vec![Secret::new(b"a gateway secret of at least 32 bytes".to_vec())]).unwrap();
    Sealer::new(&ring, "https://gateway.example", Some(&Space::new("prod", "gateway").unwrap()))
}

fn encoded<T: Encode<()>>(value: &T) -> Vec<u8> {
    minicbor::to_vec(value).unwrap()
}

fn read(folder: &Path, name: &str) -> Option<Vec<u8>> {
    let text = fs::read_to_string(file(folder, name)).ok()?;
    base64url::decode(text.trim_end()).ok()
}

fn file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.txt"))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/records")
}

const NONCE: [u8; 24] = [7; 24];
const REDIRECT: &str = "https://client.example/callback";
const RESOURCE: &str = "https://gateway.example/mcp";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
