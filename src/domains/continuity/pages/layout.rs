//! What every page has: the banner that says what this is, the way around, and who is signed in.

use super::html::Html;
use super::times::{Zone, age};
use super::words::{Lang, of_fault};
use crate::base::caller::{Caller, Who};
use crate::base::clock::Moment;
use crate::base::fault::Fault;
use crate::base::id::Id;
use crate::domains::continuity::outbox::Author;
use crate::domains::continuity::pack::part::Section;
use crate::domains::continuity::pack::{Found, Pack};
use crate::domains::continuity::people::KEY_NAME;
use crate::domains::continuity::standing::Standing;

/// From so many minutes on, a plan is old, and the banner says so louder.
const OLD: u64 = 60;
/// Milliseconds of a minute.
const MINUTE_MS: u128 = 60_000;

/// Something that was done, or that went wrong.
pub enum Notice<'a> {
    /// It is kept.
    Kept(String),
    /// It is not.
    Refused(&'a Fault),
}

/// A page to be: for whom, in which language, over which pack.
pub struct View<'a> {
    /// What stands in.
    pub standing: &'a Standing,
    /// The pack as it was when the page was asked for.
    pub found: &'a Found,
    /// Who asks.
    pub caller: &'a Caller,
    /// The language.
    pub lang: Lang,
    /// Whether the address names the language, so that links keep it.
    pub lang_asked: bool,
    /// The path of this page, for the link to the other language and the way back after a sign-in.
    pub path: &'a str,
}

