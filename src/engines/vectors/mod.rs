//! Nearest neighbours: an exact scan over compact rows, and a graph by `hnsw_rs` for large indexes.
//!
//! The rows are always in memory (388 bytes for 384 dimensions) and answer from the first moment.
//! The graph costs seven times as much, so it is loaded or built in the background when an index is
//! large, and given back when nobody searches. Whatever the graph proposes is scored by the rows:
//! a deletion counts at once, and both ways give the same cosines.

mod codes;
mod file;
mod graph;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use self::codes::{Best, Codes, Question};
use self::file::Header;
use self::graph::Graph;
use crate::base::fault::Fault;
use crate::base::mark::Mark;

/// Below so many vectors none is built: the scan takes 1.2 ms for each 100,000 and finds more, and what
/// the graph would save costs hundreds of megabytes and minutes of building.
pub const GRAPH_FROM: usize = 400_000;
/// Candidates the graph looks at for a search, at least: on 100,000 real-looking vectors 256 found
/// 0.948 of the ten nearest, 512 found 0.978, 768 found 0.982 in 5 ms.
const SEARCH_WIDTH_MIN: usize = 768;
/// The graph is built anew when more than one in so many of its points is stale.
const STALE_ONE_IN: usize = 5;
/// So few changes may wait for a new graph while searches do.
const SETTLED_BELOW: usize = 16;
/// What one point of the graph costs in memory besides its row, as measured.
const GRAPH_POINT_BYTES: usize = 2_500;
/// The rows' file.
const ROWS_FILE: &str = "vectors";

/// Which way a search went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Every row was compared.
    Scan,
    /// The graph proposed, the rows scored.
    Graph,
}

/// Bytes held in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// By the rows.
    pub rows: usize,
    /// By the graph, about.
    pub graph: usize,
}

struct Seat {
    graph: Option<Arc<Graph>>,
    used: Instant,
    /// Ids that changed while a graph is being built; none while no graph is.
    changed: Option<Vec<u64>>,
}

/// Vectors of one model, by id. Shared by reference between threads.
pub struct Vectors {
    root: PathBuf,
    model: String,
    mark: Mutex<Option<Mark>>,
    rows: RwLock<Codes>,
    seat: Mutex<Seat>,
    graph_from: usize,
}

impl Vectors {
    /// Opens the vectors under `root` made by `model`, or starts with none.
    ///
    /// Vectors of another model or dimension are as good as none: they are forgotten.
    ///
    /// # Errors
    /// `index_damaged` for anything doubtful: the caller calls [`Self::reset`] and fills it again.
    pub fn open(root: &Path, dimension: usize, model: &str) -> Result<Self, Fault> {
        fs::create_dir_all(root).map_err(|e| Fault::broken("creating the vectors' folder", e))?;
        let stored = file::read(&root.join(ROWS_FILE))?;
        let stored = stored.filter(|(h, _)| h.model == model && h.dimension == dimension);
        let (mark, rows) = match stored {
            Some((header, rows)) => (Some(header.mark), rows),
            None => (None, Codes::new(dimension)?),
        };
        Ok(Self {
            root: root.to_path_buf(),
            model: model.to_owned(),
            mark: Mutex::new(mark),
            rows: RwLock::new(rows),
            seat: Mutex::new(Seat { graph: None, used: Instant::now(), changed: None }),
            graph_from: GRAPH_FROM,
        })
    }

