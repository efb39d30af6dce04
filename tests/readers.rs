//! Documents from real tools are read; damaged and hostile ones are named, and nobody else suffers.

use std::io::{Read as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ilot::base::clock::Moment;
use ilot::base::fault::Fault;
use ilot::engines::readers::child::{ChildLimits, Reader};
use ilot::engines::readers::{Extract, FIRST_BYTES, Format, Limits, read};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/documents").join(name)
}

fn reader() -> Reader {
    Reader { program: env!("CARGO_BIN_EXE_ilot").into(), limits: ChildLimits::default() }
}

/// Detects and reads a file as the box does: by its name, its first bytes, in a child process.
fn through_child(path: &Path) -> Result<Extract, Fault> {
    let bytes = std::fs::read(path).unwrap();
    let name = path.file_name().unwrap().to_string_lossy();
    let format = Format::detect(&name, &bytes[..bytes.len().min(FIRST_BYTES)])?;
    reader().read(format, path)
}

fn spool(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (dir, path)
}

/// What the child says of these bytes under this name.
fn code_of(name: &str, bytes: &[u8]) -> String {
    let (_dir, path) = spool(name, bytes);
    match through_child(&path) {
        Ok(extract) => format!("read {:?}", extract.text.chars().take(80).collect::<String>()),
        Err(fault) => {
            println!("{name}: {fault}");
            fault.code.to_owned()
        }
    }
}

fn zip_of(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in parts {
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// A file, the words it must hold in this order, its headings with levels, and its title.
struct Good {
    name: &'static str,
    words: &'static [&'static str],
    headings: &'static [(u8, &'static str)],
    title: Option<&'static str>,
}

const SERVICE: &str = "Chaque chauffeur se présente au dépôt à 5 h 30. Il vérifie le véhicule, signale toute défaillance";
const FLEET: &str = "L’affectation efficace des véhicules en dépend ; la flotte est suffisante";
const RULES: &[(u8, &str)] =
    &[(1, "Règlement du dépôt"), (1, "Prise de service"), (2, "Retards"), (1, "Fin de service")];
const RULES_BY_SIZE: &[(u8, &str)] =
    &[(1, "Règlement du dépôt"), (2, "Prise de service"), (2, "Retards"), (2, "Fin de service")];

