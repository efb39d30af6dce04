//! A real model in a real child process: what it writes, what it shares, how it ends.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ilot::engines::generation::{
    Engine, EngineOptions, Event, Job, Message, Options, Prompt, Reason, Role, Runnable, Running,
    Usage, VERB,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc::{UnboundedReceiver, error::TryRecvError, unbounded_channel};

/// A real, tiny, trained model; its sources say where it is from.
const STORIES: &str = "stories260K-f16.gguf";
/// No test waits longer than this for the next word.
const PATIENCE: Duration = Duration::from_mins(1);
const START: &str = "Once upon a time";
/// What an independent implementation writes behind it, always the likeliest token.
const STORY: &str = ", there was a little girl named Lily. She loved to play outside in the park. \
    One day, she saw a big, red ball. She wanted to play with it, but it was too high.\nLily's mom \
    said, \"Lily, let's go to the park.\" Lily was sad and didn't know what to do. She said, \"I want \
    to play with your ball, but I can't find it.\"\nLily was sad and didn't know what to do. She \
    said, \"I'm sorry, Lily. I didn't know what to do.\"\nLily didn't want to help her mom, so she \
    said, \"I";

/// The model of the shared test data; none, with the reason printed, where it is not there.
fn stories() -> Option<Runnable> {
    let shared = std::env::var_os("ILOT_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let folder = shared.join("data");
    if !folder.join(STORIES).exists() {
        println!("skipped: {} is not there", folder.join(STORIES).display());
        return None;
    }
    Some(runnable(&folder, STORIES))
}

fn runnable(folder: &Path, file: &str) -> Runnable {
    let bytes = std::fs::read(folder.join(file)).unwrap();
    let sha256 = data_encoding::HEXLOWER.encode(&Sha256::digest(bytes));
    Runnable { folder: folder.into(), file: file.into(), sha256, beside: Vec::new() }
}

fn options(program: &Path) -> EngineOptions {
    EngineOptions {
        program: program.into(),
        threads: 2,
        slots: 4,
        context_tokens: 8192,
        memory_bytes: 0,
    }
}

fn engine() -> Option<Engine> {
    let model = stories()?;
    let engine = Engine::new(options(env!("CARGO_BIN_EXE_ilot").as_ref()));
    engine.use_model(Some(model));
    Some(engine)
}

fn greedy(max_tokens: usize) -> Options {
    Options { max_tokens, temperature: 0.0, ..Options::default() }
}

fn job(prompt: &str, options: Options) -> Job {
    Job { prompt: Prompt::Text(prompt.into()), options, scope: prompt.into() }
}

struct Asked {
    running: Running,
    events: UnboundedReceiver<Event>,
}

#[derive(Debug, Default, PartialEq)]
struct Answer {
    text: String,
    ended: Option<(Reason, Usage)>,
    failed: Option<(String, String)>,
}

impl Answer {
    fn usage(&self) -> Usage {
        self.ended.unwrap_or_else(|| panic!("{self:?}")).1
    }

    fn reason(&self) -> Reason {
        self.ended.unwrap_or_else(|| panic!("{self:?}")).0
    }

    fn code(&self) -> &str {
        self.failed.as_ref().map_or("none", |(code, _)| code)
    }
}

fn ask(engine: &Engine, job: Job) -> Asked {
    let (sender, events) = unbounded_channel();
    Asked { running: engine.start(job, sender).unwrap(), events }
}

impl Asked {
    fn next(&mut self) -> Event {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.events.try_recv() {
                Ok(event) => return event,
                Err(TryRecvError::Empty) => {
                    assert!(Instant::now() < deadline, "nothing was heard for too long");
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(TryRecvError::Disconnected) => panic!("it ended without a word"),
            }
        }
    }

    fn until_text(&mut self) {
        while !matches!(self.next(), Event::Text(_)) {}
    }

    fn whole(mut self) -> Answer {
        let mut answer = Answer::default();
        loop {
            match self.next() {
                Event::Started { .. } => {}
                Event::Text(text) => answer.text.push_str(&text),
                Event::Ended { reason, usage } => answer.ended = Some((reason, usage)),
                Event::Failed { code, message } => answer.failed = Some((code, message)),
            }
            if answer.ended.is_some() || answer.failed.is_some() {
                return answer;
            }
        }
    }
}

fn written(engine: &Engine, job: Job) -> Answer {
    ask(engine, job).whole()
}

fn gone(pid: u32, within: Duration) -> bool {
    let deadline = Instant::now() + within;
    // A process that was not waited for yet is a zombie, and no more than that.
    let alive = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(" Z"))
    };
    while alive() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    !alive()
}

