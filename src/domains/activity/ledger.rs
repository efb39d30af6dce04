//! The journal outside of the box: one JSON line a link, and the walk along such a file without a server.
//!
//! `ilot-journal/1` is UTF-8 text, a line a JSON object with one member that says what it is: `header`
//! first, then every `link` in order, every `checkpoint`, and a `trailer` at the end, by which a file
//! that was cut is known. Hashes are hexadecimal; moments stand as RFC 3339 for people and as
//! milliseconds for the hash, and must agree; the states before and after are the very texts that were
//! hashed.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Seek};
use std::ops::ControlFlow;

use data_encoding::{BASE64, HEXLOWER};
use serde::{Deserialize, Serialize};

use super::Activity;
use super::checkpoints::{self, FORMAT};
use super::records::{CHECKPOINTS, Checkpoint};
use super::verification::Verdict;
use crate::base::caller::{Caller, Right};
use crate::base::clock::Moment;
use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::store::chain::Walk;
use crate::store::journal::{Head, JOURNAL, Link, SHAPE};
use crate::store::{Deed, Reader, from};

/// The longest line of a file that is read, bytes: a deed's states may be long.
pub const LINE_MAX: usize = 16 << 20;
/// Checkpoints of a file that are read at most: one an hour for a century.
pub const CHECKPOINTS_MAX: usize = 1_000_000;
/// Bytes after which a part of an export is sent.
const PART_BYTES: usize = 256 << 10;

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Header(Header),
    Link(Box<LinkLine>),
    Checkpoint(CheckpointLine),
    Trailer(Trailer),
}

/// What the file is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: String,
    site: String,
    site_name: String,
    exported_at: Moment,
    /// The public key, base64.
    public_key: String,
    key: String,
    first: u64,
    last: u64,
}

/// A link with everything its hash was computed over.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LinkLine {
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
struct CheckpointLine {
    number: u64,
    hash: String,
    at: Moment,
    key: String,
    signature: String,
}