    /// Removes whatever is stored under `root`, and starts with none.
    ///
    /// # Errors
    /// `Broken` with what the file system says.
    pub fn reset(root: &Path, dimension: usize, model: &str) -> Result<Self, Fault> {
        match fs::remove_file(root.join(ROWS_FILE)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Fault::broken("removing stored vectors", e));
            }
            _ => {}
        }
        graph::forget(root);
        Self::open(root, dimension, model)
    }

    /// The same, with a graph from `vectors` on instead of [`GRAPH_FROM`].
    #[must_use]
    pub fn with_graph_from(mut self, vectors: usize) -> Self {
        self.graph_from = vectors;
        self
    }

    /// The state of the store that the stored vectors reflect; none before the first save.
    pub fn mark(&self) -> Option<Mark> {
        *self.mark.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many vectors there are.
    pub fn len(&self) -> usize {
        self.rows().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Numbers in a vector.
    pub fn dimension(&self) -> usize {
        self.rows().dimension()
    }

    /// Whether there is a vector of that id.
    pub fn holds(&self, id: u64) -> bool {
        self.rows().get(id).is_some()
    }

    /// Puts a vector in, or another in the place of the old one.
    ///
    /// # Errors
    /// `bad_vector` for a wrong dimension, a NaN or a vector without direction.
    pub fn add(&self, id: u64, vector: &[f32]) -> Result<(), Fault> {
        let row = codes::row(vector, self.dimension())?;
        let replaced = self.rows_mut().put(id, &row)?;
        let graph = self.note_change(id, replaced);
        // Outside of every lock: an insertion takes milliseconds, and searches go on.
        graph.map_or(Ok(()), |graph| graph.insert(id, &row.codes, row.inverse))
    }

    /// Takes a vector out; no search finds it from now on. True when it was there.
    pub fn remove(&self, id: u64) -> bool {
        let removed = self.rows_mut().remove(id);
        if removed {
            self.note_change(id, true);
        }
        removed
    }

    /// Tells the graph, and whoever builds one, that a row changed.
    fn note_change(&self, id: u64, had_row: bool) -> Option<Arc<Graph>> {
        let mut seat = self.seat();
        if let Some(changed) = &mut seat.changed {
            changed.push(id);
        }
        let graph = seat.graph.clone();
        if let (Some(graph), true) = (&graph, had_row) {
            graph.lost();
        }
        graph
    }

    /// The `k` nearest to `vector` with their cosines, nearest first. With `allow` only ids it lets
    /// through, found by comparing every row: a graph is slower than that as soon as it must skip.
    ///
    /// # Errors
    /// `bad_vector` for a wrong dimension, a NaN or a vector without direction.
    pub fn search(
        &self,
        vector: &[f32],
        k: usize,
        allow: Option<&dyn Fn(u64) -> bool>,
    ) -> Result<Vec<(u64, f32)>, Fault> {
        self.search_by(vector, k, allow).map(|(found, _)| found)
    }

    /// As [`Self::search`], with the way it went.
    ///
    /// # Errors
    /// As [`Self::search`].
    pub fn search_by(
        &self,
        vector: &[f32],
        k: usize,
        allow: Option<&dyn Fn(u64) -> bool>,
    ) -> Result<(Vec<(u64, f32)>, Way), Fault> {
        let question = codes::question(vector, self.dimension())?;
        if k == 0 {
            return Ok((Vec::new(), Way::Scan));
        }
        if allow.is_none()
            && let Some(graph) = self.graph_in_use()
        {
            match self.by_graph(&graph, &question, k) {
                Ok(Some(found)) => return Ok((found, Way::Graph)),
                Ok(None) => {}
                Err(fault) => {
                    tracing::error!("the graph failed and is let go: {fault}");
                    self.seat().graph = None;
                }
            }
        }
        Ok((self.rows().nearest(&question, k, allow), Way::Scan))
    }

    /// The exact cosines of some ids, without those that are not there.
    ///
    /// # Errors
    /// `bad_vector` as [`Self::search`].
    pub fn cosines(&self, vector: &[f32], ids: &[u64]) -> Result<Vec<(u64, f32)>, Fault> {
        let rows = self.rows();
        let question = codes::question(vector, rows.dimension())?;
        Ok(ids.iter().filter_map(|id| Some((*id, rows.cosine(&question, *id)?))).collect())
    }

    fn graph_in_use(&self) -> Option<Arc<Graph>> {
        let large = self.len() >= self.graph_from;
        let mut seat = self.seat();
        seat.used = Instant::now();
        seat.graph.clone().filter(|_| large)
    }

    /// What the graph finds, or none when it finds too few, for instance beside many stale points.
    fn by_graph(
        &self,
        graph: &Graph,
        question: &Question,
        k: usize,
    ) -> Result<Option<Vec<(u64, f32)>>, Fault> {
        // Stale points take places; at most one in five is, on average.
        let ask = k + k / 4 + 8;
        let near = graph.near(&question.row, ask, ask.max(SEARCH_WIDTH_MIN))?;
        let rows = self.rows();
        let mut best = Best::new(k);
        let mut seen = std::collections::HashSet::with_capacity(near.len());
        for id in near {
            // A row that was replaced has two points, and one cosine.
            if seen.insert(id)
                && let Some(cosine) = rows.cosine(question, id)
            {
                best.push(id, cosine);
            }
        }
        let found = best.sorted();
        Ok((found.len() >= k.min(rows.len())).then_some(found))
    }

    /// Whether an index this large has a graph, or should have one and has none in memory.
    pub fn wants_graph(&self) -> bool {
        self.len() >= self.graph_from && self.seat().graph.is_none()
    }

    /// Whether the graph holds so many stale points that it should be built anew.
    pub fn needs_rebuild(&self) -> bool {
        let seat = self.seat();
        seat.graph.as_ref().is_some_and(|g| g.stale() * STALE_ONE_IN > g.points())
    }

    /// Brings the graph into memory: from its dump when that is good and recent enough, else built
    /// from the rows, which takes about a millisecond for each and goes on until `stopped` says so.
    /// Meant for a background task; searches compare every row meanwhile.
    ///
    /// # Errors
    /// `Broken` when `hnsw_rs` fails; the scan goes on answering.
    pub fn load_graph(&self, stopped: &dyn Fn() -> bool) -> Result<(), Fault> {
        {
            let mut seat = self.seat();
            if seat.changed.is_some() {
                return Ok(());
            }
            seat.changed = Some(Vec::new());
        }
        let made = self.make_graph(stopped).and_then(|graph| {
            let Some(graph) = graph else { return Ok(None) };
            // What changed meanwhile goes in without holding searches up, until little is left.
            while let Some(changed) = self.changed_meanwhile(SETTLED_BELOW) {
                self.settle(&graph, changed)?;
            }
            Ok(Some(graph))
        });
        let mut seat = self.seat();
        let changed = seat.changed.take().unwrap_or_default();
        let Some(graph) = made? else { return Ok(()) };
        self.settle(&graph, changed)?;
        seat.graph = Some(Arc::new(graph));
        seat.used = Instant::now();
        Ok(())
    }

    /// The ids that changed while a graph was made, once there are `enough` of them.
    fn changed_meanwhile(&self, enough: usize) -> Option<Vec<u64>> {
        let mut seat = self.seat();
        let changed = seat.changed.as_mut().filter(|c| c.len() >= enough)?;
        Some(std::mem::take(changed))
    }

    fn settle(&self, graph: &Graph, changed: Vec<u64>) -> Result<(), Fault> {
        for id in changed {
            graph.lost();
            let row = self.rows().get(id).map(|(codes, inverse)| (codes.to_vec(), inverse));
            if let Some((codes, inverse)) = row {
                graph.insert(id, &codes, inverse)?;
            }
        }
        Ok(())
    }

    fn make_graph(&self, stopped: &dyn Fn() -> bool) -> Result<Option<Graph>, Fault> {
        if let Some(epoch) = self.mark().map(|m| m.epoch) {
            match Graph::load(&self.root, epoch, &self.model, self.dimension()) {
                Ok(Some(graph)) => {
                    let rows = self.rows();
                    let live = graph.reconcile(|id, point| {
                        rows.get(id)
                            .is_some_and(|(codes, inverse)| graph::point(codes, inverse) == point)
                    });
                    let missing: Vec<u64> =
                        rows.ids().iter().copied().filter(|id| !live.contains(id)).collect();
                    drop(rows);
                    if (graph.stale() + missing.len()) * STALE_ONE_IN <= graph.points() {
                        return self.fill(graph, &missing, stopped);
                    }
                }
                Ok(None) => {}
                Err(fault) => {
                    tracing::warn!("the stored graph is not usable and is built anew: {fault}");
                    graph::forget(&self.root);
                }
            }
        }
        let ids = self.rows().ids().to_vec();
        self.fill(Graph::new(ids.len()), &ids, stopped)
    }

    fn fill(
        &self,
        graph: Graph,
        ids: &[u64],
        stopped: &dyn Fn() -> bool,
    ) -> Result<Option<Graph>, Fault> {
        for id in ids {
            if stopped() {
                return Ok(None);
            }
            let row = self.rows().get(*id).map(|(codes, inverse)| (codes.to_vec(), inverse));
            if let Some((codes, inverse)) = row {
                graph.insert(*id, &codes, inverse)?;
            }
        }
        Ok(Some(graph))
    }

    /// Lets the present graph go and brings a new one in, built from the rows.
    ///
    /// # Errors
    /// As [`Self::load_graph`].
    pub fn rebuild_graph(&self, stopped: &dyn Fn() -> bool) -> Result<(), Fault> {
        graph::forget(&self.root);
        self.seat().graph = None;
        self.load_graph(stopped)
    }

    /// Writes the rows with `mark`, durably.
    ///
    /// # Errors
    /// `Broken` with what the file system says; what was stored before is whole then.
    pub fn save(&self, mark: Mark) -> Result<(), Fault> {
        let rows = self.rows();
        let header = Header {
            mark,
            model: self.model.clone(),
            dimension: rows.dimension(),
            count: rows.len(),
        };
        file::write(&self.root.join(ROWS_FILE), &header, &rows)?;
        *self.mark.lock().unwrap_or_else(PoisonError::into_inner) = Some(mark);
        Ok(())
    }

    /// Writes the graph, if one is in memory, so that the next start need not build it.
    ///
    /// # Errors
    /// `Broken` with what the file system says.
    pub fn save_graph(&self, mark: Mark) -> Result<(), Fault> {
        let graph = self.seat().graph.clone();
        graph.map_or(Ok(()), |graph| graph.dump(&self.root, mark, &self.model, self.dimension()))
    }

    /// Gives the graph's memory back when nobody searched for `after`; true when it did.
    pub fn unload_if_idle(&self, after: Duration) -> bool {
        let mut seat = self.seat();
        seat.used.elapsed() >= after && seat.graph.take().is_some()
    }

    /// Bytes held in memory.
    pub fn memory(&self) -> Memory {
        let points = self.seat().graph.as_ref().map_or(0, |g| g.points());
        let rows = self.rows();
        Memory { rows: rows.memory(), graph: points * (GRAPH_POINT_BYTES + rows.dimension()) }
    }

    fn rows(&self) -> RwLockReadGuard<'_, Codes> {
        self.rows.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn rows_mut(&self) -> RwLockWriteGuard<'_, Codes> {
        self.rows.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn seat(&self) -> MutexGuard<'_, Seat> {
        self.seat.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
