//! Documents on their way in, in lists, as texts and as files, and out again.

use std::time::Duration;

use serde_json::{Value, json};

use super::ask::{House, ask, fixture, get, post, upload, upload_with};

fn id(item: &Value) -> String {
    item["id"].as_str().unwrap().to_owned()
}

/// Some hundred kilobytes of text in which no two lines are the same.
fn long_text() -> String {
    let line = |n: usize| format!("Ligne {n} : le camion {} part à l'heure.\n", n * 7 % 1000);
    (0..12_000).map(line).collect()
}

#[test]
fn one_bad_file_of_many_is_refused_alone() {
    let (house, admin) = House::ready_with(&[("documents.file_max_mib", "1")]);
    let large = vec![b'x'; (1 << 20) + 1];
    let brim = vec![b'y'; 1 << 20];
    let files: &[(&str, &[u8])] = &[
        ("notes/un.txt", b"le premier texte"),
        ("vide.txt", b""),
        ("../../etc/passwd.txt", b"root"),
        ("..\\..\\boot.txt", b"boot"),
        ("C:\\Dossier\\deux.txt", b"le deuxieme texte"),
        ("/etc/trois.txt", b"le troisieme texte"),
        ("image.bin", &[0, 159, 146, 150, 0, 1, 2, 3]),
        ("grand.txt", &large),
        ("juste.txt", &brim),
        ("", b"sans nom"),
        ("<script>alert(1)</script>.txt", b"un nom mechant"),
        ("été — 李雷 😀.txt", b"un nom d'ailleurs"),
    ];
    let items = house.send(&admin, "Quai 3", files);
    let outcomes: Vec<(&str, &str)> = items
        .iter()
        .map(|item| {
            (
                item["outcome"].as_str().unwrap(),
                item["fault"]["code"]
                    .as_str()
                    .unwrap_or_else(|| item["document"]["path"].as_str().unwrap()),
            )
        })
        .collect();
    assert_eq!(
        outcomes,
        [
            ("added", "notes/un.txt"),
            ("refused", "file_empty"),
            ("refused", "path_invalid"),
            ("refused", "path_invalid"),
            ("added", "Dossier/deux.txt"),
            ("added", "etc/trois.txt"),
            ("refused", "format_unknown"),
            ("refused", "document_too_large"),
            ("added", "juste.txt"),
            ("refused", "path_invalid"),
            ("added", "<script>alert(1)<_script>.txt"),
            ("added", "été — 李雷 😀.txt"),
        ]
        .map(|(outcome, rest)| (
            outcome,
            if rest.contains("<_") { "<script>alert(1)</script>.txt" } else { rest }
        ))
    );
    for (item, (name, _)) in items.iter().zip(files) {
        assert_eq!(item["name"], *name);
    }
    house.settle(&admin);
    house.check(
        get("/rag/documents").by(&admin),
        200,
        &json!({"total": 6, "counts": {"ready": 6, "failed": 0, "queued": 0, "reading": 0}}),
    );
    house.check(
        get("/rag/collections").by(&admin),
        200,
        &json!({"items": [{"name": "Quai 3", "documents": 6}]}),
    );
}

#[test]
fn names_and_collections_that_will_not_do_are_refused() {
    let (house, admin) = House::ready();
    for collection in ["a/b", &"c".repeat(65), "a\u{1}b"] {
        let items = house.send(&admin, collection, &[("a.txt", b"un texte")]);
        assert_eq!(items[0]["fault"]["code"], "collection_invalid", "{collection:?}");
    }
    let long = format!("{}.txt", "n".repeat(1021));
    let items = house.send(&admin, "", &[(&long, b"un texte")]);
    assert_eq!(items[0]["fault"]["code"], "path_invalid");
    let much = "c".repeat(5000);
    house.refuses(upload(&much, &[("a.txt", b"x")]).by(&admin), 413, "field_too_large");
    house.check(get("/rag/documents").by(&admin), 200, &json!({"total": 0}));
}

