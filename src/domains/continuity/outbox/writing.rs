//! The writing side of the outbox: many writers, one fsync, and no answer before it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use super::{
    Author, BEFORE_HASH, Draft, ENDING, ENTRIES_MAX, ENTRY_MAX, Entry, FILE_MAX, Head, hash,
    reading,
};
use crate::base::clock::{Clock, Moment};
use crate::base::disk::{Disk, DiskFile};
use crate::base::fault::{Fault, Kind};
use crate::base::id::Id;
use crate::base::tasks::caught;
use crate::domains::continuity::place::Place;

/// Entries that may wait for their turn; whoever comes then is told to come back.
const QUEUE_MAX: usize = 1024;
/// Entries that share one sync at most.
const BATCH_MAX: usize = 256;
/// The most that one sync writes, bytes.
const BATCH_BYTES: u64 = (BATCH_MAX * ENTRY_MAX) as u64;
/// Refused entries that are remembered, so that a try again gets the name it may already be kept by.
const UNSURE_MAX: usize = 1024;
/// The file whose lock makes one process the outbox's only writer.
const WRITER_LOCK: &str = "writer.lock";
/// Entries of this run and of earlier ones that are kept in memory for lists.
const SHOWN_MAX: usize = 1000;
/// When somebody who found the queue full should come back.
const COME_BACK: Duration = Duration::from_secs(1);
/// How long a reader that just looks whether a file is held is waited for.
const HOLD_TRIES: u32 = 200;
/// The pause between two such looks.
const HOLD_PAUSE: Duration = Duration::from_millis(5);

/// The outbox of one run of Plan B. Clones write into the same file.
#[derive(Clone)]
pub struct Outbox(Arc<Inside>);

struct Inside {
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    place: Place,
    folder: PathBuf,
    node_id: String,
    pack_generation: u64,
    state: Mutex<State>,
    turn: Condvar,
}

/// Who wrote, and the key for tries again.
type RetryKey = (Author, String);

#[derive(Default)]
struct State {
    /// The file being written; none before the first entry, and while its writer has it.
    book: Option<Book>,
    /// Whether somebody writes for all that wait.
    busy: bool,
    next_ticket: u64,
    queue: Vec<(u64, Draft)>,
    answers: HashMap<u64, Result<Entry, Refusal>>,
    /// Held from the first entry to the end, so that what `known` says stays all there is to know.
    lock: Option<File>,
    known: HashMap<RetryKey, Entry>,
    /// Entries with a key that may be kept although their writers were told that this is not sure.
    unsure: VecDeque<Entry>,
    written: Vec<Entry>,
    count: u64,
    earlier: Vec<Entry>,
    last_refusal: Option<Refusal>,
}

/// A fault that many hear at once.
#[derive(Debug, Clone)]
struct Refusal {
    kind: Kind,
    code: &'static str,
    message: String,
}

/// An open file and where it stands on the disk.
struct Book {
    id: Id,
    file: Box<dyn DiskFile>,
    /// Held as long as the file is written, so that readers know a living writer.
    _hold: File,
    len: u64,
    next: u64,
    previous: String,
    /// Whether bytes that were never answered may lie behind `len`: nothing is written after them.
    frayed: bool,
}

/// What one turn writes.
struct Batch {
    lines: Vec<u8>,
    entries: Vec<(Vec<u64>, Entry)>,
    answers: Vec<(u64, Result<Entry, Refusal>)>,
}

impl Outbox {
    /// Opens the outbox in `place`; its file is begun by the first entry, which also makes this process
    /// its only writer. What earlier runs wrote is read then, so that a try again finds its entry.
    ///
    /// # Errors
    /// What the file system says of the folder.
    pub fn open(
        place: &Place,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        node_id: &str,
        pack_generation: u64,
    ) -> Result<Self, Fault> {
        let (_, earlier) = read_earlier(place, clock.now())?;
        let state = State { earlier, ..State::default() };
        Ok(Self(Arc::new(Inside {
            disk,
            clock,
            place: place.clone(),
            folder: place.outbox(),
            node_id: node_id.to_owned(),
            pack_generation,
            state: Mutex::new(state),
            turn: Condvar::new(),
        })))
    }

