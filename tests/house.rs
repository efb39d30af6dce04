//! The rules of the house, each a function over the tree, each shown to catch its own offence.

use std::collections::{BTreeMap, BTreeSet};

use tree::{Text, code, first, foreign, is_rust, tree, uses};

pub(crate) mod tree;

/// A rule names every offence it finds, with the file it is in.
type Rule = fn(&[Text]) -> Vec<String>;

/// A tree made to break a rule.
type Planted = &'static [(&'static str, &'static str)];

/// Every rule, with a small tree that breaks it: a rule that cannot fail proves nothing.
const RULES: &[(&str, Rule, Planted)] = &[
    ("floors", floors, &[("src/base/a.rs", "fn f() { crate::web::run() }")]),
    (
        "floors, in a group",
        floors,
        &[("src/store/a.rs", "use crate::{base::id, domains::{identity}};")],
    ),
    ("floors, through super", floors, &[("src/web/a.rs", "use super::super::app::listen;")]),
    ("floors, from the bottom to nowhere", floors, &[("src/base/a.rs", "use crate::nowhere::X;")]),
    (
        "floors, by a macro",
        floors,
        &[
            ("src/web/m.rs", "#[macro_export]\nmacro_rules! m { () => {} }"),
            ("src/base/a.rs", "use crate::m;"),
        ],
    ),
    (
        "domains",
        neighbours,
        &[("src/domains/identity/mod.rs", "use crate::domains::assistant::Search;")],
    ),
    ("domains, through super", neighbours, &[("src/domains/a/b.rs", "use super::super::c::D;")]),
    ("engines", neighbours, &[("src/engines/tls.rs", "use super::tokens::Signer;")]),
    ("store and web", neighbours, &[("src/web/a.rs", "mod proof { use crate::store::Store; }")]),
    ("records", records, &[("src/domains/a/records.rs", "use super::passes::Pass;")]),
    ("continuity", continuity, &[("src/domains/continuity/mod.rs", "use crate::store::Store;")]),
    ("names of files", names, &[("src/web/helpers.rs", "")]),
    ("names of folders", names, &[("src/common/mod.rs", "")]),
    ("no opening", opening, &[("src/a.rs", "use std::fs;")]),
    ("an opening of two sentences", opening, &[("src/a.rs", "//! One thing. And another.\n")]),
    ("an opening without an end", opening, &[("src/a.rs", "//! One thing\n\nuse std::fs;")]),
    ("homes", homes, &[("src/web/a.rs", "use redb::Database;")]),
    (
        "homes, by prefix and in passing",
        homes,
        &[("src/app/a.rs", "let t = candle_core::Tensor::new();")],
    ),
    ("homes, renamed", homes, &[("src/base/a.rs", "use clap as c;")]),
    ("homeless", homeless, &[("Cargo.toml", "[dependencies]\nleft-pad = \"1\"\n")]),
    ("the map", map, &[("README.md", "src/ base/"), ("src/base/a.rs", ""), ("src/attic/a.rs", "")]),
    ("the map of domains", map, &[("README.md", "domains/"), ("src/domains/tea/mod.rs", "")]),
    ("no map", map, &[("src/base/a.rs", "")]),
    (
        "shapes of one name",
        shapes,
        &[
            ("src/web/a.rs", "#[derive(Debug, ToSchema)]\nstruct View {\n}"),
            ("src/app/a.rs", "#[derive(ToSchema)]\n#[serde(default)]\npub enum View {}"),
        ],
    ),
    ("machine paths", places, &[("deploy/a.sh", concat!("cd /ro", "ot/ilot"))]),
    ("registries", places, &[(".ci/run", concat!("curl https://index.crates", ".io/config.json"))]),
    (
        "lock files",
        places,
        &[("src/ui/package-lock.json", "\"resolved\": \"https://mirror.example/a.tgz\"")],
    ),
    ("unfinished work", unfinished, &[("src/a.rs", concat!("// TO", "DO: the rest"))]),
    ("unfinished words", unfinished, &[("src/ui/a.ts", concat!("// good enough f", "or now"))]),
];

