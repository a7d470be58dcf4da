//! An identity provider that answers at once: it makes no call, and every login is of a user
//! of its own.
//!
//! It runs inside this program, so that its time is not counted. The ID token is signed with RS256,
//! as most providers do, or with ES256. The nonce of an authorization request is the code that it
//! gives, so nothing has to be remembered.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use jwt_simple::prelude::{ES256KeyPair, RS256KeyPair};
use portcullis_protocol::jose::jws::{self, Header};
use portcullis_protocol::jose::keys::SigningKey;
use portcullis_testkit::signatures::Sign as _;
use serde_json::json;
use url::{Url, form_urlencoded};

use crate::gateway::CLIENT;
use crate::text;

/// A provider that serves until this program ends.
pub(crate) struct Provider {
    /// Where it listens.
    pub port: u16,
    desk: Arc<Desk>,
}

impl Provider {
    /// Starts one that signs with RS256, as most do.
    ///
    /// # Errors
    /// When it cannot listen, or has no key.
    pub(crate) fn start() -> Result<Self, String> {
        Self::with_key(&RS256KeyPair::generate(2048).and_then(|key| key.to_pem()).map_err(text)?)
    }

    /// Starts one that signs with ES256: where logins only have to be many, RS256 would take most
    /// of the time.
    ///
    /// # Errors
    /// When it cannot listen, or has no key.
    pub(crate) fn with_es256() -> Result<Self, String> {
        Self::with_key(&ES256KeyPair::generate().to_pem().map_err(text)?)
    }

    fn with_key(pem: &str) -> Result<Self, String> {
        let key = SigningKey::from_pem(pem).map_err(text)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(text)?;
        let port = listener.local_addr().map_err(text)?.port();
        let desk = Arc::new(Desk { issuer: format!("http://127.0.0.1:{port}"), key, logins: AtomicU64::new(0) });
        let serving = Arc::clone(&desk);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let desk = Arc::clone(&serving);
                std::thread::spawn(move || desk.serve(stream));
            }
        });
        Ok(Self { port, desk })
    }

    /// Its issuer.
    #[must_use]
    pub(crate) fn issuer(&self) -> &str {
        &self.desk.issuer
    }

    /// An access token that it made for a resource, as services bring them; each number has
    /// another.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub(crate) fn access_token(&self, audience: &str, number: usize) -> Result<String, String> {
        let (key, now) = (&self.desk.key, now());
        let claims = json!({
            "iss": self.desk.issuer, "aud": audience, "sub": "a-service", "client_id": "a-service", "iat": now,
            "exp": now + 24 * 3600, "jti": format!("{number:0>36}"), "scope": "openid",
        });
        let input = jws::encode(&Header { alg: key.alg(), kid: key.kid(), typ: "at+jwt" }, &claims);
        let signature = key.sign(input.as_bytes()).map_err(|error| format!("{error:?}"))?;
        Ok(jws::attach(&input, &signature))
    }
}

struct Desk {
    issuer: String,
    key: SigningKey,
    logins: AtomicU64,
}

