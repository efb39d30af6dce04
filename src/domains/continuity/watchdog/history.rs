//! What the watchdog writes down: its state as one file, what it saw as lines that are bounded.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use super::state::{Seen, WatchdogState};
use crate::base::paths::write_private;
use crate::domains::continuity::place::Place;

/// Only its owner may read it.
const FILE_MODE: u32 = 0o600;
/// The file is cut when it is longer than what is kept by one part in so many.
const SLACK: usize = 4;

/// The history file: lines are appended, and cut from the front now and then.
#[derive(Debug)]
pub struct History {
    path: PathBuf,
    keep: usize,
    lines: usize,
}

impl History {
    /// The history of `place`, of which `keep` lines are kept, at least one.
    pub fn open(place: &Place, keep: usize) -> Self {
        let path = place.watchdog_history();
        let lines = lines_of(&path).len();
        Self { path, keep: keep.max(1), lines }
    }

    /// Appends one line, flushed to the disk.
    ///
    /// # Errors
    /// What the file system says.
    pub fn add(&mut self, seen: &Seen) -> io::Result<()> {
        let mut line = serde_json::to_vec(seen)?;
        line.push(b'\n');
        let mut options = OpenOptions::new();
        let mut file = options.create(true).append(true).mode(FILE_MODE).open(&self.path)?;
        if !ends_whole(&self.path)? {
            // A power cut left half a line: the next one must not hang on to it.
            line.insert(0, b'\n');
        }
        file.write_all(&line)?;
        file.sync_data()?;
        self.lines += 1;
        if self.lines > self.keep.saturating_add(self.keep / SLACK) { self.cut() } else { Ok(()) }
    }

    fn cut(&mut self) -> io::Result<()> {
        let lines = lines_of(&self.path);
        let kept = lines.get(lines.len().saturating_sub(self.keep)..).unwrap_or_default();
        let text: String = kept.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
        write_private(&self.path, text.as_bytes())?;
        self.lines = kept.len();
        Ok(())
    }
}

/// The last lines of the history, newest first; lines that cannot be read are passed over.
pub fn latest(place: &Place, limit: usize) -> Vec<Seen> {
    let lines = lines_of(&place.watchdog_history());
    lines.iter().rev().filter_map(|line| serde_json::from_str(line).ok()).take(limit).collect()
}

/// The state as it was last written; none when there is none, or it is damaged.
pub fn state(place: &Place) -> Option<WatchdogState> {
    serde_json::from_slice(&fs::read(place.watchdog_state()).ok()?).ok()
}

fn lines_of(path: &PathBuf) -> Vec<String> {
    let bytes = fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect()
}

fn ends_whole(path: &PathBuf) -> io::Result<bool> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = File::open(path)?;
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Moment;

    fn seen(n: i64) -> Seen {
        Seen { at: Moment(n), what: "main_died".into(), pid: Some(7), detail: format!("№ {n}") }
    }

    fn place(folder: &tempfile::TempDir) -> Place {
        let place = Place::at(folder.path().join("planb"));
        place.create().unwrap();
        place
    }

    #[test]
    fn it_is_bounded_and_tells_the_newest_first() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(&folder);
        let mut history = History::open(&place, 8);
        for n in 0..100 {
            history.add(&seen(n)).unwrap();
            let lines = lines_of(&place.watchdog_history()).len();
            assert!(lines <= 10, "{n}: {lines}");
        }
        let told: Vec<i64> = latest(&place, 3).iter().map(|seen| seen.at.0).collect();
        assert_eq!(told, [99, 98, 97]);
        // It goes on where it was.
        History::open(&place, 8).add(&seen(100)).unwrap();
        assert_eq!(latest(&place, 1), [seen(100)]);
    }

    #[test]
    fn half_a_line_is_passed_over_and_spoils_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(&folder);
        History::open(&place, 8).add(&seen(1)).unwrap();
        let whole = fs::read(place.watchdog_history()).unwrap();
        for cut in 1..whole.len() {
            fs::write(place.watchdog_history(), &whole[..cut]).unwrap();
            History::open(&place, 8).add(&seen(2)).unwrap();
            let told = latest(&place, 9);
            assert_eq!(told.first(), Some(&seen(2)), "cut at {cut}");
            assert_eq!(told.len(), if cut == whole.len() - 1 { 2 } else { 1 }, "cut at {cut}");
        }
        fs::write(place.watchdog_history(), [0xff, 0xfe, b'\n']).unwrap();
        assert_eq!(latest(&place, 9), []);
        fs::write(place.watchdog_state(), "{").unwrap();
        assert_eq!(state(&place), None);
    }
}