#[test]
fn the_story_is_the_reference_alone_and_in_company() {
    let Some(engine) = engine() else { return };
    let alone = written(&engine, job(START, greedy(200)));
    assert_eq!(alone.text, STORY);
    assert_eq!((alone.reason(), alone.usage().completion_tokens), (Reason::Length, 200));
    assert_eq!(alone.usage().prompt_tokens, 5);
    let prompts = [START, "Tom and Sam", "The big dog was", "One day, a bird"];
    let one_by_one: Vec<String> = prompts
        .iter()
        .map(|prompt| {
            engine.unload_if_idle(Duration::ZERO);
            written(&engine, job(prompt, greedy(200))).text
        })
        .collect();
    engine.unload_if_idle(Duration::ZERO);
    let at_once: Vec<Asked> =
        prompts.iter().map(|prompt| ask(&engine, job(prompt, greedy(200)))).collect();
    let at_once: Vec<String> = at_once.into_iter().map(|asked| asked.whole().text).collect();
    assert_eq!(at_once, one_by_one);
    engine.stop();
}

#[test]
fn a_seed_repeats_an_answer() {
    let Some(engine) = engine() else { return };
    let seeded = |seed| Options { seed: Some(seed), temperature: 1.0, ..greedy(40) };
    let text = |options| written(&engine, job(START, options)).text;
    let (one, again, other) = (text(seeded(1)), text(seeded(1)), text(seeded(2)));
    assert!(one == again && one != other, "{one:?} {again:?} {other:?}");
    engine.stop();
}

#[test]
fn a_cancelled_answer_ends_at_once() {
    let Some(engine) = engine() else { return };
    let asked: Vec<Asked> = (0..4)
        .map(|n| ask(&engine, Job { scope: format!("u{n}"), ..job(START, greedy(500)) }))
        .map(|mut asked| {
            asked.until_text();
            asked
        })
        .collect();
    let begun = Instant::now();
    for asked in &asked {
        asked.running.cancel();
    }
    let reasons: Vec<Reason> = asked.into_iter().map(|asked| asked.whole().reason()).collect();
    assert!(begun.elapsed() < Duration::from_millis(200), "{:?}", begun.elapsed());
    assert!(reasons.contains(&Reason::Cancelled), "{reasons:?}");
    // Who goes away without a word cancels, too.
    let mut left = ask(&engine, job(START, greedy(500)));
    left.until_text();
    drop(left);
    let deadline = Instant::now() + Duration::from_millis(200);
    while engine.running() > 0 {
        assert!(Instant::now() < deadline, "it is still written");
        std::thread::sleep(Duration::from_millis(1));
    }
    engine.stop();
}

#[test]
fn a_killed_child_fails_only_what_it_was_writing() {
    let Some(engine) = engine() else { return };
    let mut asked = ask(&engine, job(START, greedy(500)));
    asked.until_text();
    let child = engine.process().unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(child).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    assert_eq!(asked.whole().code(), "generation_failed");
    assert_eq!(written(&engine, job(START, greedy(200))).text, STORY);
    assert_ne!(engine.process(), Some(child));
    engine.stop();
}

#[test]
fn an_idle_model_gives_its_memory_back() {
    let Some(engine) = engine() else { return };
    assert!(engine.process().is_none() && engine.loaded().is_none(), "nothing runs before it must");
    let mut asked = ask(&engine, job(START, greedy(500)));
    asked.until_text();
    assert!(!engine.unload_if_idle(Duration::ZERO), "somebody is being answered");
    asked.whole();
    let loaded = engine.loaded().unwrap();
    assert_eq!((loaded.context_tokens, loaded.slots), (512, 4), "the model's own context");
    assert!(loaded.bytes > 500_000, "{loaded:?}");
    assert!(!engine.unload_if_idle(Duration::from_hours(1)));
    let child = engine.process().unwrap();
    assert!(engine.unload_if_idle(Duration::ZERO) && gone(child, Duration::ZERO));
    assert!(engine.loaded().is_none());
    assert_eq!(written(&engine, job(START, greedy(200))).text, STORY, "and comes again");
    let child = engine.process().unwrap();
    engine.stop();
    assert!(gone(child, Duration::ZERO));
    let (sender, _events) = unbounded_channel();
    assert_eq!(
        engine.start(job(START, greedy(1)), sender).err().unwrap().code,
        "generation_failed"
    );
}