/// Which crate may be named where: the start of a path under `src/`, or several.
const HOMES: &[(&str, &[&str])] = &[
    ("axum", &["app/", "web/", "domains/"]),
    ("http_body_util", &["app/", "web/", "engines/upstream"]),
    ("hyper", &["app/", "web/", "engines/upstream"]),
    ("hyper_util", &["app/", "web/", "engines/upstream"]),
    ("metrics_exporter_prometheus", &["app/", "web/"]),
    ("rust_embed", &["web/"]),
    ("sd_notify", &["app/"]),
    ("tower", &["app/", "web/"]),
    ("tower_http", &["app/", "web/"]),
    ("utoipa", &["app/", "web/", "domains/", "base/"]),
    ("utoipa_axum", &["app/", "web/", "domains/"]),
    ("serde_path_to_error", &["web/"]),
    ("rayon", &["engines/"]),
    ("rcgen", &["engines/tls", "app/listen"]),
    ("rustls", &["engines/tls", "engines/upstream", "app/listen"]),
    ("tokio_rustls", &["engines/tls", "engines/upstream", "app/listen"]),
    ("redb", &["store/"]),
    ("postcard", &["store/"]),
    ("hnsw_rs", &["engines/vectors"]),
    ("levenshtein_automata", &["engines/fulltext"]),
    ("tantivy", &["engines/fulltext"]),
    ("whatlang", &["engines/language"]),
    ("candle_*", &["engines/embedding", "engines/generation", "engines/reranking"]),
    ("tokenizers", &["engines/embedding", "engines/generation", "engines/reranking"]),
    ("llguidance", &["engines/generation"]),
    ("toktrie", &["engines/generation"]),
    ("minijinja", &["engines/generation"]),
    ("minijinja_contrib", &["engines/generation"]),
    ("gemm", &["engines/embedding"]),
    ("aes_gcm", &["engines/secrets"]),
    ("argon2", &["engines/secrets"]),
    ("base64", &["domains/continuity/encoding"]),
    ("bcrypt", &["engines/secrets"]),
    ("chacha20poly1305", &["engines/secrets"]),
    ("hkdf", &["engines/secrets"]),
    ("hmac", &["engines/secrets"]),
    ("jsonwebtoken", &["engines/tokens"]),
    (
        "aws_lc_rs",
        &[
            "engines/tokens",
            "engines/tls",
            "engines/secrets",
            "engines/second_factor",
            "engines/signing",
        ],
    ),
    ("qrcodegen", &["engines/qr"]),
    ("calamine", &["engines/readers"]),
    ("csv", &["app/commands/user/import", "engines/readers"]),
    ("encoding_rs", &["engines/readers"]),
    ("libc", &["base/confine", "base/memory"]),
    ("seccompiler", &["base/confine"]),
    ("html5ever", &["engines/readers"]),
    ("mail_parser", &["engines/readers"]),
    ("pdf_extract", &["engines/readers"]),
    ("pulldown_cmark", &["engines/readers"]),
    ("quick_xml", &["engines/readers"]),
    ("zip", &["engines/readers"]),
    ("clap", &["app/commands", "main.rs"]),
    ("clap_complete", &["app/commands"]),
    ("indicatif", &["app/commands"]),
    ("rpassword", &["app/commands"]),
    ("tracing_subscriber", &["app/logs"]),
];

/// Words of the language more than libraries: these may be spoken on every floor.
const EVERYWHERE: &[&str] = &[
    "data_encoding",
    "futures_util",
    "getrandom",
    "half",
    "jiff",
    "metrics",
    "rustix",
    "serde",
    "serde_json",
    "sha2",
    "subtle",
    "tempfile",
    "tokio",
    "tokio_util",
    "toml",
    "tracing",
    "unicode_normalization",
    "unicode_segmentation",
    "uuid",
    "zeroize",
];

/// Names that say nothing: what would go there lives with its noun.
const FORBIDDEN: &[&str] = &[
    "util", "utils", "common", "helper", "helpers", "misc", "type", "types", "manager", "managers",
    "shared",
];

#[test]
fn the_house_stands() {
    let tree = tree();
    assert!(tree.iter().any(|(path, _)| path == "src/lib.rs"), "the walk must reach the sources");
    let mut offences = BTreeSet::new();
    for (_, rule, _) in RULES {
        offences.extend(rule(&tree));
    }
    let lines: Vec<_> = offences.iter().map(String::as_str).collect();
    assert!(lines.is_empty(), "\n{}\n", lines.join("\n"));
}

#[test]
fn every_rule_sees_its_offence() {
    for (name, rule, planted) in RULES {
        let tree: Vec<Text> =
            planted.iter().map(|(path, text)| ((*path).into(), (*text).into())).collect();
        assert!(!rule(&tree).is_empty(), "the rule {name:?} is blind to {planted:?}");
    }
}

#[test]
fn comments_and_strings_are_not_code() {
    let text = "/// [`crate::web`]\nlet s = \"crate::app\"; let r = r#\"a \" crate::app\"#; /* redb:: */ let c = '\"'; x::<'a>()";
    let tree = [("src/base/a.rs".to_owned(), text.to_owned())];
    assert_eq!((floors(&tree), homes(&tree)), (vec![], vec![]));
    assert!(code(text).ends_with("x::<'a>()"), "{}", code(text));
}

