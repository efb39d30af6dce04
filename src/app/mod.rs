//! Opens, listens, closes; the only place where domains meet.

pub mod board;
mod boot;
pub mod commands;
pub mod configuration;

pub mod listen;
pub mod logs;
pub mod packing;
mod people;
pub mod planb;
mod presence;
pub mod replay;
pub mod router;
pub mod schema;
pub mod settings;
pub mod socket;
pub mod system;
mod work;

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use crate::base::clock::{Clock, MachineClock};
use crate::base::disk::{Disk, MachineDisk, MemoryDisk};
use crate::base::fault::Fault;
use crate::base::health::Health;
use crate::base::paths::{DataFolder, write_private};
use crate::base::tasks::Tasks;
use crate::domains::activity::Activity;
use crate::domains::assistant::thinking::{self, Thinking};
use crate::domains::assistant::{Assistant, Places};
use crate::domains::attendance::{self, Attendance};
use crate::domains::continuity::Continuity;
use crate::domains::continuity::place::Place;
use crate::domains::handover::Handover;
use crate::domains::identity::Identity;
use crate::domains::identity::live::Live;
use crate::domains::identity::records::USERS;
use crate::engines::secrets::RootKey;
use crate::engines::tls::{Names, Sealer, Tls};
use crate::store::{Deed, Ground, Reader, Store};
use crate::web::hub::Hub;
use crate::web::meters::Meters;
use board::{Board, Called};
use boot::{Boot, Stage};
use configuration::Configuration;
use listen::{Bound, Doors, ListenSettings, machine, notify};
use packing::Prompt;
use replay::Replay;
use router::Desks;
use settings::{Config, Settings};
use system::System;

/// How long closing may take in all, the drain of connections included.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);
/// How long another process's hold on the data folder is waited for.
const LOCK_WAIT: Duration = Duration::from_secs(2);
/// How often it is looked at meanwhile.
const LOCK_LOOK: Duration = Duration::from_millis(20);
/// What the tasks get in any case, however long the drain took.
const CLOSE_LEAST: Duration = Duration::from_millis(500);
/// What the authority's key is sealed for.
const TLS_PLACE: &str = "tls.key";

/// A box that is open: its store, its desks, its tasks. It does not listen yet.
pub struct App {
    config: Config,
    tasks: Tasks,
    health: Health,
    store: Store,
    desks: Desks,
    tls: Option<Tls>,
    /// Held as long as the box is open, so that no second process opens the folder.
    _lock: Option<File>,
}

/// Where a box stands: the outside world it is opened on.
#[derive(Clone)]
pub struct World {
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// Where the store is kept.
    pub disk: Arc<dyn Disk>,
    /// The program that reads documents.
    pub program: PathBuf,
    /// Whether the folder is locked against a second process.
    pub exclusive: bool,
}

impl World {
    /// This machine.
    ///
    /// # Errors
    /// `Broken` when the program does not know where it is.
    pub fn machine() -> Result<Self, Fault> {
        Ok(Self {
            clock: Arc::new(MachineClock),
            disk: Arc::new(MachineDisk),
            program: std::env::current_exe()
                .map_err(|e| Fault::broken("finding the program", e))?,
            exclusive: true,
        })
    }

    /// This machine, with a store that is forgotten.
    ///
    /// # Errors
    /// As [`World::machine`].
    pub fn in_memory() -> Result<Self, Fault> {
        Ok(Self { disk: Arc::new(MemoryDisk::default()), exclusive: false, ..Self::machine()? })
    }
}

