//! Files as operators name them.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Returns a file's text; that of standard input for `-`.
///
/// # Errors
/// Why it cannot be read; a file of 16 MiB or more is not.
pub(crate) fn content(file: &Path) -> io::Result<String> {
    let mut content = String::new();
    if file.as_os_str() == "-" {
        io::stdin().take(MAX_BYTES).read_to_string(&mut content)?;
    } else {
        File::open(file)?.take(MAX_BYTES).read_to_string(&mut content)?;
    }
    if u64::try_from(content.len()).is_ok_and(|bytes| bytes >= MAX_BYTES) {
        return Err(io::Error::other("the file is too large"));
    }
    Ok(content)
}

const MAX_BYTES: u64 = 16 * 1024 * 1024;
