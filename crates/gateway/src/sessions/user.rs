//! Users, as a provider knows them.

use portcullis_protocol::credentials::SessionId;
use portcullis_storage_api::{Kind, Ttl};
use serde::{Deserialize, Serialize};

use crate::error::Unavailable;
use crate::ports::Ports;
use crate::state::gateway::Gateway;
use crate::store::records::{self, Record, Records};

/// A user as a provider knows them.
#[derive(Clone, Serialize, Deserialize)]
pub struct User {
    /// Our name for the user: the `sub` of our tokens.
    pub id: String,
    /// The provider's issuer.
    pub issuer: String,
    /// The provider's name for the user.
    pub subject: String,
    /// When the user first logged in, in Unix seconds.
    pub created_at: u64,
}

impl Record for User {
    const KIND: Kind = Kind::User;
}

/// The user that a provider's subject stands for, created at the first login. Two first logins at
/// once make one user.
pub(crate) async fn find_or_create_user<P: Ports>(
    gateway: &Gateway,
    subject: &str,
    ports: &P,
) -> Result<User, Unavailable> {
    let config = gateway.config();
    let issuer = &config.provider.issuer;
    let records = Records::new(&config.key_ring, ports);
    let key = records::key(Kind::User, &[issuer.as_bytes(), subject.as_bytes()]);
    if let Some(known) = records.load::<User>(&key).await? {
        return Ok(known.record);
    }
    let user = User {
        id: SessionId::new(ports.random()?).to_string(),
        issuer: issuer.clone(),
        subject: subject.to_owned(),
        created_at: ports.now(),
    };
    if records.create(&key, &user, Ttl::Forever).await? {
        return Ok(user);
    }
    // Somebody else was faster, or the record there cannot be opened any more and a new user takes
    // its place.
    match records.load::<User>(&key).await? {
        Some(known) => Ok(known.record),
        None => {
            records.save(&key, &user, Ttl::Forever).await?;
            Ok(user)
        }
    }
}