impl Desk {
    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let (mut bytes, mut piece) = (Vec::new(), vec![0; 16 * 1024]);
        loop {
            let read = stream.read(&mut piece)?;
            if read == 0 {
                return Ok(());
            }
            bytes.extend_from_slice(&piece[..read]);
            // Envoy waits for an answer before it asks again.
            if let Some((target, body)) = whole(&bytes) {
                stream.write_all(self.answer(&target, &body).as_bytes())?;
                bytes.clear();
            }
        }
    }

    fn answer(&self, target: &str, body: &str) -> String {
        let Ok(url) = Url::parse(&format!("{}{target}", self.issuer)) else { return answer("400 Bad", "", "{}") };
        let field = |name: &str, of: &str| {
            let found = form_urlencoded::parse(of.as_bytes()).find(|(held, _)| held == name);
            found.map(|(_, value)| value.into_owned()).unwrap_or_default()
        };
        let query = |name| field(name, url.query().unwrap_or_default());
        match url.path() {
            "/.well-known/openid-configuration" => answer("200 OK", "", &self.discovery()),
            "/jwks" => answer("200 OK", "", &json!({ "keys": [self.key.public().to_jwk()] }).to_string()),
            "/auth" => {
                let parameters = [("code", query("nonce")), ("state", query("state")), ("iss", self.issuer.clone())];
                let back = Url::parse_with_params(&query("redirect_uri"), parameters);
                let location = back.map(|back| format!("location: {back}\r\n")).unwrap_or_default();
                answer("303 See Other", &location, "")
            }
            "/token" => answer("200 OK", "", &self.tokens(&field("code", body))),
            _ => answer("404 Not Found", "", "{}"),
        }
    }

    fn discovery(&self) -> String {
        let issuer = &self.issuer;
        json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/auth"),
            "token_endpoint": format!("{issuer}/token"),
            "jwks_uri": format!("{issuer}/jwks"),
        })
        .to_string()
    }

    /// The access token is the ID token's text, so that it has the length of those that are JWTs.
    fn tokens(&self, nonce: &str) -> String {
        let user = self.logins.fetch_add(1, Ordering::Relaxed);
        let now = now();
        let claims = json!({
            "iss": self.issuer, "aud": CLIENT, "sub": format!("user-{user}"), "nonce": nonce, "iat": now, "exp": now + 3600,
        });
        let header = Header { alg: self.key.alg(), kid: self.key.kid(), typ: "JWT" };
        let input = jws::encode(&header, &claims);
        let token = self.key.sign(input.as_bytes()).map(|signature| jws::attach(&input, &signature));
        let token = token.unwrap_or_default();
        json!({
            "access_token": token, "id_token": token, "refresh_token": format!("refresh-{user}"), "token_type": "Bearer",
            // Longer than any run: nothing is refreshed while something is measured.
            "expires_in": 24 * 3600,
        })
        .to_string()
    }
}

/// The time, in Unix seconds.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn answer(status: &str, fields: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{fields}content-length: {length}\r\n\r\n{body}")
}

/// The target and the body of a request, once all of it is there.
fn whole(bytes: &[u8]) -> Option<(String, String)> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    let length = fields.filter(|(name, _)| name.eq_ignore_ascii_case("content-length")).map(|(_, value)| value.trim());
    let length: usize = length.last().and_then(|value| value.parse().ok()).unwrap_or_default();
    let body = bytes.get(end + 4..end + 4 + length)?;
    let target = head.split(' ').nth(1)?.to_owned();
    Some((target, String::from_utf8_lossy(body).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_whole_with_its_body() {
        let request = b"POST /token?a=b HTTP/1.1\r\nContent-Length: 6\r\n\r\ncode=x";
        assert!((0..request.len()).all(|cut| whole(&request[..cut]).is_none()));
        assert_eq!(whole(request), Some(("/token?a=b".to_owned(), "code=x".to_owned())));
        assert_eq!(whole(b"GET / HTTP/1.1\r\n\r\n"), Some(("/".to_owned(), String::new())));
    }

    #[test]
    fn the_code_of_an_authorization_is_the_nonce_of_the_id_token() {
        let key = SigningKey::from_pem(&ES256KeyPair::generate().to_pem().unwrap()).unwrap();
        let desk = Desk { issuer: "http://127.0.0.1:1".to_owned(), key, logins: AtomicU64::new(0) };
        let sent = desk.answer("/auth?nonce=N-1&state=S&redirect_uri=http%3A%2F%2F127.0.0.1%3A2%2Fcb", "");
        assert!(sent.contains("\r\nlocation: http://127.0.0.1:2/cb?code=N-1&state=S&iss="), "{sent}");
        let (_, tokens) = desk
            .answer("/token", "grant_type=authorization_code&code=N-1")
            .split_once("\r\n\r\n")
            .map(|(head, body)| (head.to_owned(), serde_json::from_str::<serde_json::Value>(body).unwrap()))
            .unwrap();
        let claims = portcullis_testbed::oauth_client::claims(tokens["id_token"].as_str().unwrap());
        assert_eq!((claims["nonce"].as_str(), claims["sub"].as_str()), (Some("N-1"), Some("user-0")));
    }
}