#[test]
fn the_next_turn_finds_its_beginning_and_nobody_elses() {
    let Some(engine) = engine() else { return };
    let job = |scope: &str, prompt: &str| Job { scope: scope.into(), ..job(prompt, greedy(20)) };
    let first = written(&engine, job("a", START));
    assert_eq!(first.usage().reused_tokens, 0);
    let second = format!("{START}{} Then", first.text);
    let again = written(&engine, job("a", &second));
    assert!(again.usage().reused_tokens >= 20, "{again:?}");
    let foreign = written(&engine, job("b", &second));
    assert_eq!(foreign.usage().reused_tokens, 0);
    assert_eq!(foreign.text, again.text, "and it changes nothing in what is written");
    engine.stop();
}

#[test]
fn answers_end_where_they_are_told_to() {
    let Some(engine) = engine() else { return };
    let stop = |texts: &[&str]| {
        let stop = texts.iter().map(ToString::to_string).collect();
        written(&engine, job(START, Options { stop, ..greedy(200) }))
    };
    let (before, _) = STORY.split_once(" park. One").unwrap();
    let stopped = stop(&["never", " park. One"]);
    assert_eq!((stopped.text.as_str(), stopped.reason()), (before, Reason::Stop));
    assert_eq!(stop(&["ittle g"]).text, ", there was a l", "in the middle of tokens");
    let short = written(&engine, job(START, greedy(3)));
    assert_eq!((short.reason(), short.usage().completion_tokens), (Reason::Length, 3));
    let all = written(&engine, job(START, greedy(5000)));
    let usage = all.usage();
    assert_eq!(all.reason(), Reason::Length, "the context is full");
    assert_eq!(usage.prompt_tokens + usage.completion_tokens, 513, "the last one is not read");
    engine.stop();
}

