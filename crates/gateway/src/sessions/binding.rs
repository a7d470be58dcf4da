//! The binding of a token to its session, read in place from its record.

use portcullis_protocol::credentials::UserId;

use crate::store::encoding::Fields;

/// The binding that a call with one of a session's tokens has to match: fields of a
/// [`Session`](crate::sessions::state::Session).
pub(crate) struct SessionBinding<'a> {
    /// As in the session, as bytes: they are only compared.
    pub(crate) client_id: &'a [u8],
    /// As in the session.
    pub(crate) user_id: UserId,
    /// As in the session, as bytes: they are only compared.
    pub(crate) resource: &'a [u8],
    /// `true` once the session's code was redeemed.
    pub(crate) is_active: bool,
}

impl<'a> SessionBinding<'a> {
    /// Reads a session's record; `None` when it is none. All of these fields are required, and no
    /// later one can have a number before theirs, so they are the first ones. What follows them is
    /// not looked at: the record was sealed by a gateway that wrote it.
    pub(crate) fn read(record: &'a [u8]) -> Option<Self> {
        let mut fields = Fields::of(record)?;
        let client_id = fields.required(1)?.text()?;
        let user_id = UserId::restore(fields.required(2)?.bytes()?.try_into().ok()?);
        let resource = fields.required(3)?.text()?;
        // An array of the state's number and what belongs to it.
        if fields.required(4)?.array()? < 2 {
            return None;
        }
        let is_active = match fields.uint()? {
            0 => false,
            1 => true,
            _ => return None,
        };
        Some(Self { client_id, user_id, resource, is_active })
    }
}