    /// Writes an entry. The answer comes when the disk has it; the same retry key of the same author
    /// gives the same entry once.
    ///
    /// # Errors
    /// `outbox_full` (507) when the disk is full, `outbox_unwritable` (503) when it refuses otherwise,
    /// `outbox_held` (503) while another process writes, `entry_too_large` (413),
    /// `idempotency_key_reused` (409) when the key stands for something else, `outbox_busy` (429). After
    /// the first two the entry may be kept all the same, as the sentence says: a try again with the same
    /// key is the same entry then too.
    pub fn append(&self, draft: Draft) -> Result<Entry, Fault> {
        let inside = &*self.0;
        let mut state = inside.state();
        if state.queue.len() >= QUEUE_MAX {
            return Err(Fault::busy(
                "outbox_busy",
                "Too many entries wait for the disk at the moment.",
                COME_BACK,
            ));
        }
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        state.queue.push((ticket, draft));
        loop {
            if let Some(answer) = state.answers.remove(&ticket) {
                return answer.map_err(Refusal::into_fault);
            }
            if state.busy {
                state = inside.turn.wait(state).unwrap_or_else(PoisonError::into_inner);
            } else {
                state = inside.write_for_all(state);
            }
        }
    }

    /// The entries of this run, newest first, at most a thousand.
    pub fn written(&self) -> Vec<Entry> {
        self.0.state().written.iter().rev().cloned().collect()
    }

    /// What earlier runs wrote and nobody had taken when this one began, newest first.
    pub fn earlier(&self) -> Vec<Entry> {
        self.0.state().earlier.iter().rev().cloned().collect()
    }

    /// How many entries this run wrote.
    pub fn count(&self) -> u64 {
        self.0.state().count
    }

    /// The file being written; none before the first entry.
    pub fn file(&self) -> Option<Id> {
        self.0.state().book.as_ref().map(|book| book.id)
    }

    /// Why the last entry could not be written; none when it was.
    pub fn trouble(&self) -> Option<Fault> {
        self.0.state().last_refusal.clone().map(Refusal::into_fault)
    }
}