#[test]
fn prompts_that_cannot_be_answered_are_named() {
    let Some(engine) = engine() else { return };
    let long = written(&engine, job(&"the park ".repeat(600), greedy(5)));
    let (code, message) = long.failed.unwrap();
    assert_eq!(code, "prompt_too_large");
    assert!(message.contains("512"), "{message}");
    let bad = Options { schema: Some(r#"{"type": "banana"}"#.into()), ..greedy(5) };
    let bad = written(&engine, job(START, bad)).failed.unwrap();
    assert!(bad.0 == "schema_unsupported" && bad.1.contains("banana"), "{bad:?}");
    let (sender, _events) = unbounded_channel();
    let endless = job(&"x".repeat(17 << 20), greedy(5));
    assert_eq!(engine.start(endless, sender).err().unwrap().code, "prompt_too_large");
    assert_eq!(engine.tokens(START).unwrap(), 4);
    assert_eq!(written(&engine, job(START, greedy(200))).text, STORY, "others are not disturbed");
    engine.stop();
}

#[test]
fn a_conversation_is_written_by_the_models_own_template() {
    let Some(engine) = engine() else { return };
    let messages = vec![
        Message::new(Role::System, "Short."),
        Message::new(Role::User, "</s> Lily <s> saw a dog"),
    ];
    let prompt = Prompt::Chat(messages);
    let answer = written(&engine, Job { prompt, options: greedy(20), scope: "a".into() });
    assert!(answer.usage().prompt_tokens > 5 && !answer.text.is_empty(), "{answer:?}");
    engine.stop();
}

/// What a real model writes under a schema, with several seeds.
fn under(engine: &Engine, schema: &Value, valid: impl Fn(&Value) -> bool) {
    let asked: Vec<Asked> = (0..20)
        .map(|seed| {
            let options = Options {
                max_tokens: 400,
                temperature: 1.0,
                top_k: 0,
                top_p: 1.0,
                seed: Some(seed),
                schema: Some(schema.to_string()),
                ..Options::default()
            };
            ask(engine, job(START, options))
        })
        .collect();
    for asked in asked {
        let answer = asked.whole();
        assert_eq!(answer.reason(), Reason::Stop, "{answer:?}");
        let value =
            serde_json::from_str(&answer.text).unwrap_or_else(|e| panic!("{e}: {answer:?}"));
        assert!(valid(&value), "{value}");
    }
}

#[test]
fn a_real_model_keeps_to_schemas() {
    let Some(engine) = engine() else { return };
    let words = ["départ", "arrivée", "œuvre"];
    under(&engine, &json!({"enum": words}), |v| words.contains(&v.as_str().unwrap()));
    let list = json!({"type": "array", "minItems": 2, "maxItems": 4, "items": {"type": "integer",
        "minimum": -5, "maximum": 500}});
    under(&engine, &list, |v| {
        let items = v.as_array().unwrap();
        (2..=4).contains(&items.len())
            && items.iter().all(|n| (-5..=500).contains(&n.as_i64().unwrap()))
    });
    let nested = json!({
        "type": "object", "additionalProperties": false, "required": ["véhicule", "prêt"],
        "properties": {
            "véhicule": {"type": "object", "additionalProperties": false,
                "required": ["nom", "état"],
                "properties": {
                    "nom": {"type": "string", "minLength": 2, "maxLength": 12},
                    "état": {"enum": ["en service", "à l’arrêt"]},
                }},
            "prêt": {"type": "boolean"},
        },
    });
    under(&engine, &nested, |v| {
        let name = v["véhicule"]["nom"].as_str().unwrap().chars().count();
        (2..=12).contains(&name)
            && ["en service", "à l’arrêt"].contains(&v["véhicule"]["état"].as_str().unwrap())
            && v["prêt"].is_boolean()
            && v.as_object().unwrap().len() == 2
    });
    let optional = json!({"type": "object", "additionalProperties": false, "properties": {
        "a": {"type": ["string", "null"], "maxLength": 5}, "b": {"const": "é"}}});
    under(&engine, &optional, |v| v.as_object().unwrap().len() <= 2);
    engine.stop();
}

#[test]
fn a_file_that_is_not_the_checked_one_is_refused_until_it_is_chosen_again() {
    let Some(model) = stories() else { return };
    let folder = tempfile::tempdir().unwrap();
    let bytes = std::fs::read(model.folder.join(&model.file)).unwrap();
    let engine = Engine::new(options(env!("CARGO_BIN_EXE_ilot").as_ref()));
    let mut other = bytes.clone();
    *other.last_mut().unwrap() ^= 1;
    std::fs::write(folder.path().join("other.gguf"), &other).unwrap();
    std::fs::write(folder.path().join("cut.gguf"), &bytes[..bytes.len() / 2]).unwrap();
    std::fs::write(folder.path().join("whole.gguf"), &bytes).unwrap();
    let other = Runnable { sha256: model.sha256.clone(), ..runnable(folder.path(), "other.gguf") };
    for damaged in [other.clone(), runnable(folder.path(), "cut.gguf")] {
        engine.use_model(Some(damaged));
        let answer = written(&engine, job(START, greedy(5)));
        assert_eq!(answer.code(), "model_damaged", "{answer:?}");
        let (sender, _events) = unbounded_channel();
        let fault = engine.start(job(START, greedy(5)), sender).err().unwrap();
        assert_eq!(fault.code, "model_damaged", "and nothing is tried again");
        assert_eq!(engine.tokens(START).unwrap_err().code, "model_damaged");
    }
    std::fs::write(folder.path().join("other.gguf"), &bytes).unwrap();
    engine.use_model(Some(other));
    assert_eq!(written(&engine, job(START, greedy(200))).text, STORY);
    engine.use_model(Some(Runnable { file: "gone.gguf".into(), ..model.clone() }));
    assert_eq!(written(&engine, job(START, greedy(5))).code(), "model_missing");
    engine.use_model(None);
    let (sender, _events) = unbounded_channel();
    let fault = engine.start(job(START, greedy(5)), sender).err().unwrap();
    assert_eq!(fault.code, "model_missing");
}

#[test]
fn a_model_that_does_not_fit_is_refused_with_numbers() {
    let Some(model) = stories() else { return };
    let small =
        EngineOptions { memory_bytes: 100 << 10, ..options(env!("CARGO_BIN_EXE_ilot").as_ref()) };
    let engine = Engine::new(small);
    engine.use_model(Some(model));
    let (code, message) = written(&engine, job(START, greedy(5))).failed.unwrap();
    assert_eq!(code, "model_too_large");
    assert!(message.contains("MiB") && message.contains("512"), "{message}");
}

#[test]
fn a_model_that_kills_its_children_is_not_tried_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("dies");
    let mut script = std::fs::File::create(&program).unwrap();
    writeln!(script, "#!/bin/sh\nread order\necho 'a kernel broke' >&2\nexit 3").unwrap();
    drop(script);
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let engine = Engine::new(options(&program));
    let model = Runnable {
        folder: folder.path().into(),
        file: "m.gguf".into(),
        sha256: String::new(),
        beside: Vec::new(),
    };
    engine.use_model(Some(model.clone()));
    for _ in 0..2 {
        assert_eq!(written(&engine, job(START, greedy(5))).code(), "generation_failed");
    }
    let (sender, _events) = unbounded_channel();
    let refused = engine.start(job(START, greedy(5)), sender).err().unwrap();
    assert_eq!(refused.code, "model_damaged");
    engine.use_model(Some(model));
    assert_eq!(written(&engine, job(START, greedy(5))).code(), "generation_failed", "tried anew");
}

#[test]
fn the_child_keeps_out_of_everybodys_way() {
    let Some(engine) = engine() else { return };
    written(&engine, job(START, greedy(5)));
    let child = engine.process().unwrap();
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{child}/{name}")).unwrap();
    let stat = read("stat");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    assert_eq!(fields[16], "10", "its priority");
    assert_eq!(read("oom_score_adj").trim(), "900");
    let status = read("status");
    let line = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.trim().to_owned()
    };
    assert_eq!((line("Seccomp:"), line("NoNewPrivs:")), ("2".into(), "1".into()));
    for open in std::fs::read_dir(format!("/proc/{child}/fd")).unwrap() {
        let target = std::fs::read_link(open.unwrap().path()).unwrap_or_default();
        let target = target.to_string_lossy().into_owned();
        assert!(!target.starts_with("socket:") && !target.ends_with(".gguf"), "{target} is open");
    }
    assert!(
        read("limits").lines().any(|l| l.starts_with("Max core file size") && l.contains(" 0 "))
    );
    engine.stop();
}

