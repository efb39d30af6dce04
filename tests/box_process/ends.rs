//! How the box ends, and what is there afterwards.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::machine::{PASSWORD, PATIENCE, Place, form, head, repository, until};

/// Some text of `lines` lines, with a word of its own in it.
fn paper(word: &str, lines: usize) -> Vec<u8> {
    let line = |n: usize| format!("Ligne {n} du papier {word}, avec quelques mots.\n");
    (0..lines).map(line).collect::<String>().into_bytes()
}

#[test]
fn it_says_where_it_is_and_is_set_up_once() {
    let place = Place::new();
    let running = place.serve(&["--https", "127.0.0.1:0"]);
    let addresses: Value =
        serde_json::from_slice(&fs::read(place.data.join("run/addresses.json")).unwrap()).unwrap();
    let said = running.said();
    for door in ["http", "https"] {
        assert!(
            said.contains(&format!("{door}://{}/", addresses[door].as_str().unwrap())),
            "{said}"
        );
    }
    assert!(said.contains("SHA-256"), "{said}");
    let file = place.data.join("run/setup-link");
    let link = fs::read_to_string(&file).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(
        link.starts_with(&format!("http://{}/ui/setup?token=", running.http))
            && said.contains(&link),
        "{link}"
    );
    assert_eq!(place.ends(&["setup-link"], 0).trim(), link);
    assert_eq!(place.tells(&["setup-link"], 0), json!({"setup_link": link}));

    // A second one would write into the same folder.
    place.ends(&["serve"], 5);
    place.ends(&["check", "--store"], 5);

    let password = place.folder.path().join("password");
    let setup = [
        "setup",
        "--site",
        "Dépôt",
        "--admin",
        "chef",
        "--password-file",
        password.to_str().unwrap(),
    ];
    assert_eq!(place.tells(&setup, 0), json!({"setup": "done"}));
    assert_eq!(place.tells(&setup, 0), json!({"setup": "already done"}));
    // A link that is good for nothing any more is not shown.
    place.ends(&["setup-link"], 3);
    let body = json!({"username": "chef", "password": PASSWORD});
    assert_eq!(running.send("POST", "/auth/login", &body).status, 200);

    let (code, _) = running.stop();
    assert_eq!(code, Some(0));
    assert!(!place.data.join("run/addresses.json").exists());
    let again = place.serve(&[]);
    assert!(!again.said().contains("token="), "{}", again.said());
    assert_eq!(again.send("POST", "/auth/login", &body).status, 200);
}

#[test]
fn a_word_to_stop_ends_it_in_time_though_an_upload_is_half_done() {
    let place = Place::new();
    let running = place.home(&[]);
    let whole = form("grand.txt", &paper("grand", 200_000));
    let proof = format!("Bearer {}", running.token);
    let headers = [
        ("authorization", proof.as_str()),
        ("content-type", "multipart/form-data; boundary=----b0undary"),
    ];
    let mut half = TcpStream::connect(running.http).unwrap();
    half.write_all(head("POST", "/rag/documents", &headers, whole.len()).as_bytes()).unwrap();
    half.write_all(&whole[..whole.len() / 2]).unwrap();
    let spool = place.data.join("spool");
    until("the upload to be under way", || fs::read_dir(&spool).unwrap().next().map(drop));
    let (code, took) = running.stop();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_millis(5_500), "{took:?}");
    let again = place.home(&[]);
    assert_eq!(again.get("/rag/documents").json()["total"], 0);
    assert_eq!(fs::read_dir(&spool).unwrap().count(), 0, "nobody tidied the spool");
}

#[test]
fn a_word_to_stop_closes_open_sockets_and_does_not_wait_for_them() {
    let place = Place::new();
    let running = place.home(&[]);
    let shake = format!(
        "GET /ws?token={} HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        running.token
    );
    let mut socket = TcpStream::connect(running.http).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(shake.as_bytes()).unwrap();
    let mut first = [0; 12];
    socket.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 101");
    until("the socket to be counted", || {
        (running.get("/ws/status").json()["connected_clients"] == 1).then_some(())
    });
    let (code, took) = running.stop();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(3), "a socket held the box up: {took:?}");
    let mut rest = Vec::new();
    let _ = socket.read_to_end(&mut rest);
    // A close frame, 1001 and its reason (RFC 6455 §5.5.1).
    let frame = [&[0x88, 10, 0x03, 0xe9][..], b"shutdown"].concat();
    assert!(rest.ends_with(&frame), "{:?}", String::from_utf8_lossy(&rest));
}

