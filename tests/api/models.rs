//! Models: in through a look by a child, one at work, out again; and who may do which of it.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::ask::{Ask, House, ask, get, post};

/// A real model of 260,000 parameters, or nothing where the data is not there.
fn stories(name: &str) -> Option<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(name);
    let bytes = std::fs::read(&path).ok();
    if bytes.is_none() {
        eprintln!("skipped: there is no {}", path.display());
    }
    bytes
}

const MODEL: &str = "stories260K-q8_0.gguf";

/// A box with a folder for models, its administrator's token, and the folder.
fn shelf() -> (House, String, PathBuf, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().join("models");
    let (house, chef) =
        House::ready_with(&[("models.folder", models.to_str().unwrap()), ("assistant.slots", "1")]);
    (house, chef, models, folder)
}

fn bring(fields: &[(&str, &str)], files: &[(&str, &[u8])]) -> Ask {
    let mut form = super::ask::upload_with(fields, files);
    "/models".clone_into(&mut form.path);
    form
}

fn journal(house: &House, token: &str) -> String {
    let all = house.ask(get("/admin/audit-logs?limit=100").by(token));
    String::from_utf8_lossy(&all.bytes).into_owned()
}

#[test]
fn a_model_comes_in_works_and_goes() {
    let Some(bytes) = stories(MODEL) else { return };
    let (house, chef, folder, _kept) = shelf();
    let form = bring(&[("name", "Petit conte"), ("bytes", "379360")], &[(MODEL, &bytes)]);
    let added = house.check(form.by(&chef), 201, &json!({"model": {"name": "petit-conte"}}));
    let model = &added["model"];
    assert_eq!((&model["state"], &model["in_use"]), (&json!("ready"), &json!(false)));
    assert_eq!(model["card"]["architecture"], "llama", "{model}");
    assert_eq!((&model["bytes"], &model["added_by"]), (&json!(bytes.len()), &json!("Chef")));
    assert_eq!(model["files"][0]["sha256"].as_str().unwrap().len(), 64);
    assert!(model["memory"]["total"].as_u64().unwrap() > bytes.len() as u64, "{model}");
    assert!(folder.join("petit-conte/stories260k-q8_0.gguf").exists());
    assert!(!folder.join("petit-conte.part").exists());
    // The name is taken, whatever comes under it.
    let again = bring(&[("name", "petit-conte")], &[(MODEL, &bytes)]);
    house.refuses(again.by(&chef), 409, "model_exists");
    let used = post("/models/petit-conte/use", &json!({})).by(&chef);
    house.check(used, 200, &json!({"model": {"in_use": true}}));
    let listed = house.check(get("/models").by(&chef), 200, &json!({"adding": []}));
    assert_eq!(listed["engine"]["model"], "petit-conte");
    house.check(get("/health"), 200, &json!({"llm": "petit-conte"}));
    house.refuses(ask("DELETE", "/models/petit-conte").by(&chef), 409, "model_in_use");
    house.check(post("/models/none/use", &json!({})).by(&chef), 200, &json!({"model": null}));
    house.check(get("/health"), 200, &json!({"llm": "missing"}));
    house.check(post("/models/petit-conte/use", &json!({})).by(&chef), 200, &json!({}));
    house.check(ask("DELETE", "/models/petit-conte?force=true").by(&chef), 200, &json!({}));
    assert!(!folder.join("petit-conte").exists());
    house.refuses(get("/models/petit-conte").by(&chef), 404, "model_unknown");
    house.check(get("/health"), 200, &json!({"llm": "missing"}));
    let journal = journal(&house, &chef);
    for deed in ["model.add", "model.use", "model.remove"] {
        assert!(journal.contains(deed), "{deed} is not in {journal}");
    }
}

#[test]
fn what_is_no_model_is_refused_and_leaves_nothing() {
    let (house, chef, folder, _kept) = shelf();
    let hostile: [(&str, Vec<u8>); 4] = [
        ("a.gguf", b"not a model at all".to_vec()),
        ("b.gguf", b"GGUF".to_vec()),
        // A count of tensors that no file has.
        ("c.gguf", [&b"GGUF\x03\0\0\0"[..], &[0xff; 16]].concat()),
        ("d.gguf", Vec::new()),
    ];
    for (name, bytes) in &hostile {
        let reply = house.ask(bring(&[], &[(name, bytes)]).by(&chef));
        let code = reply.json()["code"].as_str().unwrap_or_default().to_owned();
        assert!((400..504).contains(&reply.status), "{name}: {}", reply.json());
        assert!(["model_damaged", "model_unsupported"].contains(&code.as_str()), "{name}: {code}");
    }
    for (name, code) in [("a.bin", "model_file_unknown"), ("none.gguf", "model_name_invalid")] {
        house.refuses(bring(&[], &[(name, b"x")]).by(&chef), 400, code);
    }
    let huge = bring(&[("bytes", "9000000000000000000")], &[("e.gguf", b"GGUF")]);
    house.refuses(huge.by(&chef), 507, "disk_full");
    let left: Vec<_> = std::fs::read_dir(&folder).into_iter().flatten().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
    let spool = house.app().desks().thinking.models.spool();
    assert_eq!(std::fs::read_dir(spool).unwrap().count(), 0, "the spool is empty again");
    let listed = house.ask(get("/models").by(&chef)).json();
    assert_eq!((&listed["items"], &listed["adding"]), (&json!([]), &json!([])));
}

