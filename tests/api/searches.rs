//! Questions: what is found, where it stands, what is left out, and what deleting takes away.

use ilot::base::caller::Caller;
use ilot::domains::assistant::search::Question;
use serde_json::{Value, json};

use super::ask::{House, ask, get, post, upload_with};

const BREAKS: &str = "# Pauses\n\nAprès 4 heures 30 de conduite, le conducteur prend une pause de 45 minutes.\n\n\
    ## Repos\n\nLe repos journalier dure onze heures. L'été, l'équipe part plus tôt.\n";
const TRUCK: &str =
    "# Le camion\n\nLe conducteur lave le camion chaque vendredi. La pause est courte.\n";
const ENGLISH: &str = "# Breaks\n\nAfter four and a half hours of driving the driver takes a break of forty-five minutes. \
    The break may be taken in two parts.\n";

struct Library {
    house: House,
    admin: String,
}

impl Library {
    fn open() -> Self {
        let (house, admin) = House::ready();
        for (collection, modified, name, text) in [
            ("regles", "2024-05-01", "temps/pauses.md", BREAKS),
            ("quai", "2025-06-01", "camion.md", TRUCK),
            ("regles", "2025-01-01", "english/breaks.md", ENGLISH),
        ] {
            let fields = [("collection", collection), ("modified", modified)];
            house.check(
                upload_with(&fields, &[(name, text.as_bytes())]).by(&admin),
                201,
                &json!({}),
            );
        }
        house.settle(&admin);
        Self { house, admin }
    }

    fn query(&self, body: &Value) -> Value {
        self.house.check(
            post("/rag/query", body).by(&self.admin),
            200,
            &json!({"lexical_only": true}),
        )
    }