impl Inside {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes everything that waits, writes it with one sync, and lays the answers out.
    fn write_for_all<'s>(&'s self, mut state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        state.busy = true;
        let share = state.queue.len().min(BATCH_MAX);
        let waiting: Vec<_> = state.queue.drain(..share).collect();
        let mut book = state.book.take().filter(|book| !book.is_full());
        drop(state);
        // Whatever goes wrong in here, those who wait get their answers.
        let written = caught(|| self.write(&mut book, &waiting));
        if book.as_ref().is_some_and(|book| book.frayed) {
            self.close(book.take());
        }
        let mut state = self.state();
        state.book = book;
        state.busy = false;
        match written {
            Ok(batch) => {
                state.answers.extend(batch.answers);
                if !batch.entries.is_empty() {
                    state.last_refusal = None;
                }
                for (tickets, entry) in batch.entries {
                    if let Some(key) = retry_key(&entry.by, entry.retry_key.as_ref()) {
                        state.known.insert(key, entry.clone());
                        state.unsure.retain(|unsure| unsure.id != entry.id);
                    }
                    state.count += 1;
                    state.written.push(entry.clone());
                    for ticket in tickets {
                        state.answers.insert(ticket, Ok(entry.clone()));
                    }
                }
                keep_last(&mut state.written);
            }
            Err(fault) => {
                tracing::error!("an entry could not be written: {fault}");
                let refusal = Refusal::from(fault);
                state.last_refusal = Some(refusal.clone());
                for (ticket, _) in waiting {
                    state.answers.insert(ticket, Err(refusal.clone()));
                }
            }
        }
        self.turn.notify_all();
        state
    }

    fn write(&self, slot: &mut Option<Book>, waiting: &[(u64, Draft)]) -> Result<Batch, Fault> {
        self.lock()?;
        let (id, next, previous) = match slot.as_ref() {
            Some(book) => (book.id, book.next, book.previous.clone()),
            None => (Id::new(self.clock.now()), 0, String::new()),
        };
        let head = slot.is_none().then(|| self.head(id)).transpose()?;
        let previous = head.as_deref().map_or(previous, hash);
        let batch = self.plan(waiting, next, previous)?;
        if batch.entries.is_empty() {
            return Ok(batch);
        }
        let book = match (slot.as_mut(), head) {
            (Some(book), _) => book,
            (None, head) => slot.insert(self.begin(id, &head.unwrap_or_default())?),
        };
        let last = batch.entries.last().map(|(_, entry)| entry.hash.clone()).unwrap_or_default();
        let added = book.add(&batch.lines, batch.entries.len() as u64, last);
        if let Err(cause) = added {
            self.remember(batch.entries);
            return Err(unsure(cause));
        }
        Ok(batch)
    }

    /// Makes this process the only writer, and reads what the ones before it wrote: only from here on
    /// nobody adds to that.
    fn lock(&self) -> Result<(), Fault> {
        if self.state().lock.is_some() {
            return Ok(());
        }
        let path = self.folder.join(WRITER_LOCK);
        let mut open = OpenOptions::new();
        let file = open.write(true).create(true).truncate(false).mode(0o600).open(path);
        let file = file.map_err(unwritable)?;
        hold_alone(&file).map_err(|cause| match cause.kind() {
            io::ErrorKind::WouldBlock => Fault::unavailable(
                "outbox_held",
                "Another Plan B still writes here: this was not kept. Try again in a moment.",
            ),
            _ => unwritable(cause),
        })?;
        let (known, earlier) = read_earlier(&self.place, self.clock.now())?;
        let mut state = self.state();
        (state.lock, state.known, state.earlier) = (Some(file), known, earlier);
        Ok(())
    }

    /// Keeps in mind what a reader may have seen before it was refused.
    fn remember(&self, entries: Vec<(Vec<u64>, Entry)>) {
        let mut state = self.state();
        for (_, entry) in entries {
            let key = retry_key(&entry.by, entry.retry_key.as_ref());
            if key.is_none() || unsure_of(&state.unsure, key.as_ref()).is_some() {
                continue;
            }
            if state.unsure.len() >= UNSURE_MAX {
                state.unsure.pop_front();
            }
            state.unsure.push_back(entry);
        }
    }

    /// Ends a file in which something may lie that was never answered. A reader may have read on to
    /// there, and what a sync failed on cannot be trusted again: no place in it is ever written twice.
    fn close(&self, book: Option<Book>) {
        let Some(book) = book else { return };
        let path = self.folder.join(format!("{}.{ENDING}", book.id));
        let empty = book.next == 0;
        // A file that answers for nothing would only be litter, one more at each try.
        let gone = empty && self.disk.remove(&path).is_ok();
        if gone {
            let _ = self.disk.sync_folder(&self.folder);
        } else if let Err(cause) = book.cut() {
            tracing::warn!(file = %book.id, "what was refused could not be cut off: {cause}");
        }
    }

    /// Gives every draft its place: those that are known already get what is there.
    fn plan(
        &self,
        waiting: &[(u64, Draft)],
        mut seq: u64,
        mut previous: String,
    ) -> Result<Batch, Fault> {
        let state = self.state();
        let mut batch = Batch { lines: Vec::new(), entries: Vec::new(), answers: Vec::new() };
        for (ticket, draft) in waiting {
            let key = retry_key(&draft.by, draft.retry_key.as_ref());
            if let Some(known) = key.as_ref().and_then(|key| state.known.get(key)) {
                batch.answers.push((*ticket, same_entry(known, draft).map(|()| known.clone())));
                continue;
            }
            let twin = batch.entries.iter_mut().find(|(_, entry)| {
                key.is_some() && retry_key(&entry.by, entry.retry_key.as_ref()) == key
            });
            if let Some((tickets, entry)) = twin {
                match same_entry(entry, draft) {
                    Ok(()) => tickets.push(*ticket),
                    Err(refusal) => batch.answers.push((*ticket, Err(refusal))),
                }
                continue;
            }
            let before = unsure_of(&state.unsure, key.as_ref());
            if let Some(Err(refusal)) = before.map(|before| same_entry(before, draft)) {
                batch.answers.push((*ticket, Err(refusal)));
                continue;
            }
            let mut entry = self.entry(draft, seq, &previous);
            if let Some(before) = before {
                // Whoever took it from the file it was refused in does not take it twice.
                (entry.id, entry.at) = (before.id, before.at);
            }
            let (line, entry) = seal(entry)?;
            if line.len() > ENTRY_MAX {
                let refusal = Refusal {
                    kind: Kind::TooLarge,
                    code: "entry_too_large",
                    message: format!("An entry may hold {} KiB at most.", ENTRY_MAX / 1024),
                };
                batch.answers.push((*ticket, Err(refusal)));
                continue;
            }
            batch.lines.extend_from_slice(&line);
            seq += 1;
            previous.clone_from(&entry.hash);
            batch.entries.push((vec![*ticket], entry));
        }
        Ok(batch)
    }

    fn entry(&self, draft: &Draft, seq: u64, previous: &str) -> Entry {
        let at = self.clock.now();
        Entry {
            id: Id::new(at),
            seq,
            at,
            kind: draft.kind.clone(),
            by: draft.by.clone(),
            body: draft.body.clone(),
            retry_key: draft.retry_key.clone(),
            previous: previous.to_owned(),
            hash: String::new(),
        }
    }

    fn head(&self, file: Id) -> Result<Vec<u8>, Fault> {
        serde_json::to_vec(&Head {
            file,
            node_id: self.node_id.clone(),
            begun_at: self.clock.now(),
            pack_generation: self.pack_generation,
        })
        .map_err(|e| Fault::broken("writing the head of an outbox file", e))
    }

    /// Begins a file under another name and holds it before it gets its own: whoever sees it sees it held.
    fn begin(&self, id: Id, head: &[u8]) -> Result<Book, Fault> {
        let beside = self.folder.join(format!("{id}.new"));
        let made = self.make(id, head, &beside);
        if made.is_err() {
            let _ = self.disk.remove(&beside);
        }
        made.map_err(unwritable)
    }

    fn make(&self, id: Id, head: &[u8], beside: &Path) -> io::Result<Book> {
        let file = self.disk.open(beside)?;
        let hold = File::open(beside)?;
        hold_alone(&hold)?;
        let mut line = head.to_vec();
        line.push(b'\n');
        file.write_at(0, &line)?;
        file.sync()?;
        self.disk.rename(beside, &self.folder.join(format!("{id}.{ENDING}")))?;
        self.disk.sync_folder(&self.folder)?;
        Ok(Book {
            id,
            file,
            _hold: hold,
            len: line.len() as u64,
            next: 0,
            previous: hash(head),
            frayed: false,
        })
    }
}

