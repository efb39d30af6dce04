//! Plan B's process: it serves from files alone, and never opens the database, an index or a model.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::listen::{Addresses, Bound, Doors, ListenSettings, machine};
use super::settings::{Config, Settings};
use super::system::VERSION;
use super::{names, open_tls};
use crate::base::clock::Clock;
use crate::base::disk::MachineDisk;
use crate::base::fault::Fault;
use crate::base::health::Health;
use crate::base::paths::DataFolder;
use crate::base::tasks::Tasks;
use crate::domains::continuity::outbox::Outbox;
use crate::domains::continuity::pack::{Pack, Shelf};
use crate::domains::continuity::people::{People, Proofs};
use crate::domains::continuity::place::Place;
use crate::domains::continuity::standing::{Ground, Standing};
use crate::domains::continuity::{Continuity, routes};
use crate::engines::secrets::{self, Passwords, RootKey};
use crate::engines::tls::Tls;
use crate::web::ends::{Ends, Watch};
use crate::web::layers::{Door, DoorOptions};
use crate::web::meters::Meters;
use crate::web::recognition::Recognition;
use crate::web::routes::{Spelling, split};

/// Where Plan B listens when the settings name no address (plan-b.md §1.5).
const ADDRESS: &str = "127.0.0.1:5055";
/// What is under way has so long to end, seconds: the main program waits for the addresses.
const DRAIN_SECONDS: u64 = 1;
/// What the tasks get when the process ends.
const CLOSE_WITHIN: Duration = Duration::from_millis(500);
/// What kiosks' keys are hashed under, as the directory does.
const KEYS_PURPOSE: &str = "api-keys";
/// The root key's file, and the authority's.
const ROOT_KEY: &str = "root.key";
const AUTHORITY: &str = "ca.crt";

/// Where Plan B stands.
#[derive(Debug, Clone)]
pub struct Site {
    /// Its folder.
    pub place: Place,
    /// The box's keys; none in the original's layout.
    pub keys: Option<PathBuf>,
    /// The settings in force.
    pub settings: Settings,
}

impl Site {
    /// Plan B of a box: its own address, and the box's while those are free.
    pub fn of_box(config: &Config) -> Self {
        let mut settings = config.settings.clone();
        if matches!(settings.listen.planb.as_str(), "" | "off") {
            ADDRESS.clone_into(&mut settings.listen.planb);
        }
        if !settings.continuity.front {
            close_front(&mut settings.listen);
        }
        Self { place: Place::at(config.data.planb()), keys: Some(config.data.keys()), settings }
    }

    /// Plan B in the original's layout: `.runtime/` below `base`, no box around it.
    pub fn of_base_dir(config: &Config, base: &Path) -> Self {
        let mut site = Self::of_box(config);
        close_front(&mut site.settings.listen);
        Self { place: Place::of_base_dir(base), keys: None, ..site }
    }
}

fn close_front(listen: &mut ListenSettings) {
    "off".clone_into(&mut listen.http);
    "off".clone_into(&mut listen.https);
    listen.further_http.clear();
}

/// Plan B, open. It does not listen yet.
pub struct PlanB {
    place: Place,
    settings: Settings,
    standing: Standing,
    tls: Option<Tls>,
    tasks: Tasks,
    health: Health,
}

impl PlanB {
    /// Opens what there is. What is missing or damaged is told, and the rest goes on.
    ///
    /// # Errors
    /// `folder_unusable` when Plan B's own folder cannot be made or read.
    pub fn open(
        site: Site,
        clock: Arc<dyn Clock>,
        tasks: Tasks,
        health: Health,
    ) -> Result<Self, Fault> {
        let Site { place, keys, settings } = site;
        if let Err(e) = place.create() {
            let words = format!("{} cannot be used: {e}", place.root().display());
            if !place.root().is_dir() {
                return Err(Fault::unavailable("folder_unusable", words));
            }
            // A disk that is full or locked can still be read.
            tracing::error!("{words}");
        }
        let desk = Continuity::open(&place, &settings.continuity, clock.clone(), health.clone());
        let node = desk.node().inspect_err(|fault| tracing::error!("{fault}")).ok();
        let shelf = Shelf::of(place.pack(), node.as_ref().map(|node| node.public()));
        let root = keys.as_deref().and_then(root_key);
        let proofs = root.as_ref().map(proofs).transpose()?;
        let people = People::of(desk.clone(), shelf.clone(), clock.clone(), proofs);
        let generation = shelf.now().pack.as_ref().map_or(0, Pack::generation);
        let node_id = node.map(|node| node.name().to_owned()).unwrap_or_default();
        let outbox =
            Outbox::open(&place, Arc::new(MachineDisk), clock.clone(), &node_id, generation)?;
        if let Some(closed) = people.closed() {
            tracing::warn!("{closed}");
        }
        let tls = keys.zip(root).and_then(|(keys, root)| tls(&keys, root, &settings, &clock));
        let standing = Standing::on(Ground { desk, shelf, people, outbox, clock });
        Ok(Self { place, settings, standing, tls, tasks, health })
    }

