//! redb's bytes on a [`Disk`]: fenced when a handle is given up, counted for measurements.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use redb::StorageBackend;

use crate::base::disk::DiskFile;

/// What the store has asked of its disk since it was opened.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Bytes written.
    pub written: AtomicU64,
    /// Times the disk was told to make things durable.
    pub syncs: AtomicU64,
}

/// Cuts a given-up handle off its file, so that it can do no more harm to its successor.
#[derive(Debug, Clone, Default)]
pub(super) struct Fence(Arc<AtomicBool>);

impl Fence {
    pub(super) fn close(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn check(&self) -> io::Result<()> {
        if self.0.load(Ordering::SeqCst) {
            return Err(io::Error::other("this handle of the store was given up"));
        }
        Ok(())
    }
}

#[derive(Debug)]
pub(super) struct Backend {
    pub(super) file: Box<dyn DiskFile>,
    pub(super) fence: Fence,
    pub(super) traffic: Arc<Traffic>,
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.fence.check()?;
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.fence.check()?;
        self.file.read_at(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.fence.check()?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.fence.check()?;
        self.traffic.syncs.fetch_add(1, Ordering::Relaxed);
        self.file.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.fence.check()?;
        self.traffic.written.fetch_add(data.len() as u64, Ordering::Relaxed);
        self.file.write_at(offset, data)
    }
}
