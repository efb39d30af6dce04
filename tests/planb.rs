//! The real `ilot planb`, over its sockets: without a database, with damaged files, and killed.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ilot::base::clock::{Clock, MachineClock};
use ilot::base::fault::Fault;
use ilot::base::id::Id;
use ilot::domains::continuity::node::Node;
use ilot::domains::continuity::outbox::{archive, waiting};
use ilot::domains::continuity::pack::part::{
    Cell, DoorKey, Paper, Part, Person, Row, Section, Words,
};
use ilot::domains::continuity::pack::{Limits, Packer, Seal};
use ilot::domains::continuity::place::Place;
use ilot::engines::secrets::{Passwords, RootKey, mac};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(40);
const PASSWORD: &str = "un mot de passe assez long";
const KIOSK: &str = "ilot_kiosk-key-of-the-gate";
const ANNA: Id = Id([1; 16]);
const PAPER: &[u8] = b"%PDF-1.4 consignes";

/// A box's data folder, without a box.
struct Site {
    folder: tempfile::TempDir,
    data: PathBuf,
    place: Place,
}

struct Running {
    child: Child,
    planb: SocketAddr,
    http: Option<SocketAddr>,
    up_after: Duration,
}

struct Reply {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }
}

fn until<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ready() {
            return answer;
        }
        assert!(Instant::now() < end, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Option<Reply> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n{body}").as_bytes()).ok()?;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Reply { status, head, body: answer[end + 4..].to_vec() })
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        fs::create_dir_all(data.join("keys")).unwrap();
        let place = Place::at(data.join("planb"));
        place.create().unwrap();
        Self { folder, data, place }
    }

    /// A site whose main program wrote a pack before it went.
    fn packed() -> Self {
        let site = Self::new();
        site.pack();
        site
    }

    fn pack(&self) {
        let node = Arc::new(Node::open(&self.place).unwrap());
        let seal = Seal::of(&node);
        let limits = Limits { age: Duration::from_mins(5), papers: 1 << 20 };
        let packer = Packer::new(&self.place, Arc::new(MachineClock), seal, limits);
        let part = self.part().unwrap();
        packer.add("all", Arc::new(move || Ok(part.clone())));
        packer.refresh().unwrap();
    }

    fn part(&self) -> Result<Part, Fault> {
        let root = RootKey::open(&self.data.join("keys"))?;
        let passwords = Passwords::new(&root)?;
        let word = mac(root.derive("api-keys")?.as_slice(), KIOSK.as_bytes())?;
        let proof = data_encoding::BASE64URL_NOPAD.decode(word.as_bytes()).unwrap();
        let section = |id: &str, right: &str, rows: Vec<Row>| Section {
            id: id.into(),
            title: Words::of(format!("Titre {id}"), format!("Title {id}")),
            right: right.into(),
            columns: vec![Words::of("Nom", "Name"), Words::of("Heure", "Time")],
            rows,
            empty: Words::of("Rien.", "Nothing."),
            notes: true,
        };
        let row = |key: &str, name: &str| Row {
            key: key.into(),
            cells: vec![Cell::Text(name.into()), Cell::At(MachineClock.now())],
        };
        let paper = Paper {
            name: "Consignes d’été.pdf".into(),
            media_type: "application/pdf".into(),
            sha256: sha256(PAPER),
            bytes: PAPER.len() as u64,
            open: Arc::new(|| Ok(Box::new(PAPER))),
        };
        Ok(Part {
            sections: vec![
                section("missions", "view_planning", vec![row("mission:1", "Lyon <b>&")]),
                section("money", "view_finance", vec![row("money:1", "secret")]),
                section("contacts", "", vec![row("contact:1", "06 12 34 56 78")]),
            ],
            people: vec![Person {
                id: ANNA,
                username: "anna".into(),
                display_name: "Anna Petit".into(),
                email: "anna@depot.fr".into(),
                password: passwords.hash(PASSWORD)?,
                rights: ["edit_planning", "view_planning", "use_attendance", "read_documents"]
                    .map(Into::into)
                    .into(),
                second_factor: false,
                language: String::new(),
            }],
            doors: vec![DoorKey {
                kind: "kiosk".into(),
                id: Id([9; 16]),
                name: "Portail".into(),
                proof: data_encoding::HEXLOWER.encode(&proof),
                expires_at: None,
            }],
            papers: vec![paper],
            site: "Dépôt".into(),
            time_zone: "Europe/Paris".into(),
            further: Vec::new(),
        })
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ilot"));
        for (name, _) in
            std::env::vars_os().filter(|(n, _)| n.to_string_lossy().starts_with("ILOT_"))
        {
            command.env_remove(name);
        }
        command.current_dir(self.folder.path()).arg("--data").arg(&self.data).args(args);
        command
    }

    fn start(&self, args: &[&str]) -> Running {
        let mut line = vec!["planb"];
        line.extend(args);
        for (flag, value) in
            [("--planb", "127.0.0.1:0"), ("--http", "127.0.0.1:0"), ("--https", "off")]
        {
            if !args.contains(&flag) {
                line.extend([flag, value]);
            }
        }
        self.start_as(&line, &self.place)
    }

    fn start_as(&self, line: &[&str], place: &Place) -> Running {
        let addresses = place.root().join("run/addresses.json");
        let _ = fs::remove_file(&addresses);
        let began = Instant::now();
        let mut child = self
            .command(line)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(self.folder.path().join("said")).unwrap())
            .spawn()
            .unwrap();
        let told = until("Plan B to answer", || {
            if let Some(ended) = child.try_wait().unwrap() {
                panic!("it ended with {ended}: {}", self.said());
            }
            let told: Value = serde_json::from_slice(&fs::read(&addresses).ok()?).ok()?;
            let planb: SocketAddr = told["planb"].as_str()?.parse().ok()?;
            (ask(planb, "GET", "/health", &[], "")?.status == 200).then_some(told)
        });
        let address = |name: &str| told[name].as_str().map(|text| text.parse().unwrap());
        Running {
            child,
            planb: address("planb").unwrap(),
            http: address("http"),
            up_after: began.elapsed(),
        }
    }

    fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("said")).unwrap_or_default()
    }

    fn key(&self) -> String {
        fs::read_to_string(self.place.api_key()).unwrap().trim().to_owned()
    }

    #[track_caller]
    fn ends(&self, args: &[&str], code: i32) -> String {
        let output = self.command(args).stdin(Stdio::null()).output().unwrap();
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}\n{out}\n{err}");
        out
    }

    fn texts(&self) -> Vec<String> {
        let files = waiting(&self.place).unwrap();
        let entries = files.iter().flat_map(|file| file.entries.iter());
        entries.filter_map(|e| e.body["text"].as_str().map(str::to_owned)).collect()
    }
}