impl App {
    /// Opens the box: folder, keys, store, desks. Nothing listens and no task runs yet.
    ///
    /// # Errors
    /// `already_running`, `folder_unusable`, or what the parts say.
    pub fn open(
        config: Config,
        world: &World,
        tasks: Tasks,
        health: Health,
    ) -> Result<Self, Fault> {
        let data = &config.data;
        data.create().map_err(|e| {
            Fault::unavailable(
                "folder_unusable",
                format!("{} cannot be used: {e}", data.root().display()),
            )
        })?;
        let lock = world.exclusive.then(|| lock_folder(data)).transpose()?;
        empty_spool(data);
        let unclean = data.open_mark().exists();
        write_private(&data.open_mark(), b"")
            .map_err(|e| Fault::broken("marking the box as open", e))?;
        let boot = Boot::begin(data.boot_stage(), health.clone());
        boot.enter(Stage::Store)?;
        let root = RootKey::open(&data.keys())?;
        let ground =
            Ground { clock: world.clock.clone(), disk: world.disk.clone(), health: health.clone() };
        let store =
            Store::open(&data.store(), &ground, config.settings.store, schema::STEPS, &tasks)?;
        let identity = Identity::open(
            store.clone(),
            world.clock.clone(),
            &root,
            config.settings.identity.clone(),
        )?;
        let activity = Activity::open(
            store.clone(),
            world.clock.clone(),
            health.clone(),
            &root,
            config.settings.activity.clone(),
            Box::new(people::Directory(identity.clone())),
        )?;
        if !boot.enter(Stage::Indexes)? {
            let _ = std::fs::remove_dir_all(data.index());
            data.create().map_err(|e| Fault::broken("making the index folder anew", e))?;
        }
        let with_model = boot.enter(Stage::Model)?;
        let assistant = open_assistant(&config, world, &store, &health, with_model, unclean)?;
        let thinking = open_thinking(&config, world, &store, &health, &root, &assistant)?;
        let attendance = open_attendance(&config, world, &store, &root, &identity)?;
        let tls = open_tls(&config.settings.listen, data, &world.clock, root, &config.settings)?;
        let system = System {
            clock: world.clock.clone(),
            health: health.clone(),
            store: store.clone(),
            assistant: assistant.clone(),
            generation: thinking.generation.clone(),
            meters: Meters::new()?,
            meters_open: config.settings.metrics.open,
            tls: tls.clone(),
            began: world.clock.since_boot(),
        };
        boot.done();
        work::introduce(&identity);
        let (live, hub) = (Live::of(identity.clone()), Hub::new(world.clock.clone()));
        let continuity = open_continuity(&config, world, &health, &store);
        let handover = Handover::open(store.clone(), health.clone())?;
        let names = people::names(identity.clone());
        let board = open_board(&config, world, &health, &store, &continuity, (&handover, names));
        let configuration = Configuration::of(&config);
        let desks = Desks {
            system,
            identity,
            live,
            hub,
            assistant,
            thinking,
            attendance,
            continuity,
            handover,
            board,
            configuration,
            activity,
        };
        work::join(&desks);
        Ok(Self { config, tasks, health, store, desks, tls, _lock: lock })
    }

    /// The desks, for what is done without a door.
    pub fn desks(&self) -> &Desks {
        &self.desks
    }

    /// Binds, starts the tasks, serves until `stop`, then closes within five seconds.
    ///
    /// `ready` hears the addresses, those that are still waited for too, and the set-up link, if one
    /// is needed, once requests are answered.
    ///
    /// # Errors
    /// `address_in_use` and what else keeps the box from listening.
    pub async fn run(
        self,
        stop: impl Future<Output = ()>,
        ready: impl FnOnce(&listen::Addresses, Option<&str>),
    ) -> Result<(), Fault> {
        let bound = Bound::bind(self.config.settings.listen.clone(), &self.config.data)?
            .telling(self.health.clone());
        let addresses = bound.expected();
        self.desks.continuity.own_ports(addresses.ports());
        let hosts = self.config.settings.hosts.clone();
        let door = router::door(&self.desks, hosts.clone(), machine::name())?;
        let planb = router::planb_door(&self.desks, hosts, machine::name())?;
        let link = self.setup_link(&addresses)?;
        work::start(
            &self.desks,
            &self.store,
            &self.tasks,
            self.tls.as_ref(),
            &self.config.settings,
        )?;
        let health = self.health.clone();
        notify::watch(&self.tasks, move || {
            health.of("store").is_none_or(|r| r.level != crate::base::health::Level::Failed)
        })?;
        let token = tokio_util::sync::CancellationToken::new();
        let listening = bound.listening();
        let serving =
            bound.serve(Doors { main: door, planb: Some(planb) }, self.tls.clone(), token.clone());
        self.tasks.future("ready", async move {
            listening.cancelled().await;
            notify::ready();
        });
        ready(&addresses, link.as_deref());
        tokio::pin!(serving);
        let mut began = Instant::now();
        tokio::select! {
            () = &mut serving => {}
            () = stop => {
                began = Instant::now();
                notify::stopping();
                // What is under way at the door drains while the tasks come to their ends.
                self.desks.assistant.wind_down();
                self.desks.thinking.wind_down();
                self.desks.continuity.wind_down();
                self.desks.hub.close();
                token.cancel();
                serving.await;
            }
        }
        let _ = std::fs::remove_file(self.config.data.addresses());
        tokio::task::spawn_blocking(move || self.close_by(began + CLOSE_WITHIN))
            .await
            .map_err(|e| Fault::broken("closing", e))
    }

