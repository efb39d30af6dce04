//! The command line: with a box that runs and with none, and what it ends with.

use std::fs;

use serde_json::{Value, json};

use super::machine::{Place, repository};

const FIXTURES: &str = "tests/fixtures/documents";

#[test]
fn settings_cover_one_another_and_say_where_they_are_from() {
    let place = Place::new();
    fs::create_dir_all(&place.data).unwrap();
    let file = "[search]\ndepth = 7\nvector_weight = 0.25\n[documents]\nfile_max_mib = 3\n[log]\nlevel = \"warn\"\n";
    fs::write(place.data.join("ilot.toml"), file).unwrap();
    let output = place
        .command(&["check", "--json", "--set", "documents.file_max_mib=5"])
        .env("ILOT_SEARCH_DEPTH", "8")
        .env("ILOT_DOCUMENTS_FILE_MAX_MIB", "4")
        .env("ILOT_SERCH_DEPTH", "9")
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    for (key, value, origin) in [
        ("documents.file_max_mib", "5", "flag"),
        ("search.depth", "8", "environment ILOT_SEARCH_DEPTH"),
        ("search.vector_weight", "0.25", "file"),
        ("log.level", "\"warn\"", "file"),
        ("search.idle_unload_seconds", "600", "default"),
        ("listen.https", "\"off\"", "flag"),
    ] {
        assert_eq!(report["settings"][key], json!({"value": value, "origin": origin}), "{key}");
    }
    let problems = report["problems"].to_string();
    assert!(problems.contains("ILOT_SERCH_DEPTH") && problems.contains("no model"), "{problems}");
    for wrong in ["search.deepth=1", "search.depth=many", "nonsense"] {
        place.ends(&["check", "--set", wrong], 2);
    }
    fs::write(place.data.join("ilot.toml"), "[search\n").unwrap();
    place.ends(&["check"], 2);
    place.ends(&["serve"], 2);
}

#[test]
fn what_needs_no_box_answers_without_one() {
    let place = Place::new();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(place.ends(&["version"], 0), format!("ilot {version}\n"));
    assert_eq!(place.tells(&["version"], 0), json!({"name": "ilot", "version": version}));
    assert!(place.ends(&["completions", "bash"], 0).contains("complete -F"));
    let document: Value = serde_json::from_str(&place.ends(&["openapi"], 0)).unwrap();
    assert!(document["paths"]["/rag/query"]["post"].is_object());
    assert!(place.ends(&["--help"], 0).contains("Exit codes"));
    for usage in [&["nonsense"][..], &["serve", "--nonsense"], &["search"], &["docs", "add"], &[]] {
        place.ends(usage, 2);
    }
    assert!(!place.data.exists(), "a command that needs no box made a folder");
}

/// Who reads a collection is decided by names, before its first document or after.
#[test]
fn readers_go_by_the_line() {
    let place = Place::new();
    let _running = place.home(&[]);
    let readers = |rest: &[&str], wanted: &Value| {
        let line = [&["docs", "readers", "Comité & co"], rest].concat();
        let now = place.tells(&line, 0);
        assert_eq!(&now["readers"], wanted, "{rest:?}");
        now
    };
    let users = place.tells(&["user", "list"], 0);
    let (name, id) = (users[0]["username"].as_str().unwrap(), users[0]["uuid"].clone());
    let shut = json!({"everyone": false, "roles": [], "users": []});
    assert_eq!(readers(&["--nobody"], &shut)["documents"], 0);
    let some = json!({"everyone": false, "roles": ["admin", "finance"], "users": [id]});
    readers(&["--role", "finance", "--role", "admin", "--user", &name.to_uppercase()], &some);
    readers(&["--everyone"], &json!({"everyone": true, "roles": [], "users": []}));
    let listed = place.ends(&["docs", "collections"], 0);
    assert!(listed.contains("Comité & co") && listed.contains("everyone"), "{listed}");
    for (rest, exit) in [
        (&[][..], 2),
        (&["--everyone", "--role", "admin"], 2),
        (&["--nobody", "--user", name], 2),
        (&["--role", "roi"], 2),
        (&["--user", "personne"], 3),
    ] {
        place.ends(&[&["docs", "readers", "x"], rest].concat(), exit);
    }
}