/// The end, so that a cut file is known.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Trailer {
    links: u64,
    checkpoints: u64,
    number: u64,
    hash: String,
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
    fn link(self) -> Option<Link> {
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

fn hash(hex: &str) -> Option<[u8; 32]> {
    HEXLOWER.decode(hex.as_bytes()).ok()?.try_into().ok()
}

// --- out ----------------------------------------------------------------------------------------

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
            first: 1,
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
                self.stage = Stage::Links(1);
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
                let trailer = Trailer {
                    links: self.head.number,
                    checkpoints: self.checkpoints,
                    number: self.head.number,
                    hash: HEXLOWER.encode(&self.head.hash),
                };
                write(&mut part, &Line::Trailer(trailer))?;
            }
            Stage::Done => return Ok(None),
        }
        Ok(Some(part))
    }

    fn links(&self, first: u64, part: &mut Vec<u8>) -> Result<Option<u64>, Fault> {
        let (mut next, last) = (None, self.head.number);
        self.desk.store.read(|view| {
            view.each(&JOURNAL, &from(&first), |number, link| {
                if number > last {
                    return Ok(ControlFlow::Break(()));
                }
                write(part, &Line::Link(Box::new(link.into())))?;
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

// --- in -----------------------------------------------------------------------------------------

/// What stands at the end of a file, and how it is to be read.
struct Frame {
    header: Header,
    public: [u8; 32],
    trailer: Option<Head>,
    good: BTreeMap<u64, [u8; 32]>,
    forged: Vec<(u64, Moment)>,
    last: Option<(u64, Moment)>,
    /// Whether the last line is cut short.
    torn: bool,
}

/// Walks along an exported file, twice: its end first, then its links.
///
/// # Errors
/// `journal_file_malformed` with the number of the line, `journal_file_unreadable`.
pub fn verify_file(file: impl Read + Seek) -> Result<Verdict, Fault> {
    let mut file = BufReader::new(file);
    let frame = frame(&mut file)?;
    file.rewind().map_err(|e| unreadable(&e))?;
    let whole = frame.trailer.is_some();
    let mut walk = Walk::new(frame.trailer, frame.good);
    for (number, at) in frame.forged {
        walk.forged(number, Some(at));
    }
    let mut lines = Lines { file, number: 0, line: Vec::new() };
    while let Some(line) = lines.next()? {
        if line.starts_with(LINK) {
            let Some(link) = lines.link(frame.torn)? else { break };
            walk.link(&link)?;
        }
    }
    if !whole {
        walk.cut();
    }
    Ok(Verdict {
        findings: walk.end(),
        site: frame.header.site,
        last_checkpoint: frame.last,
        fingerprint: Some(checkpoints::fingerprint(&frame.public)),
        exported_at: Some(frame.header.exported_at),
    })
}

/// How a link's line begins.
const LINK: &[u8] = b"{\"link\":";

fn malformed(line: u64, what: &str) -> Fault {
    Fault::invalid("journal_file_malformed", format!("Line {line} {what}."))
}

fn unreadable(error: &std::io::Error) -> Fault {
    Fault::invalid("journal_file_unreadable", format!("The file cannot be read: {error}"))
}

/// The lines of a file, none longer than [`LINE_MAX`].
struct Lines<F> {
    file: BufReader<F>,
    number: u64,
    line: Vec<u8>,
}

impl<F: Read> Lines<F> {
    fn next(&mut self) -> Result<Option<&[u8]>, Fault> {
        self.line.clear();
        let limit = LINE_MAX as u64 + 1;
        let read = (&mut self.file).take(limit).read_until(b'\n', &mut self.line);
        if read.map_err(|e| unreadable(&e))? == 0 {
            return Ok(None);
        }
        self.number += 1;
        if self.line.len() > LINE_MAX {
            return Err(malformed(self.number, "is longer than a line may be"));
        }
        Ok(Some(&self.line))
    }

    /// The present line as a link; none when it is the torn end of the file.
    fn link(&self, torn: bool) -> Result<Option<Link>, Fault> {
        let ended = self.line.ends_with(b"\n");
        let link = match serde_json::from_slice::<Line>(&self.line) {
            Ok(Line::Link(line)) => line.link(),
            _ => None,
        };
        match link {
            None if torn && !ended => Ok(None),
            None => Err(malformed(self.number, "is not a link of this format")),
            link => Ok(link),
        }
    }
}

/// Reads everything but the links.
fn frame<F: Read>(file: &mut BufReader<F>) -> Result<Frame, Fault> {
    let mut lines = Lines { file: BufReader::new(file), number: 0, line: Vec::new() };
    let first = lines.next()?.map(serde_json::from_slice::<Line>);
    let Some(Ok(Line::Header(header))) = first else {
        return Err(malformed(1, "is not the header of an exported journal"));
    };
    if header.format != FORMAT {
        return Err(malformed(1, "names another format than ilot-journal/1"));
    }
    let public = BASE64.decode(header.public_key.as_bytes()).ok();
    let public: [u8; 32] = public
        .and_then(|key| key.try_into().ok())
        .ok_or_else(|| malformed(1, "holds no public key"))?;
    let (good, forged) = (BTreeMap::new(), Vec::new());
    let mut frame = Frame { header, public, trailer: None, good, forged, last: None, torn: false };
    loop {
        let Some(line) = lines.next()? else { return Ok(frame) };
        if frame.trailer.is_some() {
            return Err(malformed(lines.number, "stands behind the trailer"));
        }
        frame.torn = !line.ends_with(b"\n");
        if line.starts_with(LINK) {
            continue;
        }
        match serde_json::from_slice::<Line>(line) {
            Ok(Line::Checkpoint(line)) => frame.checkpoint(line, lines.number)?,
            Ok(Line::Trailer(trailer)) => {
                let hash =
                    hash(&trailer.hash).ok_or_else(|| malformed(lines.number, "holds no hash"))?;
                frame.trailer = Some(Head { number: trailer.number, hash });
            }
            Err(_) if frame.torn => {}
            _ => return Err(malformed(lines.number, "is not a line of this format")),
        }
    }
}

impl Frame {
    fn checkpoint(&mut self, line: CheckpointLine, number: u64) -> Result<(), Fault> {
        if self.good.len() + self.forged.len() >= CHECKPOINTS_MAX {
            return Err(malformed(number, "is one checkpoint too many"));
        }
        let signature = BASE64.decode(line.signature.as_bytes()).unwrap_or_default();
        let hash = hash(&line.hash).ok_or_else(|| malformed(number, "holds no hash"))?;
        let checkpoint =
            Checkpoint { number: line.number, hash, at: line.at, key: line.key, signature };
        if checkpoints::is_signed(&self.public, &self.header.site, &checkpoint) {
            self.good.insert(checkpoint.number, hash);
            self.last = Some((checkpoint.number, checkpoint.at));
        } else {
            self.forged.push((checkpoint.number, checkpoint.at));
        }
        Ok(())
    }
}