// --- the rules ----------------------------------------------------------------------------------

/// `main → app → domains/* → engines · store · web → base`; `lib.rs` declares and uses nothing.
fn floors(tree: &[Text]) -> Vec<String> {
    let floor = |room: &str| match room {
        "main" => Some(5),
        "app" => Some(4),
        "domains" => Some(3),
        "engines" | "store" | "web" => Some(2),
        "base" => Some(1),
        _ => None,
    };
    uses(tree, |path, from, to| match (floor(first(from)), floor(first(to))) {
        (Some(own), Some(other)) if own >= other => None,
        (_, Some(_)) => Some(format!("{path} reaches up to {}", to.join("::"))),
        (_, None) => Some(format!("{path} uses {}, which is on no floor", to.join("::"))),
    })
}

/// Domains meet only in `app/`; engines, store and web do not know one another.
fn neighbours(tree: &[Text]) -> Vec<String> {
    uses(tree, |path, from, to| {
        let strangers = match (first(from), first(to)) {
            ("domains", "domains") | ("engines", "engines") => {
                from.get(1).is_some_and(|own| to.get(1).is_some_and(|other| own != other))
            }
            ("engines" | "store" | "web", room @ ("engines" | "store" | "web")) => {
                first(from) != room
            }
            _ => false,
        };
        strangers.then(|| format!("{path} knows its neighbour {}", to.join("::")))
    })
}

/// A domain's nouns stand below its verbs: `routes → mod → its other files → records`.
fn records(tree: &[Text]) -> Vec<String> {
    uses(tree, |path, from, to| {
        let own = from.get(2).is_some_and(|file| file == "records")
            && from.iter().take(2).eq(to.iter().take(2));
        let sibling =
            to.get(2).is_some_and(|name| name != "records" && name.starts_with(char::is_lowercase));
        (own && sibling).then(|| format!("{path} uses its sibling {}", to.join("::")))
    })
}

/// Plan B must run when the store cannot be opened.
fn continuity(tree: &[Text]) -> Vec<String> {
    uses(tree, |path, from, to| {
        let named =
            from.get(1).is_some_and(|domain| domain == "continuity") && first(to) == "store";
        named.then(|| format!("{path} names the store"))
    })
}

fn names(tree: &[Text]) -> Vec<String> {
    let empty = |part: &&str| FORBIDDEN.contains(&part.split('.').next().unwrap_or_default());
    let own = |path: &&Text| {
        path.0.starts_with("src/") || path.0.starts_with("tests/") || path.0.starts_with("benches/")
    };
    let bad = tree.iter().filter(own).filter(|(path, _)| path.split('/').any(|part| empty(&part)));
    bad.map(|(path, _)| format!("{path} has a name that says nothing")).collect()
}

/// The first paragraph is one sentence; what needs more words says them in a further one.
fn opening(tree: &[Text]) -> Vec<String> {
    let mut offences = Vec::new();
    for (path, text) in tree.iter().filter(|(path, _)| is_rust(path)) {
        let lines = text.lines().map_while(|line| line.strip_prefix("//! "));
        let paragraph = lines.collect::<Vec<_>>().join(" ");
        let inside = paragraph.strip_suffix('.').unwrap_or_default();
        let second = inside.split(". ").skip(1).any(|rest| rest.starts_with(char::is_uppercase));
        if inside.is_empty() || second {
            offences.push(format!("{path} does not open with one `//!` sentence"));
        }
    }
    offences
}

fn homes(tree: &[Text]) -> Vec<String> {
    let mut offences = Vec::new();
    for (path, text) in tree {
        let Some(inside) = path.strip_prefix("src/").filter(|path| is_rust(path)) else { continue };
        let named = foreign(&code(text));
        for (pattern, allowed) in
            HOMES.iter().filter(|(_, allowed)| !allowed.iter().any(|home| inside.starts_with(home)))
        {
            let prefix = pattern.strip_suffix('*');
            let hit = named
                .iter()
                .find(|name| prefix.map_or(*name == pattern, |prefix| name.starts_with(prefix)));
            offences.extend(hit.map(|name| {
                format!("{path} names {name}, whose home is {}", allowed.join(" or "))
            }));
        }
    }
    offences
}

