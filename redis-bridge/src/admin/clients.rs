//! The clients that registered.

use portcullis_gateway::endpoints::register::client_key;
use portcullis_gateway::store::records::{Client, open};
use portcullis_protocol::crypto::key_ring::KeyRing;
use portcullis_storage_api::{Key, Kind};
use serde_json::Value;

use crate::admin::error::AdminError;
use crate::admin::link::{Link, Read, Walk};
use crate::admin::output::{Field, Output, digits};
use crate::operations::names;

/// Lists them; without the gateway's secrets by the digests in their names.
pub(crate) async fn list(link: &mut Link, ring: Option<&KeyRing>, output: &mut Output) -> Result<(), AdminError> {
    let mut progress = output.progress(true);
    let mut walk = Walk::strings(link, Some(Kind::Client));
    while let Some(batches) = walk.next_keys(link).await? {
        for keys in batches {
            progress.add(keys.len());
            for read in link.read(&keys).await? {
                output.row(match ring.map(|ring| opened(ring, &read)) {
                    Some(client) => row(&read, client.as_ref()),
                    None => outside(&read),
                })?;
            }
        }
    }
    Ok(())
}

/// Shows one.
pub(crate) async fn show(
    link: &mut Link,
    ring: Option<&KeyRing>,
    id: &str,
    output: &mut Output,
) -> Result<(), AdminError> {
    let read = link.read(&[named(id)]).await?.into_iter().next().ok_or(AdminError::NotFound)?;
    let client = ring.and_then(|ring| opened(ring, &read));
    let mut parts = vec![
        ("record", Value::from(digits(&read.key))),
        ("bytes", Value::from(read.outside.bytes)),
        ("expires_in_seconds", Value::from(read.outside.life.seconds())),
        ("opened", Value::from(client.is_some())),
    ];
    if let Some(client) = client {
        parts.extend([
            ("client_id", Value::from(client.id)),
            ("name", Value::from(client.name)),
            ("redirect_uris", Value::from(client.redirect_uris)),
            ("refresh_tokens", Value::from(client.refresh)),
            ("registered_at", Value::from(client.registered_at)),
        ]);
    }
    output.result(parts)
}

/// Deletes one. What it was granted is in sessions, which end by themselves: no refresh token of an
/// unknown client is accepted.
pub(crate) async fn delete(link: &mut Link, id: &str, output: &mut Output) -> Result<(), AdminError> {
    let key = named(id);
    if link.delete(&[link.name(&key)]).await? == 0 {
        return Err(AdminError::NotFound);
    }
    let mut parts = vec![
        ("deleted", Value::from(digits(&key))),
        ("note", Value::from("its refresh tokens are refused from now on; access tokens work until they expire")),
    ];
    parts.extend(link.replicated().await?);
    output.result(parts)
}

/// By its `client_id`, or by the digest that a list without the gateway's secrets shows. No
/// `client_id` looks like one.
fn named(id: &str) -> Key {
    names::key(&format!("{}:{id}", Kind::Client.name())).unwrap_or_else(|| client_key(id))
}

fn opened(ring: &KeyRing, read: &Read) -> Option<Client> {
    let client: Client = open(ring, &read.key, read.value.as_ref()?.as_bytes())?;
    (client_key(&client.id) == read.key).then_some(client)
}

fn row(read: &Read, client: Option<&Client>) -> Vec<Field> {
    let id = client.map_or_else(|| digits(&read.key), |client| client.id.clone());
    let name = client.map_or(Value::from("(does not open)"), |client| Value::from(client.name.clone()));
    let uris = client.map(|client| client.redirect_uris.clone()).unwrap_or_default();
    vec![
        Field::new("client_id", "CLIENT", 22, id),
        Field::life(read.outside.life),
        Field::new("name", "NAME", 24, name),
        Field::new("redirect_uris", "REDIRECT URIS", 0, uris),
    ]
}

fn outside(read: &Read) -> Vec<Field> {
    vec![
        Field::new("record", "RECORD", 64, digits(&read.key)),
        Field::life(read.outside.life),
        Field::new("bytes", "BYTES", 0, read.outside.bytes),
    ]
}
