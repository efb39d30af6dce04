//! What the directory and the documents put into the continuity pack.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::base::caller::Caller;
use crate::base::clock::{Clock, Moment};
use crate::base::fault::Fault;
use crate::base::health::{Health, Level};
use crate::base::tasks::{Handle, Tasks};
use crate::domains::assistant::Assistant;
use crate::domains::assistant::records::{COLLECTIONS, Document, hex};
use crate::domains::continuity::Continuity;
use crate::domains::continuity::pack::part::{
    Cell, DoorKey, Paper, Part, Person, Row, Section, Source, Words,
};
use crate::domains::continuity::pack::{Limits, Packer, Seal};
use crate::domains::continuity::settings::ContinuitySettings;
use crate::domains::identity::Identity;
use crate::domains::identity::records::{
    API_KEYS, ApiKey, GRANTS, ROLES, SECOND_FACTORS, SITE, USERS,
};
use crate::domains::identity::standing_in::Known;
use crate::store::Store;
use crate::store::changes;

/// The task that asks, as faults and logs name it.
const TASK: &str = "pack";

/// The part of the box's health that says how old the pack is.
const PART: &str = "planb_pack";
/// So many times its usual age a pack may have before that is told.
const AGES: u32 = 3;
/// How often its sources are asked: no pack is younger for long.
const LOOKED_AT: Duration = Duration::from_mins(1);

/// How soon a change of who may do what is looked for after it.
const PROMPTLY: Duration = Duration::from_millis(200);
/// Changes that are read at once.
const CHANGES_AT_ONCE: usize = 1000;
/// Rows that say who may do what: an account that was closed must not go on working in Plan B.
const AT_ONCE: [&str; 7] = [
    USERS.name,
    ROLES.name,
    GRANTS.name,
    API_KEYS.name,
    SECOND_FACTORS.name,
    COLLECTIONS.name,
    SITE.name,
];

/// Has the pack written as soon as who may do what has changed. Clones look from the same place on.
///
/// The store's own log of changes says so, so that a verb that closes an account has nothing to tell
/// anybody, and none can forget to.
#[derive(Clone)]
pub struct Prompt {
    packer: Packer,
    store: Store,
    /// The last change that was looked at, and packed if it had to be.
    seen: Arc<AtomicU64>,
}

impl Prompt {
    /// Looks at what changes from now on.
    pub fn of(packer: Packer, store: Store) -> Self {
        let seen = Arc::new(AtomicU64::new(store.seq()));
        Self { packer, store, seen }
    }

    /// Looks several times a second.
    ///
    /// # Errors
    /// `Broken` when no thread can be had.
    pub fn start(&self, tasks: &Tasks) -> Result<Handle, Fault> {
        let prompt = self.clone();
        tasks.every("pack-people", PROMPTLY, move |_| prompt.turn())
    }

    /// Writes the pack when something has changed that cannot wait.
    ///
    /// # Errors
    /// Those of [`Packer::refresh`], or what the store says; the next turn tries again then.
    pub fn turn(&self) -> Result<(), Fault> {
        let latest = self.store.seq();
        let seen = self.seen.load(Ordering::Acquire);
        if latest == seen {
            return Ok(());
        }
        if self.cannot_wait(seen)? {
            self.packer.refresh()?;
        }
        self.seen.fetch_max(latest, Ordering::AcqRel);
        Ok(())
    }

    /// Whether a change after `seq` says who may do what; so it is taken when the log does not reach
    /// back that far any more.
    fn cannot_wait(&self, mut seq: u64) -> Result<bool, Fault> {
        self.store.read(|view| {
            if changes::oldest(view)?.is_none_or(|oldest| oldest > seq + 1) {
                return Ok(true);
            }
            loop {
                let found = changes::since(view, seq, CHANGES_AT_ONCE)?;
                if found.iter().any(|(_, change)| AT_ONCE.contains(&change.table.as_str())) {
                    return Ok(true);
                }
                match found.last() {
                    Some((last, _)) if found.len() == CHANGES_AT_ONCE => seq = *last,
                    _ => return Ok(false),
                }
            }
        })
    }
}

/// What keeps the pack fresh; none when the node's key, which signs it, is damaged: health says so.
pub(super) fn packer(desk: &Continuity, clock: Arc<dyn Clock>) -> Option<Packer> {
    let node = desk.node().ok()?;
    let signer = node.clone();
    let seal = Seal {
        node_id: node.name().to_owned(),
        public: node.public(),
        sign: Arc::new(move |bytes| signer.sign(bytes)),
    };
    Some(Packer::new(desk.place(), clock, seal, Limits::of(desk.settings())))
}

/// Says in the box's health when the pack has grown old, whatever the cause.
pub(super) fn tell_age(
    packer: &Packer,
    settings: &ContinuitySettings,
    now: Moment,
    health: &Health,
) {
    let usual = Duration::from_secs(settings.pack_minutes.saturating_mul(60)).max(LOOKED_AT);
    match packer.state() {
        Some(pack) if now.since(pack.made_at) <= usual.saturating_mul(AGES) => {
            health.well(PART, format!("Made {}.", pack.made_at.to_rfc3339()));
        }
        pack => {
            let detail = pack.map_or_else(
                || "There is no continuity pack.".to_owned(),
                |pack| format!("The continuity pack is of {}.", pack.made_at.to_rfc3339()),
            );
            let advice = "Plan B would show what was so then; see the log for what keeps it from being written.";
            health.report(PART, Level::Reduced, detail, advice);
        }
    }
}