impl<'a> View<'a> {
    /// The pack, if there is one.
    pub fn pack(&self) -> Option<&'a Pack> {
        self.found.pack.as_ref()
    }

    /// One of two texts.
    pub fn pick<'t>(&self, fr: &'t str, en: &'t str) -> &'t str {
        self.lang.pick(fr, en)
    }

    pub(super) fn zone(&self) -> Zone {
        Zone::named(self.pack().map_or("", Pack::time_zone))
    }

    pub(super) fn time(&self, at: Moment) -> String {
        self.zone().time(at, self.standing.now(), self.lang)
    }

    /// A moment with its whole date, for paper, which is read on other days.
    fn full_time(&self, at: Moment) -> String {
        self.zone().full(at, self.lang)
    }

    /// An address of these pages, with the language when it was asked for.
    pub(super) fn to(&self, path: &str) -> String {
        if !self.lang_asked {
            return path.to_owned();
        }
        let sign = if path.contains('?') { '&' } else { '?' };
        format!("{path}{sign}lang={}", self.lang.code())
    }

    pub(super) fn signed_in(&self) -> bool {
        self.caller.who != Who::Nobody
    }

    /// The tables that this reader may see, contacts first.
    pub(super) fn sections(&self) -> Vec<(&'a Section, Option<Moment>)> {
        let Some(pack) = self.pack() else { return Vec::new() };
        let may = |section: &Section| self.standing.may_read_section(self.caller, section).is_ok();
        let mut sections: Vec<_> = pack.sections().filter(|(section, _)| may(section)).collect();
        sections.sort_by_key(|(section, _)| section.id != "contacts");
        sections
    }

    pub(super) fn may_note(&self) -> bool {
        self.standing.may_note(self.caller).is_ok()
    }

    /// What stands between a name and what is said of it.
    pub(super) fn colon(&self) -> &'static str {
        self.lang.pick("\u{a0}: ", ": ")
    }

    /// How somebody who wrote an entry is called.
    pub(super) fn author(&self, by: &Author) -> String {
        if let Some(id) = by.user {
            return self.person(id).unwrap_or_else(|| by.name.clone());
        }
        if by.door.is_none() && by.name == KEY_NAME {
            return self.program().to_owned();
        }
        by.name.clone()
    }

    fn person(&self, id: Id) -> Option<String> {
        let person = self.pack()?.people().find(|person| person.id == id)?;
        Some(person.display_name.clone()).filter(|name| !name.is_empty())
    }

    fn program(&self) -> &'static str {
        self.lang.pick("un programme (clé du Plan B)", "a program (Plan B’s key)")
    }

    /// Who asks, as a page names it.
    fn caller_name(&self) -> String {
        let name = self.caller.name();
        match &self.caller.who {
            Who::User { id, .. } => self.person(*id).unwrap_or_else(|| name.to_owned()),
            Who::Machine { id, .. } if *id == Id::ZERO && name == KEY_NAME => {
                self.program().to_owned()
            }
            _ => name.to_owned(),
        }
    }

    /// The file of Plan B's key, by its folder's name.
    pub(super) fn key_file(&self) -> String {
        let file = self.standing.ground().desk.place().api_key();
        let parts: Vec<_> = file.iter().map(|part| part.to_string_lossy()).collect();
        parts.get(parts.len().saturating_sub(2)..).unwrap_or_default().join("/")
    }

    /// The whole page.
    pub(super) fn page(
        &self,
        title: &str,
        notice: Option<&Notice<'_>>,
        inside: impl FnOnce(&mut Html),
    ) -> String {
        let mut body = Html::new();
        body.say(
            "a",
            &[("class", "skip"), ("href", "#main")],
            self.pick("Aller au contenu", "Skip to content"),
        );
        body.el("header", &[("class", "top")], |h| self.banner(h));
        body.el("nav", &[("class", "tabs"), ("aria-label", self.pick("Plan B", "Plan B"))], |h| {
            self.tabs(h);
        });
        body.el("main", &[("id", "main"), ("tabindex", "-1")], |h| {
            h.say("h1", &[], title);
            if let Some(notice) = notice {
                self.notice(h, notice);
            }
            inside(h);
        });
        body.el("footer", &[("class", "foot")], |h| self.foot(h));
        body.document(self.lang.code(), |h| {
            h.void("meta", &[("charset", "utf-8")]);
            h.void(
                "meta",
                &[("name", "viewport"), ("content", "width=device-width, initial-scale=1")],
            );
            h.void("meta", &[("name", "color-scheme"), ("content", "light dark")]);
            h.say("title", &[], &format!("{title} · Plan B{}", self.site(" · ")));
            h.void("link", &[("rel", "stylesheet"), ("href", "/planb/planb.css")]);
            h.void("link", &[("rel", "icon"), ("href", "data:,")]);
            h.say("script", &[("src", "/planb/planb.js"), ("defer", "")], "");
        })
    }

    fn site(&self, before: &str) -> String {
        let site = self.pack().map_or("", Pack::site);
        if site.is_empty() { String::new() } else { format!("{before}{site}") }
    }

    fn banner(&self, h: &mut Html) {
        h.el("div", &[("class", "bar")], |h| {
            h.el("a", &[("class", "brand"), ("href", &self.to("/planb"))], |h| {
                h.say("strong", &[], "Plan B");
                h.text(&self.site(" "));
            });
            h.el("span", &[("class", "who")], |h| self.who(h));
        });
        let since = self.time(self.standing.since());
        let printed = self.full_time(self.standing.now());
        let drill = self.standing.is_drill();
        h.el(
            "div",
            &[("class", if drill { "state drill" } else { "state" }), ("role", "status")],
            |h| {
                h.el("p", &[], |h| {
                    let word = if drill { self.pick("Exercice", "Drill") } else { "Plan B" };
                    h.say("strong", &[], word);
                    h.text(self.pick("\u{a0}: ", ": "));
                    h.text(&match self.lang {
                        Lang::Fr => format!("le programme principal est absent depuis {since}."),
                        Lang::En => format!("the main program has been away since {since}."),
                    });
                });
                self.age(h);
                h.say(
                    "p",
                    &[("class", "paper")],
                    &match self.lang {
                        Lang::Fr => format!("Page imprimée le {printed}."),
                        Lang::En => format!("Page printed on {printed}."),
                    },
                );
                h.say(
                    "p",
                    &[
                        ("class", "back"),
                        ("id", "back"),
                        ("hidden", ""),
                        (
                            "data-text",
                            self.pick(
                                "Le programme principal est revenu\u{a0}: y retourner.",
                                "The main program is back: go on there.",
                            ),
                        ),
                    ],
                    "",
                );
            },
        );
    }

    fn age(&self, h: &mut Html) {
        let Some(pack) = self.pack() else {
            h.say(
                "p",
                &[("class", "old")],
                self.pick(
                    "Aucun dossier n’est sur cette machine.",
                    "There is no plan on this machine.",
                ),
            );
            return;
        };
        let minutes = self.standing.now().since(pack.made_at()).as_millis() / MINUTE_MS;
        let minutes = u64::try_from(minutes).unwrap_or(u64::MAX);
        let (at, old) = (self.time(pack.made_at()), age(minutes, self.lang));
        let class = if minutes >= OLD { "old screen" } else { "age screen" };
        h.el("p", &[("class", class)], |h| {
            h.text(&match self.lang {
                Lang::Fr => format!("Ce dossier est celui de {at}, il date de "),
                Lang::En => format!("This plan is as of {at}, "),
            });
            h.say("span", &[("id", "age"), ("data-minutes", &minutes.to_string())], &old);
            h.text(self.pick(".", " old."));
        });
        h.say(
            "p",
            &[("class", "paper")],
            &match self.lang {
                Lang::Fr => format!("Dossier du {}.", self.full_time(pack.made_at())),
                Lang::En => format!("Plan of {}.", self.full_time(pack.made_at())),
            },
        );
        if !pack.verified() {
            h.say("p", &[("class", "old")], self.pick(
                "La signature de ce dossier n’est pas celle de cette machine\u{a0}: à vérifier avant de s’y fier.",
                "This machine did not sign this plan: check it before you rely on it.",
            ));
        }
        if pack.previous() {
            h.say(
                "p",
                &[("class", "old")],
                self.pick(
                    "Le dossier le plus récent est abîmé\u{a0}; celui-ci est le précédent.",
                    "The newest plan is damaged; this is the one before it.",
                ),
            );
        }
    }

    fn who(&self, h: &mut Html) {
        let other = self.lang.other();
        let sign = if self.path.contains('?') { '&' } else { '?' };
        let to = format!("{}{sign}lang={}", self.path, other.code());
        h.say(
            "a",
            &[("href", &to), ("lang", other.code()), ("hreflang", other.code())],
            match other {
                Lang::Fr => "Français",
                Lang::En => "English",
            },
        );
        if self.signed_in() {
            h.say("span", &[("class", "name")], &self.caller_name());
            h.el("form", &[("method", "post"), ("action", &self.to("/planb/sign-out"))], |h| {
                h.say("button", &[("class", "plain")], self.pick("Se déconnecter", "Sign out"));
            });
        } else {
            h.link(&self.to("/planb/sign-in"), self.pick("Se connecter", "Sign in"));
        }
    }

    fn tabs(&self, h: &mut Html) {
        let mut tab = |to: &str, text: &str| {
            let here = self.path.split('?').next() == to.split('?').next();
            let to = self.to(to);
            let here: &[_] = if here {
                &[("href", to.as_str()), ("aria-current", "page")]
            } else {
                &[("href", to.as_str())]
            };
            h.say("a", here, text);
        };
        tab("/planb", self.pick("Accueil", "Home"));
        for (section, _) in self.sections() {
            tab(&format!("/planb/section/{}", section.id), self.lang.of(&section.title));
        }
        tab("/planb/entries", self.pick("Notes", "Notes"));
    }

    fn notice(&self, h: &mut Html, notice: &Notice<'_>) {
        match notice {
            Notice::Kept(words) => {
                h.say("p", &[("class", "notice good"), ("role", "status")], words);
            }
            Notice::Refused(fault) => {
                h.say(
                    "p",
                    &[("class", "notice bad"), ("role", "alert"), ("id", "fault")],
                    &of_fault(fault, self.lang),
                );
            }
        }
    }

    fn foot(&self, h: &mut Html) {
        let node = self.standing.ground().desk.node();
        let node = node.ok().map(|node| node.name().chars().take(12).collect::<String>());
        let generation = self.pack().map(Pack::generation);
        h.el("p", &[], |h| {
            h.text("ilot");
            if let Some(generation) = generation {
                h.text(&format!(" · {} {generation}", self.pick("dossier n°", "plan no.")));
            }
            if let Some(node) = node {
                h.text(&format!(" · {} {node}", self.pick("machine", "machine")));
            }
            h.text(&format!(
                " · {} {}",
                self.pick("page de", "page of"),
                self.time(self.standing.now())
            ));
        });
    }
}

