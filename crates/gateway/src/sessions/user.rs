//! Users, as a provider knows them.

use minicbor::{Decode, Encode};
use portcullis_protocol::credentials::SessionId;
use portcullis_storage_api::{Kind, Ttl};

use crate::error::DependencyError;
use crate::ports::Ports;
use crate::state::gateway::Gateway;
use crate::store::records::{self, Record, Records};

/// A user as a provider knows them.
#[derive(Clone, Encode, Decode)]
#[cbor(map)]
pub struct User {
    /// Our name for the user: the `sub` of our tokens.
    #[n(1)]
    pub id: String,
    /// The provider's issuer.
    #[n(2)]
    pub issuer: String,
    /// The provider's name for the user.
    #[n(3)]
    pub subject: String,
    /// When the user first logged in, in Unix seconds.
    #[cbor(n(4), default)]
    pub created_at: u64,
}

impl Record for User {
    const KIND: Kind = Kind::User;
    const TYPE: &'static str = "user";
}

/// The user that a provider's subject stands for, created at the first login. Two first logins at
/// once make one user.
pub(crate) async fn find_or_create_user<P: Ports>(
    gateway: &Gateway,
    subject: &str,
    ports: &P,
) -> Result<User, DependencyError> {
    let config = gateway.config();
    let issuer = config.providers.login().issuer();
    let records = Records::new(&config.sealer, ports);
    let key = records::key(Kind::User, &[issuer.as_bytes(), subject.as_bytes()]);
    if let Some(known) = records.load::<User>(&key).await? {
        return Ok(known.record);
    }
    let user = User {
        id: SessionId::new(ports.random()?).to_string(),
        issuer: issuer.to_owned(),
        subject: subject.to_owned(),
        created_at: ports.now(),
    };
    if records.create(&key, &user, Ttl::Forever).await? {
        return Ok(user);
    }
    // Another request was faster, or the record there cannot be opened any more and a new user
    // takes its place.
    match records.load::<User>(&key).await? {
        Some(known) => Ok(known.record),
        None => {
            records.save(&key, &user, Ttl::Forever).await?;
            Ok(user)
        }
    }
}
