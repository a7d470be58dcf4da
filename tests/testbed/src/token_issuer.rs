//! An issuer of access tokens on a loopback port, of the shape of a Kubernetes cluster: a discovery
//! document, a key set at `/openid/v1/jwks`, and tokens for service accounts; and of any other
//! issuer, whose claims a story writes itself.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwt_simple::prelude::{Claims, Duration, ECDSAP256KeyPairLike as _, ECDSAP256PublicKeyLike as _, ES256KeyPair};
use serde_json::{Value, json};

/// An issuer that runs until it is dropped.
pub struct TokenIssuer {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    /// The name that it states; its own address if there is none.
    issuer: String,
    port: u16,
    /// The published keys; the last signs.
    keys: Mutex<Vec<ES256KeyPair>>,
    /// How often the key set was read.
    reads: AtomicU64,
    is_over: AtomicBool,
}

impl TokenIssuer {
    /// Starts one that calls itself by this name, or else by its address, with one key.
    ///
    /// # Errors
    /// When no loopback port can be had.
    pub fn start(name: Option<&str>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let issuer = name.map_or_else(|| format!("http://127.0.0.1:{port}"), str::to_owned);
        let keys = Mutex::new(vec![key("key-1")]);
        let shared = Arc::new(Shared { issuer, port, keys, reads: AtomicU64::new(0), is_over: AtomicBool::new(false) });
        let served = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if served.is_over.load(Ordering::Relaxed) {
                    return;
                }
                let served = Arc::clone(&served);
                // A peer that hangs up ends its own connection only.
                std::thread::spawn(move || served.serve(stream));
            }
        });
        Ok(Self { port, shared })
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its name: the `iss` of its tokens.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.shared.issuer
    }

    /// The URL of its key set.
    #[must_use]
    pub fn jwks_url(&self) -> String {
        format!("http://127.0.0.1:{}{JWKS}", self.port)
    }

    /// How often its key set was read.
    #[must_use]
    pub fn reads(&self) -> u64 {
        self.shared.reads.load(Ordering::Relaxed)
    }

    /// Publishes a new key next to the others, and signs with it from now on.
    pub fn add_key(&self, kid: &str) {
        self.shared.keys().push(key(kid));
    }

    /// Publishes no key any more but the one that signs.
    pub fn drop_old_keys(&self) {
        let mut keys = self.shared.keys();
        let old = keys.len().saturating_sub(1);
        keys.drain(..old);
    }

    /// A token for an audience, of these further claims, that lives for a minute.
    ///
    /// # Panics
    /// When it cannot be signed.
    #[must_use]
    pub fn token(&self, audience: &str, subject: &str, more: Value) -> String {
        let keys = self.shared.keys();
        signed(keys.last().expect("a key"), &self.shared.issuer, audience, subject, more)
    }

    /// As [`TokenIssuer::token`], signed with a key that was never published.
    #[must_use]
    pub fn forged(&self, kid: &str, audience: &str, subject: &str) -> String {
        signed(&key(kid), &self.shared.issuer, audience, subject, json!({}))
    }

    /// The token of a service account, as it is projected into a pod.
    #[must_use]
    pub fn service_account(&self, audience: &str, namespace: &str, account: &str) -> String {
        let claims = json!({ "kubernetes.io": {
            "namespace": namespace,
            "node": { "name": "node-1", "uid": "5e7b1f5c-0000-4000-8000-000000000001" },
            "pod": { "name": format!("{account}-0"), "uid": "5e7b1f5c-0000-4000-8000-000000000002" },
            "serviceaccount": { "name": account, "uid": "5e7b1f5c-0000-4000-8000-000000000003" },
        } });
        self.token(audience, &format!("system:serviceaccount:{namespace}:{account}"), claims)
    }
}

impl Drop for TokenIssuer {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        // The thread that accepts sees it with the next connection.
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
    }
}

impl Shared {
    fn keys(&self) -> MutexGuard<'_, Vec<ES256KeyPair>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let (mut bytes, mut piece) = (Vec::new(), vec![0; 4 * 1024]);
        loop {
            let read = stream.read(&mut piece)?;
            if read == 0 || self.is_over.load(Ordering::Relaxed) {
                return Ok(());
            }
            bytes.extend_from_slice(&piece[..read]);
            if !bytes.ends_with(b"\r\n\r\n") {
                continue;
            }
            let head = String::from_utf8_lossy(&bytes).into_owned();
            let (status, body) = self.answer(head.split(' ').nth(1).unwrap_or_default());
            let fields = format!("content-type: application/json\r\ncontent-length: {}", body.len());
            stream.write_all(format!("HTTP/1.1 {status} Answer\r\n{fields}\r\n\r\n{body}").as_bytes())?;
            bytes.clear();
        }
    }

    fn answer(&self, target: &str) -> (u16, String) {
        let document = match target {
            "/.well-known/openid-configuration" => json!({
                "issuer": self.issuer,
                "jwks_uri": format!("http://127.0.0.1:{}{JWKS}", self.port),
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256"],
            }),
            JWKS => {
                self.reads.fetch_add(1, Ordering::Relaxed);
                json!({ "keys": self.keys().iter().map(jwk).collect::<Vec<_>>() })
            }
            _ => return (404, "{}".to_owned()),
        };
        (200, document.to_string())
    }
}

fn key(kid: &str) -> ES256KeyPair {
    ES256KeyPair::generate().with_key_id(kid)
}

fn jwk(key: &ES256KeyPair) -> Value {
    let point = key.public_key().public_key().to_bytes_uncompressed();
    let (x, y) = point[1..].split_at(32);
    let [x, y] = [x, y].map(|coordinate| URL_SAFE_NO_PAD.encode(coordinate));
    json!({ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": key.key_id(), "x": x, "y": y })
}

fn signed(key: &ES256KeyPair, issuer: &str, audience: &str, subject: &str, more: Value) -> String {
    let claims = Claims::with_custom_claims(more, Duration::from_mins(1));
    let claims = claims.with_issuer(issuer).with_audience(audience).with_subject(subject);
    key.sign(claims).expect("signed")
}

const JWKS: &str = "/openid/v1/jwks";
