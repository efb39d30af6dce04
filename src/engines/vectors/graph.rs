//! The graph of neighbours, by `hnsw_rs`: a cache of what the rows say, built and loaded lazily.

use std::collections::HashSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use hnsw_rs::prelude::{AnnT, Distance, Hnsw, HnswIo};
use serde::{Deserialize, Serialize};

use super::codes::{Row, product};
use super::file::{damaged, hash};
use crate::base::fault::Fault;
use crate::base::mark::Mark;
use crate::base::paths::write_private;
use crate::base::tasks::caught;

/// Links a point keeps in each layer, twice as many in the lowest.
const LINKS: usize = 16;
/// Candidates looked at when a point is put in.
const BUILD_WIDTH: usize = 200;
/// `hnsw_rs` can only write graphs of this many layers.
const LAYERS: usize = 16;
/// The inverse length that follows a row's codes, as bytes.
const TAIL: usize = 4;
/// What the folders begin with.
const GENERATION: &str = "graph-";
/// The file that makes a folder whole.
const META: &str = "META";

/// `1 - cosine` of two rows that carry the inverse of their length in their last four bytes.
///
/// Its name is written into every dump: another name makes old dumps unreadable.
#[derive(Default, Clone, Copy)]
pub(super) struct RowDistance;

impl Distance<i8> for RowDistance {
    fn eval(&self, a: &[i8], b: &[i8]) -> f32 {
        let (Some((a, a_tail)), Some((b, b_tail))) =
            (a.split_last_chunk::<TAIL>(), b.split_last_chunk::<TAIL>())
        else {
            return 2.0;
        };
        let inverse = |tail: &[i8; TAIL]| f32::from_le_bytes(tail.map(i8::cast_unsigned));
        // The graph asserts that no distance is negative, and rounding knows nothing of that.
        (1.0 - product(a, b) as f32 * inverse(a_tail) * inverse(b_tail)).max(0.0)
    }
}

/// A row as a point of the graph.
pub(super) fn point(codes: &[i8], inverse: f32) -> Vec<i8> {
    let mut point = Vec::with_capacity(codes.len() + TAIL);
    point.extend_from_slice(codes);
    point.extend(inverse.to_le_bytes().map(u8::cast_signed));
    point
}

#[derive(Debug, Serialize, Deserialize)]
struct Meta {
    mark: Mark,
    model: String,
    dimension: usize,
    points: usize,
    base: String,
    files: Vec<MetaFile>,
}

#[derive(Debug, Serialize, Deserialize)]
struct MetaFile {
    name: String,
    bytes: u64,
    sha256: [u8; 32],
}

/// A graph in memory.
pub(super) struct Graph {
    hnsw: Hnsw<'static, i8, RowDistance>,
    /// Points whose row is gone or another by now.
    stale: AtomicUsize,
    /// One writer at a time: two that insert at once may wait for each other.
    writing: Mutex<()>,
}

impl Graph {
    /// An empty graph for about `expected` points.
    pub(super) fn new(expected: usize) -> Self {
        let hnsw = Hnsw::new(LINKS, expected.max(1), LAYERS, BUILD_WIDTH, RowDistance);
        Self { hnsw, stale: AtomicUsize::new(0), writing: Mutex::new(()) }
    }

    /// Points, stale ones included.
    pub(super) fn points(&self) -> usize {
        self.hnsw.get_nb_point()
    }

    /// Points that no row stands behind any more.
    pub(super) fn stale(&self) -> usize {
        self.stale.load(Ordering::Relaxed)
    }

    /// Notes that one more point has lost its row.
    pub(super) fn lost(&self) {
        self.stale.fetch_add(1, Ordering::Relaxed);
    }

    /// Puts a row in.
    pub(super) fn insert(&self, id: u64, codes: &[i8], inverse: f32) -> Result<(), Fault> {
        let id = usize::try_from(id).map_err(|e| Fault::broken("numbering a point", e))?;
        let _one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        caught(|| {
            self.hnsw.insert_slice((&point(codes, inverse), id));
            Ok(())
        })
    }

    /// Ids near a row, at most `k`, looking at `width` candidates.
    pub(super) fn near(&self, row: &Row, k: usize, width: usize) -> Result<Vec<u64>, Fault> {
        let point = point(&row.codes, row.inverse);
        caught(|| {
            Ok(self.hnsw.search(&point, k, width).into_iter().map(|n| n.d_id as u64).collect())
        })
    }