const GOOD: &[Good] = &[
    Good {
        name: "reglement-python.docx",
        words: &[
            SERVICE,
            "L’œuvre d’art",
            FLEET,
            "- noter l’heure",
            "A12 | 05:45 | Noël Lefèvre",
            "Les clés",
        ],
        headings: RULES,
        title: Some("Règlement du dépôt"),
    },
    Good {
        name: "titres-fr.docx",
        words: &[SERVICE, "B07 | 06:10 | Zoé Müller"],
        headings: RULES,
        title: Some("Règlement du dépôt"),
    },
    Good {
        name: "reglement-libreoffice.docx",
        words: &[SERVICE, FLEET, "- noter l’heure", "A12 | 05:45 | Noël Lefèvre", "Les clés"],
        headings: RULES,
        title: Some("Règlement du dépôt"),
    },
    Good {
        name: "reglement-libreoffice.odt",
        words: &[SERVICE, FLEET, "noter l’heure", "A12 | 05:45 | Noël Lefèvre", "Les clés"],
        headings: RULES,
        title: Some("Règlement du dépôt"),
    },
    Good {
        name: "notes-libreoffice.odt",
        words: &[
            "Le quai nord reçoit les bus articulés.",
            "Ouvert de mars à octobre seulement.",
            "- reculer au pas\n- guider à deux\n- un devant",
            "Place | Bus gabarit\n12 | 18 m",
            "Avant après\nligne.",
        ],
        headings: &[(1, "Quai nord"), (2, "Places")],
        title: Some("Notes de quai"),
    },
    Good {
        name: "notes-libreoffice.docx",
        words: &[
            "Le quai nord reçoit les bus articulés.",
            "- reculer au pas\n- guider à deux\n- un devant",
            "Place | Bus gabarit\n12 | 18 m",
            "Avant après\nligne.",
            "Ouvert de mars à octobre seulement.",
        ],
        headings: &[(1, "Quai nord"), (2, "Places")],
        title: Some("Notes de quai"),
    },
    Good {
        name: "reglement-libreoffice.pdf",
        words: &[
            SERVICE,
            "L’œuvre d’art",
            FLEET,
            "noter l’heure",
            "A12 05:45 Noël Lefèvre",
            "Les clés",
        ],
        headings: &[
            (1, "Règlement du dépôt"),
            (2, "Prise de service"),
            (3, "Retards"),
            (2, "Fin de service"),
        ],
        title: Some("Règlement du dépôt"),
    },
    Good {
        name: "reglement-weasyprint.pdf",
        words: &[SERVICE, "L’œuvre d’art", FLEET, "A12 05:45", "Les clés"],
        headings: RULES_BY_SIZE,
        title: Some("Règlement du dépôt"),
    },
    Good {
        name: "reglement-chromium.pdf",
        words: &[SERVICE, "L’œuvre d’art", FLEET, "A12 05:45", "Les clés"],
        headings: RULES_BY_SIZE,
        title: Some("Règlement du dépôt"),
    },
    Good {
        name: "reglement-reportlab.pdf",
        words: &[
            SERVICE,
            "L'affectation efficace des véhicules en dépend",
            "Noël Lefèvre",
            "Les clés",
        ],
        headings: &[
            (1, "Règlement du dépôt"),
            (1, "Prise de service"),
            (2, "Retards"),
            (1, "Fin de service"),
        ],
        title: Some("Règlement du dépôt"),
    },
    Good {
        name: "owner-only.pdf",
        words: &[SERVICE, "Les clés"],
        headings: &[
            (1, "Règlement du dépôt"),
            (1, "Prise de service"),
            (2, "Retards"),
            (1, "Fin de service"),
        ],
        title: Some("Règlement du dépôt"),
    },
    Good {
        name: "voyages-openpyxl.xlsx",
        words: VOYAGES,
        headings: &[(1, "Voyages"), (1, "Absences")],
        title: Some("Suivi des voyages"),
    },
    Good {
        name: "voyages-libreoffice.xlsx",
        words: VOYAGES,
        headings: &[(1, "Voyages"), (1, "Absences")],
        title: Some("Suivi des voyages"),
    },
    Good {
        name: "voyages.ods",
        words: VOYAGES,
        headings: &[(1, "Voyages"), (1, "Absences")],
        title: Some("Suivi des voyages"),
    },
    Good {
        name: "voyages.xls",
        words: VOYAGES,
        headings: &[(1, "Voyages"), (1, "Absences")],
        title: None,
    },
    Good {
        name: "retard.eml",
        words: &[
            "De / From: Hélène Garçon <h.garcon@depot.example>",
            "Zoé Müller <z.muller@depot.example>",
            "La tournée 12 est arrêtée à Nîmes : pneu crevé, dépannage prévu à 9 h.",
            "Pièce jointe / Attachment: consigne.txt\n\nConsigne : ne pas déplacer le véhicule.",
            "Pièce jointe / Attachment: pneu crevé.png",
        ],
        headings: &[(1, "Retard de la tournée n° 12 – été")],
        title: Some("Retard de la tournée n° 12 – été"),
    },
    Good {
        name: "page.html",
        words: &[SERVICE, "- Matin : 5 h 30\n- Soir : 21 h", "Ligne | Départ\nA12 | 05:45", "2 €"],
        headings: &[(1, "Dépôt de Nîmes"), (2, "Horaires"), (2, "Tarifs")],
        title: Some("Dépôt – accueil"),
    },
    Good {
        name: "absences.csv",
        words: &[
            "Nom | Prénom | Motif | Jours",
            "Nom: Lefèvre ; Prénom: Noël ; Motif: Congé; été ; Jours: 12,5",
            "Nom: Garçon ; Prénom: Hélène ; Jours: 0",
        ],
        headings: &[],
        title: None,
    },
    Good {
        name: "voyages.json",
        words: &["chauffeur.nom: Lefèvre", "jours: lundi, mardi", "km: 88.5"],
        headings: &[(1, "missions")],
        title: Some("Voyages de mars"),
    },
    Good {
        name: "guide.md",
        words: &[SERVICE, FLEET, "- prévenir\n- noter", "Ligne | Départ\nA12 | 05:45"],
        headings: &[(1, "Guide"), (2, "Retards")],
        title: Some("Guide du chauffeur"),
    },
    Good {
        name: "guide.rst",
        words: &[SERVICE, FLEET, "Les clés"],
        headings: &[(1, "Guide"), (2, "Retards"), (2, "Fin")],
        title: Some("Guide"),
    },
    Good { name: "note.txt", words: &["Note de service", SERVICE], headings: &[], title: None },
];