impl Running {
    fn get(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        ask(self.planb, "GET", path, headers, "").unwrap()
    }

    fn page(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        self.get(path, &[&[("accept", "text/html")], headers].concat())
    }

    fn form(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let kind = ("content-type", "application/x-www-form-urlencoded");
        ask(self.planb, "POST", path, &[&[kind], headers].concat(), body).unwrap()
    }

    fn enter(&self, headers: &[(&str, &str)], body: &Value) -> Reply {
        let kind = ("content-type", "application/json");
        ask(self.planb, "POST", "/planb/entries", &[&[kind], headers].concat(), &body.to_string())
            .unwrap()
    }

    fn sign_in(&self) -> String {
        let body = format!(
            "name=anna&password={}&back=/planb/section/missions",
            PASSWORD.replace(' ', "+")
        );
        let reply = self.form("/planb/sign-in", &[], &body);
        assert_eq!(reply.status, 303, "{}", reply.text());
        assert_eq!(reply.header("location"), Some("/planb/section/missions"));
        let cookie = reply.header("set-cookie").unwrap();
        assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
        cookie.split(';').next().unwrap().to_owned()
    }

    fn stop(mut self, signal: &str) -> (Option<i32>, Duration) {
        let began = Instant::now();
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        let ended = until("Plan B to end", || self.child.try_wait().unwrap());
        (ended.code(), began.elapsed())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    data_encoding::HEXLOWER.encode(&sha2::Sha256::digest(bytes))
}

fn note(text: &str) -> Value {
    json!({"kind": "note", "body": {"text": text}})
}

#[test]
fn it_stands_whatever_became_of_the_database_the_settings_and_the_keys() {
    type Break = fn(&Site);
    let cases: &[(&str, Break)] = &[
        ("missing", |_| {}),
        ("damaged", |site| fs::write(site.data.join("ilot.redb"), b"not a database").unwrap()),
        ("a folder in its place", |site| fs::create_dir(site.data.join("ilot.redb")).unwrap()),
        ("settings damaged", |site| fs::write(site.data.join("ilot.toml"), "[[[").unwrap()),
        ("no root key", |site| fs::remove_file(site.data.join("keys/root.key")).unwrap()),
        ("damaged root key", |site| fs::write(site.data.join("keys/root.key"), "x").unwrap()),
        ("no pack", |site| fs::remove_dir_all(site.place.pack()).unwrap()),
        ("node key damaged", |site| fs::write(site.place.node_key(), "x").unwrap()),
    ];
    for (name, damage) in cases {
        let site = Site::packed();
        damage(&site);
        let running = site.start(&[]);
        let key = site.key();
        let state = running.get("/planb/state", &[("x-api-key", &key)]);
        assert_eq!(state.status, 200, "{name}: {}", state.text());
        assert_eq!(state.json()["mode"], "planb");
        let on = !["no root key", "damaged root key", "no pack", "node key damaged"].contains(name);
        assert_eq!(state.json()["sign_in"] == "on", on, "{name}: {}", state.text());
        assert_eq!(state.json()["pack"].is_null(), *name == "no pack");
        let page = running.page("/planb", &[]);
        assert_eq!(page.status, 200, "{name}");
        assert!(page.text().contains("Que faire maintenant"), "{name}: {}", page.text());
        let sign_in = running.page("/planb/sign-in", &[]).text();
        assert_eq!(sign_in.contains("coupée"), !on, "{name}: {sign_in}");
        assert_eq!(running.enter(&[("x-api-key", &key)], &note(name)).status, 201, "{name}");
        assert_eq!(site.texts(), [*name]);
        assert!(
            !site.data.join("keys/root.key").exists() || *name != "no root key",
            "none is made"
        );
        assert!(running.up_after < Duration::from_secs(5), "{name} {:?}", running.up_after);
        let (code, took) = running.stop("-TERM");
        assert_eq!(code, Some(0), "{name}: {}", site.said());
        assert!(took < Duration::from_secs(2), "{name}: {took:?}");
    }
}

#[test]
fn both_doors_answer_what_they_are_for_and_nothing_else() {
    let site = Site::packed();
    let running = site.start(&[]);
    let (key, front) = (site.key(), running.http.unwrap());
    let get = |path: &str, headers: &[(&str, &str)]| ask(front, "GET", path, headers, "").unwrap();
    assert_eq!(running.get("/status", &[("x-api-key", &key)]).status, 200);
    assert_eq!(get("/status", &[("x-api-key", &key)]).json()["code"], "planb_mode");
    let away = get("/rag/documents", &[]);
    assert_eq!((away.status, away.header("retry-after")), (503, Some("5")));
    assert_eq!(away.json()["code"], "planb_mode");
    for path in ["/", "/ui/documents", "/anything/at/all"] {
        let sent = get(path, &[("accept", "text/html")]);
        assert_eq!((sent.status, sent.header("location")), (303, Some("/planb")), "{path}");
    }
    for (reply, name) in [(get("/health", &[]), "front"), (running.get("/health", &[]), "own")] {
        assert_eq!(
            (reply.json(), reply.header("x-ilot-mode")),
            (json!({"status": "ok"}), Some("planb")),
            "{name}"
        );
    }
    assert_eq!(get("/planb", &[("accept", "text/html")]).status, 200);
    let wrong = running.get("/planb/state", &[("x-api-key", "0")]);
    assert_eq!((wrong.status, wrong.json()["code"].as_str()), (401, Some("unauthenticated")));
    assert_eq!(running.stop("-INT").0, Some(0));
    let running = site.start(&["--set", "continuity.front=false"]);
    assert!(running.http.is_none());
}

#[test]
fn pages_are_read_in_both_languages_by_those_who_may_and_hold_no_markup_of_the_pack() {
    let site = Site::packed();
    let running = site.start(&[]);
    let french = running.page("/planb/section/missions", &[("accept-language", "fr")]).text();
    assert!(french.contains("lang=\"fr\"") && french.contains("Titre missions"), "{french}");
    assert!(french.contains("est absent depuis") && french.contains("Ce dossier est celui de"));
    assert!(french.contains("Lyon &lt;b&gt;&amp;") && !french.contains("<b>&"));
    let english = running.page("/planb?lang=en", &[("accept-language", "fr")]).text();
    assert!(english.contains("has been away since") && english.contains("This plan is as of"));
    assert!(
        english.contains("href=\"/planb/section/missions?lang=en\""),
        "links keep the language"
    );
    let contacts = running.page("/planb/section/contacts", &[]).text();
    assert!(contacts.contains("href=\"tel:0612345678\""));
    // At the box everything may be read; who signs in reads what they may.
    assert_eq!(running.page("/planb/section/money", &[]).status, 200);
    let cookie = running.sign_in();
    let anna = [("cookie", cookie.as_str())];
    assert_eq!(running.page("/planb/section/money", &anna).status, 403);
    assert!(!running.page("/planb", &anna).text().contains("/section/money"));
    assert_eq!(running.page("/planb/section/nothing", &anna).status, 404);
    let paper = running.get(&format!("/planb/file/{}", sha256(PAPER)), &anna);
    assert_eq!((paper.status, paper.body.as_slice()), (200, PAPER));
    assert_eq!(paper.header("content-type"), Some("application/pdf"));
    assert_eq!(
        paper.header("content-disposition"),
        Some("inline; filename*=UTF-8''Consignes%20d%E2%80%99%C3%A9t%C3%A9.pdf")
    );
    assert_eq!(running.get("/planb/file/../../api_key.txt", &anna).status, 404);
    for path in ["/planb/planb.css", "/planb/planb.js"] {
        assert_eq!(running.get(path, &[]).status, 200);
    }
    // Where the settings close the pages, nobody reads without a sign-in.
    let closed = site.start(&["--set", "continuity.open_at_the_box=false"]);
    let sent = closed.page("/planb/section/missions", &[]);
    assert_eq!(sent.header("location"), Some("/planb/sign-in?back=%2Fplanb%2Fsection%2Fmissions"));
    assert!(!closed.page("/planb", &[]).text().contains("06 12"));
    assert_eq!(closed.get("/planb/entries", &[]).status, 401);
}

#[test]
fn notes_and_punches_are_taken_from_those_who_may_and_once() {
    let site = Site::packed();
    let running = site.start(&[]);
    let (key, cookie) = (site.key(), running.sign_in());
    let (key, anna) = ([("x-api-key", key.as_str())], [("cookie", cookie.as_str())]);
    let kiosk = [("x-kiosk-api-key", KIOSK)];
    let punch =
        |person: Id| json!({"kind": "punch", "body": {"person": person, "direction": "in"}});
    let other = Id([2; 16]);
    let code = |reply: &Reply| reply.json()["code"].as_str().unwrap_or_default().to_owned();
    for (who, body, status, says) in [
        (&[][..], note("x"), 401, "unauthenticated"),
        (&kiosk, note("x"), 403, "right_missing"),
        (&anna, note("Anna note"), 201, ""),
        (&anna, note("  "), 422, "text_missing"),
        (&anna, note(&"é".repeat(2001)), 422, "text_too_long"),
        (&anna, note(&"é".repeat(2000)), 201, ""),
        (&anna, json!({"kind": "note", "body": {"texte": "x"}}), 422, "validation"),
        (&anna, json!({"kind": "mission", "body": {}}), 400, "entry_kind_unknown"),
        (&anna, punch(ANNA), 201, ""),
        (&anna, punch(other), 403, "right_missing"),
        (&kiosk, punch(other), 201, ""),
        (
            &kiosk,
            json!({"kind": "punch", "body": {"person": ANNA, "direction": "up"}}),
            422,
            "validation",
        ),
        (&anna, json!({"kind": "drill", "body": {}}), 403, "right_missing"),
        (&key, json!({"kind": "drill", "body": {"drill": "x"}}), 201, ""),
        (&[("x-kiosk-api-key", "wrong")], punch(ANNA), 401, "key_unknown"),
    ] {
        let reply = running.enter(who, &body);
        assert_eq!(
            (reply.status, code(&reply).as_str()),
            (status, says),
            "{body} {}",
            reply.text()
        );
    }
    // A kiosk's key punches, and opens neither the pack nor what others wrote.
    for path in ["/planb/entries", "/planb/section/contacts", "/planb/file/0"] {
        assert_eq!(running.get(path, &kiosk).status, 403, "{path}");
    }
    // The relay does not lead into the box.
    for port in [running.planb.port(), running.http.unwrap().port()] {
        let body = json!({"host": "127.0.0.1", "port": port, "payload_b64": ""}).to_string();
        let sent = ask(running.planb, "POST", "/tcp/send", &key, &body).unwrap();
        assert_eq!((sent.status, sent.json()["error"].as_str()), (400, Some("invalid_target")));
    }
    let unknown = running.get("/nothing/here", &[]);
    assert_eq!((unknown.status, unknown.json()["error"].as_str()), (404, Some("not_found")));
    let twice = [("x-api-key", key[0].1), ("idempotency-key", "k-1")];
    let (first, second) =
        (running.enter(&twice, &note("once")), running.enter(&twice, &note("once")));
    assert_eq!((first.status, first.json()), (second.status, second.json()));
    assert_eq!(code(&running.enter(&twice, &note("else"))), "idempotency_key_reused");
    // The same by form: sent, led on, shown; refused with what was written, in place and in French.
    let sent = running.form(
        "/planb/entries",
        &anna,
        "kind=note&text=Par+formulaire&about=mission%3A1&section=missions&retry_key=abc",
    );
    assert_eq!(sent.status, 303, "{}", sent.text());
    let to = sent.header("location").unwrap().split('#').next().unwrap().to_owned();
    let list = running.page(&to, &anna).text();
    assert!(
        list.contains("C’est noté")
            && list.contains("Par formulaire")
            && list.contains("Lyon &lt;b&gt;"),
        "{list}"
    );
    running.form(
        "/planb/entries",
        &anna,
        "kind=note&text=Par+formulaire&about=mission%3A1&section=missions&retry_key=abc",
    );
    assert_eq!(site.texts().iter().filter(|text| *text == "Par formulaire").count(), 1);
    let long = "x".repeat(2001);
    let refused = running.form("/planb/entries", &anna, &format!("kind=note&text={long}"));
    assert_eq!(refused.status, 422);
    assert!(refused.text().contains("raccourcissez") && refused.text().contains(&long));
    assert!(refused.text().contains("aria-invalid=\"true\" aria-describedby=\"fault\" autofocus"));
    let refused = running.form("/planb/entries", &anna, "kind=punch&person=&direction=in");
    assert!(refused.status == 422 && refused.text().contains("Choisissez une personne"));
    // The same punch again is asked for first, and taken once that is confirmed.
    let again = format!("kind=punch&person={ANNA}&direction=in&retry_key=again-1");
    let asked = running.form("/planb/entries", &anna, &again);
    assert_eq!(asked.status, 409, "{}", asked.text());
    assert!(asked.text().contains("Anna Petit est déjà pointé(e) (entrée) à"), "{}", asked.text());
    assert!(asked.text().contains("name=\"again\" value=\"1\""));
    assert_eq!(running.form("/planb/entries", &anna, &format!("{again}&again=1")).status, 303);
    let foreign = [anna[0], ("origin", "https://evil.example")];
    assert_eq!(running.form("/planb/entries", &foreign, "kind=note&text=x").status, 403);
    let listed = running.get("/planb/entries", &anna).json();
    assert_eq!(listed["items"][0]["kind"], "punch");
    assert_eq!(listed["items"][1]["body"]["text"], "Par formulaire");
    assert_eq!(listed["items"][0]["by"], "anna");
}

#[test]
fn wrong_passwords_are_said_in_place_and_slowed() {
    let site = Site::packed();
    let running = site.start(&[]);
    for n in 0..4 {
        let refused = running.form("/planb/sign-in?lang=en", &[], "name=anna&password=x");
        assert_eq!(refused.status, 401, "{n}");
        assert!(
            refused.text().contains("do not match") && refused.text().contains("value=\"anna\"")
        );
        assert!(refused.header("www-authenticate").is_none(), "a browser asks by itself otherwise");
    }
    let slowed = running.form("/planb/sign-in", &[], "name=anna&password=x");
    assert_eq!(slowed.status, 429);
    assert!(slowed.text().contains("Réessayez dans"), "{}", slowed.text());
    let evil =
        running.form("/planb/sign-in", &[], "name=%22%3E%3Cscript%3E&password=x&back=//evil");
    assert!(!evil.text().contains("<script>") && !evil.text().contains("//evil"));
}

#[test]
fn killed_between_any_two_entries_everything_answered_is_there_once() {
    let site = Site::packed();
    let mut answered = BTreeSet::new();
    for life in 0..5 {
        let running = site.start(&[]);
        let key = site.key();
        let (planb, pid) = (running.planb, running.child.id().to_string());
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let key = key.clone();
                std::thread::Builder::new()
                    .spawn(move || {
                        let mut kept = Vec::new();
                        for n in 0.. {
                            let text = format!("{life}-{writer}-{n}");
                            let headers = [
                                ("x-api-key", key.as_str()),
                                ("idempotency-key", text.as_str()),
                                ("content-type", "application/json"),
                            ];
                            let body = note(&text).to_string();
                            match ask(planb, "POST", "/planb/entries", &headers, &body) {
                                Some(reply) if reply.status == 201 => {
                                    kept.push((
                                        text,
                                        reply.json()["id"].as_str().unwrap().to_owned(),
                                    ));
                                }
                                _ => return (kept, text),
                            }
                        }
                        unreachable!("the box is killed")
                    })
                    .unwrap()
            })
            .collect();
        std::thread::sleep(Duration::from_millis(150 + life * 60));
        assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
        let ends: Vec<_> = writers.into_iter().map(|w| w.join().unwrap()).collect();
        drop(running);
        // A torn line at the end, as a power cut leaves one, and a try again of what got no answer.
        let file = waiting(&site.place).unwrap().pop().unwrap();
        let path = site.place.outbox().join(format!("{}.jsonl", file.id));
        fs::OpenOptions::new().append(true).open(path).unwrap().write_all(b"{\"id\":\"01").unwrap();
        let again = site.start(&[]);
        for (kept, last) in ends {
            let headers = [("x-api-key", key.as_str()), ("idempotency-key", last.as_str())];
            let reply = again.enter(&headers, &note(&last));
            assert_eq!(reply.status, 201, "{}", reply.text());
            answered.insert(last);
            for (text, id) in kept {
                let headers = [("x-api-key", key.as_str()), ("idempotency-key", text.as_str())];
                if text.ends_with("-0") {
                    let same = again.enter(&headers, &note(&text)).json();
                    assert_eq!(same["id"], json!(id), "the same entry in the next run");
                }
                answered.insert(text);
            }
        }
    }
    let texts = site.texts();
    let once: BTreeSet<String> = texts.iter().cloned().collect();
    assert_eq!(texts.len(), once.len(), "nothing twice");
    assert_eq!(
        answered.difference(&once).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "nothing lost"
    );
    assert!(answered.len() > 20, "{}", answered.len());
    let told: Value =
        serde_json::from_str(&site.ends(&["planb", "outbox", "verify", "--json"], 0)).unwrap();
    assert_eq!(told["sound"], true);
    let live = waiting(&site.place).unwrap();
    assert!(live.iter().all(|file| !file.live && file.damage.is_none()));
    archive(&site.place, live[0].id).unwrap();
    site.ends(&["planb", "outbox", "list", "--all"], 0);
}

