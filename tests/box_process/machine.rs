//! The real program in a folder of its own: started, asked over a socket, and killed.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// No step takes longer, unless something hangs.
pub const PATIENCE: Duration = Duration::from_secs(40);
pub const PASSWORD: &str = "un mot de passe assez long";
const BOUNDARY: &str = "----b0undary";

/// A data folder, and what is done to it.
pub struct Place {
    pub folder: tempfile::TempDir,
    pub data: PathBuf,
}

/// A box that serves.
pub struct Running {
    child: Child,
    pub http: SocketAddr,
    pub token: String,
    said: PathBuf,
}

pub struct Reply {
    pub status: u16,
    pub bytes: Vec<u8>,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or(Value::Null)
    }
}

/// Asks until `ready` answers something.
pub fn until<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ready() {
            return answer;
        }
        assert!(Instant::now() < end, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(15));
    }
}

pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

impl Place {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let place = Self { folder, data };
        place.write("password", PASSWORD);
        place
    }

    /// Writes a file beside the data folder.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// The program with `args`; no model, no address anybody else may hold, nothing from outside.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ilot"));
        for (name, _) in
            std::env::vars_os().filter(|(n, _)| n.to_string_lossy().starts_with("ILOT_"))
        {
            command.env_remove(name);
        }
        command.current_dir(self.folder.path()).arg("--data").arg(&self.data).args(args);
        for (flag, value) in [
            ("--models", "/nonexistent"),
            ("--http", "127.0.0.1:0"),
            ("--https", "off"),
            ("--planb", "off"),
        ] {
            if !args.contains(&flag) {
                command.args([flag, value]);
            }
        }
        command
    }

    pub fn ilot(&self, args: &[&str]) -> Output {
        self.command(args).stdin(Stdio::null()).output().unwrap()
    }

    /// Runs a command that must end with `code`, and answers what it printed.
    #[track_caller]
    pub fn ends(&self, args: &[&str], code: i32) -> String {
        let output = self.ilot(args);
        let (out, err) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "ilot {args:?}\n{out}\n{err}");
        out.into_owned()
    }

    /// As [`Place::ends`], with `--json`.
    #[track_caller]
    pub fn tells(&self, args: &[&str], code: i32) -> Value {
        let out = self.ends(&[args, &["--json"]].concat(), code);
        // `demo` prints what it added and then what it made: the last value counts.
        let mut values = serde_json::Deserializer::from_str(&out).into_iter::<Value>();
        values
            .by_ref()
            .last()
            .unwrap_or_else(|| panic!("ilot {args:?} printed no JSON: {out}"))
            .unwrap()
    }

    pub fn serve(&self, args: &[&str]) -> Running {
        let said = self.folder.path().join("said");
        let out = File::create(&said).unwrap();
        let addresses = self.data.join("run/addresses.json");
        let _ = fs::remove_file(&addresses);
        let mut child = self
            .command(&[&["serve"], args].concat())
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap();
        let http = until("the box to answer", || {
            if let Some(ended) = child.try_wait().unwrap() {
                panic!("the box ended with {ended}: {}", fs::read_to_string(&said).unwrap());
            }
            let told: Value = serde_json::from_slice(&fs::read(&addresses).ok()?).ok()?;
            let http: SocketAddr = told["http"].as_str()?.parse().unwrap();
            let reply = ask(http, "GET", "/health", &[], b"")?;
            (reply.status == 200
                && fs::read_to_string(&said).unwrap().contains(&http.port().to_string()))
            .then_some(http)
        });
        Running { child, http, token: String::new(), said }
    }

    /// A box that is set up and signed in to.
    pub fn home(&self, args: &[&str]) -> Running {
        let mut running = self.serve(args);
        if running.get("/setup/state").json()["needed"] == true {
            let password = self.folder.path().join("password");
            self.ends(
                &[
                    "setup",
                    "--site",
                    "Dépôt",
                    "--admin",
                    "chef",
                    "--password-file",
                    password.to_str().unwrap(),
                ],
                0,
            );
        }
        let body = json!({"username": "chef", "password": PASSWORD});
        let reply = running.send("POST", "/auth/login", &body);
        running.token = reply.json()["access_token"].as_str().unwrap().to_owned();
        running
    }
}

