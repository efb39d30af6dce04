//! Models as people read them in a terminal.

use serde_json::Value;

use super::super::show;

pub(super) fn word<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn number(value: &Value, name: &str) -> u64 {
    value.get(name).and_then(Value::as_u64).unwrap_or(0)
}

fn list_of<'v>(value: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

/// A line for each model, then how the writer is.
pub(super) fn list(listed: &Value) {
    let all: Vec<&Value> = list_of(listed, "items").collect();
    let widest = all.iter().map(|model| word(model, "name").len()).max().unwrap_or(0).max(4);
    if all.is_empty() {
        println!("no model yet: ilot model add FILE");
    } else {
        println!("  {:widest$}  {:10} {:10} {:>11}  WHAT IT IS", "NAME", "WORK", "STATE", "SIZE");
    }
    for model in &all {
        let mark =
            if model.get("in_use").and_then(Value::as_bool) == Some(true) { '*' } else { ' ' };
        let card = model.get("card").unwrap_or(&Value::Null);
        let what: Vec<&str> = [word(model, "title"), word(card, "quantisation")]
            .into_iter()
            .filter(|text| !text.is_empty())
            .collect();
        println!(
            "{mark} {:widest$}  {:10} {:10} {:>11}  {}",
            word(model, "name"),
            word(model, "purpose"),
            word(model, "state"),
            show::bytes(number(model, "bytes")),
            what.join(", "),
        );
        let too_much = |needs: &&Value| needs.get("fits") == Some(&Value::Bool(false));
        if let Some(needs) = model.get("memory").filter(too_much) {
            let (total, context) =
                (show::bytes(number(needs, "total")), number(needs, "context_tokens"));
            println!(
                "  {:widest$}  needs {total} for {context} tokens: it will work with fewer",
                ""
            );
        }
    }
    for adding in list_of(listed, "adding") {
        let (done, total) = (number(adding, "done"), number(adding, "total"));
        let percent = (100 * done).checked_div(total).map_or(String::new(), |p| format!(" {p} %"));
        println!("+ {:widest$}  {}{percent}", word(adding, "name"), word(adding, "stage"));
    }
    let engine = listed.get("engine").unwrap_or(&Value::Null);
    match engine.get("model").and_then(Value::as_str) {
        Some(name) => println!(
            "{name} writes ({} running, {} waiting, up to {} tokens)",
            number(engine, "running"),
            number(engine, "waiting"),
            number(engine, "context_tokens"),
        ),
        None => println!("nothing writes: answers are made of the documents' own sentences"),
    }
    let upstream = listed.get("upstream").unwrap_or(&Value::Null);
    if let Some(origin) = upstream.get("origin").and_then(Value::as_str) {
        let trouble = match word(upstream, "trouble") {
            "" => String::new(),
            trouble => format!(": {trouble}"),
        };
        println!("another server generates: {origin}{trouble}");
    }
    if let Some(memory) = listed.get("memory_bytes").and_then(Value::as_u64) {
        let free = show::bytes(number(listed, "free_bytes"));
        println!("a model may take {} of memory; {free} of the disk are free", show::bytes(memory));
    }
}

/// What became of a model that was added.
pub(super) fn added(model: &Value) {
    let card = model.get("card").unwrap_or(&Value::Null);
    println!("added {}: {}", word(model, "name"), summary(card));
    slowness(card);
}

/// Everything that is known of one model.
pub(super) fn model(model: &Value) {
    let card = model.get("card").unwrap_or(&Value::Null);
    let line = |name: &str, text: &str| {
        if !text.is_empty() {
            println!("{name:14} {text}");
        }
    };
    println!("{}", word(model, "name"));
    line("title", word(model, "title"));
    line("what it is", &summary(card));
    line("context", &format!("{} tokens", number(card, "context")));
    let tokenizer = card.get("tokenizer").map_or("", |kind| word(kind, "kind"));
    line(
        "tokenizer",
        match tokenizer {
            "bytes" => "merged bytes, from the file",
            "pieces" => "scored pieces, from the file",
            "beside" => "tokenizer.json beside the file",
            "missing" => "there is none: put its tokenizer.json beside the file",
            other => other,
        },
    );
    let template = card.get("has_template").and_then(Value::as_bool);
    line(
        "chat",
        match template {
            Some(true) => "by the file's own template",
            Some(false) => "the file has no template: a plain one is used",
            None => "",
        },
    );
    line(
        "licence",
        match word(card, "licence") {
            "" => "the file names none",
            licence => licence,
        },
    );
    line("source", word(card, "source"));
    line("state", word(model, "state"));
    if card.get("runnable").and_then(Value::as_bool) == Some(false) {
        println!("! this box does not run models of this family");
    }
    slowness(card);
    for needs in list_of(model, "memory_at") {
        let fits = match needs.get("fits").and_then(Value::as_bool) {
            Some(false) => "  more than there is now",
            _ => "",
        };
        let total = show::bytes(number(needs, "total"));
        println!("{:14} {total} for {} tokens{fits}", "memory", number(needs, "context_tokens"));
    }
    for file in list_of(model, "files") {
        let bytes = show::bytes(number(file, "bytes"));
        println!("{:14} {} {bytes} sha256 {}", "file", word(file, "name"), word(file, "sha256"));
    }
}

fn summary(card: &Value) -> String {
    let parameters = match number(card, "parameters") {
        0 => String::new(),
        count => format!("{:.1} M parameters", count as f64 / 1e6),
    };
    let parts = [word(card, "architecture"), word(card, "quantisation"), &parameters];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}

/// Says when a file will be slower than others of its size, and why.
fn slowness(card: &Value) {
    let note = word(card, "note");
    match word(card, "speed") {
        "slow" => println!("! it will be slow on this machine"),
        "repacked" => {
            println!("  it is laid out anew while it is loaded, and takes more memory then");
        }
        _ => {}
    }
    if !note.is_empty() {
        println!("  {note}");
    }
}
