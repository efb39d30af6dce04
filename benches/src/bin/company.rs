//! A box that writes for several people: throughput, what a conversation's next turn waits for, and how
//! soon everything else is answered meanwhile.
//!
//! `company ILOT FILE.gguf [WRITTEN] [WORDS]`: `ILOT` is a release build of the program, WRITTEN (64) the
//! tokens of each answer, WORDS (1,000) the words of the long prompt.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ilot_benches::whole::Outcome;
use serde_json::{Value, json};

/// How long a box may take until it answers.
const UP_WITHIN: Duration = Duration::from_secs(60);
/// Answers side by side in the largest company.
const COMPANY: usize = 4;
/// How often somebody else asks for something small.
const ASK_EVERY: Duration = Duration::from_millis(5);
/// Who asks.
const USER: &str = "bench";
/// With which word.
const PASSWORD: &str = "ardoise marmotte violette 53";

/// A box in a process of its own, which goes with this one.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What one answer took.
struct Took {
    first: Duration,
    whole: Duration,
    prompt: u64,
    reused: u64,
    written: u64,
    text: String,
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [program, model, ..] = arguments.as_slice() else {
        return Err("company ILOT FILE.gguf [WRITTEN] [WORDS]".into());
    };
    let number = |at: usize, unsaid: usize| arguments.get(at).map_or(Ok(unsaid), |n| n.parse());
    let (written, words) = (number(2, 64)?, number(3, 1_000)?);
    let folder = tempfile::tempdir()?;
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let _running = open(Path::new(program), folder.path(), Path::new(model), address)?;
    let token = sign_in(address)?;
    let ask = |messages: &Value, most: usize| chat(address, &token, messages, most);

    // The first answer of all loads the model; it is not measured.
    ask(&said("warm"), 4)?;
    throughput(&ask, written)?;
    next_turn(&ask, words)?;
    meanwhile(address, &token, &ask, written)
}

fn said(text: &str) -> Value {
    json!([{"role": "user", "content": text}])
}

fn throughput(
    ask: &(impl Fn(&Value, usize) -> Outcome<Took> + Sync),
    written: usize,
) -> Outcome<()> {
    let mut alone = 0.0;
    for people in [1, 2, COMPANY] {
        let began = Instant::now();
        let tokens = thread::scope(|scope| {
            let asked: Vec<_> = (0..people)
                .map(|n| scope.spawn(move || ask(&said(&format!("person {n}")), written)))
                .collect();
            asked.into_iter().map(|one| one.join().map_err(|_| "a thread died")?).try_fold(
                0,
                |sum, took: Outcome<Took>| {
                    Ok::<_, Box<dyn std::error::Error + Send + Sync>>(sum + took?.written)
                },
            )
        })?;
        let speed = tokens as f64 / began.elapsed().as_secs_f64();
        if people == 1 {
            alone = speed;
        }
        println!("{people} at once: {speed:.1} tokens/s in all, {:.2} of one alone", speed / alone);
    }
    Ok(())
}

fn next_turn(ask: &impl Fn(&Value, usize) -> Outcome<Took>, words: usize) -> Outcome<()> {
    let long: Vec<String> = (0..words).map(|n| format!("word{}", n * 7919 % 1009)).collect();
    let long = long.join(" ");
    let first = ask(&said(&long), 16)?;
    let second = ask(
        &json!([{"role": "user", "content": long}, {"role": "assistant", "content": first.text},
            {"role": "user", "content": "and then"}]),
        16,
    )?;
    println!(
        "first turn: {} tokens, the first word after {:.2} s; next turn: {} tokens, {} of them still \
         there, after {:.2} s: {:.3} of it",
        first.prompt,
        first.first.as_secs_f64(),
        second.prompt,
        second.reused,
        second.first.as_secs_f64(),
        second.first.as_secs_f64() / first.first.as_secs_f64()
    );
    Ok(())
}

fn meanwhile(
    address: SocketAddr,
    token: &str,
    ask: &(impl Fn(&Value, usize) -> Outcome<Took> + Sync),
    written: usize,
) -> Outcome<()> {
    let over = AtomicBool::new(false);
    let mut waits = thread::scope(|scope| {
        let asking: Vec<_> = (0..COMPANY)
            .map(|n| scope.spawn(move || ask(&said(&format!("company {n}")), written * 4)))
            .collect();
        let over = &over;
        let small = scope.spawn(move || {
            let mut waits = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let began = Instant::now();
                let answer = get(address, token, "/auth/me")?;
                if !answer.contains(USER) {
                    return Err("/auth/me does not answer".into());
                }
                waits.push(began.elapsed());
                thread::sleep(ASK_EVERY);
            }
            Outcome::Ok(waits)
        });
        for one in asking {
            one.join().map_err(|_| "a thread died")??;
        }
        over.store(true, Ordering::Relaxed);
        small.join().map_err(|_| "a thread died")?
    })?;
    waits.sort_unstable();
    let at =
        |share: usize| waits.get(waits.len() * share / 100).map_or(0.0, |w| w.as_secs_f64() * 1e3);
    println!(
        "GET /auth/me meanwhile, {} times: p50 {:.1} ms, p99 {:.1} ms",
        waits.len(),
        at(50),
        at(99)
    );
    Ok(())
}