#[test]
fn without_a_model_it_starts_and_says_so() {
    let place = Place::new();
    let running = place.home(&[]);
    running.add("un.txt", b"Le conducteur prend sa pause au quai.");
    let status = running.settle();
    assert_eq!(status["model"]["present"], false);
    let detail = running.get("/health/detail").json();
    assert_eq!(detail["parts"]["model"]["level"], "reduced", "{detail}");
    let found = running.send("POST", "/rag/query", &json!({"query": "pause"})).json();
    assert_eq!(
        (&found["lexical_only"], found["results"].as_array().unwrap().len()),
        (&json!(true), 1)
    );
}

/// Every verb does the same with a box that runs and with one opened for it.
#[test]
fn documents_and_users_go_by_the_line_whether_the_box_runs_or_not() {
    for runs in [true, false] {
        let place = Place::new();
        let password = place.folder.path().join("password");
        let password = password.to_str().unwrap();
        let running = runs.then(|| place.serve(&[]));
        place
            .ends(&["setup", "--site", "Dépôt", "--admin", "chef", "--password-file", password], 0);

        let papers = place.write("papiers/un.txt", "Les coquelicots du quai.");
        place.write("papiers/sous/deux.md", "# Pervenches\n\nLes pervenches du quai.");
        let folder = papers.parent().unwrap().to_str().unwrap();
        let added = place.tells(&["docs", "add", folder, "--collection", "notes"], 0);
        assert_eq!(added["items"].as_array().unwrap().len(), 2, "{added}");
        assert_eq!(added["documents"][0]["state"], "ready");
        let listed = place.tells(&["docs", "list"], 0);
        assert_eq!(listed["total"], 2);
        let id = added["items"][0]["id"].as_str().unwrap();
        assert!(place.ends(&["docs", "show", id], 0).contains("du quai."));
        let found = place.tells(&["search", "pervenches", "--collection", "notes"], 0);
        assert_eq!(found["results"][0]["source"]["path"], "papiers/sous/deux.md", "{found}");
        place.ends(&["search", "introuvable"], 3);
        place.ends(&["search", "quai", "--collection", "none"], 3);
        place.ends(&["docs", "reindex"], 0);
        place.ends(&["docs", "reindex", id], 0);
        place.ends(&["docs", "delete", id], 0);
        place.ends(&["docs", "delete", id], 3);
        place.ends(&["docs", "add", "/nonexistent"], 3);
        let scan = repository().join(FIXTURES).join("scan.pdf");
        place.ends(&["docs", "add", scan.to_str().unwrap()], 6);

        place.ends(&["user", "add", "anna", "--role", "planner", "--password-file", password], 0);
        place.ends(&["user", "add", "anna", "--password-file", password], 4);
        place.ends(&["user", "add", "bert", "--role", "roi", "--password-file", password], 2);
        place.ends(&["user", "disable", "ANNA"], 0);
        place.ends(&["user", "disable", "chef"], 4);
        place.ends(&["user", "disable", "nobody"], 3);
        place.ends(&["user", "enable", "anna"], 0);
        place.ends(&["user", "password", "anna", "--password-file", password], 0);
        let users = place.tells(&["user", "list"], 0);
        assert_eq!(users[0]["username"], "anna", "{users}");
        users_come_and_go(&place);
        assert_eq!(place.tells(&["doctor"], 0)["parts"]["store"]["level"], "ok");
        if let Some(running) = running {
            assert_eq!(running.stop().0, Some(0));
        }
        place.ends(&["check", "--store"], 0);
    }
}

