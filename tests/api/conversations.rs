//! Conversations: asked and answered, found again, replaced, closed to all others, and gone with their owner.

use ilot::base::caller::{Caller, Right, Rights, Who};
use ilot::base::fault::Fault;
use ilot::base::id::Id;
use ilot::domains::assistant::conversations::{Conversations, MAX_EARLIER, Said};
use ilot::domains::assistant::history::{Filter, Part};
use ilot::domains::assistant::records::talk::{Citation, EVENTS, Origin, Outcome, PROMPTS, TURNS};
use ilot::domains::assistant::records::{DOCUMENTS, Document};
use ilot::domains::identity::records::USERS_BY_LOGIN;
use ilot::engines::generation::{Role, Usage};
use ilot::store::journal::JOURNAL;
use ilot::store::{Reader, all};
use serde_json::{Value, json};

use super::ask::{House, ask, get, post, put};

/// What an answering desk would hand in.
pub fn said(text: &str, citations: Vec<Citation>) -> Said {
    Said {
        text: text.into(),
        origin: Origin::Grounded,
        outcome: Outcome::Whole,
        failure: None,
        citations,
        model: Some("petit".into()),
        usage: Usage { prompt_tokens: 12, completion_tokens: 7, ..Usage::default() },
        took_ms: 90,
        searched_for: None,
        given: Vec::new(),
    }
}

impl House {
    pub fn user_id(&self, name: &str) -> Id {
        let name = name.to_owned();
        let store = &self.app().desks().system.store;
        store.read(|view| view.get(&USERS_BY_LOGIN, &name)).unwrap().unwrap()
    }

    /// A user as the door would make it, for the verbs that have no door here.
    pub fn asker(&self, name: &str) -> Caller {
        let who = Who::User { id: self.user_id(name), name: name.into() };
        let rights: Rights = [Right::UseAssistant, Right::ReadDocuments].into_iter().collect();
        Caller { who, rights, ..Caller::nobody(None, "test") }
    }

    pub fn talks(&self) -> &Conversations {
        &self.app().desks().thinking.conversations
    }

    /// Asks and answers in one go; the answer is the conversation.
    pub fn exchange(&self, name: &str, of: Option<Id>, question: &str, answer: Said) -> Id {
        let caller = self.asker(name);
        let opened = self.talks().begin(&caller, of, question, None, false).unwrap();
        self.talks().finish(&caller, &opened, answer).unwrap();
        opened.conversation.id
    }

    fn messages(&self, token: &str, id: Id, query: &str) -> Value {
        let path = format!("/chat/conversations/{id}/messages{query}");
        self.check(get(&path).by(token), 200, &json!({}))
    }
}

fn texts(messages: &Value) -> Vec<&str> {
    let items = messages["items"].as_array().unwrap();
    items.iter().map(|item| item["text"].as_str().unwrap()).collect()
}

fn code<T>(refused: Result<T, Fault>) -> &'static str {
    refused.err().map_or("let through", |fault| fault.code)
}