    /// Writes the graph under `root`, durably, and removes older ones.
    pub(super) fn dump(
        &self,
        root: &Path,
        mark: Mark,
        model: &str,
        dimension: usize,
    ) -> Result<(), Fault> {
        let broken = |e| Fault::broken("writing the graph", e);
        let number = generations(root).last().map_or(0, |(n, _)| *n) + 1;
        let folder = root.join(format!("{GENERATION}{number}"));
        fs::create_dir_all(&folder).map_err(broken)?;
        let _still = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let base = caught(|| {
            self.hnsw.file_dump(&folder, "graph").map_err(|e| Fault::broken("writing the graph", e))
        })?;
        let mut files = Vec::new();
        for end in ["graph", "data"] {
            let name = format!("{base}.hnsw.{end}");
            let path = folder.join(&name);
            let file = File::open(&path).map_err(broken)?;
            file.sync_all().map_err(broken)?;
            let bytes = file.metadata().map_err(broken)?.len();
            files.push(MetaFile { name, bytes, sha256: hash(&path).map_err(broken)? });
        }
        let meta =
            Meta { mark, model: model.into(), dimension, points: self.points(), base, files };
        let bytes = serde_json::to_vec(&meta).map_err(|e| Fault::broken("writing the graph", e))?;
        write_private(&folder.join(META), &bytes).map_err(broken)?;
        File::open(root).and_then(|f| f.sync_all()).map_err(broken)?;
        for (_, old) in generations(root).iter().filter(|(n, _)| *n != number) {
            let _ = fs::remove_dir_all(old);
        }
        Ok(())
    }

    /// Loads the newest graph under `root`; none when there is none for this store and model.
    ///
    /// # Errors
    /// `index_damaged`; nothing reaches `hnsw_rs` unless its hash is right, since that library ends
    /// the process over a file that is cut short.
    pub(super) fn load(
        root: &Path,
        epoch: [u8; 16],
        model: &str,
        dimension: usize,
    ) -> Result<Option<Self>, Fault> {
        let Some((_, folder)) = generations(root).pop() else { return Ok(None) };
        let bytes = fs::read(folder.join(META))
            .map_err(|e| damaged("the graph is not whole").because(e))?;
        let meta: Meta = serde_json::from_slice(&bytes)
            .map_err(|e| damaged("the graph's note makes no sense").because(e))?;
        if meta.mark.epoch != epoch || meta.model != model || meta.dimension != dimension {
            return Ok(None);
        }
        for file in &meta.files {
            let path = folder.join(&file.name);
            let bytes = fs::metadata(&path).map_or(0, |m| m.len());
            if bytes != file.bytes || hash(&path).ok() != Some(file.sha256) {
                return Err(damaged("the graph is not what was written"));
            }
        }
        let mut hnsw: Hnsw<'static, i8, RowDistance> = caught(|| {
            // The library ties a loaded graph to its loader; leaving the loader (some 200 bytes) in
            // memory is the way to keep the graph.
            let loader: &'static mut HnswIo = Box::leak(Box::new(HnswIo::new(&folder, &meta.base)));
            loader
                .load_hnsw()
                .map_err(|e| damaged("the graph cannot be loaded").because(e.to_string()))
        })?;
        // Loading sets this, making a new graph does not; later points must find what earlier ones did.
        hnsw.set_extend_candidates(false);
        if hnsw.get_nb_point() != meta.points {
            return Err(damaged("the graph has lost points"));
        }
        Ok(Some(Self { hnsw, stale: AtomicUsize::new(0), writing: Mutex::new(()) }))
    }

    /// The ids whose point is what `is_row` says the row is now; the other points count as stale.
    pub(super) fn reconcile(&self, is_row: impl Fn(u64, &[i8]) -> bool) -> HashSet<u64> {
        let mut live = HashSet::new();
        let mut stale = 0;
        for point in self.hnsw.get_point_indexation() {
            let id = point.get_origin_id() as u64;
            if is_row(id, point.get_v()) {
                live.insert(id);
            } else {
                stale += 1;
            }
        }
        self.stale.store(stale, Ordering::Relaxed);
        live
    }
}

/// The folders with their numbers, oldest first.
fn generations(root: &Path) -> Vec<(u64, PathBuf)> {
    let mut found: Vec<(u64, PathBuf)> = fs::read_dir(root)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let number = entry.file_name().to_str()?.strip_prefix(GENERATION)?.parse().ok()?;
            Some((number, entry.path()))
        })
        .collect();
    found.sort_unstable();
    found
}

/// Removes every graph under `root`.
pub(super) fn forget(root: &Path) {
    for (_, folder) in generations(root) {
        let _ = fs::remove_dir_all(folder);
    }
}
