//! The first page: what to do now, what there is to read, what to write down.

use super::acts::{Asked, note_form, punch_form, rows_of_entries};
use super::html::Html;
use super::layout::{Notice, View};
use super::words::{Lang, of_fault};
use crate::domains::continuity::pack::{Pack, PaperEntry};

/// Entries that the first page shows.
const LATEST: usize = 5;
const KIB: u64 = 1024;

/// The first page.
pub fn overview(view: &View<'_>, asked: &Asked, notice: Option<&Notice<'_>>) -> String {
    let title = view.pick("Que faire maintenant", "What to do now");
    view.page(title, notice, |h| {
        now(view, h);
        if view.standing.may_read(view.caller).is_err() {
            closed(view, h);
            return;
        }
        h.el("div", &[("class", "two")], |h| {
            h.el("div", &[], |h| {
                tables(view, h);
                papers(view, h);
                left_out(view, h);
            });
            h.el("div", &[], |h| write(view, asked, h));
        });
    })
}

fn now(view: &View<'_>, h: &mut Html) {
    h.el("ol", &[("class", "steps")], |h| {
        let restart = view.pick(
            "Rien à relancer\u{a0}: la machine relance elle-même le programme principal. Cette page restera là jusqu’à son retour.",
            "Nothing to restart: the box restarts the main program by itself. This page stays until it is back.",
        );
        h.say("li", &[], restart);
        if view.pack().is_some() {
            h.say("li", &[], view.pick(
                "Travaillez avec ce dossier. Imprimez-le si la machine risque de s’arrêter.",
                "Work with this plan. Print it if the box may stop.",
            ));
        }
        let change = if view.may_note() || !view.signed_in() {
            view.pick(
            "Notez ici chaque changement\u{a0}: tout sera repris, une fois et dans l’ordre, au retour du programme principal.",
            "Note every change here: all of it is taken over, once and in order, when the main program is back.",
            )
        } else {
            view.pick(
                "Pour faire noter un changement, adressez-vous à une personne de la planification.",
                "To have a change noted, turn to somebody of the planning.",
            )
        };
        h.say("li", &[], change);
        if view.pack().is_some_and(|pack| pack.doors().next().is_some()) {
            h.say("li", &[], view.pick(
                "On peut continuer de pointer aux bornes.",
                "Punches can go on at the kiosks.",
            ));
        }
        h.say("li", &[], view.pick(
            "Si rien ne revient d’ici dix minutes, appelez la personne qui administre la machine.",
            "If nothing is back within ten minutes, call whoever administers the box.",
        ));
    });
    if view.pack().is_none() {
        h.el("div", &[("class", "card")], |h| {
            h.say("h2", &[], view.pick("Aucun dossier sur cette machine", "No plan on this machine"));
            let file = view.key_file();
            h.say("p", &[], &match view.lang {
                Lang::Fr => format!("Le programme principal n’en a pas encore préparé, ou ses fichiers ne sont plus lisibles. Ce qui marche quand même\u{a0}: prendre des notes après connexion avec la clé du Plan B (nom «\u{a0}planb\u{a0}», mot de passe\u{a0}: le contenu de {file}), et l’interface de chiffrement pour les programmes de cette machine."),
                Lang::En => format!("The main program has not prepared one yet, or its files cannot be read any more. What works all the same: taking notes once signed in with Plan B’s key (name “planb”, password: what is in {file}), and the sealing interface for programs of this machine."),
            });
        });
    }
    for trouble in &view.found.troubles {
        h.el("p", &[("class", "notice warn")], |h| {
            h.text(view.pick("Fichier du dossier abîmé\u{a0}: ", "Damaged file of the plan: "));
            h.say("code", &[], &trouble.file.chars().take(24).collect::<String>());
        });
    }
    if let Some(fault) = view.standing.ground().outbox.trouble() {
        h.say("p", &[("class", "notice bad"), ("role", "alert")], &of_fault(&fault, view.lang));
    }
}

/// Somebody at another machine who has not signed in.
fn closed(view: &View<'_>, h: &mut Html) {
    h.el("div", &[("class", "card")], |h| {
        h.say("h2", &[], view.pick("Connectez-vous pour lire le dossier", "Sign in to read the plan"));
        h.say("p", &[], view.pick(
            "Avec votre nom et votre mot de passe habituels. Sur la machine elle-même, le dossier se lit sans connexion.",
            "With your usual name and password. At the box itself the plan can be read without signing in.",
        ));
        h.el("p", &[], |h| {
            let to = view.to("/planb/sign-in");
            h.say("a", &[("class", "button"), ("href", &to)], view.pick("Se connecter", "Sign in"));
        });
    });
}

fn write(view: &View<'_>, asked: &Asked, h: &mut Html) {
    h.el("div", &[("class", "screen")], |h| forms(view, asked, h));
    latest(view, h);
}

