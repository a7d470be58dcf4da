//! Seeds Redis with sessions, as the gateway and the bridge would have written them.
//!
//! Those that are called are whole: copies of the records of a real login under other names, sealed
//! as the gateway seals them. The others only take their place: random bytes of the same length,
//! which look like sealed ones.

use std::io::{BufReader, Read as _, Write as _};
use std::net::TcpStream;

use portcullis_gateway::config::{ProviderId, Sealer};
use portcullis_gateway::ports::Store as _;
use portcullis_gateway::sessions::keys::{session_key, upstream_key};
use portcullis_gateway::sessions::state::Session;
use portcullis_gateway::store::records::{self, Record, Records};
use portcullis_gateway::upstream::tokens::Upstream;
use portcullis_protocol::credentials::SessionId;
use portcullis_protocol::crypto::key_ring::KeyRing;
use portcullis_protocol::crypto::secret::Secret;
use portcullis_storage_api::wire::Space;
use portcullis_storage_api::{Key, Ttl};
use portcullis_testbed::redis::CREDENTIALS;
use portcullis_testkit::fakes::{FakePorts, block_on};

use crate::gateway::SECRET;
use crate::text;

/// A connection to Redis, and a login whose records are copied.
pub(super) struct Seeder {
    stream: BufReader<TcpStream>,
    sealer: Sealer,
    session: Session,
    provider: ProviderId,
    upstream: Upstream,
    /// The lengths of the records as they are stored.
    lengths: [usize; 2],
}

impl Seeder {
    /// Connects, and reads the records of this login.
    ///
    /// # Errors
    /// When they are not there.
    pub(super) fn connect(port: u16, issuer: &str, login: SessionId) -> Result<Self, String> {
        let stream = TcpStream::connect(("127.0.0.1", port)).map_err(text)?;
        stream.set_nodelay(true).map_err(text)?;
        let mut stream = BufReader::new(stream);
        let [(_, user), (_, password)] = CREDENTIALS;
        ask(&mut stream, &[b"AUTH", user.as_bytes(), password.as_bytes()])?;
        let ring = KeyRing::new(vec![Secret::new(SECRET.as_bytes().to_vec())]).map_err(|error| format!("{error:?}"))?;
        let space = Space::new("bench", "gateway").map_err(|_| "no storage space")?;
        let sealer = Sealer::new(&ring, issuer, Some(&space));
        let (session, session_length): (Session, usize) = read(&mut stream, &sealer, &session_key(login))?;
        let provider = *session.providers.first().ok_or("the session has no provider")?;
        let (upstream, upstream_length) = read(&mut stream, &sealer, &upstream_key(&session_key(login), provider))?;
        Ok(Self { stream, sealer, session, provider, upstream, lengths: [session_length, upstream_length] })
    }

    /// Writes `count` sessions, of which at most `real` can be called; these it gives back.
    ///
    /// # Errors
    /// What Redis said.
    pub(super) fn seed(&mut self, sessions: usize, real: usize) -> Result<Vec<SessionId>, String> {
        let real = real.min(sessions);
        let ports = FakePorts::new(0);
        let called: Vec<SessionId> = (0..real).map(|number| SessionId::new(name(number))).collect();
        let mut commands = Vec::new();
        let mut pending = 0;
        for number in 0..sessions {
            let id = SessionId::new(name(number));
            let session = session_key(id);
            let keys = [session, upstream_key(&session, self.provider)];
            let values = if number < real {
                let upstream = Upstream { session: *id.as_bytes(), ..self.upstream.clone() };
                [self.sealed(&ports, &keys[0], &self.session)?, self.sealed(&ports, &keys[1], &upstream)?]
            } else {
                self.lengths.map(|length| noise(number, length))
            };
            for (key, value) in keys.iter().zip(&values) {
                append(&mut commands, &[b"SET", stored(key).as_bytes(), value, b"EX", LIFE]);
                pending += 1;
            }
            if pending >= AT_ONCE || number + 1 == sessions {
                self.send(&mut commands, &mut pending)?;
            }
        }
        Ok(called)
    }