#[test]
fn the_same_again_is_unchanged_and_another_file_takes_its_place() {
    let (house, admin) = House::ready();
    let send = |collection: &str, name: &str, text: &str| {
        house.send(&admin, collection, &[(name, text.as_bytes())]).remove(0)
    };
    let finds = |word: &str| {
        let body =
            house.check(post("/rag/query", &json!({"query": word})).by(&admin), 200, &json!({}));
        body["results"].as_array().unwrap().len()
    };
    let first = send("a", "plan.txt", "Le plan parle de coquelicots.");
    assert_eq!(first["outcome"], "added");
    house.settle(&admin);
    assert_eq!(finds("coquelicots"), 1);
    let again = send("a", "plan.txt", "Le plan parle de coquelicots.");
    assert_eq!((&again["outcome"], &again["id"]), (&json!("unchanged"), &first["id"]));
    let twin = send("a", "copie.txt", "Le plan parle de coquelicots.");
    assert_eq!((&twin["outcome"], &twin["id"]), (&json!("duplicate"), &first["id"]));
    let elsewhere = send("b", "copie.txt", "Le plan parle de coquelicots.");
    assert_eq!(elsewhere["outcome"], "added");
    let other = send("a", "plan.txt", "Le plan parle de pervenches.");
    assert_eq!((&other["outcome"], &other["id"]), (&json!("replaced"), &first["id"]));
    house.settle(&admin);
    assert_eq!(
        (finds("pervenches"), finds("coquelicots")),
        (1, 1),
        "the copy elsewhere is still found"
    );
    house.check(
        get(&format!("/rag/documents/{}/text", id(&first))).by(&admin),
        200,
        &json!({"text": "Le plan parle de pervenches."}),
    );
    // The bytes are kept once, and as long as somebody has them.
    house.check(
        ask("DELETE", &format!("/rag/documents/{}", id(&first))).by(&admin),
        200,
        &json!({}),
    );
    let file = house.ask(get(&format!("/rag/documents/{}/file", id(&elsewhere))).by(&admin));
    assert_eq!(file.bytes, b"Le plan parle de coquelicots.");
}

/// A retried upload of several files must not mistake its second file for its first.
#[test]
fn an_upload_that_is_sent_again_is_done_once_file_by_file() {
    let (house, admin) = House::ready();
    let form = || {
        upload("", &[("un.txt", b"le premier"), ("deux.txt", b"le second")])
            .by(&admin)
            .header("Idempotency-Key", "form-1")
    };
    let wanted = json!({"items": [
        {"outcome": "added", "document": {"path": "un.txt"}}, {"outcome": "added", "document": {"path": "deux.txt"}}]});
    let first = house.check(form(), 201, &wanted);
    let again = house.check(form(), 201, &json!({}));
    for file in 0..2 {
        assert_eq!(first["items"][file]["id"], again["items"][file]["id"]);
    }
    house.check(get("/rag/documents").by(&admin), 200, &json!({"total": 2}));
}