fn forms(view: &View<'_>, asked: &Asked, h: &mut Html) {
    h.say("h2", &[], view.pick("Noter un changement", "Note a change"));
    if view.may_note() {
        note_form(view, h, asked, None);
    } else if view.signed_in() {
        h.say(
            "p",
            &[("class", "soft")],
            view.pick(
                "Votre compte ne peut pas noter de changement.",
                "Your account may not note changes.",
            ),
        );
    } else {
        h.el("p", &[], |h| {
            h.text(view.pick("Pour noter, ", "To write notes, "));
            h.link(&view.to("/planb/sign-in"), view.pick("connectez-vous", "sign in"));
            h.text(".");
        });
    }
    let people = view.standing.punchable(view.caller);
    if !people.is_empty() {
        h.say("h2", &[], view.pick("Pointer", "Punch"));
        punch_form(view, h, &people, asked, None);
    }
}

fn latest(view: &View<'_>, h: &mut Html) {
    let written = view.standing.entries(view.caller).unwrap_or_default().written;
    if !written.is_empty() {
        h.say("h2", &[], view.pick("Dernières notes", "Latest notes"));
        rows_of_entries(view, h, written.get(..LATEST.min(written.len())).unwrap_or_default());
        h.el("p", &[("class", "screen")], |h| {
            h.link(
                &view.to("/planb/entries"),
                view.pick("Tout ce qui est noté", "Everything noted"),
            );
        });
    }
}

fn tables(view: &View<'_>, h: &mut Html) {
    let sections = view.sections();
    if sections.is_empty() {
        return;
    }
    h.say("h2", &[], view.pick("Le dossier", "The plan"));
    h.el("ul", &[("class", "tiles")], |h| {
        for (section, stale) in sections {
            h.el("li", &[], |h| {
                let to = view.to(&format!("/planb/section/{}", section.id));
                h.link(&to, view.lang.of(&section.title));
                let rows = section.rows.len();
                h.say(
                    "span",
                    &[("class", "soft")],
                    &match rows {
                        0 => view.pick("vide", "empty").to_owned(),
                        1 => view.pick("1 ligne", "1 row").to_owned(),
                        _ => format!("{rows} {}", view.pick("lignes", "rows")),
                    },
                );
                if let Some(since) = stale {
                    h.say(
                        "span",
                        &[("class", "stale")],
                        &format!("{} {}", view.pick("état de", "as of"), view.time(since)),
                    );
                }
            });
        }
    });
}

fn papers(view: &View<'_>, h: &mut Html) {
    let Some(pack) = view.pack() else { return };
    if pack.papers().is_empty() || view.standing.may_read_papers(view.caller).is_err() {
        return;
    }
    h.say("h2", &[], view.pick("Documents", "Documents"));
    h.el("ul", &[("class", "papers")], |h| {
        for paper in pack.papers() {
            h.el("li", &[], |h| {
                h.el("span", &[], |h| {
                    h.link(&format!("/planb/file/{}", paper.sha256), &paper.name);
                    if !is_shown(&paper.media_type) {
                        h.text(view.pick(" (téléchargement)", " (download)"));
                    }
                });
                h.say("span", &[("class", "soft")], &size(view, paper));
            });
        }
    });
}

/// Types that a browser shows by itself without running anything in them; others are kept as files.
const SHOWN: [&str; 4] = ["application/pdf", "image/jpeg", "image/png", "image/webp"];
/// Types that are text, and shown as nothing more than that.
const TEXTS: [&str; 8] = [
    "text/plain",
    "text/markdown",
    "text/x-markdown",
    "text/csv",
    "text/x-log",
    "application/json",
    "application/x-ndjson",
    "application/csv",
];

/// A media type without its parameters.
pub fn essence(media_type: &str) -> String {
    media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Whether a file of that media type is shown as plain text.
pub fn is_text(media_type: &str) -> bool {
    TEXTS.contains(&essence(media_type).as_str())
}

/// Whether a file of that media type is opened in its page.
pub fn is_shown(media_type: &str) -> bool {
    is_text(media_type) || SHOWN.contains(&essence(media_type).as_str())
}

fn size(view: &View<'_>, paper: &PaperEntry) -> String {
    let unit = view.pick("o", "B");
    match paper.bytes {
        0..KIB => format!("{} {unit}", paper.bytes),
        _ if paper.bytes < KIB * KIB => format!("{} k{unit}", paper.bytes.div_ceil(KIB)),
        _ => format!("{} M{unit}", paper.bytes.div_ceil(KIB * KIB)),
    }
}

fn left_out(view: &View<'_>, h: &mut Html) {
    let out = view.pack().map(Pack::left_out).unwrap_or_default();
    if out.is_empty() {
        return;
    }
    h.say("h2", &[], view.pick("Pas dans ce dossier", "Not in this plan"));
    h.el("ul", &[("class", "papers")], |h| {
        for one in out {
            h.el("li", &[], |h| {
                h.say("span", &[], &one.name);
                h.say(
                    "span",
                    &[("class", "soft")],
                    match one.why.as_str() {
                        "no_room" => view.pick("plus de place", "no room left"),
                        "changed" => {
                            view.pick("modifié pendant la copie", "changed while it was copied")
                        }
                        "too_many_rows" => view.pick("trop de lignes", "too many rows"),
                        "name_taken" => view.pick("en double", "twice the same name"),
                        _ => view.pick("illisible", "unreadable"),
                    },
                );
            });
        }
    });
}