#[test]
fn the_child_ends_with_whoever_started_it() {
    let start = || {
        let command = Command::new(env!("CARGO_BIN_EXE_ilot"))
            .arg(VERB)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        command.unwrap()
    };
    let thread = std::thread::Builder::new().spawn(move || {
        let child = start();
        // It has to be there before its parent may go.
        std::thread::sleep(Duration::from_secs(1));
        child
    });
    let mut child = thread.unwrap().join().unwrap();
    assert!(gone(child.id(), Duration::from_secs(5)), "its parent is gone, it is not");
    child.wait().unwrap();
    let mut child = start();
    drop(child.stdin.take());
    assert!(gone(child.id(), Duration::from_secs(5)), "nobody can order anything any more");
    assert!(child.wait().unwrap().success());
}

/// Tokens per second of so many answers at once, all together, and milliseconds to the first word.
fn speed(engine: &Engine, model_words: &str, at_once: usize, turn: usize) -> (f64, u128) {
    const TOKENS: usize = 48;
    let begun = Instant::now();
    let mut asked: Vec<Asked> = (0..at_once)
        .map(|n| {
            let prompt = format!("{turn} {n} {model_words}");
            // What a model of random weights writes is not always text: words are not waited for.
            let options = Options { presence_penalty: 1.0, ..greedy(TOKENS) };
            ask(engine, Job { scope: format!("{turn} {n}"), ..job(&prompt, options) })
        })
        .collect();
    for asked in &mut asked {
        while !matches!(asked.next(), Event::Started { .. }) {}
    }
    let answers: Vec<Answer> = asked.into_iter().map(Asked::whole).collect();
    let first = answers.iter().map(|answer| answer.usage().prefill_ms).max().unwrap();
    let tokens: usize = answers.iter().map(|answer| answer.usage().completion_tokens).sum();
    let decoding = begun.elapsed().checked_sub(Duration::from_millis(first)).unwrap();
    (tokens as f64 / decoding.as_secs_f64(), u128::from(first))
}

/// `ILOT_MODEL=FILE cargo test --test suite -- --ignored --nocapture company`; `ILOT_PROGRAM` names
/// another build of the program than the one under test.
#[test]
#[ignore = "measures; needs a model of a real size, and a quiet machine"]
fn company_costs_nobody_anything() {
    let file = PathBuf::from(std::env::var_os("ILOT_MODEL").unwrap());
    let program = std::env::var_os("ILOT_PROGRAM");
    let program = program.unwrap_or_else(|| env!("CARGO_BIN_EXE_ilot").into());
    let engine = Engine::new(EngineOptions { context_tokens: 2048, ..options(program.as_ref()) });
    let name = file.file_name().unwrap().to_string_lossy();
    engine.use_model(Some(runnable(file.parent().unwrap(), &name)));
    let words = "word ".repeat(32);
    speed(&engine, &words, 1, 0);
    println!("{:?}", engine.loaded().unwrap());
    for turn in 1..=3 {
        let (alone, first) = speed(&engine, &words, 1, turn * 2);
        let (company, later) = speed(&engine, &words, 4, turn * 2 + 1);
        println!(
            "alone {alone:.1} tokens/s, first after {first} ms; four {company:.1} tokens/s, first \
             after {later} ms; {:.2} times",
            company / alone
        );
    }
    engine.stop();
}
