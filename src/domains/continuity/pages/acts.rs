//! The pages on which something is written: a note, a punch, a sign-in, and the list of what was.

use std::time::Duration;

use super::html::Html;
use super::layout::{Notice, View};
use super::section::row_name;
use super::words::{Lang, of_fault};
use crate::base::fault::Fault;
use crate::domains::continuity::outbox::Entry;
use crate::domains::continuity::pack::Pack;
use crate::domains::continuity::standing::{Direction, Kept, Punchable, TEXT_MAX};

/// The code under which a punch is asked for once more before it is written.
pub const REPEATED: &str = "punch_repeated";
/// The same punch within this time is rather a form sent twice than somebody who came twice.
const REPEATED_WITHIN: Duration = Duration::from_mins(2);

/// What a form was sent with, to be shown again when it is refused; and the key that makes sending it
/// twice the same as sending it once.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// The text of a note, or the name of a sign-in.
    pub text: String,
    /// The row a note is about.
    pub about: String,
    /// Its table.
    pub section: String,
    /// The person who is punched for.
    pub person: String,
    /// Which way.
    pub direction: String,
    /// A remark.
    pub remark: String,
    /// The key for tries again.
    pub retry_key: String,
    /// Where to go afterwards.
    pub back: String,
}

/// The page of one note or one punch, with what is wrong with it.
pub fn note(view: &View<'_>, asked: &Asked, punch: bool, fault: Option<&Fault>) -> String {
    let title = if punch {
        view.pick("Pointer", "Punch")
    } else {
        view.pick("Noter un changement", "Note a change")
    };
    let elsewhere = fault.filter(|fault| field_of(fault).is_none());
    let notice = elsewhere.map(Notice::Refused);
    view.page(title, notice.as_ref(), |h| {
        if punch {
            let people = view.standing.punchable(view.caller);
            punch_form(view, h, &people, asked, fault);
        } else if view.may_note() || !asked.text.is_empty() {
            note_form(view, h, asked, fault);
        } else {
            h.el("p", &[], |h| {
                h.text(view.pick("Pour noter, ", "To write notes, "));
                h.link(&view.to("/planb/sign-in"), view.pick("connectez-vous", "sign in"));
                h.text(".");
            });
        }
    })
}

/// The list of what was written.
pub fn kept(view: &View<'_>, asked: &Asked, notice: Option<&Notice<'_>>) -> String {
    view.page(view.pick("Notes prises pendant le Plan B", "Noted under Plan B"), notice, |h| {
        let Kept { written, earlier } = view.standing.entries(view.caller).unwrap_or_default();
        if view.may_note() {
            h.el("details", &[("class", "card screen")], |h| {
                h.say("summary", &[], view.pick("Nouvelle note", "New note"));
                note_form(view, h, asked, None);
            });
        }
        if written.is_empty() && earlier.is_empty() {
            h.say("p", &[("class", "soft")], view.pick(
                "Rien n’a encore été noté. Ce qui est noté apparaît ici et sera repris au retour du programme principal.",
                "Nothing has been noted yet. What is noted appears here and is taken over when the main program is back.",
            ));
        }
        rows_of_entries(view, h, &written);
        if !earlier.is_empty() {
            h.say("h2", &[], view.pick("Avant, pas encore repris", "Before, not taken over yet"));
            rows_of_entries(view, h, &earlier);
        }
    })
}