impl Book {
    /// Whether the next entries begin another file.
    fn is_full(&self) -> bool {
        self.next >= ENTRIES_MAX || self.len + BATCH_BYTES > FILE_MAX
    }

    /// Writes lines and makes them durable. When that fails, the file is frayed and must be closed.
    fn add(&mut self, lines: &[u8], entries: u64, last: String) -> io::Result<()> {
        self.frayed = true;
        self.file.write_at(self.len, lines)?;
        self.file.sync()?;
        self.frayed = false;
        self.len += lines.len() as u64;
        self.next += entries;
        self.previous = last;
        Ok(())
    }

    /// Cuts off what was never answered.
    fn cut(&self) -> io::Result<()> {
        self.file.set_len(self.len)?;
        self.file.sync()
    }
}

impl Refusal {
    fn into_fault(self) -> Fault {
        Fault::new(self.kind, self.code, self.message)
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self { kind: fault.kind, code: fault.code, message: fault.message }
    }
}

fn hold_alone(file: &File) -> io::Result<()> {
    for _ in 0..HOLD_TRIES {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(HOLD_PAUSE),
            // Some sticks' file systems know no locks; the file's name is its writer's own all the same.
            Ok(()) | Err(rustix::io::Errno::NOSYS | rustix::io::Errno::OPNOTSUPP) => return Ok(()),
            Err(e) => return Err(e.into()),
        }
    }
    Err(io::ErrorKind::WouldBlock.into())
}