#[test]
fn a_tampered_pack_falls_back_and_the_command_line_tells() {
    let site = Site::packed();
    site.ends(&["planb", "pack", "verify"], 0);
    let manifest = site.place.pack().join("manifest.json");
    let whole = fs::read_to_string(&manifest).unwrap();
    fs::write(site.place.pack().join("manifest.previous.json"), &whole).unwrap();
    fs::write(&manifest, whole.replace("Dépôt", "Depot")).unwrap();
    let running = site.start(&[]);
    assert!(running.page("/planb", &[]).text().contains("celui-ci est le précédent"));
    let told = site.ends(&["planb", "pack", "verify", "--json"], 6);
    assert!(told.contains("manifest.json"), "{told}");
    // While it runs the pack may be written anew: the page follows.
    fs::write(&manifest, &whole).unwrap();
    assert!(!running.page("/planb", &[]).text().contains("celui-ci est le précédent"));
    let paper = site.place.pack().join("files").join(sha256(PAPER));
    fs::write(&paper, b"%PDF-1.4 consignez").unwrap();
    assert_eq!(running.get(&format!("/planb/file/{}", sha256(PAPER)), &[]).status, 503);
    site.ends(&["planb", "pack", "verify"], 6);
    fs::remove_dir_all(site.place.pack()).unwrap();
    site.ends(&["planb", "pack", "show"], 3);
}

