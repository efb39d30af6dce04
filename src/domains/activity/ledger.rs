//! The journal outside of the box: one JSON line a link, with signed checkpoints and an end.
//!
//! `ilot-journal/1` is UTF-8 text, a line a JSON object with one member that says what it is: `header`
//! first, then every `link` in order, every `checkpoint`, and a signed `trailer` at the end, by which a
//! file that was cut is known, even if whoever cut it wrote another end. Hashes are hexadecimal; moments stand as RFC 3339 for people and as
//! milliseconds for the hash, and must agree; the states before and after are the very texts that were
//! hashed.

use std::ops::ControlFlow;

use data_encoding::{BASE64, HEXLOWER};
use serde::{Deserialize, Serialize};

use super::Activity;
use super::checkpoints::{End, FORMAT};
use super::records::CHECKPOINTS;
use crate::base::caller::{Caller, Right};
use crate::base::clock::Moment;
use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::store::journal::{Head, JOURNAL, Link, SHAPE};
use crate::store::table::read_key;
use crate::store::{Deed, Reader, Record, from};

/// The link an export begins with.
const FIRST: u64 = 1;
/// Bytes after which a part of an export is sent.
const PART_BYTES: usize = 256 << 10;

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    Header(Header),
    Link(Box<LinkLine>),
    Checkpoint(CheckpointLine),
    Trailer(Trailer),
}

/// What the file is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub(super) format: String,
    pub(super) site: String,
    pub(super) site_name: String,
    pub(super) exported_at: Moment,
    /// The public key, base64.
    pub(super) public_key: String,
    pub(super) key: String,
    pub(super) first: u64,
    pub(super) last: u64,
}

/// A link with everything its hash was computed over.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LinkLine {
    number: u64,
    shape: u8,
    at: String,
    at_ms: i64,
    since_boot_ms: u64,
    doubtful: bool,
    who: String,
    user: Option<Id>,
    door: String,
    address: Option<String>,
    request: String,
    deed: String,
    object: String,
    agent: Option<String>,
    session: Option<Id>,
    before: Option<String>,
    after: Option<String>,
    previous: String,
    hash: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckpointLine {
    pub(super) number: u64,
    pub(super) hash: String,
    pub(super) at: Moment,
    pub(super) key: String,
    pub(super) signature: String,
}

/// The end, signed, so that a cut file is known.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Trailer {
    pub(super) links: u64,
    pub(super) checkpoints: u64,
    pub(super) number: u64,
    pub(super) hash: String,
    /// Over the format, the site, the moment, the first number and this end, base64; exports had none
    /// once, and are told to be unsigned.
    #[serde(default)]
    pub(super) signature: Option<String>,
}

impl From<Link> for LinkLine {
    fn from(link: Link) -> Self {
        Self {
            number: link.number,
            shape: link.shape,
            at: link.at.to_rfc3339(),
            at_ms: link.at.0,
            since_boot_ms: link.since_boot_ms,
            doubtful: link.doubtful,
            who: link.who,
            user: link.user,
            door: link.door,
            address: link.address,
            request: link.request,
            deed: link.deed,
            object: link.object,
            agent: link.agent,
            session: link.session,
            before: link.before,
            after: link.after,
            previous: HEXLOWER.encode(&link.previous),
            hash: HEXLOWER.encode(&link.hash),
        }
    }
}

impl LinkLine {
    /// The link; none when it is no link of a known shape.
    pub(super) fn link(self) -> Option<Link> {
        let mut at = Moment(self.at_ms);
        if self.at != at.to_rfc3339() {
            // What a person reads is what is verified: hashed so, a changed text shows as an edit.
            at = Moment::parse(&self.at).filter(|other| *other != at).unwrap_or(Moment(!at.0));
        }
        let known = (1..=SHAPE).contains(&self.shape);
        known.then_some(Link {
            shape: self.shape,
            number: self.number,
            at,
            since_boot_ms: self.since_boot_ms,
            doubtful: self.doubtful,
            who: self.who,
            user: self.user,
            door: self.door,
            address: self.address,
            request: self.request,
            deed: self.deed,
            object: self.object,
            agent: self.agent,
            session: self.session,
            before: self.before,
            after: self.after,
            previous: hash(&self.previous)?,
            hash: hash(&self.hash)?,
        })
    }
}

/// A hash of a line.
pub(super) fn hash(hex: &str) -> Option<[u8; 32]> {
    HEXLOWER.decode(hex.as_bytes()).ok()?.try_into().ok()
}

/// An export under way, part by part; memory stays flat, and no read of the store is held between parts.
pub struct Export {
    desk: Activity,
    stage: Stage,
    head: Head,
    began: Moment,
    checkpoints: u64,
}