/// A page that says what went wrong, and nothing else.
pub fn fault_page(view: &View<'_>, fault: &Fault) -> String {
    let title = view.pick("Cela n’a pas marché", "This did not work");
    view.page(title, Some(&Notice::Refused(fault)), |h| {
        h.el("p", &[], |h| {
            h.link(&view.to("/planb"), view.pick("Retour à l’accueil", "Back to the home page"));
        });
    })
}

/// The page of a form that was sent when the main program was back already; in both languages, since
/// nobody is asked any more.
pub fn too_late() -> String {
    let mut body = Html::new();
    for (lang, words, on) in [
        (
            Lang::Fr,
            "Le programme principal est revenu pendant que vous écriviez\u{a0}: rien ne dit ici si ceci a été gardé\u{a0}: voyez «\u{a0}Ce qui est revenu\u{a0}». \
             La touche Précédent de votre navigateur retrouve le texte.",
            "Continuer dans le programme principal",
        ),
        (
            Lang::En,
            "The main program came back while you were writing, and it is not known here whether this was kept: see “What came back”. \
             Your browser’s Back button brings the text back.",
            "Go on in the main program",
        ),
    ] {
        body.el("div", &[("lang", lang.code())], |h| {
            h.say("p", &[], words);
            h.el("p", &[], |h| {
                h.link("/", on);
            });
        });
    }
    body.document(Lang::Fr.code(), |h| {
        h.void("meta", &[("charset", "utf-8")]);
        h.void("meta", &[("name", "viewport"), ("content", "width=device-width, initial-scale=1")]);
        h.say("title", &[], "Plan B");
    })
}