#[test]
fn what_was_asked_and_answered_is_read_back_and_asked_again() {
    let (house, admin) = House::ready();
    let (_, anna) = house.person(&admin, "anna", "viewer");
    let (talks, caller) = (house.talks(), house.asker("anna"));
    let long =
        "Combien de temps un conducteur se repose-t-il après sa journée de travail au dépôt ?";
    let first = talks.begin(&caller, None, long, None, false).unwrap();
    assert!(first.is_new && first.earlier.is_empty());
    let id = first.conversation.id;
    let title = "Combien de temps un conducteur se repose-t-il après sa…";
    assert_eq!(first.conversation.title, title);
    // A crash here leaves the question alone; nobody else asks meanwhile.
    assert_eq!(texts(&house.messages(&anna, id, "")), [long]);
    let busy = talks.begin(&caller, Some(id), "Et le soir ?", None, false);
    assert_eq!(code(busy), "conversation_busy");
    drop(first);
    // The unanswered question is asked again, and nothing of it goes to the model twice.
    let again = talks.begin(&caller, Some(id), long, None, true).unwrap();
    assert_eq!((again.question_turn.ordinal, again.earlier.len()), (1, 0));
    talks.finish(&caller, &again, said("Onze heures [1].", vec![])).unwrap();
    drop(again);
    house.exchange("anna", Some(id), "Et le soir ?", said("Neuf heures.", vec![]));
    // What breaks off before its first word takes nobody's place.
    let broken = Said {
        outcome: Outcome::Failed,
        failure: Some("generation_failed".into()),
        ..said("", vec![])
    };
    let in_vain = talks.begin(&caller, Some(id), "Et la nuit ?", None, true).unwrap();
    assert_eq!(talks.finish(&caller, &in_vain, broken).unwrap().text, "Neuf heures.");
    drop(in_vain);
    let kept = texts(&house.messages(&anna, id, "")).join("/");
    assert!(kept.ends_with("Et le soir ?/Neuf heures."), "{kept}");
    // Another answer takes the place of the last one, for another wording of its question.
    let once_more = talks.begin(&caller, Some(id), "Et la nuit ?", None, true).unwrap();
    assert_eq!(once_more.earlier.len(), 2);
    assert_eq!(once_more.earlier[0].role, Role::User);
    talks.finish(&caller, &once_more, said("Dix heures.", vec![])).unwrap();
    drop(once_more);
    let messages = house.messages(&anna, id, "");
    assert_eq!(texts(&messages), [long, "Onze heures [1].", "Et la nuit ?", "Dix heures."]);
    let last = &messages["items"][3];
    let wanted =
        json!({"role": "assistant", "origin": "grounded", "outcome": "whole", "model": "petit"});
    for (name, value) in wanted.as_object().unwrap() {
        assert_eq!(&last[name], value, "{name}");
    }
    assert_eq!(last["usage"]["completion_tokens"], 7);
    // Pages go backwards from the end.
    let page = house.messages(&anna, id, "?limit=2");
    assert_eq!((texts(&page).len(), &page["more"]), (2, &json!(true)));
    let before = page["items"][0]["id"].as_str().unwrap();
    let page = house.messages(&anna, id, &format!("?limit=2&before_id={before}"));
    assert_eq!((texts(&page)[0], &page["more"]), (long, &json!(false)));
    let nothing = talks.start(&caller, None, None).unwrap();
    let refused = talks.begin(&caller, Some(nothing.id), "x", None, true);
    assert_eq!(code(refused), "nothing_to_regenerate");
    assert_eq!(code(talks.begin(&caller, None, " ", None, false)), "validation");
    assert_eq!(code(talks.begin(&Caller::console("c"), None, "x", None, false)), "user_required");
    // Neither question nor answer is in the journal, but that there was one is.
    let store = &house.app().desks().system.store;
    let links = store.read(|view| view.list(&JOURNAL, &all(), usize::MAX)).unwrap();
    let journal = format!("{links:?}");
    assert!(journal.contains("chat.answer") && journal.contains("\\\"completion_tokens\\\":7"));
    assert!(!journal.contains("heures") && !journal.contains("repose"), "{journal}");
}

#[test]
fn what_goes_with_a_question_is_bounded_and_in_turn() {
    let (house, admin) = House::ready();
    house.person(&admin, "anna", "viewer");
    let id = house.exchange("anna", None, "Question 0", said("Réponse 0", vec![]));
    for number in 1..=12 {
        let text = if number == 5 { String::new() } else { format!("Réponse {number}") };
        house.exchange("anna", Some(id), &format!("Question {number}"), said(&text, vec![]));
    }
    let opened = house.talks().begin(&house.asker("anna"), Some(id), "Fin", None, false).unwrap();
    assert_eq!(opened.earlier.len(), MAX_EARLIER);
    for (place, turn) in opened.earlier.iter().enumerate() {
        let role = if place % 2 == 0 { Role::User } else { Role::Assistant };
        assert_eq!(turn.role, role, "{place}");
        assert_ne!(turn.text, "Question 5", "a question without an answer goes with it");
    }
    assert_eq!(opened.earlier.last().unwrap().text, "Réponse 12");
}

#[test]
fn conversations_are_listed_newest_first_and_found_by_their_words() {
    let (house, admin) = House::ready();
    let (_, anna) = house.person(&admin, "anna", "viewer");
    let minute = std::time::Duration::from_mins(1);
    let older = house.exchange("anna", None, "Les congés d'été ?", said("En juillet.", vec![]));
    house.clock.pass(minute);
    let newer = house.exchange("anna", None, "Le quai 3 ?", said("Fermé l'été.", vec![]));
    house.clock.pass(minute);
    let start = post("/chat/conversations", &json!({"title": "Divers"})).by(&anna);
    let made = house.check(start, 201, &json!({"title": "Divers", "collection": null}));
    let list = |query: &str| {
        let path = format!("/chat/conversations{query}");
        let listed = house.check(get(&path).by(&anna), 200, &json!({"searched_all": true}));
        let items = listed["items"].as_array().unwrap().clone();
        let ids: Vec<String> =
            items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect();
        (ids, listed["more"] == true)
    };
    let (older, newer) = (older.to_string(), newer.to_string());
    let made = made["id"].as_str().unwrap().to_owned();
    assert_eq!(list(""), (vec![made.clone(), newer.clone(), older.clone()], false));
    assert_eq!(list("?limit=1"), (vec![made.clone()], true));
    assert_eq!(list(&format!("?before={made}&limit=1")), (vec![newer.clone()], true));
    assert_eq!(list("?q=ETE"), (vec![newer.clone(), older.clone()], false));
    assert_eq!(list("?q=juillet"), (vec![older.clone()], false));
    assert_eq!(list("?q=conges"), (vec![older.clone()], false));
    assert_eq!(list("?q=introuvable"), (vec![], false));
    // What is said in the oldest one makes it the newest; a new name does not.
    let rename = ask("PATCH", &format!("/chat/conversations/{newer}"));
    house.check(rename.json(&json!({"title": "Quai"})).by(&anna), 200, &json!({"title": "Quai"}));
    house.clock.pass(minute);
    house.exchange("anna", Some(older.parse().unwrap()), "Et après ?", said("Août.", vec![]));
    assert_eq!(list("").0, [older.clone(), made, newer]);
    let gone = ask("DELETE", &format!("/chat/conversations/{older}"));
    house.check(gone.clone().by(&anna), 200, &json!({"status": "deleted"}));
    house.refuses(gone.by(&anna), 404, "not_found");
    let store = &house.app().desks().system.store;
    assert_eq!(store.read(|view| view.count(TURNS.name)).unwrap(), 2);
    house.refuses(
        post("/chat/conversations", &json!({"collection": "nulle"})).by(&anna),
        404,
        "not_found",
    );
}

