//! A disk whose power can be cut: what was not synced is kept in part, torn, or not at all.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use ilot::base::disk::{Disk, DiskFile};

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// Numbers that look random and are the same for the same seed (`SplitMix64`).
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }

    /// True once in `n` times.
    pub fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

#[derive(Debug, Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

#[derive(Debug, Clone)]
enum Naming {
    Name(PathBuf, usize),
    Move(PathBuf, PathBuf),
    Forget(PathBuf),
}

/// A file: what would survive a cut, what programs see, and the steps between the two.
#[derive(Debug, Clone, Default)]
struct Bytes {
    durable: Vec<u8>,
    seen: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Debug)]
struct World {
    dice: Dice,
    files: Vec<Bytes>,
    durable_names: BTreeMap<PathBuf, usize>,
    names: BTreeMap<PathBuf, usize>,
    unsynced_names: Vec<Naming>,
    /// How many times the power came back; handles of an earlier life are dead.
    life: u64,
    powered: bool,
    steps: u64,
    cut_at: Option<u64>,
    capacity: u64,
    failing: bool,
    lying: bool,
}

/// The disk. Clones are the same one.
#[derive(Debug, Clone)]
pub struct SimDisk(Arc<Mutex<World>>);

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    file: usize,
    life: u64,
}

fn name(names: &mut BTreeMap<PathBuf, usize>, naming: &Naming) {
    match naming {
        Naming::Name(path, file) => {
            names.insert(path.clone(), *file);
        }
        Naming::Move(from, to) => {
            if let Some(file) = names.remove(from) {
                names.insert(to.clone(), file);
            }
        }
        Naming::Forget(path) => {
            names.remove(path);
        }
    }
}

fn put(bytes: &mut Vec<u8>, offset: usize, new: &[u8]) {
    if bytes.len() < offset + new.len() {
        bytes.resize(offset + new.len(), 0);
    }
    bytes[offset..offset + new.len()].copy_from_slice(new);
}

impl World {
    fn alive(&self, life: u64) -> io::Result<()> {
        if self.powered && self.life == life {
            return Ok(());
        }
        Err(io::Error::other("the power is out"))
    }

    /// Counts a step that changes the disk; the power may go at any of them.
    fn step(&mut self) -> io::Result<()> {
        self.steps += 1;
        if self.cut_at.is_some_and(|at| self.steps >= at) {
            self.powered = false;
        }
        self.alive(self.life)?;
        if self.failing { Err(io::Error::other("the disk is broken")) } else { Ok(()) }
    }

    fn used(&self) -> u64 {
        self.names.values().map(|file| self.files[*file].seen.len() as u64).sum()
    }

    fn grow(&self, by: usize) -> io::Result<()> {
        if self.used() + by as u64 > self.capacity {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    /// What a cut leaves of a file: each unsynced step with even odds, a quarter of the writes torn.
    fn remains(&mut self, file: usize) -> Vec<u8> {
        let Bytes { durable, unsynced, .. } = std::mem::take(&mut self.files[file]);
        let mut left = durable;
        for change in unsynced {
            if self.dice.once_in(2) {
                continue;
            }
            match change {
                Change::Length(length) => left.resize(length, 0),
                Change::Write(offset, new) if self.dice.once_in(4) => {
                    let mut start = 0;
                    while start < new.len() {
                        let end = (start + SECTOR - (offset + start) % SECTOR).min(new.len());
                        if self.dice.once_in(2) {
                            put(&mut left, offset + start, &new[start..end]);
                        }
                        start = end;
                    }
                }
                Change::Write(offset, new) => put(&mut left, offset, &new),
            }
        }
        left
    }
}

impl SimDisk {
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(World {
            dice: Dice::new(seed),
            files: Vec::new(),
            durable_names: BTreeMap::new(),
            names: BTreeMap::new(),
            unsynced_names: Vec::new(),
            life: 0,
            powered: true,
            steps: 0,
            cut_at: None,
            capacity: u64::MAX,
            failing: false,
            lying: false,
        })))
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    /// Takes the power away at the `steps`-th change from now; none: never.
    pub fn cut_in(&self, steps: Option<u64>) {
        let mut world = self.world();
        world.cut_at = steps.map(|steps| world.steps + steps);
    }

    /// Takes the power away now.
    pub fn cut(&self) {
        self.world().powered = false;
    }

    pub fn powered(&self) -> bool {
        self.world().powered
    }

