//! The check of a field's bounds while it is read.

use serde::de::Unexpected;

/// Returns the value if `fits` accepts it, else an error that names the expected form only.
pub(crate) fn refuse_unless<T, E: serde::de::Error>(
    found: T,
    fits: impl Fn(&T) -> bool,
    form: &'static str,
) -> Result<T, E> {
    if fits(&found) { Ok(found) } else { Err(E::invalid_value(Unexpected::Other("something else"), &form)) }
}
