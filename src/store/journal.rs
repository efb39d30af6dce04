//! The journal: every deed is a link of a hash chain (who, what, before and after, when, from where).

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::table::Table;
use super::view::{Reader, all, from};
use crate::base::caller::{Caller, Who};
use crate::base::clock::Moment;
use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::records;

/// The links, by number.
pub const JOURNAL: Table<u64, Link> = Table::quiet("store.journal");

/// What was done, as a verb hands it in.
#[derive(Debug, Clone, Default)]
pub struct Deed {
    /// What: `noun.verb`, for instance `document.delete`.
    pub deed: &'static str,
    /// To what: an id or a name.
    pub object: String,
    /// The state before, as JSON, where it matters. Never a secret.
    pub before: Option<String>,
    /// The state after, as JSON, where it matters. Never a secret.
    pub after: Option<String>,
}

impl Deed {
    /// `deed` done to `object`.
    #[expect(clippy::needless_pass_by_value, reason = "ids and literals alike, without a sign")]
    pub fn new(deed: &'static str, object: impl ToString) -> Self {
        Self { deed, object: object.to_string(), before: None, after: None }
    }

    /// With the state before it.
    #[must_use]
    pub fn before(mut self, state: &impl Serialize) -> Self {
        self.before = serde_json::to_string(state).ok();
        self
    }

    /// With the state after it.
    #[must_use]
    pub fn after(mut self, state: &impl Serialize) -> Self {
        self.after = serde_json::to_string(state).ok();
        self
    }
}

/// One link: a deed with its circumstances, tied to the link before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its number, from 1 without gaps.
    pub number: u64,
    /// The wall clock when it was written.
    pub at: Moment,
    /// Milliseconds since the machine started; orders links when the wall is wrong.
    pub since_boot_ms: u64,
    /// Whether the wall clock was in doubt (reliability.md, rule 8).
    pub doubtful: bool,
    /// Who, by name.
    pub who: String,
    /// Who, as a user of the directory.
    pub user: Option<Id>,
    /// Through which door.
    pub door: String,
    /// From which address.
    pub address: Option<String>,
    /// In which request.
    pub request: String,
    /// What.
    pub deed: String,
    /// To what.
    pub object: String,
    /// The state before, JSON.
    pub before: Option<String>,
    /// The state after, JSON.
    pub after: Option<String>,
    /// The hash of the link before; zeros for the first.
    pub previous: [u8; 32],
    /// SHA-256 over everything above.
    pub hash: [u8; 32],
}

records!(Link);

/// The end of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Head {
    /// How many links there are.
    pub number: u64,
    /// The last link's hash.
    pub hash: [u8; 32],
}

records!(Head);

/// The circumstances the writer adds to a deed.
#[derive(Debug, Clone, Copy)]
pub(super) struct When {
    pub(super) at: Moment,
    pub(super) since_boot_ms: u64,
    pub(super) doubtful: bool,
}

impl Link {
    /// The link that follows `head`.
    pub(super) fn after(
        head: Head,
        when: When,
        caller: &Caller,
        deed: Deed,
    ) -> Result<Self, Fault> {
        let mut link = Self {
            number: head.number + 1,
            at: when.at,
            since_boot_ms: when.since_boot_ms,
            doubtful: when.doubtful,
            who: caller.name().to_owned(),
            user: if let Who::User { id, .. } = caller.who { Some(id) } else { None },
            door: caller.door.name().to_owned(),
            address: caller.address.map(|a| a.to_string()),
            request: caller.request.clone(),
            deed: deed.deed.to_owned(),
            object: deed.object,
            before: deed.before,
            after: deed.after,
            previous: head.hash,
            hash: [0; 32],
        };
        link.hash = link.digest()?;
        Ok(link)
    }

    fn digest(&self) -> Result<[u8; 32], Fault> {
        let bare = Self { hash: [0; 32], ..self.clone() };
        let bytes = postcard::to_stdvec(&bare)
            .map_err(|e| Fault::broken("writing a journal link down", e))?;
        Ok(Sha256::digest(&bytes).into())
    }
}

/// What is wrong with a chain, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Break {
    /// The number of the link at which it shows.
    pub number: u64,
    /// `altered`, `missing`, `reordered` or `tail_cut`.
    pub wrong: &'static str,
}

/// Walks the whole chain; the answer is the number of links, or the first break.
///
/// A chain that somebody with the disk rewrote from some link on, head included, is whole again: only
/// a head kept elsewhere can show that.
///
/// # Errors
/// What the store says.
pub fn verify(reader: &impl Reader, head: Head) -> Result<Result<u64, Break>, Fault> {
    let mut last = Head::default();
    let mut broken = None;
    reader.each(&JOURNAL, &all(), |number, link| {
        let wrong = if number > last.number + 1 {
            Some("missing")
        } else if link.number != number || link.previous != last.hash {
            Some("reordered")
        } else if link.digest()? != link.hash {
            Some("altered")
        } else {
            None
        };
        if let Some(wrong) = wrong {
            broken = Some(Break { number: last.number + 1, wrong });
            return Ok(ControlFlow::Break(()));
        }
        last = Head { number, hash: link.hash };
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(match broken {
        Some(b) => Err(b),
        None if last != head => Err(Break { number: last.number + 1, wrong: "tail_cut" }),
        None => Ok(last.number),
    })
}

/// At most `limit` links from number `first` on.
///
/// # Errors
/// What the store says.
pub fn links(reader: &impl Reader, first: u64, limit: usize) -> Result<Vec<Link>, Fault> {
    Ok(reader.list(&JOURNAL, &from(&first), limit)?.into_iter().map(|(_, link)| link).collect())
}