#[test]
fn nobody_else_finds_a_conversation_whatever_they_may() {
    let (house, admin) = House::ready();
    let (_, anna) = house.person(&admin, "anna", "viewer");
    let (_, paul) = house.person(&admin, "paul", "planner");
    let id = house.exchange("anna", None, "Un secret ?", said("Oui.", vec![]));
    let one = format!("/chat/conversations/{id}");
    let (_, key) = house.key(&anna, "sonde", &["chat"]);
    house.check(get(&format!("{one}/messages")).by(&key), 200, &json!({"more": false}));
    for other in [&paul, &admin] {
        house.refuses(get(&format!("{one}/messages")).by(other), 404, "not_found");
        let edit = ask("PATCH", &one).json(&json!({"title": "À moi"}));
        house.refuses(edit.by(other), 404, "not_found");
        house.refuses(ask("DELETE", &one).by(other), 404, "not_found");
        house.refuses(get(&format!("/chat/conversations?before={id}")).by(other), 404, "not_found");
        house.check(get("/chat/conversations").by(other), 200, &json!({"items": []}));
        house.check(get("/jobs/prompts/recent").by(other), 200, &json!({"items": []}));
    }
    let stranger = house.talks().begin(&house.asker("paul"), Some(id), "x", None, false);
    assert_eq!(code(stranger), "not_found");
    assert!(house.talks().begin(&house.asker("anna"), Some(id), "x", None, false).is_ok());
}

#[test]
fn cited_words_are_shown_only_while_they_may_be_read() {
    let (house, admin) = House::ready();
    let (_, anna) = house.person(&admin, "anna", "viewer");
    let guide = "# Le guide\n\nLe repos dure onze heures.".as_bytes();
    house.send(&admin, "quai", &[("guide.md", guide)]);
    house.settle(&admin);
    let store = &house.app().desks().system.store;
    let documents: Vec<(Id, Document)> =
        store.read(|view| view.list(&DOCUMENTS, &all(), 9)).unwrap();
    let (document, edition) = (documents[0].0, documents[0].1.edition.unwrap());
    let place = Citation { number: 1, document, edition, passage: 0 };
    let id = house.exchange(
        "anna",
        None,
        "Le repos ?",
        Said { given: vec![document], ..said("Onze heures [1].", vec![place]) },
    );
    let cited = || house.messages(&anna, id, "")["items"][1]["citations"][0].clone();
    let open = cited();
    assert_eq!((&open["gone"], &open["path"]), (&json!(false), &json!("guide.md")));
    assert!(open["text"].as_str().unwrap().contains("onze heures"));
    let close = |everyone: bool| {
        let readers = json!({"readers": {"everyone": everyone}});
        house.check(put("/rag/collections/quai", &readers).by(&admin), 200, &readers);
    };
    close(false);
    let closed = cited();
    assert_eq!((&closed["gone"], &closed["number"]), (&json!(true), &json!(1)));
    for hidden in ["title", "path", "text", "document_id", "collection"] {
        assert_eq!(closed[hidden], Value::Null, "{hidden}");
    }
    // The chief of the assistant may not read the collection either: its words are veiled in the history.
    let chief = Caller {
        rights: [Right::UseAssistant, Right::ManageAssistant, Right::ReadDocuments]
            .into_iter()
            .collect(),
        ..house.asker("chef")
    };
    let history = &house.app().desks().thinking.history;
    let part = Part { offset: 0, limit: 9 };
    let seen = |caller: &Caller| {
        history.list(caller, &Filter::default(), part).unwrap().items[0].payload.clone()
    };
    assert_eq!((&seen(&chief)["answer"], &seen(&chief)["closed"]), (&Value::Null, &json!(true)));
    // So they are for who was answered themselves: their question stays, what it told is withheld.
    assert_eq!(seen(&house.asker("anna"))["closed"], true);
    let turns = house.messages(&anna, id, "");
    assert_eq!(
        (&turns["items"][0]["text"], &turns["items"][0]["closed"]),
        (&json!("Le repos ?"), &json!(false))
    );
    assert_eq!(
        (&turns["items"][1]["text"], &turns["items"][1]["closed"]),
        (&json!(""), &json!(true))
    );
    let finds = |caller: &Caller, words: &str| {
        let filter = Filter { text: Some(words.into()), ..Filter::default() };
        history.list(caller, &filter, part).unwrap().total
    };
    // Nor is it found by the words that are veiled.
    assert_eq!((finds(&chief, "onze heures"), finds(&chief, "le repos")), (0, 1));
    assert_eq!(finds(&house.asker("anna"), "onze heures"), 0);
    close(true);
    assert_eq!(seen(&chief)["answer"], "Onze heures [1].");
    assert_eq!(cited()["gone"], false);
    house.check(ask("DELETE", &format!("/rag/documents/{document}")).by(&admin), 200, &json!({}));
    assert_eq!((&cited()["gone"], &cited()["title"]), (&json!(true), &Value::Null));
}

