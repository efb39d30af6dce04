//! The key that signs passes: the desk's own, so that no pass is ever a sign-in and no sign-in a pass.

use std::fs;

use zeroize::Zeroizing;

use super::records::KEYS;
use crate::base::caller::Caller;
use crate::base::fault::Fault;
use crate::engines::secrets::RootKey;
use crate::engines::tokens::{Algorithm, TokenKey, from_pem};
use crate::store::{Blob, Deed, Reader, Store};

/// Where the key is kept, and what it is sealed for.
const PLACE: &str = "pass_key";
/// The largest file of a key, bytes.
const FILE_MAX: u64 = 64 * 1024;

/// The key that signs passes: that of the settings' file, or the one that was made at the first start. A
/// file's key is kept too, so that the box starts without the file from then on.
///
/// # Errors
/// `pass_key_unreadable` for a file that holds no such key, or what the store says.
pub(super) fn open(store: &Store, root: &RootKey, file: &str) -> Result<TokenKey, Fault> {
    let kept = store.read(|view| view.get(&KEYS, &PLACE.to_owned()))?;
    let kept = kept.map(|Blob(sealed)| root.unseal(PLACE, &sealed)).transpose()?;
    let wanted = if file.is_empty() { None } else { Some(of_file(file)?) };
    let bytes = match (kept, wanted) {
        (Some(kept), None) => kept,
        (Some(kept), Some(wanted)) if *kept == *wanted => kept,
        (_, Some(wanted)) => lay(store, root, wanted, "pass_key.import")?,
        (None, None) => lay(store, root, TokenKey::make(Algorithm::Rs256)?, "pass_key.make")?,
    };
    TokenKey::read(Algorithm::Rs256, &bytes)
}

fn lay(
    store: &Store,
    root: &RootKey,
    bytes: Zeroizing<Vec<u8>>,
    deed: &'static str,
) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let name = TokenKey::read(Algorithm::Rs256, &bytes)?.name().to_owned();
    let sealed = root.seal(PLACE, &bytes)?;
    store.write(move |tx| {
        tx.put(&KEYS, &PLACE.to_owned(), &Blob(sealed))?;
        tx.journal(&Caller::task("attendance"), Deed::new(deed, name))
    })?;
    Ok(bytes)
}

/// The key of a PEM file, as PKCS#8.
fn of_file(path: &str) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let unreadable = |why: &dyn std::fmt::Display| {
        let message = format!("attendance.pass_key_file: {path} cannot be used: {why}");
        Fault::invalid("pass_key_unreadable", message)
    };
    let length = fs::metadata(path).map_err(|e| unreadable(&e))?.len();
    if length > FILE_MAX {
        return Err(unreadable(&"it is too large for a key"));
    }
    let text = Zeroizing::new(fs::read_to_string(path).map_err(|e| unreadable(&e))?);
    from_pem(&text).ok_or_else(|| unreadable(&"it holds no PKCS#8 RSA key without a passphrase"))
}
