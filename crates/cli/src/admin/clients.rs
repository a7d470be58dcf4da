//! The clients that registered.

use portcullis_gateway::clients::registered::{Client, client_key};
use portcullis_gateway::config::Sealer;
use portcullis_gateway::store::records::open;
use portcullis_storage_api::{Key, Kind};
use serde_json::Value;

use crate::admin::connection::{Connection, Scan, StoredRecord};
use crate::admin::error::AdminError;
use crate::admin::output::{Field, Output, digits};

/// Lists them; without the gateway's secrets by the digests in their names.
pub(crate) async fn list(
    connection: &mut Connection,
    sealer: Option<&Sealer>,
    output: &mut Output,
) -> Result<(), AdminError> {
    let mut progress = output.progress(true);
    let mut scan = Scan::strings(connection, Some(Kind::Client));
    while let Some(batches) = scan.next_keys(connection).await? {
        for keys in batches {
            progress.add(keys.len());
            for read in connection.read(&keys).await? {
                output.row(match sealer.map(|sealer| opened(sealer, &read)) {
                    Some(client) => row(&read, client.as_ref()),
                    None => sealed_row(&read),
                })?;
            }
        }
    }
    Ok(())
}

/// Shows one.
pub(crate) async fn show(
    connection: &mut Connection,
    sealer: Option<&Sealer>,
    id: &str,
    output: &mut Output,
) -> Result<(), AdminError> {
    let read = connection.read(&[named(id)]).await?.into_iter().next().ok_or(AdminError::NotFound)?;
    let client = sealer.and_then(|sealer| opened(sealer, &read));
    let mut parts = vec![
        ("record", Value::from(digits(&read.key))),
        ("bytes", Value::from(read.meta.bytes)),
        ("expires_in_seconds", Value::from(read.meta.expiry.seconds())),
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
pub(crate) async fn delete(connection: &mut Connection, id: &str, output: &mut Output) -> Result<(), AdminError> {
    let key = named(id);
    if connection.delete(&[connection.name(&key)]).await? == 0 {
        return Err(AdminError::NotFound);
    }
    let mut parts = vec![
        ("deleted", Value::from(digits(&key))),
        ("note", Value::from("its refresh tokens are refused from now on; access tokens work until they expire")),
    ];
    parts.extend(connection.replicated().await?);
    output.result(parts)
}

/// By its `client_id`, or by the digest that a list without the gateway's secrets shows. No
/// `client_id` looks like one.
fn named(id: &str) -> Key {
    let name = Value::from(format!("{}:{id}", Kind::Client.name()));
    serde_json::from_value(name).unwrap_or_else(|_| client_key(id))
}

fn opened(sealer: &Sealer, record: &StoredRecord) -> Option<Client> {
    let client: Client = open(sealer, &record.key, record.value.as_ref()?.as_bytes())?;
    (client_key(&client.id) == record.key).then_some(client)
}

fn row(record: &StoredRecord, client: Option<&Client>) -> Vec<Field> {
    let id = client.map_or_else(|| digits(&record.key), |client| client.id.clone());
    let name = client.map_or(Value::from("(does not open)"), |client| Value::from(client.name.clone()));
    let uris = client.map(|client| client.redirect_uris.clone()).unwrap_or_default();
    vec![
        Field::new("client_id", "CLIENT", 22, id),
        Field::expiry(record.meta.expiry),
        Field::new("name", "NAME", 24, name),
        Field::new("redirect_uris", "REDIRECT URIS", 0, uris),
    ]
}

fn sealed_row(record: &StoredRecord) -> Vec<Field> {
    vec![
        Field::new("record", "RECORD", 64, digits(&record.key)),
        Field::expiry(record.meta.expiry),
        Field::new("bytes", "BYTES", 0, record.meta.bytes),
    ]
}
