//! The clients that registered, and got tokens or were deleted.

use portcullis_gateway::clients::registered::{Client, client_key};
use portcullis_gateway::clients::sealed_id::CarriedRegistration;
use portcullis_gateway::config::Sealer;
use portcullis_gateway::store::records::{open, seal};
use portcullis_protocol::credentials::SealedClientId;
use portcullis_storage_api::wire;
use portcullis_storage_api::{Key, Kind};
use serde_json::Value;

use crate::admin::backup::now;
use crate::admin::connection::{Connection, Expiry, Scan, StoredRecord};
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

/// Shows one. With the gateway's secrets also one without a record, which its id carries.
pub(crate) async fn show(
    connection: &mut Connection,
    sealer: Option<&Sealer>,
    id: &str,
    output: &mut Output,
) -> Result<(), AdminError> {
    let key = named(id);
    let read = connection.read(&[key]).await?.into_iter().next();
    let client = match &read {
        Some(read) => sealer.and_then(|sealer| opened(sealer, read)),
        None => Some(sealer.and_then(|sealer| carried(sealer, id)).ok_or(AdminError::NotFound)?),
    };
    let meta = read.map(|read| read.meta);
    let mut parts = vec![
        ("record", Value::from(meta.as_ref().map(|_| digits(&key)))),
        ("bytes", Value::from(meta.as_ref().map(|meta| meta.bytes))),
        ("expires_in_seconds", Value::from(meta.and_then(|meta| meta.expiry.seconds()))),
        ("opened", Value::from(client.is_some())),
    ];
    if let Some(client) = client {
        parts.extend([
            ("client_id", Value::from(client.id)),
            ("name", Value::from(client.name)),
            ("redirect_uris", Value::from(client.redirect_uris)),
            ("refresh_tokens", Value::from(client.refresh)),
            ("scope", Value::from(client.scope)),
            ("registered_at", Value::from(client.registered_at)),
            ("deleted_at", Value::from(client.deleted_at)),
        ]);
    }
    output.result(parts)
}

/// Deletes one for good. Its registration is in its id and opens as long as the secret is
/// configured, so a record has to say that it was deleted: as long, which is without end.
pub(crate) async fn delete(
    connection: &mut Connection,
    sealer: Option<&Sealer>,
    id: &str,
    output: &mut Output,
) -> Result<(), AdminError> {
    let missing = "a deletion is sealed for the gateway: set admin.gatewaySecrets and admin.issuer";
    let sealer = sealer.ok_or_else(|| AdminError::Usage(missing.to_owned()))?;
    let key = named(id);
    let client = match connection.read(&[key]).await?.into_iter().next() {
        Some(read) => opened(sealer, &read).ok_or(AdminError::DoesNotOpen)?,
        None => carried(sealer, id).ok_or(AdminError::NotFound)?,
    };
    if client.deleted_at.is_some() {
        return Err(AdminError::DeletedBefore);
    }
    let deleted = Client { deleted_at: Some(now().checked_div(1000).unwrap_or(0)), ..client };
    let mut nonce = [0; 24];
    getrandom::fill(&mut nonce).map_err(|error| AdminError::Seal(error.to_string()))?;
    let sealed = seal(sealer, &key, &deleted, nonce).and_then(|sealed| wire::Value::new(sealed).ok());
    let sealed = sealed.ok_or_else(|| AdminError::Seal("the record is too large".to_owned()))?;
    connection.write(&[(key, sealed, Expiry::Never)], true).await?;
    let mut parts = vec![
        ("deleted", Value::from(digits(&key))),
        ("client_id", Value::from(deleted.id)),
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

/// The client whose `client_id` carries its registration.
fn carried(sealer: &Sealer, id: &str) -> Option<Client> {
    let carried = CarriedRegistration::open(SealedClientId::parse(id)?, sealer)?;
    Some(Client::new(id.to_owned(), carried))
}

fn opened(sealer: &Sealer, record: &StoredRecord) -> Option<Client> {
    let client: Client = open(sealer, &record.key, record.value.as_ref()?.as_bytes())?;
    (client_key(&client.id) == record.key).then_some(client)
}

/// The id comes last: it is longer than all that precedes it.
fn row(record: &StoredRecord, client: Option<&Client>) -> Vec<Field> {
    let id = client.map_or_else(|| digits(&record.key), |client| client.id.clone());
    let name = client.map_or(Value::from("(does not open)"), |client| Value::from(client.name.clone()));
    let uris = client.map(|client| client.redirect_uris.clone()).unwrap_or_default();
    vec![
        Field::new("name", "NAME", 24, name),
        Field::expiry(record.meta.expiry),
        Field::new("deleted_at", "DELETED", 10, client.and_then(|client| client.deleted_at)),
        Field::new("redirect_uris", "REDIRECT URIS", 40, uris),
        Field::new("client_id", "CLIENT", 0, id),
    ]
}

fn sealed_row(record: &StoredRecord) -> Vec<Field> {
    vec![
        Field::new("record", "RECORD", 64, digits(&record.key)),
        Field::expiry(record.meta.expiry),
        Field::new("bytes", "BYTES", 0, record.meta.bytes),
    ]
}