#[test]
fn a_file_comes_back_byte_for_byte_and_a_text_in_windows() {
    let (house, admin) = House::ready();
    let text = long_text();
    assert!(text.len() > 256 << 10, "it must need several parts");
    let pdf = fixture("reglement-libreoffice.pdf");
    let items =
        house.send(&admin, "", &[("long été.txt", text.as_bytes()), ("reglement.pdf", &pdf)]);
    house.settle(&admin);
    for (item, sent, kind) in
        [(&items[0], text.as_bytes(), "text/plain"), (&items[1], pdf.as_slice(), "application/pdf")]
    {
        let file = house.ask(get(&format!("/rag/documents/{}/file", id(item))).by(&admin));
        assert_eq!(file.status, 200);
        assert!(file.bytes == sent, "{} bytes came back of {}", file.bytes.len(), sent.len());
        assert_eq!(file.header("content-length"), sent.len().to_string());
        assert!(file.header("content-type").starts_with(kind));
        assert!(file.header("content-security-policy").starts_with("sandbox"));
        assert!(file.header("content-disposition").starts_with("attachment"));
    }
    let file = house.ask(get(&format!("/rag/documents/{}/file", id(&items[0]))).by(&admin));
    assert!(
        file.header("content-disposition").ends_with("''long%20%C3%A9t%C3%A9.txt"),
        "{}",
        file.header("content-disposition")
    );

    let path = format!("/rag/documents/{}/text", id(&items[0]));
    let window =
        |query: &str| house.check(get(&format!("{path}{query}")).by(&admin), 200, &json!({}));
    // The whole is longer than one answer: it comes in several.
    let (mut read, length) = (Vec::<char>::new(), window("")["length"].as_u64().unwrap());
    while (read.len() as u64) < length {
        let part = window(&format!("?start={}", read.len()));
        let fresh: Vec<char> = part["text"].as_str().unwrap().chars().collect();
        assert!((1..=200_000).contains(&fresh.len()), "{}", fresh.len());
        read.extend(fresh);
    }
    assert_eq!(read.iter().collect::<String>().trim_end(), text.trim_end());
    for (start, end) in
        [(0, 1), (16_383, 16_385), (16_384, 16_384), (16_384, 32_768), (100_000, 100_050)]
    {
        let wanted: String = read[start..end].iter().collect();
        let got = window(&format!("?start={start}&end={end}"));
        assert_eq!(
            (got["text"].as_str(), got["start"].as_u64()),
            (Some(wanted.as_str()), Some(start as u64))
        );
    }
    for (query, start, end) in
        [("?start=99999999", read.len(), read.len()), ("?start=10&end=5", 10, 10)]
    {
        let got = window(query);
        assert_eq!(got["text"], "");
        assert_eq!(
            (got["start"].as_u64(), got["end"].as_u64()),
            (Some(start as u64), Some(end as u64))
        );
    }
}