fn open(program: &Path, folder: &Path, model: &Path, address: SocketAddr) -> Outcome<Running> {
    let word = folder.join("word");
    fs::write(&word, PASSWORD)?;
    let run = |arguments: &[&str]| {
        let mut command = Command::new(program);
        command.arg("--data").arg(folder.join("box")).arg("--models").arg(folder.join("models"));
        command.args(arguments).args(["--http", &address.to_string(), "--https", "off"]);
        command.args(["--planb", "off"]).stdout(Stdio::null());
        command
    };
    fs::create_dir_all(folder.join("models"))?;
    let word = word.display().to_string();
    let model = model.display().to_string();
    for arguments in [
        &["setup", "--site", "Bench", "--admin", USER, "--password-file", &word][..],
        &["model", "add", &model, "--use"][..],
    ] {
        if !run(arguments).status()?.success() {
            return Err(format!("ilot {} failed", arguments.join(" ")).into());
        }
    }
    let running = Running(run(&["serve"]).stderr(Stdio::null()).spawn()?);
    let began = Instant::now();
    while TcpStream::connect(address).is_err() {
        if began.elapsed() > UP_WITHIN {
            return Err("the box did not open".into());
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(running)
}

fn send(address: SocketAddr, token: &str, request: &str, body: &str) -> Outcome<TcpStream> {
    let mut line = TcpStream::connect(address)?;
    line.set_nodelay(true)?;
    let proof =
        if token.is_empty() { String::new() } else { format!("authorization: Bearer {token}\r\n") };
    write!(
        line,
        "{request} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n{proof}content-type: \
         application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )?;
    Ok(line)
}

fn get(address: SocketAddr, token: &str, path: &str) -> Outcome<String> {
    let mut answer = String::new();
    send(address, token, &format!("GET {path}"), "")?.read_to_string(&mut answer)?;
    Ok(answer)
}

fn sign_in(address: SocketAddr) -> Outcome<String> {
    let body = json!({"username": USER, "password": PASSWORD}).to_string();
    let mut answer = String::new();
    send(address, "", "POST /auth/login", &body)?.read_to_string(&mut answer)?;
    let body = answer.split_once("\r\n\r\n").ok_or("no answer to the sign-in")?.1;
    let from = body.find('{').ok_or("no JSON")?;
    let value: Value = serde_json::Deserializer::from_str(body.get(from..).unwrap_or_default())
        .into_iter()
        .next()
        .ok_or("no JSON")??;
    Ok(value["access_token"].as_str().ok_or("no token")?.to_owned())
}

fn chat(address: SocketAddr, token: &str, messages: &Value, most: usize) -> Outcome<Took> {
    let body = json!({"model": "default", "messages": messages, "max_tokens": most, "temperature": 0,
        "stream": true, "stream_options": {"include_usage": true}});
    let began = Instant::now();
    let line = send(address, token, "POST /v1/chat/completions", &body.to_string())?;
    let mut took = Took {
        first: Duration::ZERO,
        whole: Duration::ZERO,
        prompt: 0,
        reused: 0,
        written: 0,
        text: String::new(),
    };
    for line in BufReader::new(line).lines() {
        let line = line?;
        let Some(data) = line.strip_prefix("data: ").filter(|data| *data != "[DONE]") else {
            if line.starts_with('{') {
                return Err(line.into());
            }
            continue;
        };
        let chunk: Value = serde_json::from_str(data)?;
        if let Some(text) =
            chunk["choices"][0]["delta"]["content"].as_str().filter(|t| !t.is_empty())
        {
            if took.text.is_empty() {
                took.first = began.elapsed();
            }
            took.text.push_str(text);
        }
        if let Some(prompt) = chunk["usage"]["prompt_tokens"].as_u64() {
            took.prompt = prompt;
            took.written = chunk["usage"]["completion_tokens"].as_u64().unwrap_or_default();
            took.reused = chunk["usage"]["prompt_tokens_details"]["cached_tokens"]
                .as_u64()
                .unwrap_or_default();
        }
    }
    took.whole = began.elapsed();
    if took.written == 0 || took.whole < took.first {
        return Err("nothing was written".into());
    }
    Ok(took)
}