    /// The paths that a question finds, each once, best first.
    fn paths(&self, body: &Value) -> Vec<String> {
        let mut paths = Vec::new();
        for result in self.query(body)["results"].as_array().unwrap() {
            let path = result["source"]["path"].as_str().unwrap().to_owned();
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
        paths
    }
}

#[test]
fn conditions_leave_out_what_does_not_fit() {
    let library = Library::open();
    let (pauses, truck, english) = ("temps/pauses.md", "camion.md", "english/breaks.md");
    for (body, wanted) in [
        (json!({"query": "pause conducteur"}), vec![pauses, truck]),
        (json!({"query": "pause", "collection": "quai"}), vec![truck]),
        (json!({"query": "pause", "collection": "regles"}), vec![pauses]),
        (json!({"query": "pause break", "language": "en"}), vec![english]),
        (json!({"query": "pause", "path": "temps/"}), vec![pauses]),
        (json!({"query": "pause", "path": "temp/"}), vec![]),
        (json!({"query": "pause", "date_from": "2025-01-01"}), vec![truck]),
        (json!({"query": "pause", "date_to": "2024-12-31"}), vec![pauses]),
        (
            json!({"query": "pause", "date_from": "2024-05-01", "date_to": "2024-05-01"}),
            vec![pauses],
        ),
        (json!({"query": "pause", "date_from": "2026-01-01"}), vec![]),
        (json!({"query": "\"pause de 45 minutes\""}), vec![pauses]),
        (json!({"query": "\"45 minutes de pause\""}), vec![]),
        (json!({"query": "pause -camion"}), vec![pauses]),
        (json!({"query": "conducteur -pause"}), vec![]),
        (json!({"query": "title:camion"}), vec![truck]),
        // Neither case nor accents stand in the way.
        (json!({"query": "ETE EQUIPE"}), vec![pauses]),
        (json!({"query": "introuvable"}), vec![]),
    ] {
        let mut got = library.paths(&body);
        got.sort();
        let mut wanted = wanted;
        wanted.sort_unstable();
        assert_eq!(got, wanted, "{body}");
    }
    library.house.refuses(
        post("/rag/query", &json!({"query": "pause", "collection": "none"})).by(&library.admin),
        404,
        "not_found",
    );
}

#[test]
fn every_place_that_is_named_is_exact() {
    let library = Library::open();
    for (query, words) in [
        ("pause conduite", vec!["conduite", "pause", "Pauses"]),
        ("\"repos journalier\"", vec!["repos", "journalier", "Repos"]),
        ("équipe été", vec!["été", "équipe"]),
        ("driver breaks", vec!["driver", "driving", "break", "Breaks"]),
    ] {
        let answer = library.query(&json!({"query": query, "top_k": 10}));
        let results = answer["results"].as_array().unwrap();
        assert!(!results.is_empty(), "{query} finds nothing");
        for (rank, result) in (1u64..).zip(results) {
            assert_eq!(result["rank"].as_u64(), Some(rank));
            assert_eq!(result["retrievers"], json!(["words"]));
            let (start, end) = (
                result["source"]["start"].as_u64().unwrap(),
                result["source"]["end"].as_u64().unwrap(),
            );
            let path = format!(
                "/rag/documents/{}/text?start={start}&end={end}",
                result["document_id"].as_str().unwrap()
            );
            let text = library.house.check(
                get(&path).by(&library.admin),
                200,
                &json!({"start": start, "end": end}),
            );
            assert_eq!(
                text["text"], result["text"],
                "{query}: the source is not where it is said to be"
            );
            let characters: Vec<char> = result["text"].as_str().unwrap().chars().collect();
            let highlights = result["highlights"].as_array().unwrap();
            assert!(rank > 1 || !highlights.is_empty(), "{query}: nothing is marked in {result}");
            for range in highlights {
                let (from, to) = (range[0].as_u64().unwrap(), range[1].as_u64().unwrap());
                let marked: String = characters
                    [usize::try_from(from).unwrap()..usize::try_from(to).unwrap()]
                    .iter()
                    .collect();
                assert!(words.contains(&marked.as_str()), "{query} marks {marked:?}");
            }
        }
    }
}

#[test]
fn a_word_that_no_document_holds_is_corrected() {
    let library = Library::open();
    let answer = library.query(&json!({"query": "conducteru"}));
    let corrected = &answer["corrected"][0];
    assert_eq!(corrected["word"], "conducteru", "{answer}");
    assert!(corrected["instead"].as_array().unwrap().contains(&json!("conducteur")), "{corrected}");
    assert!(!answer["results"].as_array().unwrap().is_empty());
    let right = library.query(&json!({"query": "conducteur"}));
    assert_eq!(right["corrected"], json!([]));
}

#[test]
fn hostile_questions_are_questions() {
    let library = Library::open();
    for query in [
        "\"",
        "\"\"",
        "-",
        "--",
        "title:",
        ":",
        "*",
        "?",
        "(((",
        "a AND",
        "[a TO",
        "^~",
        "\\",
        "<script>",
        "' OR 1=1 --",
        "😀",
        "\u{0}",
        "a\u{202e}b",
        "-pause",
        "+ + +",
        "title:\"",
        "é".repeat(500).as_str(),
        "x ".repeat(500).as_str(),
    ] {
        let reply =
            library.house.ask(post("/rag/query", &json!({"query": query})).by(&library.admin));
        assert!(
            reply.status == 200 || reply.status == 422 || reply.json()["code"] == "empty_query",
            "{query:?}: {} {}",
            reply.status,
            reply.json()
        );
    }
}

#[test]
fn what_is_deleted_is_not_found_from_the_next_question_on() {
    let library = Library::open();
    let query = json!({"query": "camion"});
    assert_eq!(library.paths(&query), ["camion.md"]);
    let id = library.query(&query)["results"][0]["document_id"].as_str().unwrap().to_owned();
    let path = format!("/rag/documents/{id}");
    library.house.check(
        ask("DELETE", &path).by(&library.admin),
        200,
        &json!({"status": "deleted"}),
    );
    assert_eq!(library.paths(&query), [] as [&str; 0]);
    for path in [path.clone(), format!("{path}/text"), format!("{path}/file")] {
        library.house.refuses(get(&path).by(&library.admin), 404, "not_found");
    }
    library.house.refuses(ask("DELETE", &path).by(&library.admin), 404, "not_found");
    // It may come again, as a new document.
    let items = library.house.send(&library.admin, "quai", &[("camion.md", TRUCK.as_bytes())]);
    assert_eq!(items[0]["outcome"], "added");
    library.house.settle(&library.admin);
    assert_eq!(library.paths(&query), ["camion.md"]);
}

#[test]
fn indexes_made_anew_find_the_same() {
    let library = Library::open();
    let asked = ["pause conducteur", "repos", "break", "camion vendredi", "\"onze heures\""];
    let answers = || -> Vec<Value> {
        asked
            .iter()
            .map(|query| library.query(&json!({"query": query, "top_k": 20}))["results"].clone())
            .collect()
    };
    let before = answers();
    assert!(before.iter().all(|results| !results.as_array().unwrap().is_empty()));
    let wanted =
        library.house.ask(get("/rag/status").by(&library.admin)).json()["passages"].clone();
    library.house.check(
        post("/rag/reindex", &json!({"full": true})).by(&library.admin),
        200,
        &json!({"indexed": wanted}),
    );
    library.house.settle(&library.admin);
    assert_eq!(answers(), before);
    // Without a body it is the same as `full`; with `false` what is there is brought up to date.
    for request in [ask("POST", "/rag/reindex"), post("/rag/reindex", &json!({"full": false}))] {
        library.house.check(request.by(&library.admin), 200, &json!({"indexed": wanted}));
    }
    library.house.settle(&library.admin);
    assert_eq!(answers(), before);
}

#[test]
fn nobody_searches_without_the_right_to_read() {
    let library = Library::open();
    let assistant = &library.house.app().desks().assistant;
    let question = Question { query: "pause".into(), top: 5, ..Question::default() };
    let nobody = Caller::nobody(None, "");
    assert_eq!(assistant.search(&nobody, &question).unwrap_err().code, "unauthenticated");
    let beggar = library.house.beggar(&library.admin);
    library.house.refuses(
        post("/rag/query", &json!({"query": "pause"})).by(&beggar),
        403,
        "right_missing",
    );
}