#[test]
fn lists_are_cut_and_filtered() {
    let (house, admin) = House::ready();
    let (scan, holidays) = (fixture("scan.pdf"), "# Congés d'été\n\nDu texte.".as_bytes());
    let files: [(&str, &str, &[u8]); 4] = [
        ("a", "un/plan.txt", b"un texte"),
        ("a", "deux.txt", b"deux textes"),
        ("a", "scan.pdf", &scan),
        ("b", "Plan Été.md", holidays),
    ];
    for (collection, name, bytes) in files {
        // What comes in the same millisecond has no order.
        house.clock.pass(Duration::from_millis(1));
        house.send(&admin, collection, &[(name, bytes)]);
    }
    house.settle(&admin);
    let paths = |query: &str| -> (Vec<String>, u64) {
        let body = house.check(get(&format!("/rag/documents?{query}")).by(&admin), 200, &json!({}));
        let items = body["items"].as_array().unwrap();
        let paths = items.iter().map(|d| d["path"].as_str().unwrap().to_owned()).collect();
        (paths, body["total"].as_u64().unwrap())
    };
    let all = ["Plan Été.md", "scan.pdf", "deux.txt", "un/plan.txt"];
    for (query, wanted, total) in [
        ("", &all[..], 4),
        ("limit=2", &all[..2], 4),
        ("limit=2&offset=1", &all[1..3], 4),
        ("offset=9", &[], 4),
        ("limit=0", &[], 4),
        ("limit=100000", &all[..], 4),
        ("collection=a", &all[1..], 3),
        ("collection=", &all[..], 4),
        ("collection=none", &[], 0),
        ("state=failed", &all[1..2], 1),
        ("state=ready&collection=a", &all[2..], 2),
        ("q=PLAN", &["Plan Été.md", "un/plan.txt"], 2),
        ("q=cong%C3%A9s", &all[..1], 1),
        ("q=%C3%89T%C3%89", &all[..1], 1),
        ("q=%3Cscript%3E", &[], 0),
    ] {
        let (got, count) = paths(query);
        assert_eq!(
            (got.iter().map(String::as_str).collect::<Vec<_>>(), count),
            (wanted.to_vec(), total),
            "{query}"
        );
    }
    let failed = house.check(
        get("/rag/documents?state=failed").by(&admin),
        200,
        &json!({"counts": {"ready": 3, "failed": 1}}),
    );
    let failed = &failed["items"][0];
    assert_eq!(failed["failure"]["code"], "document_without_text", "{failed}");
    house.refuses(
        get(&format!("/rag/documents/{}/text", id(failed))).by(&admin),
        409,
        "document_unread",
    );
    let names = house.check(get("/rag/collections").by(&admin), 200, &json!({}));
    assert_eq!(
        names["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| (c["name"].clone(), c["documents"].clone()))
            .collect::<Vec<_>>(),
        [(json!("a"), json!(3)), (json!("b"), json!(1))]
    );
}

#[test]
fn what_cannot_be_read_says_why_and_holds_up_nobody() {
    let (house, admin) = House::ready();
    let names = [
        ("encrypted.pdf", "document_encrypted"),
        ("encrypted.docx", "document_encrypted"),
        ("scan.pdf", "document_without_text"),
        ("endless.pdf", ""),
        ("bomb.pdf", ""),
        ("guide.md", "ready"),
    ];
    let bytes: Vec<_> = names.iter().map(|(name, _)| fixture(name)).collect();
    let files: Vec<(&str, &[u8])> =
        names.iter().zip(&bytes).map(|((name, _), b)| (*name, b.as_slice())).collect();
    let items = house.send(&admin, "", &files);
    house.settle(&admin);
    for (item, (name, wanted)) in items.iter().zip(names) {
        let document =
            house.check(get(&format!("/rag/documents/{}", id(item))).by(&admin), 200, &json!({}));
        let state = document["state"].as_str().unwrap();
        let code = document["failure"]["code"].as_str().unwrap_or(state);
        assert!(wanted.is_empty() && state == "failed" || code == wanted, "{name}: {document}");
    }
    // A failed document is read again when it is sent again, or when somebody asks.
    let again = house.send(&admin, "", &[("scan.pdf", &fixture("scan.pdf"))]);
    assert_eq!(again[0]["outcome"], "replaced");
    let one = format!("/rag/documents/{}/reindex", id(&items[0]));
    house.check(ask("POST", &one).by(&admin), 200, &json!({"state": "queued", "failure": null}));
    house.settle(&admin);
    house.check(
        get(&format!("/rag/documents/{}", id(&items[0]))).by(&admin),
        200,
        &json!({"state": "failed"}),
    );
}

#[test]
fn a_document_has_the_date_it_says_else_its_files() {
    let (house, admin) = House::ready();
    let fields = [("collection", ""), ("modified", "2024-03-05T10:00:00Z")];
    let form =
        upload_with(&fields, &[("a.txt", b"un texte"), ("b.txt", b"un autre texte")]).by(&admin);
    let dates = json!({"items": [{"document": {"date": "2024-03-05T10:00:00.000Z"}}, {"document": {"date": "2026-01-15T08:00:00.000Z"}}]});
    house.check(form, 201, &dates);
}

#[test]
fn the_mail_and_the_sheet_are_read_like_the_others() {
    let (house, admin) = House::ready();
    let names = [
        "retard.eml",
        "voyages.ods",
        "voyages.xls",
        "voyages-openpyxl.xlsx",
        "notes-libreoffice.odt",
        "reglement-python.docx",
        "absences.csv",
        "page.html",
        "voyages.json",
        "guide.rst",
        "owner-only.pdf",
    ];
    let bytes: Vec<_> = names.iter().map(|name| fixture(name)).collect();
    let files: Vec<(&str, &[u8])> =
        names.iter().zip(&bytes).map(|(name, b)| (*name, b.as_slice())).collect();
    house.send(&admin, "", &files);
    house.settle(&admin);
    let wanted = json!({"total": names.len(), "counts": {"ready": names.len(), "failed": 0}});
    house.check(get("/rag/documents").by(&admin), 200, &wanted);
}