#[test]
fn the_originals_layout_and_addresses_that_are_held_do_not_keep_it_from_answering() {
    let site = Site::new();
    let base = site.folder.path().join("archipel");
    fs::create_dir_all(&base).unwrap();
    let place = Place::of_base_dir(&base);
    let line =
        ["planb", "--base-dir", base.to_str().unwrap(), "--host", "127.0.0.1", "--port", "0"];
    let running = site.start_as(&line, &place);
    assert!(running.http.is_none(), "no front without a box");
    let key = fs::read_to_string(base.join(".runtime/api_key.txt")).unwrap();
    assert_eq!(running.get("/status", &[("x-api-key", key.trim())]).status, 200);
    assert!(!site.data.join("planb/api_key.txt").exists());
    // The front's address is held: the other door answers, and the front as soon as it is let go.
    let site = Site::packed();
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let front = held.local_addr().unwrap();
    let running = site.start(&["--http", &front.to_string()]);
    assert_eq!(running.get("/health", &[]).status, 200);
    drop(held);
    until("the front", || {
        ask(front, "GET", "/planb", &[("accept", "text/html")], "").filter(|r| r.status == 200)
    });
}

/// Only what can be said of files without looking at more than them.
#[test]
fn files_of_plan_b_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let site = Site::packed();
    let running = site.start(&[]);
    assert_eq!(running.enter(&[("x-api-key", &site.key())], &note("x")).status, 201);
    let mut folders = vec![site.place.root().to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().flatten() {
            let path = entry.path();
            if Path::is_dir(&path) {
                folders.push(path.clone());
            }
            let mode = entry.metadata().unwrap().permissions().mode() & 0o077;
            assert_eq!(mode, 0, "{path:?}");
        }
    }
}