impl Running {
    pub fn get(&self, path: &str) -> Reply {
        self.request("GET", path, &[], b"")
    }

    pub fn send(&self, method: &str, path: &str, body: &Value) -> Reply {
        self.request(
            method,
            path,
            &[("content-type", "application/json")],
            body.to_string().as_bytes(),
        )
    }

    pub fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        let proof = format!("Bearer {}", self.token);
        let mut headers = headers.to_vec();
        if !self.token.is_empty() {
            headers.push(("authorization", &proof));
        }
        ask(self.http, method, path, &headers, body)
            .unwrap_or_else(|| panic!("{method} {path}: no answer\n{}", self.said()))
    }

    pub fn upload(&self, name: &str, bytes: &[u8]) -> Reply {
        let kind = format!("multipart/form-data; boundary={BOUNDARY}");
        self.request("POST", "/rag/documents", &[("content-type", &kind)], &form(name, bytes))
    }

    /// Uploads what must be taken, and answers its id.
    #[track_caller]
    pub fn add(&self, name: &str, bytes: &[u8]) -> String {
        let reply = self.upload(name, bytes);
        assert_eq!(reply.status, 201, "{name}: {}", reply.json());
        reply.json()["items"][0]["id"]
            .as_str()
            .unwrap_or_else(|| panic!("{name}: {}", reply.json()))
            .to_owned()
    }

    /// Waits until everything is read and can be found.
    pub fn settle(&self) -> Value {
        until("every document to be read", || {
            let status = self.get("/rag/status").json();
            let open = ["queued", "reading"]
                .iter()
                .map(|s| status["documents"][s].as_u64().unwrap())
                .sum::<u64>();
            (open
                + status["index_lag"].as_u64().unwrap()
                + status["vectors_waiting"].as_u64().unwrap()
                    * u64::from(status["model"]["present"] == true)
                == 0)
                .then_some(status)
        })
    }

    /// The paths that a question finds.
    pub fn finds(&self, query: &str) -> Vec<String> {
        let reply = self.send("POST", "/rag/query", &json!({"query": query, "top_k": 100}));
        assert_eq!(reply.status, 200, "{query}: {}", reply.json());
        let mut paths: Vec<String> = reply.json()["results"]
            .as_array()
            .unwrap()
            .iter()
            .map(|result| result["source"]["path"].as_str().unwrap().to_owned())
            .collect();
        paths.sort();
        paths.dedup();
        paths
    }

    pub fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap()
    }

    /// Asks the box to stop, and answers how it ended and how long that took.
    pub fn stop(mut self) -> (Option<i32>, Duration) {
        let began = Instant::now();
        signal(&self.child, "-TERM");
        let ended = until("the box to end", || self.child.try_wait().unwrap());
        (ended.code(), began.elapsed())
    }

    /// As a power cut ends it.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn signal(child: &Child, name: &str) {
    signal_to(child.id(), name);
}

/// Gives a process a signal.
pub fn signal_to(pid: u32, name: &str) {
    let given = Command::new("kill").args([name, &pid.to_string()]).status().unwrap();
    assert!(given.success(), "kill {name} {pid}");
}

pub fn form(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut body = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n"
    )
    .into_bytes();
    body.extend_from_slice(bytes);
    body.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
    body
}

/// The head of a request, for connections that say no more than that.
pub fn head(method: &str, path: &str, headers: &[(&str, &str)], length: usize) -> String {
    use std::fmt::Write as _;
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n"
    );
    for (name, value) in headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    head + "\r\n"
}

/// One request on a connection of its own; none when nobody answers.
pub fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Option<Reply> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(head(method, path, headers, body.len()).as_bytes()).ok()?;
    // A refusal may come before the body is through: what was answered counts.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n")?;
    let top = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = top.split(' ').nth(1)?.parse().ok()?;
    Some(Reply { status, bytes: answer[end + 4..].to_vec() })
}