#[test]
fn a_leavers_words_go_with_them_and_the_plan_says_how_many() {
    let (house, admin) = House::ready();
    let (number, _) = house.person(&admin, "anna", "viewer");
    house.person(&admin, "paul", "viewer");
    for question in ["Une ?", "Deux ?"] {
        house.exchange("anna", None, question, said("Oui.", vec![]));
    }
    house.exchange("paul", None, "Trois ?", said("Oui.", vec![]));
    let plan = json!({"taken": {"conversations": 2, "history_events": 2, "prompts": 2}});
    let leave = |dry: bool| ask("POST", &format!("/admin/users/{number}/offboard?dry_run={dry}"));
    let store = &house.app().desks().system.store;
    let left = || {
        let count = |name| store.read(|view| view.count(name)).unwrap();
        (count(TURNS.name), count(EVENTS.name), count(PROMPTS.name))
    };
    house.check(leave(true).by(&admin), 200, &plan);
    assert_eq!(left(), (6, 3, 3));
    let anna = house.asker("anna");
    house.check(leave(false).by(&admin), 200, &plan);
    assert_eq!(left(), (2, 1, 1));
    // An answer that ends later, or a question that was on its way, brings nothing back.
    let late = house.talks().note_answer(&anna, "Une ?", None, &said("Oui.", vec![]));
    assert_eq!(code(late), "session_ended");
    assert_eq!(code(house.talks().begin(&anna, None, "Deux ?", None, false)), "session_ended");
    assert_eq!(left(), (2, 1, 1));
}

#[test]
fn prompts_are_counted_kept_and_forgotten() {
    let (house, admin) = House::ready();
    let (_, anna) = house.person(&admin, "anna", "viewer");
    let second = std::time::Duration::from_secs(1);
    for question in ["Un ?", "Deux ?", "Un ?"] {
        house.clock.pass(second);
        house.exchange("anna", None, question, said("Oui.", vec![]));
    }
    let recent = json!({"items": [
        {"prompt": "Un ?", "usage_count": 2, "favorite": false},
        {"prompt": "Deux ?", "usage_count": 1, "favorite": false},
    ]});
    house.check(get("/jobs/prompts/recent").by(&anna), 200, &recent);
    let save = |prompt: &str, favourite: Value| {
        post("/jobs/prompts/save", &json!({"prompt": prompt, "favorite": favourite})).by(&anna)
    };
    house.check(save(" Deux ? ", json!(true)), 200, &json!({"item": {"prompt": "Deux ?"}}));
    let favourites = json!({"items": [{"prompt": "Deux ?", "usage_count": 1}]});
    house.check(get("/jobs/prompts/favorites").by(&anna), 200, &favourites);
    house.check(get("/jobs/prompts/favorites").by(&admin), 200, &json!({"items": []}));
    house.check(save("Deux ?", Value::Null), 200, &json!({"item": {"favorite": false}}));
    house.check(get("/jobs/prompts/favorites").by(&anna), 200, &json!({"items": []}));
    let forget = ask("DELETE", "/jobs/prompts").json(&json!({"prompt": "Un ?"}));
    house.check(forget.clone().by(&anna), 200, &json!({"status": "deleted"}));
    house.refuses(forget.by(&anna), 404, "not_found");
}
