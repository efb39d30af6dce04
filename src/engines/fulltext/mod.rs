//! Full text, by tantivy: passages in, ranked passages out, with the change they reflect.
//!
//! An index is derived from the store: every commit carries a [`Mark`], and any doubt about a
//! folder is a fault after which the caller rebuilds it beside and promotes the new one.

mod analysis;
mod asked;
mod highlight;
mod schema;
mod search;
mod weighing;

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tantivy::directory::MmapDirectory;
use tantivy::index::SegmentComponent;
use tantivy::indexer::{IndexWriterOptions, LogMergePolicy};
use tantivy::{Index, IndexReader, IndexSettings, IndexWriter, ReloadPolicy, TantivyDocument};

pub use highlight::Terms;
pub use search::{Filter, Hits};
pub use weighing::Weighed;

use self::schema::Fields;
use crate::base::fault::Fault;
use crate::base::mark::Mark;
use crate::base::paths::write_private;
use crate::base::tasks::caught;

/// Memory in which passages gather before they are written as a segment; tantivy asks for 15 MB at
/// least.
const ARENA_BYTES: usize = 32_000_000;
/// A segment with this share of deleted passages is rewritten at the next merge.
const DELETED_BEFORE_MERGE: f32 = 0.3;
/// The files that every segment has.
const SEGMENT_FILES: [SegmentComponent; 6] = [
    SegmentComponent::Postings,
    SegmentComponent::Positions,
    SegmentComponent::Terms,
    SegmentComponent::FastFields,
    SegmentComponent::FieldNorms,
    SegmentComponent::Store,
];
/// The file that names the folder in use.
const CURRENT: &str = "CURRENT";
/// What the folders of one index begin with.
const GENERATION: &str = "words-";

/// A passage as it is indexed. The text itself is not kept.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// The passage.
    pub id: u64,
    /// Its document.
    pub doc: u64,
    /// The collection the document is in.
    pub collection: &'a str,
    /// The text's language, as `fr`; one without a stemmer of its own is indexed without stems.
    pub language: &'a str,
    /// The document's path.
    pub path: &'a str,
    /// The document's date, in milliseconds since 1970.
    pub date: i64,
    /// The document's title.
    pub title: &'a str,
    /// The headings above the passage, outermost first, in one line.
    pub heading: &'a str,
    /// The passage.
    pub text: &'a str,
}

/// One change to an index.
#[derive(Debug, Clone, Copy)]
pub enum Change<'a> {
    /// The passage is new, or takes the place of the one with its id.
    Put(Entry<'a>),
    /// The passage of that id is gone.
    Remove(u64),
}

/// Where the writer sits while there is something to index.
struct Seat {
    writer: Option<IndexWriter>,
    used: Instant,
}

/// An index of passages. Shared by reference between threads; one writes at a time.
pub struct FullText {
    root: PathBuf,
    folder: PathBuf,
    index: Index,
    fields: Fields,
    reader: IndexReader,
    writer: Mutex<Seat>,
}

impl FullText {
    /// Opens the index under `root`, or makes an empty one when there is none.
    ///
    /// `thorough` reads every byte and compares checksums: ask for it after a stop that was not
    /// clean. Folders that a rebuild left behind are removed.
    ///
    /// # Errors
    /// `index_damaged` for anything doubtful, after which the caller rebuilds.
    pub fn open(root: &Path, thorough: bool) -> Result<Self, Fault> {
        match fs::read_to_string(root.join(CURRENT)) {
            Ok(name) => {
                let name = name.trim();
                if !name.starts_with(GENERATION) || name.contains(['/', '\\']) {
                    return Err(damaged("its pointer makes no sense"));
                }
                let index = caught(|| Self::at(root, name, false))
                    .map_err(|e| damaged("it cannot be opened").because(e))?;
                caught(|| index.check(thorough))
                    .map_err(|e| damaged("its files do not agree").because(e))?;
                index.sweep();
                Ok(index)
            }
            Err(e) if e.kind() == ErrorKind::NotFound => {
                let index = Self::create_beside(root)?;
                index.promote()?;
                Ok(index)
            }
            Err(e) => Err(damaged("its pointer cannot be read").because(e)),
        }
    }

