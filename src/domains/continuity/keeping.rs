//! Key files: read where they lie, made once where they are missing, never overwritten when damaged.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use zeroize::Zeroizing;

use super::files::unwritten;
use crate::base::fault::Fault;
use crate::base::paths::write_private;

/// Only the owner may read.
const OWNER_ONLY: u32 = 0o600;
/// Others' bits of a file's mode.
const OTHERS: u32 = 0o077;

/// The bytes of a file, which is closed to others if it was open to them; `None` when there is none.
///
/// # Errors
/// What the file system says.
pub(super) fn read(path: &Path) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    if fs::metadata(path)?.permissions().mode() & OTHERS != 0 {
        fs::set_permissions(path, Permissions::from_mode(OWNER_ONLY))?;
    }
    Ok(Some(bytes))
}

/// The bytes of a file; where there is none, those that `make` makes are written first. Whoever calls
/// holds a lock, so that two processes do not make two keys.
///
/// # Errors
/// What the file system says, and those of `make`.
pub(super) fn read_or_make(
    path: &Path,
    make: impl FnOnce() -> Result<Zeroizing<Vec<u8>>, Fault>,
) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let unread =
        |e: io::Error| Fault::broken("reading a key of Plan B", format!("{}: {e}", path.display()));
    if let Some(bytes) = read(path).map_err(unread)? {
        return Ok(bytes);
    }
    let bytes = make()?;
    write_private(path, &bytes)
        .map_err(|e| unwritten(&format!("writing {}", path.display()), e))?;
    Ok(bytes)
}