/// The page to sign in on.
pub fn sign_in(view: &View<'_>, asked: &Asked, fault: Option<&Fault>) -> String {
    let notice = fault.map(Notice::Refused);
    view.page(view.pick("Se connecter", "Sign in"), notice.as_ref(), |h| {
        if let Some(closed) = view.standing.ground().people.closed()
            && fault.is_none()
        {
            h.say("p", &[("class", "notice warn")], &of_fault(&closed, view.lang));
        }
        let wrong: &[(&'static str, &str)] = match fault {
            Some(_) => &[("aria-invalid", "true"), ("aria-describedby", "fault")],
            None => &[],
        };
        h.el("form", &[("class", "card narrow"), ("method", "post"), ("action", &view.to("/planb/sign-in"))], |h| {
            h.void("input", &[("type", "hidden"), ("name", "back"), ("value", &asked.back)]);
            h.say("label", &[("for", "name")], view.pick("Nom ou e-mail", "Name or e-mail"));
            let name = [
                ("id", "name"), ("name", "name"), ("value", asked.text.as_str()), ("required", ""),
                ("autocomplete", "username"), ("autocapitalize", "none"), ("spellcheck", "false"),
            ];
            let focus: &[_] = if asked.text.is_empty() { &[("autofocus", "")] } else { &[] };
            h.void("input", &[&name, wrong, focus].concat());
            h.say("label", &[("for", "password")], view.pick("Mot de passe", "Password"));
            let password = [
                ("id", "password"), ("name", "password"), ("type", "password"), ("required", ""),
                ("autocomplete", "current-password"),
            ];
            let focus: &[_] = if asked.text.is_empty() { &[] } else { &[("autofocus", "")] };
            h.void("input", &[&password, wrong, focus].concat());
            h.say("button", &[], view.pick("Se connecter", "Sign in"));
        });
        let file = view.key_file();
        h.say("p", &[("class", "soft")], &match view.lang {
            Lang::Fr => format!("Votre nom et votre mot de passe habituels. La connexion vaut douze heures, sur le Plan B seulement. En dernier recours, sur la machine elle-même\u{a0}: nom «\u{a0}planb\u{a0}» et la clé du fichier {file}."),
            Lang::En => format!("Your usual name and password. It holds for twelve hours, on Plan B only. As a last resort, at the box itself: name “planb” and the key in the file {file}."),
        });
    })
}

/// The form of a note. A fault of its text stands beside it.
pub(super) fn note_form(view: &View<'_>, h: &mut Html, asked: &Asked, fault: Option<&Fault>) {
    let action = view.to("/planb/entries");
    h.el(
        "form",
        &[("class", "card"), ("method", "post"), ("action", &action), ("autocomplete", "off")],
        |h| {
            hidden(h, &[("kind", "note"), ("retry_key", &asked.retry_key)]);
            if !asked.about.is_empty() {
                hidden(h, &[("about", &asked.about), ("section", &asked.section)]);
                h.el("p", &[("class", "about")], |h| {
                    h.say("strong", &[], view.pick("À propos de\u{a0}: ", "About: "));
                    h.text(&about(view, &asked.section, &asked.about));
                });
            }
            let label = if asked.about.is_empty() {
                view.pick("Ce qui change (qui, quoi, quand)", "What changes (who, what, when)")
            } else {
                view.pick("Ce qui change", "What changes")
            };
            h.say("label", &[("for", "text")], label);
            let wrong = fault.filter(|fault| field_of(fault) == Some("text"));
            refused(view, h, wrong);
            let most = (TEXT_MAX * 2).to_string();
            let base = [
                ("id", "text"),
                ("name", "text"),
                ("rows", "3"),
                ("required", ""),
                ("maxlength", most.as_str()),
            ];
            let focus: &[_] =
                if fault.is_some() || !asked.about.is_empty() { &[("autofocus", "")] } else { &[] };
            h.say("textarea", &[&base, wrong_attributes(wrong), focus].concat(), &asked.text);
            h.say("button", &[], view.pick("Noter", "Note it"));
        },
    );
}

/// The form of a punch.
pub(super) fn punch_form(
    view: &View<'_>,
    h: &mut Html,
    people: &[Punchable],
    asked: &Asked,
    fault: Option<&Fault>,
) {
    let action = view.to("/planb/entries");
    h.el(
        "form",
        &[("class", "card"), ("method", "post"), ("action", &action), ("autocomplete", "off")],
        |h| {
            hidden(h, &[("kind", "punch"), ("retry_key", &format!("{}-p", asked.retry_key))]);
            let wrong = fault.filter(|fault| field_of(fault) == Some("person"));
            h.say("label", &[("for", "person")], view.pick("Personne", "Person"));
            refused(view, h, wrong);
            let base = [("id", "person"), ("name", "person"), ("required", "")];
            let focus: &[_] = if wrong.is_some() { &[("autofocus", "")] } else { &[] };
            h.el("select", &[&base, wrong_attributes(wrong), focus].concat(), |h| {
                if people.len() > 1 {
                    h.say("option", &[("value", "")], view.pick("Choisir…", "Choose…"));
                }
                for person in people {
                    let id = person.id.to_string();
                    let chosen: &[_] = if id == asked.person { &[("selected", "")] } else { &[] };
                    h.say("option", &[&[("value", id.as_str())], chosen].concat(), &person.name);
                }
            });
            h.el("fieldset", &[], |h| {
                h.say("legend", &[], view.pick("Sens", "Direction"));
                let wrong = fault.filter(|fault| field_of(fault) == Some("direction"));
                refused(view, h, wrong);
                for direction in Direction::ALL {
                    h.el("label", &[("class", "choice")], |h| {
                        let base = [
                            ("type", "radio"),
                            ("name", "direction"),
                            ("value", direction.name()),
                            ("required", ""),
                        ];
                        let chosen: &[_] = if direction.name() == asked.direction {
                            &[("checked", "")]
                        } else {
                            &[]
                        };
                        h.void("input", &[&base, chosen].concat());
                        h.text(word_of(view, direction.name()));
                    });
                }
            });
            h.say(
                "label",
                &[("for", "remark")],
                view.pick("Remarque (facultatif)", "Remark (optional)"),
            );
            h.void(
                "input",
                &[
                    ("id", "remark"),
                    ("name", "remark"),
                    ("maxlength", "200"),
                    ("value", &asked.remark),
                ],
            );
            match repeated(view, asked)
                .filter(|_| fault.is_some_and(|fault| fault.code == REPEATED))
            {
                Some(question) => {
                    hidden(h, &[("again", "1")]);
                    h.say(
                        "p",
                        &[("class", "fault"), ("id", "fault"), ("role", "alert")],
                        &question,
                    );
                    h.say(
                        "button",
                        &[("autofocus", ""), ("aria-describedby", "fault")],
                        view.pick("Pointer encore", "Punch again"),
                    );
                }
                None => {
                    h.say("button", &[], view.pick("Pointer", "Punch"));
                }
            }
        },
    );
}

/// What is asked before the same person is punched the same way again within [`REPEATED_WITHIN`]: a
/// browser that went back shows the old form, filled. None when nothing of the kind was punched.
pub fn repeated(view: &View<'_>, asked: &Asked) -> Option<String> {
    let word = |entry: &Entry, name: &str| {
        entry.body.get(name).and_then(|value| value.as_str()).map(str::to_owned)
    };
    let now = view.standing.now();
    let written = view.standing.ground().outbox.written();
    let entry = written.iter().find(|entry| {
        entry.kind == "punch"
            && now.since(entry.at) < REPEATED_WITHIN
            && word(entry, "person").as_deref() == Some(asked.person.as_str())
            && word(entry, "direction").as_deref() == Some(asked.direction.as_str())
    })?;
    let (name, at) = (person_named(view, &asked.person), view.time(entry.at));
    let way = word_of(view, &asked.direction).to_lowercase();
    Some(match view.lang {
        Lang::Fr => {
            format!("{name} est déjà pointé(e) ({way}) à {at}. Pointer encore\u{a0}?")
        }
        Lang::En => format!("{name}: already punched ({way}) at {at}. Punch again?"),
    })
}

/// Entries as a list, newest first.
pub(super) fn rows_of_entries(view: &View<'_>, h: &mut Html, entries: &[Entry]) {
    if entries.is_empty() {
        return;
    }
    h.el("ul", &[("class", "entries")], |h| {
        for entry in entries {
            h.el("li", &[("id", &entry.id.to_string())], |h| {
                h.el("p", &[("class", "soft")], |h| {
                    h.say("time", &[("datetime", &entry.at.to_rfc3339())], &view.time(entry.at));
                    h.text(&format!(
                        " · {} · {}",
                        word_of(view, &entry.kind),
                        view.author(&entry.by)
                    ));
                });
                h.say("p", &[], &words_of(view, entry));
            });
        }
    });
}

/// What an entry says.
fn words_of(view: &View<'_>, entry: &Entry) -> String {
    let word =
        |name: &str| entry.body.get(name).and_then(|value| value.as_str()).unwrap_or_default();
    match entry.kind.as_str() {
        "note" if word("about").is_empty() => word("text").to_owned(),
        "note" => format!(
            "{}{}{}",
            about(view, word("section"), word("about")),
            view.colon(),
            word("text")
        ),
        "punch" => {
            let id = word("person");
            let name = person_named(view, id);
            let remark = word("remark");
            let remark = if remark.is_empty() { String::new() } else { format!(" ({remark})") };
            format!("{name}{}{}{remark}", view.colon(), word_of(view, word("direction")))
        }
        _ => String::new(),
    }
}

/// How the person of that record is called, as far as the pack tells.
fn person_named(view: &View<'_>, id: &str) -> String {
    let mut people = view.pack().into_iter().flat_map(Pack::people);
    let known = people.find(|person| person.id.to_string() == id).map(|p| p.display_name.clone());
    known.or_else(|| row_named(view, "", &format!("person:{id}"))).unwrap_or_else(|| id.to_owned())
}

/// How the row a note is about is called.
fn about(view: &View<'_>, section: &str, key: &str) -> String {
    row_named(view, section, key).unwrap_or_else(|| key.to_owned())
}

fn row_named(view: &View<'_>, section: &str, key: &str) -> Option<String> {
    let sections = view.sections();
    let mut rows = sections
        .iter()
        .filter(|(known, _)| section.is_empty() || known.id == section)
        .flat_map(|(section, _)| section.rows.iter());
    rows.find(|row| row.key == key).map(|row| row_name(view, row))
}

fn word_of<'v>(view: &View<'v>, name: &'v str) -> &'v str {
    match name {
        "in" => view.pick("Entrée", "In"),
        "out" => view.pick("Sortie", "Out"),
        "break_start" => view.pick("Début de pause", "Break begins"),
        "break_end" => view.pick("Fin de pause", "Break ends"),
        "note" => view.pick("note", "note"),
        "punch" => view.pick("pointage", "punch"),
        "drill" => view.pick("exercice", "drill"),
        other => other,
    }
}

/// The field that a fault is about.
fn field_of(fault: &Fault) -> Option<&'static str> {
    match fault.code {
        "text_missing" | "text_too_long" | "entry_too_large" => Some("text"),
        "person_unknown" => Some("person"),
        "direction_unknown" => Some("direction"),
        REPEATED => Some("again"),
        _ => None,
    }
}

fn wrong_attributes(fault: Option<&Fault>) -> &'static [(&'static str, &'static str)] {
    match fault {
        Some(_) => &[("aria-invalid", "true"), ("aria-describedby", "fault")],
        None => &[],
    }
}

fn refused(view: &View<'_>, h: &mut Html, fault: Option<&Fault>) {
    if let Some(fault) = fault {
        h.say(
            "p",
            &[("class", "fault"), ("id", "fault"), ("role", "alert")],
            &of_fault(fault, view.lang),
        );
    }
}

fn hidden(h: &mut Html, values: &[(&str, &str)]) {
    for (name, value) in values {
        h.void("input", &[("type", "hidden"), ("name", name), ("value", value)]);
    }
}