    /// Makes an empty index under `root` beside the one in use; [`Self::promote`] puts it in use.
    ///
    /// # Errors
    /// `Broken` with what the file system or tantivy says.
    pub fn create_beside(root: &Path) -> Result<Self, Fault> {
        fs::create_dir_all(root).map_err(|e| Fault::broken("creating the index folder", e))?;
        let mut number = generations(root).filter_map(|(_, n)| n).max().unwrap_or_default();
        loop {
            number += 1;
            let name = format!("{GENERATION}{number}");
            match fs::create_dir(root.join(&name)) {
                Ok(()) => return caught(|| Self::at(root, &name, true)),
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                Err(e) => return Err(Fault::broken("creating an index folder", e)),
            }
        }
    }

    fn at(root: &Path, name: &str, new: bool) -> Result<Self, Fault> {
        let folder = root.join(name);
        let directory = MmapDirectory::open(&folder)
            .map_err(|e| Fault::broken("opening the index folder", e))?;
        let (schema, fields) = schema::schema();
        let index = if new {
            Index::create(directory, schema.clone(), IndexSettings::default())
        } else {
            Index::open(directory)
        };
        let index = index.map_err(|e| Fault::broken("opening the index", e))?;
        if index.schema() != schema {
            return Err(Fault::broken("opening the index", "it was made with other fields"));
        }
        for language in analysis::LANGUAGES {
            index.tokenizers().register(language, analysis::stemmed(language));
        }
        index.tokenizers().register(analysis::EXACT, analysis::exact());
        let reader = index
            .reader_builder()
            .reload_policy(ReloadPolicy::Manual)
            .try_into()
            .map_err(|e| Fault::broken("reading the index", e))?;
        Ok(Self {
            root: root.to_path_buf(),
            folder,
            index,
            fields,
            reader,
            writer: Mutex::new(Seat { writer: None, used: Instant::now() }),
        })
    }

    /// Every file that the index speaks of must be there, and hold what it held.
    fn check(&self, thorough: bool) -> Result<(), Fault> {
        let broken = |e| Fault::broken("checking the index", e);
        // tantivy checks only files it manages already; a file lost with its name would be missed.
        for segment in self.index.searchable_segment_metas().map_err(broken)? {
            let deletes = segment.has_deletes().then_some(SegmentComponent::Delete);
            for component in SEGMENT_FILES.iter().cloned().chain(deletes) {
                let file = segment.relative_path(component);
                if !self.folder.join(&file).exists() {
                    let gone = format!("{} is gone", file.display());
                    return Err(Fault::broken("checking the index", gone));
                }
            }
        }
        if thorough {
            let bad = self.index.validate_checksum().map_err(broken)?;
            if !bad.is_empty() {
                return Err(Fault::broken("checking the index", format!("bad checksums: {bad:?}")));
            }
        }
        Ok(())
    }

    /// Puts this index in use for the next [`Self::open`], durably, and removes the others.
    ///
    /// # Errors
    /// `Broken` with what the file system says.
    pub fn promote(&self) -> Result<(), Fault> {
        let broken = |e| Fault::broken("putting an index in use", e);
        let name = self.folder.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        File::open(&self.folder).and_then(|f| f.sync_all()).map_err(broken)?;
        write_private(&self.root.join(CURRENT), name.as_bytes()).map_err(broken)?;
        self.sweep();
        Ok(())
    }

    /// Removes every other generation; readers that still hold one keep its mapped files.
    fn sweep(&self) {
        for (path, _) in generations(&self.root).filter(|(path, _)| *path != self.folder) {
            if let Err(e) = fs::remove_dir_all(&path) {
                tracing::warn!("an old index stays at {}: {e}", path.display());
            }
        }
    }

    /// The state of the store that this index reflects; none for an empty new one.
    ///
    /// # Errors
    /// `index_damaged` when it cannot be read.
    pub fn mark(&self) -> Result<Option<Mark>, Fault> {
        let metas = self.index.load_metas().map_err(|e| damaged("it cannot be read").because(e))?;
        metas
            .payload
            .map(|payload| serde_json::from_str(&payload))
            .transpose()
            .map_err(|e| damaged("its mark makes no sense").because(e))
    }

    /// Passages in the index.
    pub fn len(&self) -> u64 {
        self.reader.searcher().num_docs()
    }