#[test]
fn a_folder_put_there_by_hand_is_taken_in_and_watched() {
    let Some(bytes) = stories(MODEL) else { return };
    let (house, chef, folder, _kept) = shelf();
    let put = |name: &str, file: &str, bytes: &[u8]| {
        std::fs::create_dir_all(folder.join(name)).unwrap();
        std::fs::write(folder.join(name).join(file), bytes).unwrap();
    };
    put("conte", "w.gguf", &bytes);
    put("faux", "w.gguf", b"GGUF and no more");
    put("Mal Nommé", "w.gguf", &bytes);
    put("vide", "readme.txt", b"nothing");
    let state = |name: &str| {
        let listed = house.ask(get("/models").by(&chef)).json();
        let items = listed["items"].as_array().unwrap().clone();
        items.iter().find(|m| m["name"] == name).map(|m| m["state"].clone()).unwrap_or_default()
    };
    assert_eq!((state("conte"), state("vide")), (json!("unchecked"), Value::Null));
    house.refuses(post("/models/conte/use", &json!({})).by(&chef), 404, "model_unknown");
    let lines = |house: &House| {
        let done = house.check(ask("POST", "/models/rescan").by(&chef), 200, &json!({}));
        let items = done["items"].as_array().unwrap().clone();
        let line = |name: &str| {
            let line = items.iter().find(|line| line["name"] == name);
            line.map(|line| line["outcome"].as_str().unwrap().to_owned()).unwrap_or_default()
        };
        ["conte", "faux", "Mal Nommé", "vide"].map(line)
    };
    assert_eq!(lines(&house), ["added", "refused", "refused", ""]);
    assert_eq!(lines(&house)[0], "unchanged");
    house.check(post("/models/conte/use", &json!({})).by(&chef), 200, &json!({}));
    // One byte of the weights turns over: same length, another hash.
    let mut turned = bytes.clone();
    *turned.last_mut().unwrap() ^= 1;
    put("conte", "w.gguf", &turned);
    assert_eq!(lines(&house)[0], "damaged");
    assert_eq!(state("conte"), "damaged");
    house.refuses(post("/models/conte/use", &json!({})).by(&chef), 409, "model_damaged");
    put("conte", "w.gguf", &turned[..100]);
    assert_eq!(state("conte"), "damaged");
    std::fs::remove_file(folder.join("conte/w.gguf")).unwrap();
    assert_eq!(state("conte"), "missing");
    house.refuses(post("/models/conte/use", &json!({})).by(&chef), 409, "model_missing");
}

#[test]
fn a_model_that_cannot_fit_is_refused_with_numbers() {
    let Some(bytes) = stories(MODEL) else { return };
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().join("models");
    let (house, chef) = House::ready_with(&[
        ("models.folder", models.to_str().unwrap()),
        ("assistant.memory_mib", "1"),
    ]);
    house.check(bring(&[("name", "conte")], &[(MODEL, &bytes)]).by(&chef), 201, &json!({}));
    let reply = house.ask(post("/models/conte/use", &json!({})).by(&chef));
    assert_eq!((reply.status, &reply.json()["code"]), (409, &json!("model_too_large")));
    let words = reply.json()["detail"].as_str().unwrap().to_owned();
    assert!(
        words.contains("MiB for a context of 512 tokens") && words.contains("1 MiB"),
        "{words}"
    );
}

#[test]
fn only_who_manages_the_assistant_changes_models_and_only_freshly() {
    let (house, chef, ..) = shelf();
    let (_, viewer) = house.person(&chef, "zoe", "viewer");
    let changes = || {
        [
            bring(&[], &[("a.gguf", b"GGUF")]),
            ask("POST", "/models/rescan"),
            post("/models/none/use", &json!({})),
            ask("DELETE", "/models/a"),
        ]
    };
    for change in changes() {
        house.refuses(change.by(&viewer), 403, "right_missing");
    }
    // The password was given too long ago.
    house.clock.pass(std::time::Duration::from_mins(30));
    for change in changes() {
        house.refuses(change.by(&chef), 403, "step_up_required");
    }
    house.check(get("/models").by(&chef), 200, &json!({"items": []}));
}
