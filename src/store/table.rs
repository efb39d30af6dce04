//! Typed tables: a name and two types over ordered bytes, decoded fallibly.

use std::marker::PhantomData;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::key::Key;
use crate::base::fault::Fault;
use crate::base::id::Id;

/// What a write to a table owes the rest of the house.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty {
    /// A deed: the transaction must also write the journal, and each change enters the change log.
    Journaled,
    /// Derived from a deed elsewhere (passages, vectors): each change enters the change log alone.
    Followed,
    /// The box's own housekeeping (progress, last use): neither journal nor change log.
    Quiet,
}

/// An ordered table. Declared as a constant and listed in `app/schema.rs`.
#[derive(Debug)]
pub struct Table<K, V> {
    /// Its name on disk, `domain.noun`.
    pub name: &'static str,
    /// What a write to it owes.
    pub duty: Duty,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Table<K, V> {
    /// A table whose writes are deeds.
    pub const fn journaled(name: &'static str) -> Self {
        Self { name, duty: Duty::Journaled, types: PhantomData }
    }

    /// A table that indexes follow.
    pub const fn followed(name: &'static str) -> Self {
        Self { name, duty: Duty::Followed, types: PhantomData }
    }

    /// A table of housekeeping.
    pub const fn quiet(name: &'static str) -> Self {
        Self { name, duty: Duty::Quiet, types: PhantomData }
    }
}

/// A value that a table keeps: a version byte, then postcard.
///
/// postcard is not self-describing, so a change of shape raises [`Record::VERSION`] and comes with a
/// numbered step in `app/schema.rs` and a golden-bytes test.
pub trait Record: Sized {
    /// The shape's number.
    const VERSION: u8 = 1;

    /// The bytes kept.
    ///
    /// # Errors
    /// `Broken` when the value cannot be written down.
    fn encode(&self) -> Result<Vec<u8>, Fault>;

    /// The value of kept bytes.
    ///
    /// # Errors
    /// `Broken` when the bytes are of another shape or damaged.
    fn decode(bytes: &[u8]) -> Result<Self, Fault>;
}

/// Encodes with the version byte in front.
///
/// # Errors
/// `Broken` when serde refuses.
pub fn encode<T: Serialize>(version: u8, value: &T) -> Result<Vec<u8>, Fault> {
    postcard::to_extend(value, vec![version]).map_err(|e| Fault::broken("writing a record down", e))
}

/// Decodes what [`encode`] made; every byte must be used.
///
/// # Errors
/// `Broken` for another version, damage, or bytes left over.
pub fn decode<T: DeserializeOwned>(version: u8, bytes: &[u8]) -> Result<T, Fault> {
    let (&found, rest) =
        bytes.split_first().ok_or_else(|| Fault::broken("reading a record", "it is empty"))?;
    if found != version {
        return Err(Fault::broken(
            "reading a record",
            format!("shape {found}, expected {version}"),
        ));
    }
    match postcard::take_from_bytes(rest) {
        Ok((value, [])) => Ok(value),
        Ok(_) => Err(Fault::broken("reading a record", "bytes are left over")),
        Err(e) => Err(Fault::broken("reading a record", e)),
    }
}

/// Looks at what [`encode`] made without copying it: `T` borrows its texts, and what stands behind the
/// last of its members is not looked at.
///
/// # Errors
/// `Broken` for another version or damage.
pub fn look<'r, T: Deserialize<'r>>(version: u8, bytes: &'r [u8]) -> Result<T, Fault> {
    match bytes.split_first() {
        Some((found, rest)) if *found == version => postcard::take_from_bytes(rest)
            .map(|(value, _)| value)
            .map_err(|e| Fault::broken("looking at a record", e)),
        _ => Err(Fault::broken("looking at a record", "it is empty or of another shape")),
    }
}

/// Makes serde types records: `records!(User, Session)`, or `records!(User = 2)` for a later shape.
#[macro_export]
macro_rules! records {
    ($($type:ty $(= $version:literal)?),* $(,)?) => {$(
        impl $crate::store::table::Record for $type {
            $(const VERSION: u8 = $version;)?
            fn encode(&self) -> Result<Vec<u8>, $crate::base::fault::Fault> {
                $crate::store::table::encode(Self::VERSION, self)
            }
            fn decode(bytes: &[u8]) -> Result<Self, $crate::base::fault::Fault> {
                $crate::store::table::decode(Self::VERSION, bytes)
            }
        }
    )*};
}

records!((), bool, u32, u64, i64, String, Id, crate::base::clock::Moment);

/// Raw bytes, kept as they are after the version byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob(pub Vec<u8>);

impl Record for Blob {
    fn encode(&self) -> Result<Vec<u8>, Fault> {
        let mut bytes = Vec::with_capacity(self.0.len() + 1);
        bytes.push(Self::VERSION);
        bytes.extend_from_slice(&self.0);
        Ok(bytes)
    }

    fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        match bytes.split_first() {
            Some((&Self::VERSION, rest)) => Ok(Self(rest.to_vec())),
            _ => Err(Fault::broken("reading raw bytes", "another shape")),
        }
    }
}

/// Reads a whole key.
///
/// # Errors
/// `Broken` when the bytes are not exactly one such key.
pub fn read_key<K: Key>(bytes: &[u8]) -> Result<K, Fault> {
    let mut rest = bytes;
    match K::read(&mut rest) {
        Some(key) if rest.is_empty() => Ok(key),
        _ => Err(Fault::broken("reading a key", "the bytes are of another shape")),
    }
}