    /// Closes backwards: indexes, tasks, store.
    pub fn close(self) {
        self.close_by(Instant::now() + CLOSE_WITHIN);
    }

    fn close_by(self, deadline: Instant) {
        if let Err(fault) = self.desks.assistant.settle() {
            tracing::warn!("the indexes were not settled and will catch up: {fault}");
        }
        if let Err(fault) = self.desks.activity.settle() {
            tracing::warn!(
                "the journal's end was not signed and will be at the next start: {fault}"
            );
        }
        // The box may stop right after an account was closed, and Plan B comes then.
        if let Some(Err(fault)) = self.desks.board.prompt.as_ref().map(Prompt::turn) {
            tracing::warn!("the pack was not written and will be at the next start: {fault}");
        }
        self.store.close();
        let left = deadline.saturating_duration_since(Instant::now());
        self.tasks.stop(left.max(CLOSE_LEAST));
        let _ = std::fs::remove_file(self.config.data.open_mark());
    }

    /// The one-time set-up link, written to a file that only the owner may read; none when the box
    /// is set up.
    fn setup_link(&self, addresses: &listen::Addresses) -> Result<Option<String>, Fault> {
        let path = self.config.data.setup_link();
        let Some(word) = self.desks.identity.setup_word()? else {
            let _ = std::fs::remove_file(&path);
            return Ok(None);
        };
        let base = match (addresses.http, addresses.https) {
            // The loopback of an address that stands for all: whoever reads the link sits here.
            (Some(http), _) => match machine::reached_at(http).last() {
                Some(place) => format!("http://{place}"),
                None => format!("http://{http}"),
            },
            (None, Some(https)) => format!("https://127.0.0.1:{}", https.port()),
            (None, None) => return Ok(None),
        };
        let link = format!("{base}/ui/setup?token={word}");
        write_private(&path, link.as_bytes())
            .map_err(|e| Fault::broken("writing the set-up link", e))?;
        Ok(Some(link))
    }
}

/// Locks the data folder, waiting a moment: a child that a killed box was just starting may hold the
/// lock until it is gone.
fn lock_folder(data: &DataFolder) -> Result<File, Fault> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(data.lock())
        .map_err(|e| Fault::broken("opening the lock", e))?;
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            // Some sticks' file systems know no locks; the store's own checks remain.
            Ok(()) | Err(rustix::io::Errno::NOSYS | rustix::io::Errno::OPNOTSUPP) => {
                return Ok(file);
            }
            Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < deadline => {
                std::thread::sleep(LOCK_LOOK);
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(Fault::conflict(
                    "already_running",
                    format!("Another process has {} open.", data.root().display()),
                ));
            }
            Err(e) => return Err(Fault::broken("locking the data folder", e)),
        }
    }
}

/// What lies in the spool belongs to a process that is gone.
fn empty_spool(data: &DataFolder) {
    let Ok(entries) = std::fs::read_dir(data.spool()) else { return };
    for entry in entries.flatten() {
        let _ = std::fs::remove_file(entry.path());
    }
}

fn open_assistant(
    config: &Config,
    world: &World,
    store: &Store,
    health: &Health,
    with_model: bool,
    thorough: bool,
) -> Result<Assistant, Fault> {
    let data = &config.data;
    let nowhere = data.run().join("no-models");
    Assistant::open(
        store.clone(),
        world.clock.clone(),
        health.clone(),
        config.settings.documents(),
        Places {
            index: data.index(),
            spool: data.spool(),
            inbox: data.inbox(),
            models: if with_model { config.models() } else { nowhere },
        },
        world.program.clone(),
        thorough,
    )
}