/// Who adds a dependency says where it lives.
fn homeless(tree: &[Text]) -> Vec<String> {
    let Some((_, manifest)) = tree.iter().find(|(path, _)| path == "Cargo.toml") else {
        return vec![];
    };
    let lines = manifest.lines().skip_while(|line| *line != "[dependencies]").skip(1);
    let names = lines
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| Some(line.split_once(" = ")?.0.replace('-', "_")));
    let known = |name: &str| {
        let at_home = HOMES.iter().any(|(pattern, _)| {
            pattern.strip_suffix('*').map_or(*pattern == name, |prefix| name.starts_with(prefix))
        });
        at_home || EVERYWHERE.contains(&name)
    };
    names
        .filter(|name| !name.starts_with('#') && !known(name))
        .map(|name| format!("Cargo.toml: {name} has no home in tests/house.rs"))
        .collect()
}

/// A newcomer finds every floor and every domain in the map.
fn map(tree: &[Text]) -> Vec<String> {
    let readme = tree.iter().find(|(path, _)| path == "README.md").map_or("", |(_, text)| text);
    let mut folders = BTreeSet::new();
    for (path, _) in tree {
        let parts: Vec<_> = path.split('/').collect();
        if let ["src", floor, rest @ ..] = parts.as_slice() {
            folders.extend((!rest.is_empty()).then_some(*floor));
            folders.extend(rest.first().filter(|_| *floor == "domains" && rest.len() > 1));
        }
    }
    let missing = folders.into_iter().filter(|folder| !readme.contains(&format!("{folder}/")));
    missing.map(|folder| format!("README.md: the map does not name {folder}/")).collect()
}

/// What a file says must be true on another machine, and behind another mirror.
/// Shapes of the API live in one list by their names alone: of two with the same name one is lost in
/// silence, and clients are made for the other.
fn shapes(tree: &[Text]) -> Vec<String> {
    let mut seen = BTreeMap::<&str, &str>::new();
    let mut offences = Vec::new();
    for (path, text) in tree.iter().filter(|(path, _)| path.starts_with("src/") && is_rust(path)) {
        let mut described = false;
        for line in text.lines() {
            described |= line.starts_with("#[derive(") && line.contains("ToSchema");
            let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
            if !described || line.starts_with(' ') || line.starts_with('#') {
                continue;
            }
            if words.any(|word| matches!(word, "struct" | "enum")) {
                described = false;
                let name = words.next().unwrap_or_default();
                if let Some(other) = seen.insert(name, path) {
                    offences.push(format!("{path} has a shape {name}, as {other} has"));
                }
            }
        }
    }
    offences
}

fn places(tree: &[Text]) -> Vec<String> {
    let machine = [
        concat!("/ro", "ot/"),
        concat!("/wo", "rk/"),
        concat!("/Use", "rs/"),
        concat!(env!("CARGO_MANIFEST_DIR"), "/"),
    ];
    let hosts = [
        concat!("index.crates", ".io"),
        concat!("static.crates", ".io"),
        concat!("registry.npmjs", ".org"),
        concat!("pypi", ".org"),
        concat!("pythonhosted", ".org"),
    ];
    let mut offences = Vec::new();
    for (path, text) in tree {
        let lock = path.ends_with("package-lock.json") || path.ends_with("Cargo.lock");
        for (number, line) in text.lines().enumerate() {
            let absolute = machine.iter().any(|place| {
                let starts = |(at, _): (usize, &str)| {
                    !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-)}/~".contains(c))
                };
                line.match_indices(place).any(starts)
            });
            let hosted = !lock && hosts.iter().any(|host| line.contains(host));
            let mirrored = lock
                && line.contains("\"resolved\": \"http")
                && !line.contains(&format!("https://{}/", hosts[2]));
            if absolute || hosted || mirrored {
                offences.push(format!(
                    "{path}:{} is true on one machine only: {}",
                    number + 1,
                    line.trim()
                ));
            }
        }
    }
    offences
}

fn unfinished(tree: &[Text]) -> Vec<String> {
    let words = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
        concat!("HA", "CK"),
        concat!("f", "or now"),
        concat!("stop", "gap"),
    ];
    let mut offences = Vec::new();
    for (path, text) in tree.iter().filter(|(path, _)| {
        [".rs", ".ts", ".svelte", ".py", ".sh", ".css"].iter().any(|end| path.ends_with(end))
    }) {
        for (number, line) in text.lines().enumerate() {
            let whole = |word: &&&str| {
                line.match_indices(**word).any(|(at, _)| {
                    let letter = |c: char| c.is_alphanumeric() || c == '_';
                    !line[..at].ends_with(letter) && !line[at + word.len()..].starts_with(letter)
                })
            };
            offences.extend(
                words.iter().find(whole).map(|word| format!("{path}:{} says {word}", number + 1)),
            );
        }
    }
    offences
}
