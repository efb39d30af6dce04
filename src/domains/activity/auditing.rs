//! The walk along an exported journal, without a server: its end first, then its links.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Seek};

use data_encoding::BASE64;

use super::checkpoints::{self, End, FORMAT};
use super::ledger::{CheckpointLine, Header, Line, Trailer, hash};
use super::records::Checkpoint;
use super::verification::Verdict;
use crate::base::clock::Moment;
use crate::base::fault::Fault;
use crate::store::chain::Walk;
use crate::store::journal::{Head, Link};

/// The longest line of a file that is read, bytes: a deed's states may be long.
pub const LINE_MAX: usize = 16 << 20;
/// Checkpoints of a file that are read at most: one an hour for a century.
pub const CHECKPOINTS_MAX: usize = 1_000_000;

/// What stands at the end of a file, and how it is to be read.
struct Frame {
    header: Header,
    public: [u8; 32],
    trailer: Option<Head>,
    /// Whether the trailer is signed, and is the end that the header names.
    signed: bool,
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
    let unsigned = frame.trailer.filter(|_| !frame.signed);
    let mut walk = Walk::new(frame.trailer, frame.good);
    for (number, at) in frame.forged {
        walk.forged(number, Some(at));
    }
    if let Some(end) = unsigned {
        walk.unsigned(end.number, Some(frame.header.exported_at));
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
    let (trailer, last, signed, torn) = (None, None, false, false);
    let mut frame = Frame { header, public, trailer, signed, good, forged, last, torn };
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
            Ok(Line::Trailer(trailer)) => frame.end(&trailer, lines.number)?,
            Err(_) if frame.torn => {}
            _ => return Err(malformed(lines.number, "is not a line of this format")),
        }
    }
}

impl Frame {
    fn end(&mut self, trailer: &Trailer, number: u64) -> Result<(), Fault> {
        let hash = hash(&trailer.hash).ok_or_else(|| malformed(number, "holds no hash"))?;
        let head = Head { number: trailer.number, hash };
        let Header { exported_at, first, last, .. } = self.header;
        let end = End { exported_at, first, head, links: trailer.links };
        let signature = trailer.signature.as_ref();
        let signature = signature.and_then(|text| BASE64.decode(text.as_bytes()).ok());
        self.signed = last == head.number
            && signature.is_some_and(|signature| {
                checkpoints::is_end_signed(&self.public, &self.header.site, &end, &signature)
            });
        self.trailer = Some(head);
        Ok(())
    }

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
