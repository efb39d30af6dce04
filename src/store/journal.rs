//! The journal: every deed is a link of a hash chain (who, what, before and after, when, from where).

use std::ops::{ControlFlow, Range};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::key::Key;
use super::meta::{CHAIN, HEADS};
use super::table::{Record, Table};
use super::view::{Reader, from};
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
///
/// Links are never rewritten, so each keeps the shape it was born with: the first shape knows neither
/// the agent nor the session, and its hash is computed without them for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The shape it was written in, 1 or [`SHAPE`]; kept as the row's version byte.
    #[serde(skip, default = "newest")]
    pub shape: u8,
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
    /// With which program, as far as it says; since shape 2.
    pub agent: Option<String>,
    /// In which session; since shape 2.
    pub session: Option<Id>,
    /// The state before, JSON.
    pub before: Option<String>,
    /// The state after, JSON.
    pub after: Option<String>,
    /// The hash of the link before; zeros for the first.
    pub previous: [u8; 32],
    /// SHA-256 over everything above.
    pub hash: [u8; 32],
}

/// The shape that links are written in.
pub const SHAPE: u8 = 2;
/// Goes before what is hashed, so that no bytes mean one thing as a link and another elsewhere. Shape 1
/// had no such word.
const DOMAIN: &[u8] = b"ilot-link/2\n";

fn newest() -> u8 {
    SHAPE
}

/// A link as it was before it knew the agent and the session.
#[derive(Serialize, Deserialize)]
struct First {
    number: u64,
    at: Moment,
    since_boot_ms: u64,
    doubtful: bool,
    who: String,
    user: Option<Id>,
    door: String,
    address: Option<String>,
    request: String,
    deed: String,
    object: String,
    before: Option<String>,
    after: Option<String>,
    previous: [u8; 32],
    hash: [u8; 32],
}

impl From<First> for Link {
    fn from(first: First) -> Self {
        Self {
            shape: 1,
            number: first.number,
            at: first.at,
            since_boot_ms: first.since_boot_ms,
            doubtful: first.doubtful,
            who: first.who,
            user: first.user,
            door: first.door,
            address: first.address,
            request: first.request,
            deed: first.deed,
            object: first.object,
            agent: None,
            session: None,
            before: first.before,
            after: first.after,
            previous: first.previous,
            hash: first.hash,
        }
    }
}

impl From<Link> for First {
    fn from(link: Link) -> Self {
        Self {
            number: link.number,
            at: link.at,
            since_boot_ms: link.since_boot_ms,
            doubtful: link.doubtful,
            who: link.who,
            user: link.user,
            door: link.door,
            address: link.address,
            request: link.request,
            deed: link.deed,
            object: link.object,
            before: link.before,
            after: link.after,
            previous: link.previous,
            hash: link.hash,
        }
    }
}

impl Record for Link {
    const VERSION: u8 = SHAPE;

    fn encode(&self) -> Result<Vec<u8>, Fault> {
        if self.shape == 1 {
            return super::table::encode(1, &First::from(self.clone()));
        }
        super::table::encode(SHAPE, self)
    }

    fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        if bytes.first() == Some(&1) {
            return super::table::decode::<First>(1, bytes).map(Self::from);
        }
        super::table::decode(SHAPE, bytes)
    }
}

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
    /// The link that follows `head`, and the row that keeps it: a link is written down once.
    pub(super) fn after(
        head: Head,
        when: When,
        caller: &Caller,
        deed: Deed,
    ) -> Result<(Head, Vec<u8>), Fault> {
        let link = Self {
            shape: SHAPE,
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
            agent: caller.agent.clone(),
            session: caller.session,
            before: deed.before,
            after: deed.after,
            previous: head.hash,
            hash: [0; 32],
        };
        let mut row = link.encode()?;
        let hash = hashed(&row)?;
        // The hash is the row's end; until here it held zeros.
        row.truncate(row.len().saturating_sub(hash.len()));
        row.extend_from_slice(&hash);
        Ok((Head { number: link.number, hash }, row))
    }

    /// The hash that this content must have, computed over the shape it was written in.
    ///
    /// # Errors
    /// `Broken` when it cannot be written down.
    pub fn digest(&self) -> Result<[u8; 32], Fault> {
        if self.shape == 1 {
            let bare = First { hash: [0; 32], ..First::from(self.clone()) };
            let bytes = postcard::to_stdvec(&bare)
                .map_err(|e| Fault::broken("writing a journal link down", e))?;
            return Ok(Sha256::digest(&bytes).into());
        }
        hashed(&self.encode()?)
    }
}