const VOYAGES: &[&str] = &[
    "Mission | Date | Chauffeur | Km | Payé",
    "Mission: Lyon–Dijon ; Date: 2025-03-14 ; Chauffeur: Zoé Müller ; Km: 192.5 ; Payé:",
    "Date: 2025-03-15 06:45",
    "Nom: Garçon ; Motif: Congé été",
];

#[test]
fn documents_from_real_tools_are_read() {
    let mut wrong = Vec::new();
    for good in GOOD {
        let extract = match through_child(&fixture(good.name)) {
            Ok(extract) => extract,
            Err(fault) => {
                wrong.push(format!("{}: {fault}", good.name));
                continue;
            }
        };
        let mut from = 0;
        for words in good.words {
            match extract.text[from..].find(words) {
                Some(at) => from += at + words.len(),
                None => wrong.push(format!("{}: no {words:?}\n{}", good.name, extract.text)),
            }
        }
        let headings: Vec<(u8, &str)> =
            extract.headings.iter().map(|h| (h.level, h.text.as_str())).collect();
        if headings != good.headings {
            wrong.push(format!("{}: headings {headings:?}", good.name));
        }
        if extract.title.as_deref() != good.title {
            wrong.push(format!("{}: title {:?}", good.name, extract.title));
        }
        for heading in &extract.headings {
            let length = heading.text.chars().count();
            let there: String = extract.text.chars().skip(heading.at).take(length).collect();
            assert_eq!(there, heading.text, "{}", good.name);
        }
        assert!(!extract.text.contains("caché"), "{}", good.name);
        assert!(!extract.text.contains("commentaire interne"), "{}", good.name);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn what_documents_say_of_themselves_is_kept() {
    let letter = through_child(&fixture("retard.eml")).unwrap();
    assert_eq!(letter.date, Moment::parse("2025-03-14T07:15:00Z"));
    let word = through_child(&fixture("reglement-python.docx")).unwrap();
    assert_eq!(word.author.as_deref(), Some("Hélène Garçon"));
    assert_eq!(word.date, Moment::parse("2025-03-01T12:00:00Z"));
    for name in ["reglement-libreoffice.pdf", "reglement-reportlab.pdf", "reglement-chromium.pdf"] {
        let pdf = through_child(&fixture(name)).unwrap();
        assert_eq!(pdf.pages, Some(2), "{name}");
        let second: String = pdf.text.chars().skip(pdf.page_starts[1]).take(14).collect();
        assert_eq!(second, "Fin de service", "{name}");
    }
}

#[test]
fn hostile_files_are_named_and_the_next_is_read() {
    let good = std::fs::read(fixture("reglement-python.docx")).unwrap();
    let zeros = vec![0; 300 << 20];
    let document = |xml: &str| zip_of(&[("word/document.xml", xml.as_bytes())]);
    let entity = "<?xml version=\"1.0\"?><!DOCTYPE d [<!ENTITY a \"aaaaaaaaaa\">\
        <!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\">]><w:document><w:t>&b;</w:t></w:document>";
    let deep_xml = "<w:p>".repeat(100_000);
    let sealed = zip_of(&[
        ("mimetype", b"application/vnd.oasis.opendocument.text"),
        ("META-INF/manifest.xml", b"<m:manifest><m:encryption-data/></m:manifest>"),
        ("content.xml", b"\x00\x01\x02"),
    ]);
    let deep_pdf = format!("%PDF-1.4\n1 0 obj\n{}\nendobj\n", "[".repeat(200_000));
    let cases: Vec<(&str, Vec<u8>, &[&str])> = vec![
        ("bomb.docx", zip_of(&[("word/document.xml", &zeros)]), &["document_too_large"]),
        ("bomb.xlsx", zip_of(&[("xl/workbook.xml", &zeros)]), &["document_too_large"]),
        ("bomb.odt", zip_of(&[("content.xml", &zeros)]), &["document_too_large"]),
        ("entity.docx", document(entity), &["document_damaged"]),
        ("deep.docx", document(&deep_xml), &["document_too_deep"]),
        ("nested.docx", zip_of(&[("inner.docx", &good)]), &["document_damaged"]),
        ("nested.zip", zip_of(&[("inner.zip", &good)]), &["format_unknown"]),
        ("sealed.odt", sealed, &["document_encrypted"]),
        ("deep.json", "[".repeat(100_000).into_bytes(), &["document_too_deep"]),
        ("deep.md", "> ".repeat(100_000).into_bytes(), &["document_too_deep"]),
        ("deep.html", "<div>".repeat(1_000_000).into_bytes(), &["document_without_text"]),
        ("deep.pdf", deep_pdf.into_bytes(), &["document_damaged"]),
        ("noise.txt", (0..=255).cycle().take(5000).collect(), &["format_unknown"]),
        ("blank.txt", b" \n\t \n".to_vec(), &["document_without_text"]),
        ("doc.pdf", b"%PDF-1.7 nothing else".to_vec(), &["document_damaged"]),
        ("empty.pdf", vec![], &["document_damaged"]),
        ("empty.docx", vec![], &["document_damaged"]),
        ("empty.odt", vec![], &["document_damaged"]),
        ("empty.xlsx", vec![], &["document_damaged"]),
        ("empty.xls", vec![], &["document_damaged"]),
        ("empty.json", vec![], &["document_without_text"]),
        ("empty.txt", vec![], &["document_without_text"]),
        ("empty.md", vec![], &["document_without_text"]),
        ("empty.html", vec![], &["document_without_text"]),
        ("empty.csv", vec![], &["document_without_text"]),
        ("empty.eml", vec![], &["document_damaged"]),
        ("picture.png", b"\x89PNG\r\n".to_vec(), &["format_unknown"]),
    ];
    let mut wrong = Vec::new();
    for (name, bytes, codes) in cases {
        let started = Instant::now();
        let code = code_of(name, &bytes);
        if !codes.contains(&code.as_str()) {
            wrong.push(format!("{name}: {code}"));
        }
        assert!(started.elapsed() < Duration::from_secs(30), "{name}: {:?}", started.elapsed());
        assert!(through_child(&fixture("note.txt")).is_ok(), "after {name}");
    }
    for (name, expected) in [
        ("encrypted.pdf", "document_encrypted"),
        ("encrypted.docx", "document_encrypted"),
        ("encrypted.xlsx", "document_encrypted"),
        ("scan.pdf", "document_without_text"),
        // A stream that would unpack to 2 GiB is given up, and a drawing that draws itself.
        ("bomb.pdf", "document_without_text"),
        ("endless.pdf", "document_too_deep"),
    ] {
        let fault = through_child(&fixture(name)).map(|e| e.text).err();
        let code = fault.as_ref().map(|f| f.code);
        if code != Some(expected) {
            wrong.push(format!("{name}: {fault:?}"));
        }
        assert!(through_child(&fixture("note.txt")).is_ok(), "after {name}");
    }
    let text = through_child(&fixture("one-bad-page.pdf")).unwrap().text;
    assert!(text.starts_with("Premiere page\n\nDebut"), "{text}");
    assert!(text.ends_with("Troisieme page"), "{text}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A workbook whose two cells stand in opposite corners of the sheet.
#[test]
fn far_cells_do_not_fill_the_memory() {
    let sheet = "<worksheet><sheetData><row r=\"1\"><c r=\"A1\"><v>1</v></c></row>\
        <row r=\"1048576\"><c r=\"XFD1048576\"><v>2</v></c></row></sheetData></worksheet>";
    let workbook = "<workbook xmlns:r=\"http://schemas.openxmlformats.org/officeDocument/2006/\
        relationships\"><sheets><sheet name=\"S\" sheetId=\"1\" r:id=\"r1\"/></sheets></workbook>";
    let links = "<Relationships><Relationship Id=\"r1\" Type=\"http://schemas.openxmlformats.org/\
        officeDocument/2006/relationships/worksheet\" Target=\"worksheets/sheet1.xml\"/>\
        </Relationships>";
    let root = "<Relationships><Relationship Id=\"r1\" Type=\"http://schemas.openxmlformats.org/\
        officeDocument/2006/relationships/officeDocument\" Target=\"xl/workbook.xml\"/>\
        </Relationships>";
    let bytes = zip_of(&[
        ("_rels/.rels", root.as_bytes()),
        ("xl/workbook.xml", workbook.as_bytes()),
        ("xl/_rels/workbook.xml.rels", links.as_bytes()),
        ("xl/worksheets/sheet1.xml", sheet.as_bytes()),
    ]);
    assert_eq!(code_of("far.xlsx", &bytes), "read \"S\\n\\n1\\n2\"");
}

#[test]
fn every_cut_of_every_file_is_read_or_named() {
    for good in GOOD {
        let bytes = std::fs::read(fixture(good.name)).unwrap();
        for share in [1, 4, 9] {
            let code = code_of(good.name, &bytes[..bytes.len() * share / 10]);
            let named = code.starts_with("read ")
                || code.starts_with("document_")
                || code == "format_unknown";
            assert!(named, "{} cut at {share}0 %: {code}", good.name);
        }
    }
}

/// A small generator of its own, so that a failure can be repeated.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % below.max(1) as u64).unwrap()
    }
}

fn mutate(bytes: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if bytes.is_empty() {
        bytes.push(0);
    }
    for _ in 0..=dice.roll(6) {
        let at = dice.roll(bytes.len());
        let length = dice.roll(40).min(bytes.len() - at);
        match dice.roll(5) {
            0 => bytes[at] ^= 1 << dice.roll(8),
            1 => bytes[at] = [0, 0xff, b'<', b'(', b'['][dice.roll(5)],
            2 => drop(bytes.drain(at..at + length)),
            3 => {
                let copy = bytes[at..at + length].to_vec();
                let to = dice.roll(bytes.len());
                bytes.splice(to..to, copy);
            }
            _ => {
                let digit = bytes.iter().skip(at).position(u8::is_ascii_digit);
                if let Some(digit) = digit {
                    bytes[at + digit] = b'0' + u8::try_from(dice.roll(10)).unwrap();
                }
            }
        }
        if bytes.is_empty() {
            bytes.push(0);
        }
    }
    bytes
}

/// Mutates what stands inside an archive: outside, the checksums would catch nearly everything.
fn mutate_inside(bytes: &[u8], dice: &mut Dice) -> Vec<u8> {
    let Ok(mut zip) = zip::ZipArchive::new(std::io::Cursor::new(bytes)) else {
        return mutate(bytes, dice);
    };
    let chosen = dice.roll(zip.len());
    let mut parts = Vec::new();
    for at in 0..zip.len() {
        let mut part = zip.by_index(at).unwrap();
        let mut bytes = Vec::new();
        part.read_to_end(&mut bytes).unwrap();
        let name = part.name().unwrap().into_owned();
        let main = ["content.xml", "word/document.xml", "xl/worksheets/sheet1.xml"];
        if at == chosen || main.contains(&name.as_str()) {
            bytes = mutate(&bytes, dice);
        }
        parts.push((name, bytes));
    }
    let parts: Vec<(&str, &[u8])> =
        parts.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    zip_of(&parts)
}

/// Formats whose readers are known not to abort are turned over quickly in this process.
#[test]
fn mutated_files_are_read_or_named() {
    let codes = [
        "document_encrypted",
        "document_damaged",
        "document_too_large",
        "document_without_text",
        "document_too_deep",
        "format_unknown",
    ];
    std::panic::set_hook(Box::new(|_| {}));
    let mut panics = Vec::new();
    for good in GOOD {
        let bytes = std::fs::read(fixture(good.name)).unwrap();
        let format = Format::detect(good.name, &bytes).unwrap();
        if matches!(format, Format::Pdf | Format::Xls) {
            continue;
        }
        let mut dice = Dice(0x1107 + bytes.len() as u64);
        for turn in 0..200 {
            let inside = turn % 4 != 0;
            let mutant =
                if inside { mutate_inside(&bytes, &mut dice) } else { mutate(&bytes, &mut dice) };
            let started = Instant::now();
            let limits = Limits { unpacked_max: 16 << 20, ..Limits::default() };
            let read = catch_unwind(AssertUnwindSafe(|| read(format, &mutant, &limits)));
            match read {
                Ok(Ok(extract)) => assert!(!extract.text.is_empty()),
                Ok(Err(fault)) => assert!(codes.contains(&fault.code), "{}", fault.code),
                // Through the child a panic is `document_damaged`; here it is only counted.
                Err(_) => panics.push(format!("{} turn {turn}", good.name)),
            }
            assert!(started.elapsed() < Duration::from_secs(20), "{} turn {turn}", good.name);
        }
    }
    let _ = std::panic::take_hook();
    assert!(panics.len() < 20, "{panics:?}");
}

/// The readers that may abort or swallow memory are turned over in the child, where it is theirs.
#[test]
fn mutated_files_never_reach_the_parent() {
    for name in
        ["reglement-libreoffice.pdf", "reglement-weasyprint.pdf", "owner-only.pdf", "voyages.xls"]
    {
        let bytes = std::fs::read(fixture(name)).unwrap();
        let mut dice = Dice(0x1107 + bytes.len() as u64);
        for turn in 0..60 {
            let code = code_of(name, &mutate(&bytes, &mut dice));
            let named = code.starts_with("read ")
                || code.starts_with("document_")
                || code == "format_unknown";
            assert!(named, "{name} turn {turn}: {code}");
        }
    }
}

#[test]
fn a_child_that_takes_too_long_or_too_much_is_ended() {
    let mut hurried = reader();
    hurried.limits.wall = Duration::from_millis(1);
    let started = Instant::now();
    let fault = hurried.read(Format::Text, &fixture("note.txt")).unwrap_err();
    assert_eq!(fault.code, "document_timeout");
    assert!(started.elapsed() < Duration::from_secs(5));

    let mut poor = reader();
    poor.limits.memory_bytes = 8 << 20;
    let (_dir, path) = spool("large.txt", "des mots et des mots\n".repeat(1 << 20).as_bytes());
    assert_eq!(poor.read(Format::Text, &path).unwrap_err().code, "document_memory");

    let mut lazy = reader();
    lazy.limits.cpu_seconds = 1;
    lazy.limits.document.text_chars_max = usize::MAX >> 8;
    let (_dir, path) = spool("long.html", "<b>mot</b>\n<p>".repeat(8 << 20).as_bytes());
    let fault = lazy.read(Format::Html, &path).unwrap_err();
    assert_eq!(fault.code, "document_timeout", "{fault}");

    let missing = Reader { program: "/nowhere/ilot".into(), limits: ChildLimits::default() };
    let fault = missing.read(Format::Text, &fixture("note.txt")).unwrap_err();
    assert_eq!(fault.code, "reader_unavailable");
}