fn open_attendance(
    config: &Config,
    world: &World,
    store: &Store,
    root: &RootKey,
    identity: &Identity,
) -> Result<Attendance, Fault> {
    let directory = Arc::new(people::Directory(identity.clone()));
    let ground = attendance::Ground {
        store: store.clone(),
        clock: world.clock.clone(),
        root: root.clone(),
        people: directory.clone(),
        kiosk_keys: directory.clone(),
        accounts: directory,
    };
    Attendance::open(ground, config.settings.attendance.clone())
}

/// Plan B's desk, whose deeds the main program writes into its journal.
fn open_continuity(config: &Config, world: &World, health: &Health, store: &Store) -> Continuity {
    let place = Place::at(config.data.planb());
    let settings = &config.settings.continuity;
    let desk = Continuity::open(&place, settings, world.clock.clone(), health.clone());
    let store = store.clone();
    desk.on_deed(Arc::new(move |caller, done| {
        let deed =
            Deed { deed: done.deed, object: done.object, before: done.before, after: done.after };
        let caller = caller.clone();
        store.write(move |tx| tx.journal(&caller, deed))
    }));
    desk
}

fn open_thinking(
    config: &Config,
    world: &World,
    store: &Store,
    health: &Health,
    root: &RootKey,
    assistant: &Assistant,
) -> Result<Thinking, Fault> {
    let ground = thinking::Ground {
        store: store.clone(),
        clock: world.clock.clone(),
        health: health.clone(),
        root: root.clone(),
        program: world.program.clone(),
        models: config.models(),
        embedding: config.settings.search.model.clone(),
        spool: config.data.spool(),
        // A machine is no user: it never leaves.
        still_here: Arc::new(|tx, id| Ok(tx.get(&USERS, &id)?.is_none_or(|user| user.is_active()))),
    };
    Thinking::open(&ground, &config.settings.thinking(), assistant)
}

fn open_board(
    config: &Config,
    world: &World,
    health: &Health,
    store: &Store,
    continuity: &Continuity,
    (handover, names): (&Handover, Called),
) -> Board {
    let (place, clock) = (continuity.place().clone(), world.clock.clone());
    let packer = packing::packer(continuity, clock.clone());
    Board {
        continuity: continuity.clone(),
        prompt: packer.clone().map(|packer| Prompt::of(packer, store.clone())),
        packer,
        handover: handover.clone(),
        replay: Replay::new(place, clock.clone(), health.clone(), handover.clone()),
        names,
        clock,
        store: store.clone(),
        address: config.settings.listen.planb.clone(),
    }
}

fn open_tls(
    listen: &ListenSettings,
    data: &DataFolder,
    clock: &Arc<dyn Clock>,
    root: RootKey,
    settings: &Settings,
) -> Result<Option<Tls>, Fault> {
    if listen.https.is_empty() || listen.https == "off" {
        return Ok(None);
    }
    let root = Arc::new(root);
    let sealing = root.clone();
    let sealer = Sealer {
        seal: Box::new(move |bytes| sealing.seal(TLS_PLACE, bytes)),
        open: Box::new(move |bytes| root.unseal(TLS_PLACE, bytes).map(|secret| secret.to_vec())),
    };
    Tls::open(&data.keys(), "ilot", &names(settings), clock.clone(), &sealer).map(Some)
}

/// What the certificate stands for: the machine's names and addresses, and those of the settings.
fn names(settings: &Settings) -> Names {
    let mut hosts = vec!["localhost".to_owned(), "ilot.local".to_owned()];
    if let Some(name) = machine::name() {
        hosts.push(format!("{name}.local"));
        hosts.push(name);
    }
    let mut addresses = machine::addresses();
    for name in &settings.hosts.names {
        match name.parse() {
            Ok(address) => addresses.push(address),
            Err(_) => hosts.push(name.clone()),
        }
    }
    hosts.sort();
    hosts.dedup();
    addresses.sort();
    addresses.dedup();
    Names { hosts, addresses }
}