/// The hash over a row of the present shape: everything between its version byte and its hash.
fn hashed(row: &[u8]) -> Result<[u8; 32], Fault> {
    let content = row
        .get(1..row.len().saturating_sub(32))
        .ok_or_else(|| Fault::broken("hashing a journal link", "the row is too short"))?;
    Ok(Sha256::new().chain_update(DOMAIN).chain_update(content).finalize().into())
}

/// What a list asks of every link first, read without copying anything.
#[derive(Debug, Clone, Deserialize)]
pub struct Glance<'l> {
    /// The shape it was written in.
    #[serde(skip)]
    pub shape: u8,
    /// Its number.
    pub number: u64,
    /// When.
    pub at: Moment,
    /// Milliseconds since the machine started.
    pub since_boot_ms: u64,
    /// Whether the wall clock was in doubt.
    pub doubtful: bool,
    /// Who, by name.
    pub who: &'l str,
    /// Who, as a user of the directory.
    pub user: Option<Id>,
    /// Through which door.
    pub door: &'l str,
    /// From which address.
    pub address: Option<&'l str>,
    /// In which request.
    pub request: &'l str,
    /// What.
    pub deed: &'l str,
    /// To what.
    pub object: &'l str,
    /// In which session; none in links of shape 1.
    #[serde(skip)]
    pub session: Option<Id>,
}

impl<'l> Glance<'l> {
    /// Looks at a row of [`JOURNAL`].
    ///
    /// # Errors
    /// `Broken` for damaged bytes.
    pub fn at(row: &'l [u8]) -> Result<Self, Fault> {
        let damaged = |e: postcard::Error| Fault::broken("looking at a journal link", e);
        let (&shape, rest) = row
            .split_first()
            .ok_or_else(|| Fault::broken("looking at a journal link", "the row is empty"))?;
        let (mut glance, rest) = postcard::take_from_bytes::<Self>(rest).map_err(damaged)?;
        glance.shape = shape;
        if shape == SHAPE {
            let ((_, session), _) =
                postcard::take_from_bytes::<(Option<&str>, Option<Id>)>(rest).map_err(damaged)?;
            glance.session = session;
        }
        Ok(glance)
    }
}

/// The end of the chain, as this reader sees it.
///
/// # Errors
/// What the store says.
pub fn head(reader: &impl Reader) -> Result<Head, Fault> {
    Ok(reader.get(&HEADS, &CHAIN.to_owned())?.unwrap_or_default())
}

/// At most `limit` links from number `first` on.
///
/// # Errors
/// What the store says.
pub fn links(reader: &impl Reader, first: u64, limit: usize) -> Result<Vec<Link>, Fault> {
    Ok(reader.list(&JOURNAL, &from(&first), limit)?.into_iter().map(|(_, link)| link).collect())
}

/// Looks at the links with numbers in `numbers` (its end excluded), newest first, until `visit` says
/// stop. A row that cannot be read is passed over: the walk along the chain names it.
///
/// # Errors
/// What the store or the visitor says.
pub fn newest_first(
    reader: &impl Reader,
    numbers: Range<u64>,
    mut visit: impl FnMut(&Glance<'_>, &[u8]) -> Result<ControlFlow<()>, Fault>,
) -> Result<(), Fault> {
    let span = (numbers.start.bytes(), Some(numbers.end.bytes()));
    reader.raw_each(JOURNAL.name, &span, true, &mut |_, row| match Glance::at(row) {
        Ok(glance) => visit(&glance, row),
        Err(_) => Ok(ControlFlow::Continue(())),
    })
}
