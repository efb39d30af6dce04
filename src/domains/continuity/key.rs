//! Plan B's own key: a file that its clients on this machine read, 64 hexadecimal digits and a newline.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use zeroize::Zeroizing;

use crate::base::fault::Fault;
use crate::base::paths::write_private;
use crate::engines::secrets;

/// The file's name (plan-b.md §1.5).
const FILE: &str = "api_key.txt";
/// Digits of a key: 256 bits.
const DIGITS: usize = 64;
/// Only its owner may read it.
const OWNER_ONLY: u32 = 0o600;
/// Others' bits of a file's mode.
const OTHERS: u32 = 0o077;

/// What to do about a key that cannot be used.
pub(super) const ADVICE: &str = "Put 64 lower-case hexadecimal digits into planb/api_key.txt \
    (`openssl rand -hex 32`), or delete the file to have a new key made, and restart.";

/// The key of the file, as it was when the box started.
pub struct FileKey(Zeroizing<String>);

impl FileKey {
    /// Reads the key in `folder`, making folder and key when there is none; a file that others may
    /// read is closed to them.
    ///
    /// # Errors
    /// `planb_key_damaged` when the file holds something else, or what the file system says.
    pub fn open(folder: &Path) -> Result<Self, Fault> {
        let path = folder.join(FILE);
        match fs::read_to_string(&path) {
            Ok(text) => {
                let text = Zeroizing::new(text);
                let key = text.strip_suffix('\n').unwrap_or(&text);
                if !is_key(key) {
                    return Err(damaged());
                }
                close_to_others(&path).map_err(|e| Fault::broken("closing Plan B's key", e))?;
                Ok(Self(Zeroizing::new(key.to_owned())))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Self::make(folder, &path),
            Err(e) if e.kind() == io::ErrorKind::InvalidData => Err(damaged()),
            Err(e) => Err(Fault::broken("reading Plan B's key", e)),
        }
    }

    fn make(folder: &Path, path: &Path) -> Result<Self, Fault> {
        let bytes = Zeroizing::new(secrets::random::<{ DIGITS / 2 }>()?);
        let key = Zeroizing::new(data_encoding::HEXLOWER.encode(bytes.as_slice()));
        let line = Zeroizing::new(format!("{}\n", *key));
        fs::create_dir_all(folder)
            .and_then(|()| write_private(path, line.as_bytes()))
            .map_err(|e| Fault::broken("writing Plan B's key", e))?;
        Ok(Self(key))
    }

    /// Whether `shown` is the key, in a time that does not tell where they differ.
    pub fn is(&self, shown: &str) -> bool {
        secrets::same(&self.0, shown)
    }
}

fn is_key(text: &str) -> bool {
    text.len() == DIGITS && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn close_to_others(path: &Path) -> io::Result<()> {
    if fs::metadata(path)?.permissions().mode() & OTHERS == 0 {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(OWNER_ONLY))
}

fn damaged() -> Fault {
    Fault::unavailable(
        "planb_key_damaged",
        "Plan B's key file (planb/api_key.txt) is not 64 lower-case hexadecimal digits.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_kept_and_closed_to_others() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("planb");
        let made = FileKey::open(&place).unwrap();
        let path = place.join(FILE);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.ends_with('\n') && is_key(text.trim_end()), "{text:?}");
        assert!(made.is(text.trim_end()) && !made.is(&text) && !made.is(""));
        let rights = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(rights(), OWNER_ONLY);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(FileKey::open(&place).unwrap().is(text.trim_end()));
        assert_eq!(rights(), OWNER_ONLY);
    }

    #[test]
    fn what_is_no_key_is_named_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let good = "0123456789abcdef".repeat(4);
        for text in ["", "\n", &good[1..], &good.to_uppercase(), &format!("{good}\n\n"), "é"] {
            fs::write(&path, text).unwrap();
            assert_eq!(
                FileKey::open(folder.path()).err().map(|f| f.code),
                Some("planb_key_damaged")
            );
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        fs::write(&path, [0xff, 0xfe]).unwrap();
        assert_eq!(FileKey::open(folder.path()).err().map(|f| f.code), Some("planb_key_damaged"));
        fs::write(&path, &good).unwrap();
        assert!(FileKey::open(folder.path()).unwrap().is(&good), "without a newline too");
    }
}