    fn sealed<R: Record>(&self, ports: &FakePorts, key: &Key, record: &R) -> Result<Vec<u8>, String> {
        let saved = block_on(Records::new(&self.sealer, ports).save(key, record, Ttl::Forever));
        saved.map_err(|error| format!("{error:?}"))?;
        let store = portcullis_gateway::ports::Ports::store(ports);
        let value = block_on(store.get(key)).ok().flatten().ok_or("a record that was saved is gone")?.value;
        block_on(store.delete(key)).map_err(|error| error.to_string())?;
        // The bridge puts a version before each value.
        Ok([&[0; VERSION], value.as_slice()].concat())
    }

    fn send(&mut self, commands: &mut Vec<u8>, pending: &mut usize) -> Result<(), String> {
        self.stream.get_mut().write_all(commands).map_err(text)?;
        let mut answers = vec![0; OK.len() * *pending];
        self.stream.read_exact(&mut answers).map_err(text)?;
        commands.clear();
        *pending = 0;
        let well = answers.chunks(OK.len()).all(|answer| answer == OK);
        if well { Ok(()) } else { Err(format!("redis said {}", String::from_utf8_lossy(&answers[..100]))) }
    }
}

/// Reads a record of the login, and its length as it is stored.
fn read<R: Record>(stream: &mut BufReader<TcpStream>, sealer: &Sealer, key: &Key) -> Result<(R, usize), String> {
    let stored = ask(stream, &[b"GET", stored(key).as_bytes()])?;
    let record = stored.get(VERSION..).and_then(|sealed| records::open(sealer, key, sealed));
    record.map(|record| (record, stored.len())).ok_or_else(|| format!("{key} is not there, or does not open"))
}

/// One command; its answer without the framing.
fn ask(stream: &mut BufReader<TcpStream>, words: &[&[u8]]) -> Result<Vec<u8>, String> {
    let mut command = Vec::new();
    append(&mut command, words);
    stream.get_mut().write_all(&command).map_err(text)?;
    let mut line = String::new();
    std::io::BufRead::read_line(stream, &mut line).map_err(text)?;
    let line = line.trim_end();
    let Some(length) = line.strip_prefix('$') else {
        return if line.starts_with('-') { Err(line.to_owned()) } else { Ok(line.as_bytes().to_vec()) };
    };
    let length: usize = length.parse().map_err(|_| format!("no such record: {line}"))?;
    let mut value = vec![0; length + 2];
    stream.read_exact(&mut value).map_err(text)?;
    value.truncate(length);
    Ok(value)
}

fn append(bytes: &mut Vec<u8>, words: &[&[u8]]) {
    bytes.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
}

/// The name under which the bridge stores a record.
fn stored(key: &Key) -> String {
    format!("thv:auth:{{bench:gateway}}:{key}")
}

/// A session's name: its number, spread over the bytes, so that none is like another.
fn name(number: usize) -> [u8; 16] {
    let mut name = [0; 16];
    name[..8].copy_from_slice(&(number as u64).wrapping_mul(SPREAD).to_be_bytes());
    name[8..].copy_from_slice(&(number as u64).to_be_bytes());
    name
}

fn noise(number: usize, length: usize) -> Vec<u8> {
    let mut state = (number as u64).wrapping_mul(SPREAD) | 1;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.flatten().take(length).collect()
}

/// The bytes of a version.
const VERSION: usize = 8;
const OK: &[u8] = b"+OK\r\n";
const LIFE: &[u8] = b"86400";
/// Commands under way at once.
const AT_ONCE: usize = 1000;
/// An odd number, so that no two numbers are spread to the same bytes.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_session_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = (0..10_000).map(name).collect();
        assert_eq!(names.len(), 10_000);
    }

    #[test]
    fn what_takes_a_records_place_has_its_length_and_differs() {
        assert_eq!(noise(7, 123).len(), 123);
        assert_ne!(noise(7, 16), noise(8, 16));
    }
}