/// What the owner of the box does for its users.
fn users_come_and_go(place: &Place) {
    let temporary = |answer: &Value| answer["temp_password"].as_str().unwrap().len();
    let added =
        ["user", "add", "carl", "--temporary", "--email", "carl@depot.lan", "--workstation"];
    let carl = place.tells(&added, 0);
    assert_eq!((temporary(&carl), &carl["workstation"]), (16, &json!(true)), "{carl}");
    assert_eq!(carl["must_change_password"], true);
    place.ends(&["user", "add", "x", "--temporary", "--password-file", "password"], 2);
    let reset = place.tells(&["user", "reset", "CARL@depot.lan"], 0);
    assert!(temporary(&reset) == 16 && reset["temp_password"] != carl["temp_password"]);
    place.ends(&["user", "reset", "nobody"], 3);
    let said = place.ends(&["user", "show", "carl"], 0);
    assert!(said.contains("carl@depot.lan") && said.contains("view_planning"), "{said}");
    assert_eq!(place.tells(&["user", "show", "carl"], 0)["grants"], json!([]));
    let roles = place.tells(&["user", "roles"], 0);
    assert!(roles.as_array().unwrap().iter().any(|role| role["name"] == "planner"), "{roles}");

    // Nothing is done before it is meant, and what is done can be undone by the owner alone.
    let plan = place.tells(&["user", "offboard", "carl"], 0);
    assert_eq!((&plan["done"], &plan["taken"]["api_keys"]), (&json!(false), &json!(0)), "{plan}");
    assert_eq!(place.tells(&["user", "show", "carl"], 0)["state"], "active");
    assert_eq!(place.tells(&["user", "offboard", "carl", "--yes"], 0)["done"], true);
    assert_eq!(place.tells(&["user", "show", "carl"], 0)["state"], "offboarded");
    place.ends(&["user", "offboard", "chef", "--yes"], 4);
    let back = place.tells(&["user", "recover", "carl"], 0);
    assert_eq!((temporary(&back), &back["role"]), (16, &json!("admin")), "{back}");
    let carl = place.tells(&["user", "show", "carl"], 0);
    assert_eq!((&carl["state"], &carl["is_system_admin"]), (&json!("active"), &json!(true)));
    place.ends(&["user", "recover", "nobody"], 3);
    place.ends(&["user", "import", "/nonexistent"], 2);

    let list = "username;email;role;is_active\ndora;dora@depot.lan;planner;oui\nanna;;;non\n";
    let list = place.write("liste.csv", list);
    let list = list.to_str().unwrap();
    let plan = place.tells(&["user", "import", list], 0);
    let becomes = |plan: &Value| {
        let rows = plan["plan"].as_array().unwrap().iter();
        rows.map(|row| row["outcome"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!((&plan["done"], becomes(&plan).join(" ")), (&json!(false), "created exists".into()));
    place.ends(&["user", "show", "dora"], 3);
    assert_eq!(place.tells(&["user", "import", list, "--apply"], 0)["done"], true);
    assert_eq!(place.tells(&["user", "show", "dora"], 0)["role"], "planner");
    let wrong = place.write("liste.json", r#"[{"username": "emil", "role": "roi"}]"#);
    assert_eq!(becomes(&place.tells(&["user", "import", wrong.to_str().unwrap()], 6)), ["refused"]);
}

/// The sample depot goes into a fresh box that runs, and into one that does not.
#[test]
fn the_sample_depot_is_learned_whole() {
    let from = repository().join("deploy/demo");
    let from = from.to_str().unwrap();
    for runs in [true, false] {
        let place = Place::new();
        let running = runs.then(|| place.serve(&[]));
        let made = place.tells(&["demo", "--from", from], 0);
        assert_eq!(made["username"], "demo", "{made}");
        assert!(made["password"].as_str().unwrap().len() >= 12, "{made}");
        let listed = place.tells(&["docs", "list", "--limit", "1000"], 0);
        assert_eq!(listed["counts"]["failed"], 0, "{listed}");
        assert_eq!(listed["counts"]["ready"], listed["total"]);
        assert!(listed["total"].as_u64().unwrap() >= 20, "{}", listed["total"]);
        let shelves = place.tells(&["docs", "collections"], 0);
        let closed: Vec<&Value> = shelves["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|shelf| shelf["readers"]["everyone"] == false)
            .collect();
        assert_eq!(closed.len(), 1, "{shelves}");
        assert_eq!((&closed[0]["name"], &closed[0]["documents"]), (&json!("direction"), &json!(1)));
        assert_eq!(closed[0]["readers"]["roles"], json!(["admin", "finance"]));
        let again = place.tells(&["demo", "--from", from], 0);
        assert_eq!(again["password"], Value::Null);
        drop(running);
    }
    Place::new().ends(&["demo", "--from", "/nonexistent"], 3);
}

#[test]
fn who_reads_the_first_line_alone_ends_the_command_quietly() {
    use std::io::{BufRead, BufReader, Read};
    let place = Place::new();
    // The description of the routes is longer than a pipe holds unread.
    let mut command = place.command(&["openapi"]);
    let mut child = command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::with_capacity(64, child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let mut complaint = String::new();
    child.stderr.take().unwrap().read_to_string(&mut complaint).unwrap();
    assert!(child.wait().unwrap().success(), "{complaint}");
    assert_eq!(complaint, "");
}
