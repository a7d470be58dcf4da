//! The secrets of a document: where each reference leads, and the keys that are made of what is
//! found there.

use std::collections::HashSet;

use portcullis_protocol::crypto::key_ring::{KeyRing, KeyRingError};
use portcullis_protocol::crypto::secret::Secret;
use portcullis_protocol::jose::keys::SigningKey;
use portcullis_storage_api::wire::SecretName;

use super::compiler::Compiler;
use super::document::SecretRef;

/// The target of a reference.
pub(super) enum Found {
    /// One secret.
    One(Secret<String>),
    /// The content of one of the bridge's files, which may hold several.
    File(Secret<String>),
    /// It is the bridge's, which has not been asked yet.
    Later,
}

impl Compiler<'_> {
    pub(super) fn signing_keys(&mut self, refs: &[SecretRef], development: bool) -> Option<Vec<SigningKey>> {
        let (mut keys, mut complete) = (Vec::new(), true);
        let mut kids = HashSet::new();
        for (index, reference) in refs.iter().enumerate() {
            let path = format!("signingKeys[{index}]");
            let read = match self.secret(&path, reference, development) {
                Some(Found::One(pem)) => {
                    SigningKey::from_pem(pem.expose()).map(|key| vec![key]).map_err(|why| (0, why))
                }
                Some(Found::File(pem)) => SigningKey::all_from_pem(pem.expose()),
                Some(Found::Later) | None => {
                    complete = false;
                    continue;
                }
            };
            match read {
                Ok(read) => {
                    for (place, key) in read.into_iter().enumerate() {
                        if kids.insert(key.kid().to_owned()) {
                            keys.push(key);
                        } else {
                            self.problem::<()>(&path, format!("{}is the same key again", nth("key", place)));
                        }
                    }
                }
                Err((place, error)) => {
                    complete = false;
                    self.problem::<()>(&path, format!("{}{error}", nth("key", place)));
                }
            }
        }
        complete.then_some(keys)
    }

    pub(super) fn key_ring(&mut self, refs: &[SecretRef], development: bool) -> Option<KeyRing> {
        let (mut secrets, mut origins, mut complete) = (Vec::new(), Vec::new(), true);
        for (index, reference) in refs.iter().enumerate() {
            let path = format!("secrets[{index}]");
            match self.secret(&path, reference, development) {
                Some(Found::One(secret)) => {
                    secrets.push(Secret::new(secret.expose().as_bytes().to_vec()));
                    origins.push((path, 0));
                }
                Some(Found::File(file)) => {
                    let lines = file.expose().lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty());
                    for (place, line) in lines {
                        secrets.push(Secret::new(line.as_bytes().to_vec()));
                        origins.push((path.clone(), place));
                    }
                }
                Some(Found::Later) | None => complete = false,
            }
        }
        let (index, what) = match KeyRing::new(secrets) {
            Ok(ring) => return complete.then_some(ring),
            Err(KeyRingError::Empty) if complete => return self.problem("secrets", "at least one secret is needed"),
            Err(KeyRingError::Empty) => return None,
            Err(KeyRingError::TooShort { index }) => (index, "must have at least 32 bytes"),
            Err(KeyRingError::Repeated { index }) => (index, "is the same secret again"),
        };
        let (path, place) = origins.get(index)?;
        self.problem(path, format!("{}{what}", nth("line", *place)))
    }

    /// A secret that is one text: of a client, or for a header.
    pub(super) fn one_secret(
        &mut self,
        path: &str,
        reference: &SecretRef,
        development: bool,
    ) -> Option<Secret<String>> {
        match self.secret(path, reference, development)? {
            Found::One(secret) | Found::File(secret) => Some(secret),
            Found::Later => None,
        }
    }

    /// The secret behind a reference, without the white space around it. A variable that is absent
    /// refuses the configuration: Envoy leaves out, without a word, the variables that its own
    /// process does not have.
    fn secret(&mut self, path: &str, reference: &SecretRef, development: bool) -> Option<Found> {
        match reference {
            SecretRef::Env(name) => {
                let Some(env) = self.env else { return Some(Found::Later) };
                match env(name) {
                    Some(value) if !value.trim().is_empty() => Some(Found::One(Secret::new(value.trim().to_owned()))),
                    Some(_) => self.problem(path, format!("the environment variable{} is empty", shown(name))),
                    None => {
                        let what =
                            format!("the environment variable{} is not set, or not listed in host_env_keys", shown(name));
                        self.problem(path, what)
                    }
                }
            }
            SecretRef::Bridge(name) => self.bridge_secret(path, name),
            SecretRef::Inline(value) if development => Some(Found::One(Secret::new(value.clone()))),
            SecretRef::Inline(_) => self.problem(
                path,
                "an inline secret is only allowed with \"development\": true; use {\"env\": NAME} or {\"bridge\": NAME}",
            ),
        }
    }

    fn bridge_secret(&mut self, path: &str, name: &str) -> Option<Found> {
        // A name that is none is not repeated: it may be a secret in the wrong place.
        let Ok(name) = SecretName::new(name) else {
            return self
                .problem(path, "the bridge's name must have 1 to 64 letters of a-z A-Z 0-9 . _ -, the first no dot");
        };
        if !self.bridged && !self.is_unsure_of("storage") {
            return self.problem(path, "a secret of the bridge needs \"storage\": {\"type\": \"bridge\", …}");
        }
        let Some(served) = self.served else {
            if !self.wanted.contains(&name) {
                self.wanted.push(name);
            }
            return Some(Found::Later);
        };
        let Some(secret) = served.iter().find(|secret| secret.name == name) else {
            return self.problem(path, format!("the bridge did not give the secret {name}"));
        };
        match std::str::from_utf8(secret.value.as_bytes()).map(str::trim) {
            Ok("") => self.problem(path, format!("the bridge's secret {name} is empty")),
            Ok(text) => Some(Found::File(Secret::new(text.to_owned()))),
            Err(_) => self.problem(path, format!("the bridge's secret {name} is not text")),
        }
    }
}

/// A variable's name for a message. One in lower case is not repeated: it may be the secret itself,
/// in the wrong place.
fn shown(name: &str) -> String {
    let usual = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    if name.len() <= 64 && name.bytes().all(usual) { format!(" {name}") } else { String::new() }
}

/// Which one of several in a file is meant, before what is wrong with it.
fn nth(what: &str, place: usize) -> String {
    match place {
        0 => String::new(),
        place => format!("{what} {}: ", place.saturating_add(1)),
    }
}