enum Stage {
    Header(Header),
    Links(u64),
    Checkpoints(u64),
    Trailer,
    Done,
}

impl Activity {
    /// Begins an export of the whole journal, its own link included, with its end signed.
    ///
    /// # Errors
    /// `right_missing`, `step_up_required`, or what the store says.
    pub fn export(&self, caller: &Caller) -> Result<Export, Fault> {
        caller.require(Right::ExportActivity)?;
        let now = self.clock.now();
        caller.fresh(now)?;
        let who = caller.clone();
        self.store
            .write_freeing(move |tx| tx.journal(&who, Deed::new("activity.export", FORMAT)))?;
        let signed = self
            .sign_head()?
            .ok_or_else(|| Fault::broken("exporting the journal", "its end was not signed"))?;
        let header = Header {
            format: FORMAT.to_owned(),
            site: self.store.site().to_string(),
            site_name: self.directory().site()?.name,
            exported_at: now,
            public_key: BASE64.encode(&self.desk.signer.public()),
            key: self.desk.signer.name(),
            first: FIRST,
            last: signed.number,
        };
        Ok(Export {
            desk: self.clone(),
            stage: Stage::Header(header),
            head: Head { number: signed.number, hash: signed.hash },
            began: now,
            checkpoints: 0,
        })
    }
}

impl Export {
    /// When it began, for the file's name.
    pub fn began(&self) -> Moment {
        self.began
    }

    /// The next part: whole lines, about 256 KiB. None after the last.
    ///
    /// # Errors
    /// What the store says.
    pub fn part(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        let mut part = Vec::new();
        match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Header(header) => {
                write(&mut part, &Line::Header(header))?;
                self.stage = Stage::Links(FIRST);
            }
            Stage::Links(first) => {
                let next = self.links(first, &mut part)?;
                self.stage = next.map_or(Stage::Checkpoints(1), Stage::Links);
            }
            Stage::Checkpoints(first) => {
                let next = self.some_checkpoints(first, &mut part)?;
                self.stage = next.map_or(Stage::Trailer, Stage::Checkpoints);
            }
            Stage::Trailer => {
                let (exported_at, links) = (self.began, self.head.number);
                let end = End { exported_at, first: FIRST, head: self.head, links };
                let signature = self.desk.desk.signer.sign_end(&end)?;
                let trailer = Trailer {
                    links,
                    checkpoints: self.checkpoints,
                    number: self.head.number,
                    hash: HEXLOWER.encode(&self.head.hash),
                    signature: Some(BASE64.encode(&signature)),
                };
                write(&mut part, &Line::Trailer(trailer))?;
            }
            Stage::Done => return Ok(None),
        }
        Ok(Some(part))
    }

    /// A row that cannot be read is left out: the walk along the file names its number.
    fn links(&self, first: u64, part: &mut Vec<u8>) -> Result<Option<u64>, Fault> {
        let (mut next, last) = (None, self.head.number);
        self.desk.store.read(|view| {
            view.raw_each(JOURNAL.name, &from(&first), false, &mut |key, row| {
                let number = read_key::<u64>(key)?;
                if number > last {
                    return Ok(ControlFlow::Break(()));
                }
                if let Ok(link) = Link::decode(row) {
                    write(part, &Line::Link(Box::new(link.into())))?;
                }
                if part.len() < PART_BYTES {
                    return Ok(ControlFlow::Continue(()));
                }
                next = Some(number + 1);
                Ok(ControlFlow::Break(()))
            })
        })?;
        Ok(next)
    }

    fn some_checkpoints(&mut self, first: u64, part: &mut Vec<u8>) -> Result<Option<u64>, Fault> {
        let (mut next, last, mut count) = (None, self.head.number, 0);
        self.desk.store.read(|view| {
            view.each(&CHECKPOINTS, &from(&first), |number, checkpoint| {
                if number > last {
                    return Ok(ControlFlow::Break(()));
                }
                count += 1;
                let line = CheckpointLine {
                    number,
                    hash: HEXLOWER.encode(&checkpoint.hash),
                    at: checkpoint.at,
                    key: checkpoint.key,
                    signature: BASE64.encode(&checkpoint.signature),
                };
                write(part, &Line::Checkpoint(line))?;
                if part.len() < PART_BYTES {
                    return Ok(ControlFlow::Continue(()));
                }
                next = Some(number + 1);
                Ok(ControlFlow::Break(()))
            })
        })?;
        self.checkpoints += count;
        Ok(next)
    }
}

fn write(part: &mut Vec<u8>, line: &Line) -> Result<(), Fault> {
    serde_json::to_writer(&mut *part, line)
        .map_err(|e| Fault::broken("writing a line of the journal", e))?;
    part.push(b'\n');
    Ok(())
}