#[test]
fn an_upload_that_falls_silent_is_told_so_and_leaves_nothing() {
    let place = Place::new();
    let running = place.home(&["--set", "listen.floor_grace_seconds=1"]);
    let whole = form("lent.txt", &paper("lent", 20_000));
    let proof = format!("Bearer {}", running.token);
    let headers = [
        ("authorization", proof.as_str()),
        ("content-type", "multipart/form-data; boundary=----b0undary"),
    ];
    let mut half = TcpStream::connect(running.http).unwrap();
    half.write_all(head("POST", "/rag/documents", &headers, whole.len()).as_bytes()).unwrap();
    half.write_all(&whole[..whole.len() / 2]).unwrap();
    half.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = String::new();
    let _ = half.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("body_too_slow"), "{answer}");
    until("the spool to be empty", || {
        (fs::read_dir(place.data.join("spool")).unwrap().count() == 0).then_some(())
    });
    assert_eq!(running.get("/rag/documents").json()["total"], 0);
}

#[test]
fn what_was_acknowledged_outlives_a_power_cut_and_everything_is_read() {
    let place = Place::new();
    let mut sent: Vec<(String, Vec<u8>)> = Vec::new();
    for round in 0..3 {
        let running = place.home(&[]);
        for n in 0..4 {
            // The third is of several parts; the fourth cannot be read.
            let bytes = match n {
                2 => paper(&format!("r{round}n{n}"), 12_000),
                3 => fs::read(repository().join("tests/fixtures/documents/scan.pdf")).unwrap(),
                _ => paper(&format!("r{round}n{n}"), 50),
            };
            let name = format!("c{round}/{n}.{}", if n == 3 { "pdf" } else { "txt" });
            if n == 3 && round > 0 {
                continue;
            }
            sent.push((running.add(&name, &bytes), bytes));
        }
        running.kill();
    }
    let running = place.home(&[]);
    let status = running.settle();
    assert_eq!(
        status["documents"],
        json!({"queued": 0, "reading": 0, "ready": sent.len() - 1, "failed": 1}),
        "{status}"
    );
    for (id, bytes) in &sent {
        let file = running.get(&format!("/rag/documents/{id}/file"));
        assert!(file.status == 200 && &file.bytes == bytes, "{id}: {}", file.status);
    }
    assert_eq!(running.finds("r1n0"), ["c1/0.txt"]);
    assert_eq!(running.finds("r2n2"), ["c2/2.txt"]);
    running.stop();
    // The journal of all that is one unbroken chain.
    let report = place.tells(&["check", "--store"], 0);
    assert!(report["journal_links"].as_u64().unwrap() > 20, "{report}");
}

#[test]
fn indexes_that_are_gone_or_damaged_are_made_anew() {
    let place = Place::new();
    let index = place.data.join("index");
    let running = place.home(&[]);
    running.add("un.txt", &paper("coquelicot", 5));
    running.add("deux.txt", &paper("pervenche", 5));
    running.settle();
    running.stop();

    fs::remove_dir_all(&index).unwrap();
    let running = place.home(&[]);
    running.settle();
    assert_eq!(
        (running.finds("coquelicot"), running.finds("pervenche")),
        (vec!["un.txt".to_owned()], vec!["deux.txt".to_owned()])
    );
    running.stop();

    for damage in [&b"nonsense"[..], b""] {
        let files = every_file(&index);
        assert!(!files.is_empty());
        for file in &files {
            fs::write(file, damage).unwrap();
        }
        let running = place.home(&[]);
        running.settle();
        assert_eq!(running.finds("pervenche"), ["deux.txt"]);
        running.stop();
    }
}

#[test]
fn meaning_is_found_with_the_model_and_outlives_damage() {
    let models = repository().join("models");
    if !models.join("all-minilm-l6-v2/model.safetensors").exists() {
        println!("skipped: there is no model in {}", models.display());
        return;
    }
    let place = Place::new();
    let with_model = ["--models", models.to_str().unwrap()];
    let by_meaning = |running: &super::machine::Running| {
        let status = running.settle();
        assert_eq!((&status["model"]["present"], &status["vectors"]), (&json!(true), &json!(2)));
        // Not one word of the question stands in the text.
        let body = json!({"query": "automobile repair", "top_k": 1});
        let found = running.send("POST", "/rag/query", &body).json();
        assert_eq!(found["lexical_only"], false, "{found}");
        assert_eq!(found["results"][0]["source"]["path"], "car.txt", "{found}");
        assert_eq!(found["results"][0]["retrievers"], json!(["meaning"]), "{found}");
    };
    let running = place.home(&with_model);
    running.add("car.txt", b"The mechanic fixed the broken car in the garage.");
    running.add("cake.txt", b"Mix the flour with two eggs and some sugar.");
    by_meaning(&running);
    running.kill();
    let running = place.home(&with_model);
    by_meaning(&running);
    running.stop();
    let vectors = every_file(&place.data.join("index/vectors"));
    assert!(!vectors.is_empty());
    for file in vectors {
        fs::write(file, b"nonsense").unwrap();
    }
    by_meaning(&place.home(&with_model));
}

