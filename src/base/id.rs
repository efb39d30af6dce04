//! Names that two sites never give twice, and revisions that merge without trusting clocks.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::clock::Moment;

/// The name of a record: a `UUIDv7` (RFC 9562), so keys sort by age and two sites never collide.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub [u8; 16]);

impl Id {
    /// A new name made at `now`.
    pub fn new(now: Moment) -> Self {
        let millis = u64::try_from(now.0).unwrap_or(0);
        let stamp = uuid::Timestamp::from_unix(
            uuid::NoContext,
            millis / 1000,
            u32::try_from(millis % 1000).unwrap_or(0) * 1_000_000,
        );
        Self(*uuid::Uuid::new_v7(stamp).as_bytes())
    }

    /// A name that says nothing of when it was made: 122 random bits (RFC 9562, version 4).
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().into_bytes())
    }

    /// The name that stands for nothing, smaller than every real one.
    pub const ZERO: Self = Self([0; 16]);
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        uuid::Uuid::from_bytes(self.0).as_hyphenated().fmt(f)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Id {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        uuid::Uuid::from_str(text).map(|u| Self(*u.as_bytes()))
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            text.parse().map_err(serde::de::Error::custom)
        } else {
            <[u8; 16]>::deserialize(deserializer).map(Self)
        }
    }
}

/// Which write of which site made a record what it is.
///
/// A site counts its own writes, so a revision never repeats and needs no clock; together with the
/// revision it replaced it lets two sites tell "newer" from "both changed it".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Revision {
    /// The site that wrote it.
    pub site: Id,
    /// That site's count of writes, from 1.
    pub count: u64,
}

/// What a record is and what it descends from; every record that sites may exchange carries one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    /// The write that made this state.
    pub revision: Revision,
    /// The state it was made from: none for a record that is new.
    pub parent: Option<Revision>,
}

impl Lineage {
    /// The lineage of a record just created.
    pub fn born(revision: Revision) -> Self {
        Self { revision, parent: None }
    }

    /// The lineage after one more write.
    #[must_use]
    pub fn then(&self, revision: Revision) -> Self {
        Self { revision, parent: Some(self.revision) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_the_moment_they_were_made() {
        let early = Id::new(Moment(1_000));
        let late = Id::new(Moment(2_000));
        assert!(early < late);
        assert_eq!(early.to_string().parse::<Id>().ok(), Some(early));
    }
}