/// The site, the people who may sign in, the kiosks, and the contacts.
pub(super) fn identity(desk: Identity) -> Source {
    Arc::new(move || {
        let caller = Caller::task(TASK);
        let site = desk.site()?;
        let people = desk.known_people(&caller)?;
        let doors = desk.known_kiosks(&caller)?.into_iter().map(door).collect();
        let sections = vec![contacts(&people)];
        let people = people.into_iter().filter(|known| known.signs_in).map(person).collect();
        let (site, time_zone) = site.map(|s| (s.name, s.time_zone)).unwrap_or_default();
        Ok(Part { sections, people, doors, site, time_zone, ..Part::default() })
    })
}

/// The documents that were chosen, as papers and as a table of them.
pub(super) fn documents(desk: Assistant) -> Source {
    Arc::new(move || {
        let documents = desk.packed(&Caller::task(TASK))?;
        let sections = vec![list(&documents)];
        let papers = documents.into_iter().map(|document| paper(&desk, document)).collect();
        Ok(Part { sections, papers, ..Part::default() })
    })
}

fn contacts(people: &[Known]) -> Section {
    let row = |known: &Known| Row {
        key: format!("user:{}", known.user.id),
        cells: vec![
            Cell::Text(known.user.display_name.clone()),
            role(&known.user.role),
            Cell::Text(known.user.email.clone()),
        ],
    };
    Section {
        id: "contacts".to_owned(),
        title: Words::of("Contacts", "Contacts"),
        right: String::new(),
        columns: vec![
            Words::of("Nom", "Name"),
            Words::of("Rôle", "Role"),
            Words::of("Courriel", "E-mail"),
        ],
        rows: people.iter().map(row).collect(),
        empty: Words::of("Personne n’est dans l’annuaire.", "Nobody is in the directory."),
        notes: false,
    }
}

/// The roles every box begins with, as the box's pages name them; a site's own role has one name.
fn role(name: &str) -> Cell {
    let (fr, en) = match name {
        "admin" => ("Administrateur", "Administrator"),
        "viewer" => ("Lecteur du planning", "Planning viewer"),
        "planner" => ("Planificateur", "Planner"),
        "planner_advanced" => ("Planificateur avancé", "Advanced planner"),
        "driver_admin" => ("Gestion des chauffeurs", "Drivers’ administrator"),
        "finance" => ("Finances", "Finance"),
        "analyse" => ("Statistiques", "Statistics"),
        "user" => ("Employé", "Employee"),
        "manager" => ("Responsable de présence", "Attendance manager"),
        "readonly" => ("Serveurs, en lecture", "Servers, read only"),
        "operator" => ("Opérateur de serveurs", "Server operator"),
        own => return Cell::Text(own.to_owned()),
    };
    Cell::Words(Words::of(fr, en))
}

fn person(known: Known) -> Person {
    let user = known.user;
    Person {
        id: user.id,
        username: user.username,
        display_name: user.display_name,
        email: user.email,
        password: user.password,
        rights: known.rights.list().map(|right| right.name().to_owned()).collect(),
        second_factor: known.second_factor,
        language: user.language,
    }
}

fn door(key: ApiKey) -> DoorKey {
    DoorKey {
        kind: "kiosk".to_owned(),
        // The kiosk the key stands for: what it writes is known by it, whichever key it showed.
        id: key.owner,
        name: key.name,
        proof: hex(&key.hash),
        expires_at: key.expires_at,
    }
}

fn list(documents: &[Document]) -> Section {
    let row = |document: &Document| Row {
        key: format!("document:{}", document.id),
        cells: vec![
            Cell::Text(document.title.clone()),
            Cell::File { name: file_name(document), sha256: hex(&document.sha256) },
            Cell::Text(document.collection.clone()),
            Cell::At(document.date),
        ],
    };
    Section {
        id: "documents".to_owned(),
        title: Words::of("Documents", "Documents"),
        right: "read_documents".to_owned(),
        columns: vec![
            Words::of("Titre", "Title"),
            Words::of("Fichier", "File"),
            Words::of("Collection", "Collection"),
            Words::of("Date", "Date"),
        ],
        rows: documents.iter().map(row).collect(),
        empty: Words::of("Aucun document n’a été choisi.", "No document was chosen."),
        notes: false,
    }
}

fn paper(desk: &Assistant, document: Document) -> Paper {
    let (desk, hash) = (desk.clone(), document.sha256);
    Paper {
        name: file_name(&document),
        sha256: hex(&hash),
        bytes: document.size,
        media_type: document.media_type,
        open: Arc::new(move || {
            let file = desk.open_file(&Caller::task(TASK), hash)?;
            Ok::<Box<dyn std::io::Read + Send>, Fault>(Box::new(file))
        }),
    }
}

/// The last part of a document's path.
fn file_name(document: &Document) -> String {
    document.path.rsplit('/').next().unwrap_or(&document.path).to_owned()
}