/// The entries that tries again may mean, and those that nobody took yet, oldest first.
fn read_earlier(
    place: &Place,
    now: Moment,
) -> Result<(HashMap<RetryKey, Entry>, Vec<Entry>), Fault> {
    let (mut known, mut earlier) = (HashMap::new(), Vec::new());
    // In this order, a file that is archived meanwhile is seen twice rather than not at all.
    let mut files = reading::waiting(place)?;
    files.extend(reading::archived_of_late(place, now));
    let mut seen = HashSet::new();
    for file in files {
        if !seen.insert(file.id) {
            continue;
        }
        for entry in file.entries.iter() {
            if let Some(key) = retry_key(&entry.by, entry.retry_key.as_ref()) {
                known.insert(key, entry.clone());
            }
        }
        if !file.archived {
            earlier.extend(file.entries.iter().cloned());
        }
    }
    keep_last(&mut earlier);
    Ok((known, earlier))
}

/// What was refused under a key while it may be kept.
fn unsure_of<'e>(unsure: &'e VecDeque<Entry>, key: Option<&RetryKey>) -> Option<&'e Entry> {
    let (by, key) = key?;
    unsure.iter().find(|entry| entry.by == *by && entry.retry_key.as_ref() == Some(key))
}

fn retry_key(by: &Author, key: Option<&String>) -> Option<RetryKey> {
    key.map(|key| (by.clone(), key.clone()))
}

/// Whether a try again says what was said the first time.
fn same_entry(known: &Entry, draft: &Draft) -> Result<(), Refusal> {
    if known.kind == draft.kind && known.body == draft.body {
        return Ok(());
    }
    Err(Refusal {
        kind: Kind::Conflict,
        code: "idempotency_key_reused",
        message: "This Idempotency-Key stands for another entry.".to_owned(),
    })
}

/// The line of an entry, with the hash that links it.
fn seal(mut entry: Entry) -> Result<(Vec<u8>, Entry), Fault> {
    let open =
        serde_json::to_vec(&entry).map_err(|e| Fault::broken("writing an outbox entry", e))?;
    let end = BEFORE_HASH.len() + b"\"}".len();
    let mut line = open.get(..open.len().saturating_sub(end)).unwrap_or_default().to_vec();
    entry.hash = hash(&line);
    line.extend_from_slice(BEFORE_HASH);
    line.extend_from_slice(entry.hash.as_bytes());
    line.extend_from_slice(b"\"}\n");
    Ok((line, entry))
}

fn keep_last(entries: &mut Vec<Entry>) {
    let over = entries.len().saturating_sub(SHOWN_MAX);
    entries.drain(..over);
}

fn is_full(cause: &io::Error) -> bool {
    matches!(
        cause.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

/// Of an entry of which nothing was written.
fn unwritable(cause: io::Error) -> Fault {
    if is_full(&cause) {
        let message = "The disk is full: this was not kept. Make room and try again.";
        return Fault::new(Kind::Full, "outbox_full", message).because(cause);
    }
    let message = "The disk refuses to write: this was not kept. Write it on paper.";
    Fault::unavailable("outbox_unwritable", message).because(cause)
}

/// Of an entry that the disk may have, or a reader may have read, before something failed.
fn unsure(cause: io::Error) -> Fault {
    if is_full(&cause) {
        let message = "The disk is full: it is not sure whether this was kept. Make room and send it \
                       again with the same Idempotency-Key.";
        return Fault::new(Kind::Full, "outbox_full", message).because(cause);
    }
    let message = "The disk refuses to write: it is not sure whether this was kept. Send it again with \
                   the same Idempotency-Key, and write it on paper.";
    Fault::unavailable("outbox_unwritable", message).because(cause)
}

#[cfg(test)]
mod tests;