    /// Whether the index holds no passage.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Applies changes in order and commits them with `mark`, durably; searches see them at once.
    ///
    /// The same changes may be applied again after a crash. After an error nothing of them is in
    /// the index, and they may be tried again.
    ///
    /// # Errors
    /// `Broken` with what tantivy says, a full disk above all.
    pub fn apply(&self, changes: &[Change], mark: Mark) -> Result<(), Fault> {
        let mut seat = self.seat();
        let done = caught(|| self.commit(&mut seat, changes, mark));
        if done.is_err() {
            // tantivy's writer is of no use after an error; the next one starts at the last commit.
            seat.writer = None;
        }
        done
    }

    fn commit(&self, seat: &mut Seat, changes: &[Change], mark: Mark) -> Result<(), Fault> {
        let broken = |e| Fault::broken("writing to the index", e);
        seat.used = Instant::now();
        if seat.writer.is_none() {
            seat.writer = Some(self.start_writer().map_err(broken)?);
        }
        let Some(writer) = seat.writer.as_mut() else { return Ok(()) };
        for change in changes {
            match change {
                Change::Put(entry) => {
                    writer.delete_term(self.fields.id_term(entry.id));
                    writer.add_document(self.fields.document(entry)).map_err(broken)?;
                }
                Change::Remove(id) => {
                    writer.delete_term(self.fields.id_term(*id));
                }
            }
        }
        let payload =
            serde_json::to_string(&mark).map_err(|e| Fault::broken("writing a mark", e))?;
        let mut commit = writer.prepare_commit().map_err(broken)?;
        commit.set_payload(&payload);
        commit.commit().map_err(broken)?;
        // The commit's rename is durable only when its folder is; the caller trims its change log
        // on the strength of this.
        File::open(&self.folder)
            .and_then(|f| f.sync_all())
            .map_err(|e| Fault::broken("making the index durable", e))?;
        self.reader.reload().map_err(broken)
    }

    fn start_writer(&self) -> tantivy::Result<IndexWriter> {
        let options = IndexWriterOptions::builder()
            .num_worker_threads(1)
            .num_merge_threads(1)
            .memory_budget_per_thread(ARENA_BYTES)
            .build();
        let writer: IndexWriter<TantivyDocument> = self.index.writer_with_options(options)?;
        let mut merging = LogMergePolicy::default();
        merging.set_del_docs_ratio_before_merge(DELETED_BEFORE_MERGE);
        writer.set_merge_policy(Box::new(merging));
        writer.garbage_collect_files().wait()?;
        Ok(writer)
    }

    /// Waits for merges and gives the writer's memory and threads back; the next change starts
    /// another. Call it when there is nothing to index, and before the end.
    ///
    /// # Errors
    /// `Broken` with what tantivy says; the index is as of its last commit then.
    pub fn close(&self) -> Result<(), Fault> {
        let Some(writer) = self.seat().writer.take() else { return Ok(()) };
        caught(|| {
            writer.wait_merging_threads().map_err(|e| Fault::broken("closing the index", e))
        })?;
        self.reader.reload().map_err(|e| Fault::broken("reading the index again", e))
    }

    /// Closes the writer when nothing was indexed for `after`; true when it did.
    ///
    /// # Errors
    /// As [`Self::close`].
    pub fn close_if_idle(&self, after: Duration) -> Result<bool, Fault> {
        let idle = {
            let seat = self.seat();
            seat.writer.is_some() && seat.used.elapsed() >= after
        };
        if idle {
            self.close()?;
        }
        Ok(idle)
    }

    fn seat(&self) -> MutexGuard<'_, Seat> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The folders of an index's generations with their numbers.
fn generations(root: &Path) -> impl Iterator<Item = (PathBuf, Option<u64>)> {
    fs::read_dir(root).into_iter().flatten().flatten().filter_map(|entry| {
        let name = entry.file_name();
        let number = name.to_str()?.strip_prefix(GENERATION)?;
        Some((entry.path(), number.parse().ok()))
    })
}

fn damaged(why: &str) -> Fault {
    Fault::unavailable("index_damaged", format!("The full-text index is not usable: {why}."))
}

#[cfg(test)]
mod tests;