    /// Gives the power back: only now it shows what is left.
    pub fn restore(&self) {
        let mut world = self.world();
        for file in 0..world.files.len() {
            let left = world.remains(file);
            world.files[file] = Bytes { durable: left.clone(), seen: left, unsynced: Vec::new() };
        }
        // A file system keeps the order of its namings, up to some point.
        let namings = std::mem::take(&mut world.unsynced_names);
        let kept = usize::try_from(world.dice.below(namings.len() as u64 + 1)).unwrap();
        for naming in &namings[..kept] {
            name(&mut world.durable_names, naming);
        }
        world.names = world.durable_names.clone();
        world.life += 1;
        world.powered = true;
        world.cut_at = None;
    }

    /// How many bytes fit on it.
    pub fn set_capacity(&self, bytes: u64) {
        self.world().capacity = bytes;
    }

    pub fn used(&self) -> u64 {
        self.world().used()
    }

    /// Whether every change and every sync fails.
    pub fn set_failing(&self, failing: bool) {
        self.world().failing = failing;
    }

    /// Whether it says that it has synced and has not.
    pub fn set_lying(&self, lying: bool) {
        self.world().lying = lying;
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut world = self.world();
        world.alive(world.life)?;
        let file = if let Some(file) = world.names.get(path) {
            *file
        } else {
            world.step()?;
            let file = world.files.len();
            world.files.push(Bytes::default());
            let naming = Naming::Name(path.to_owned(), file);
            name(&mut world.names, &naming);
            world.unsynced_names.push(naming);
            file
        };
        let life = world.life;
        Ok(Box::new(SimFile { disk: self.clone(), file, life }))
    }

    fn exists(&self, path: &Path) -> bool {
        self.world().names.contains_key(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.naming(Naming::Move(from.to_owned(), to.to_owned()))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.naming(Naming::Forget(path.to_owned()))
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.step()?;
        if !world.lying {
            world.durable_names = world.names.clone();
            world.unsynced_names.clear();
        }
        Ok(())
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        let world = self.world();
        world.alive(world.life)?;
        Ok(world.capacity.saturating_sub(world.used()))
    }
}

impl SimDisk {
    fn naming(&self, naming: Naming) -> io::Result<()> {
        let mut world = self.world();
        // A cut in the middle of it may still find it kept.
        let done = world.step();
        if world.life_goes_on(&done) {
            name(&mut world.names, &naming);
            world.unsynced_names.push(naming);
        }
        done
    }
}

impl World {
    /// Whether a step took effect as far as the running machine can tell, or may have as it died.
    fn life_goes_on(&self, done: &io::Result<()>) -> bool {
        done.is_ok() || (!self.powered && self.cut_at == Some(self.steps))
    }
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        let world = self.disk.world();
        world.alive(self.life)?;
        Ok(world.files[self.file].seen.len() as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let world = self.disk.world();
        world.alive(self.life)?;
        let start = usize::try_from(offset).unwrap();
        let part = world.files[self.file].seen.get(start..start + buffer.len());
        buffer.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, offset: u64, new: &[u8]) -> io::Result<()> {
        let mut world = self.disk.world();
        world.alive(self.life)?;
        let start = usize::try_from(offset).unwrap();
        let end = start + new.len();
        world.grow(end.saturating_sub(world.files[self.file].seen.len()))?;
        let done = world.step();
        if world.life_goes_on(&done) {
            let file = &mut world.files[self.file];
            put(&mut file.seen, start, new);
            file.unsynced.push(Change::Write(start, new.to_vec()));
        }
        done
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut world = self.disk.world();
        world.alive(self.life)?;
        let length = usize::try_from(length).unwrap();
        world.grow(length.saturating_sub(world.files[self.file].seen.len()))?;
        let done = world.step();
        if world.life_goes_on(&done) {
            let file = &mut world.files[self.file];
            file.seen.resize(length, 0);
            file.unsynced.push(Change::Length(length));
        }
        done
    }

    fn sync(&self) -> io::Result<()> {
        let mut world = self.disk.world();
        world.alive(self.life)?;
        world.step()?;
        if !world.lying {
            let file = &mut world.files[self.file];
            for change in std::mem::take(&mut file.unsynced) {
                match change {
                    Change::Write(offset, new) => put(&mut file.durable, offset, &new),
                    Change::Length(length) => file.durable.resize(length, 0),
                }
            }
        }
        Ok(())
    }
}
