//! The binding of a token to its session, read in place from its record.

use minicbor::decode;
use portcullis_protocol::credentials::UserId;

use crate::store::encoding::{Fields, user_id};

/// The binding that a call with one of a session's tokens has to match: fields of a
/// [`Session`](crate::sessions::state::Session).
pub(crate) struct SessionBinding<'a> {
    /// As in the session.
    pub(crate) client_id: &'a str,
    /// As in the session.
    pub(crate) user_id: UserId,
    /// As in the session.
    pub(crate) resource: &'a str,
    /// `true` once the session's code was redeemed.
    pub(crate) is_active: bool,
}

impl<'a> SessionBinding<'a> {
    /// Reads a session's record; `None` when it is none. All of these fields are required, and no
    /// later one can have a number before theirs, so they are the first ones. What follows them is
    /// not looked at: the record was sealed by a gateway that wrote it.
    pub(crate) fn read(record: &'a [u8]) -> Option<Self> {
        read(Fields::of(record)?).ok()
    }
}

fn read(mut fields: Fields<'_>) -> Result<SessionBinding<'_>, decode::Error> {
    let client_id = fields.required(1)?.str()?;
    let user_id = user_id::decode(fields.required(2)?, &mut ())?;
    let resource = fields.required(3)?.str()?;
    let state = fields.required(4)?;
    // An array of the state's number and what belongs to it.
    if state.array()?.is_none_or(|length| length < 2) {
        return Err(decode::Error::message("not a state"));
    }
    let is_active = match state.u32()? {
        0 => false,
        1 => true,
        unknown => return Err(decode::Error::unknown_variant(unknown.into())),
    };
    Ok(SessionBinding { client_id, user_id, resource, is_active })
}