    /// What it stands on.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// The doors: at Plan B's address the seed's interface and the pages, at the box's the pages alone.
    ///
    /// # Errors
    /// `Broken` when the counters cannot be set up.
    pub fn doors(&self) -> Result<Doors, Fault> {
        let desk = &self.standing.ground().desk;
        let pages = || routes::standing_routes(self.standing.clone()).merge(routes::health());
        let (own, own_document) = split(pages().merge(routes::api(desk.clone())), VERSION);
        let (front, front_document) = split(pages(), VERSION);
        Ok(Doors {
            main: self.door(front.merge(routes::away()), Spelling::of(&front_document))?,
            planb: Some(self.door(own.merge(routes::unknown()), Spelling::of(&own_document))?),
        })
    }

    fn door(&self, router: axum::Router, spelling: Spelling) -> Result<Door, Fault> {
        let standing = self.standing.clone();
        let recognise = move |request: &Request| routes::recognise_all(&standing, request);
        let router = routes::marked(router.layer(Recognition::by(recognise, no_end())));
        Ok(Door::new(
            router,
            DoorOptions {
                hosts: self.settings.hosts.clone(),
                machine: machine::name(),
                meters: Meters::new()?,
                spelling,
                plain: Vec::new(),
                terse: routes::TERSE.to_vec(),
            },
        ))
    }

    /// Binds, serves until `stop`, and ends. Addresses that another program holds are tried again while
    /// the others are served. `ready` hears where it answers or will, and where it answers at once.
    ///
    /// # Errors
    /// `address_malformed`, or what keeps it from listening at all.
    pub async fn run(
        self,
        stop: impl Future<Output = ()>,
        ready: impl FnOnce(&Addresses, &Addresses),
    ) -> Result<(), Fault> {
        let doors = self.doors()?;
        let bound = self.bind()?.telling(self.health.clone());
        let (addresses, had) = (bound.expected(), bound.addresses().clone());
        self.standing.ground().desk.own_ports(addresses.ports());
        let token = CancellationToken::new();
        let serving = bound.serve(doors, self.tls.clone(), token.clone());
        ready(&addresses, &had);
        tokio::pin!(serving);
        tokio::select! {
            () = &mut serving => {}
            () = stop => {
                self.standing.ground().desk.wind_down();
                token.cancel();
                serving.await;
            }
        }
        self.tasks.stop(CLOSE_WITHIN);
        Ok(())
    }

    /// Everything at once; Plan B's own address alone when the box's cannot be bound at all.
    fn bind(&self) -> Result<Bound, Fault> {
        let mut listen = self.settings.listen.clone();
        listen.console = false;
        listen.wait_for_addresses = true;
        listen.drain_seconds = DRAIN_SECONDS;
        // The main program's own list of addresses is not Plan B's to write.
        let run = DataFolder::at(self.place.root());
        Bound::bind(listen.clone(), &run)
            .or_else(|fault| {
                tracing::error!("{fault}; only Plan B's own address is served");
                close_front(&mut listen);
                Bound::bind(listen.clone(), &run)
            })
            .or_else(|fault| {
                // Settings that are wrong are the likeliest reason for Plan B to be needed.
                tracing::error!("{fault}; Plan B is served at {ADDRESS}");
                ADDRESS.clone_into(&mut listen.planb);
                Bound::bind(listen, &run)
            })
    }
}

/// Nothing that is open at Plan B outlives its process, and it keeps no watch over sessions.
fn no_end() -> Watch {
    Arc::new(|caller| {
        let (_, caller) = watch::channel(Arc::new(caller.clone()));
        Ok(Ends::new(CancellationToken::new(), caller, ()))
    })
}

/// The root key as it lies there. Plan B makes none: one that is missing is the main program's loss to tell.
fn root_key(keys: &Path) -> Option<RootKey> {
    if !keys.join(ROOT_KEY).exists() {
        return None;
    }
    RootKey::open(keys).inspect_err(|fault| tracing::error!("{fault}")).ok()
}

fn proofs(root: &RootKey) -> Result<Proofs, Fault> {
    let (passwords, key) = (Passwords::new(root)?, root.derive(KEYS_PURPOSE)?);
    Ok(Proofs {
        password: Arc::new(move |password, stored| passwords.check(password, stored)),
        kiosk_key: Arc::new(move |text| {
            let word = secrets::mac(key.as_slice(), text.as_bytes())?;
            let bytes = BASE64URL_NOPAD
                .decode(word.as_bytes())
                .map_err(|e| Fault::broken("hashing a key", e))?;
            Ok(HEXLOWER.encode(&bytes))
        }),
    })
}

/// The box's own certificate; none without its authority, which only the main program founds.
fn tls(keys: &Path, root: RootKey, settings: &Settings, clock: &Arc<dyn Clock>) -> Option<Tls> {
    if !keys.join(AUTHORITY).exists() {
        return None;
    }
    let data = DataFolder::at(keys.parent()?);
    open_tls(&settings.listen, &data, clock, root, settings)
        .inspect_err(|fault| tracing::error!("https is off: {fault}"))
        .ok()
        .flatten()
        .inspect(|tls| {
            let _ = tls.renew(&names(settings));
        })
}