fn every_file(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            files.extend(every_file(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files
}

#[test]
fn what_is_dropped_into_the_inbox_is_learned() {
    let place = Place::new();
    let running = place.home(&["--set", "documents.inbox_seconds=1"]);
    let inbox = place.data.join("inbox");
    let drop = |name: &str, bytes: &[u8]| {
        fs::create_dir_all(inbox.join(name).parent().unwrap()).unwrap();
        fs::write(inbox.join(name), bytes).unwrap();
    };
    drop("broken.pdf", b"%PDF-1.4\nthis is no document");
    drop("notice.txt", &paper("coquelicot", 5));
    drop("regles/pauses.txt", &paper("pervenche", 5));
    drop("half.txt.part", &paper("inachevé", 5));
    drop(".hidden.txt", &paper("caché", 5));
    let counts = |ready: u64, failed: u64| {
        until("the inbox to be learned", || {
            let counts = running.settle()["documents"].clone();
            (counts["ready"] == ready && counts["failed"] == failed).then_some(())
        });
    };
    counts(2, 1);
    let listed = running.get("/rag/documents?state=failed").json();
    assert_eq!(listed["items"][0]["failure"]["code"], "document_damaged", "{listed}");
    assert_eq!(
        running.get("/rag/documents?collection=regles").json()["items"][0]["path"],
        "pauses.txt"
    );
    assert_eq!(running.finds("coquelicot"), ["notice.txt"]);
    // A changed file takes the old one's place.
    drop("notice.txt", &paper("tournesol", 9));
    until("the change to be learned", || {
        (running.finds("tournesol") == ["notice.txt"]).then_some(())
    });
    assert_eq!(running.finds("coquelicot"), [] as [&str; 0]);
    counts(2, 1);
}

/// A disk of its own that is small; none, with the reason printed, where there can be none.
struct SmallDisk<'p>(&'p Path);

impl<'p> SmallDisk<'p> {
    fn mount(at: &'p Path) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=64m", "none"]).arg(at).output();
        match mounted {
            Ok(done) if done.status.success() => Some(Self(at)),
            other => {
                println!("skipped: no small disk can be mounted here (needs root): {other:?}");
                None
            }
        }
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_refuses_writes_and_goes_on_reading() {
    let place = Place::new();
    let Some(_disk) = SmallDisk::mount(&place.data) else { return };
    let running = place.home(&["--set", "store.reserve_mib=8"]);
    let kept = running.add("un.txt", &paper("coquelicot", 5));
    let spare = running.add("trop.txt", &paper("bleuet", 5));
    running.settle();
    let ballast = place.data.join("ballast");
    let fill = |leave: usize| {
        let _ = fs::remove_file(&ballast);
        let (mut file, block) = (fs::File::create(&ballast).unwrap(), vec![0; 64 << 10]);
        // To the brim, then back by what is to be left.
        while file.write_all(&block).is_ok() {}
        let full = file.metadata().unwrap().len();
        file.set_len(full.saturating_sub(leave as u64)).unwrap();
    };
    // Below the reserve, and then with no byte at all.
    for (round, leave) in [4 << 20, 0].into_iter().enumerate() {
        fill(leave);
        // The room left is looked at now and then, so the first to come may still be taken.
        let refused = until("a refusal", || {
            let reply = running.upload("deux.txt", &paper("pervenche", 5));
            (reply.status != 201).then_some(reply)
        });
        assert_eq!(
            (refused.status, &refused.json()["code"]),
            (507, &json!("disk_full")),
            "{}",
            refused.json()
        );
        assert_eq!(running.get("/health").status, 200);
        if leave > 0 {
            // Whoever is to make room can sign in and delete.
            let body = json!({"username": "chef", "password": PASSWORD});
            assert_eq!(running.send("POST", "/auth/login", &body).status, 200);
            let wrong = json!({"username": "chef", "password": "wrong"});
            assert_eq!(running.send("POST", "/auth/login", &wrong).status, 401);
            assert_eq!(
                running.send("DELETE", &format!("/rag/documents/{spare}"), &json!({})).status,
                200
            );
        }
        assert_eq!(running.finds("coquelicot"), ["un.txt"]);
        assert_eq!(
            running.get(&format!("/rag/documents/{kept}/file")).bytes,
            paper("coquelicot", 5)
        );
        fs::remove_file(&ballast).unwrap();
        let name = format!("apres-{round}.txt");
        until("writing to work again", || {
            (running.upload(&name, &paper(&name, 5)).status == 201).then_some(())
        });
        running.settle();
        assert_eq!(running.finds("coquelicot"), ["un.txt"]);
    }
    assert_eq!(running.stop().0, Some(0));
    let running = place.home(&["--set", "store.reserve_mib=8"]);
    let counts = running.settle()["documents"].clone();
    assert!(counts["ready"].as_u64() >= Some(3) && counts["failed"] == 0, "{counts}");
}
