//! The same message through the door of a whole box: JSON, base64, HTTP and the kernel's copies included.

use std::fs;
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use ilot::base::paths::DataFolder;
use ilot::domains::continuity::encoding;
use ilot::domains::continuity::place::Place;
use ilot_benches::whole;
use serde_json::{Value, json};
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;

use crate::Outcome;
use crate::turns::{Contender, race};

/// No answer may take longer.
const PATIENCE: Duration = Duration::from_secs(30);
/// The end of an HTTP head.
const HEAD_END: &[u8] = b"\r\n\r\n";

/// One connection that is kept, as a client on this machine keeps it.
struct Client {
    stream: TcpStream,
    key: String,
    answer: Vec<u8>,
}

impl Client {
    fn new(address: SocketAddr, key: String) -> Outcome<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, key, answer: Vec::new() })
    }

    /// Asks, and answers with the status and the body.
    fn ask(&mut self, method: &str, path: &str, body: &[u8]) -> Outcome<(u16, &[u8])> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.key,
            body.len()
        );
        self.stream.write_all(head.as_bytes())?;
        self.stream.write_all(body)?;
        self.answer.clear();
        let mut piece = vec![0; 256 * 1024];
        let (end, length) = loop {
            self.more(&mut piece)?;
            let end = self.answer.windows(HEAD_END.len()).position(|four| four == HEAD_END);
            if let Some(end) = end {
                let head = std::str::from_utf8(self.answer.get(..end).unwrap_or_default())?;
                break (end + HEAD_END.len(), length(head)?);
            }
        };
        while self.answer.len() < end + length {
            self.more(&mut piece)?;
        }
        let status = self.answer.get(9..12).map(String::from_utf8_lossy).unwrap_or_default();
        Ok((status.parse()?, self.answer.get(end..).unwrap_or_default()))
    }

    fn more(&mut self, piece: &mut [u8]) -> Outcome<()> {
        match self.stream.read(piece)? {
            0 => Err("the box hung up".into()),
            read => {
                self.answer.extend_from_slice(piece.get(..read).unwrap_or_default());
                Ok(())
            }
        }
    }
}

/// The length that a head announces.
fn length(head: &str) -> Outcome<usize> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .ok_or_else(|| format!("no length: {head}").into())
}

/// Seals and opens a message through the door.
pub fn measure(message: &[u8], aad: &[u8], rounds: usize) -> Outcome<()> {
    let servers = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let folder = tempfile::tempdir()?;
    let stop = CancellationToken::new();
    let (address, running) = whole::start(folder.path(), stop.clone(), &servers, |_| Ok(()))?;
    let place = Place::at(DataFolder::at(folder.path()).planb());
    let key = fs::read_to_string(place.api_key())?.trim().to_owned();
    let mut client = Client::new(address, key)?;
    let plain = json!({
        "plaintext_b64": encoding::encode(message),
        "aad_b64": encoding::encode(aad),
    });
    let plain = serde_json::to_vec(&plain)?;
    let (status, answer) = client.ask("POST", "/crypto/encrypt", &plain)?;
    if status != 200 {
        return Err(format!("{status}: {}", String::from_utf8_lossy(answer)).into());
    }
    let answer: Value = serde_json::from_slice(answer)?;
    let sealed = json!({
        "ciphertext_b64": answer.get("ciphertext_b64"),
        "aad_b64": encoding::encode(aad),
    });
    let sealed = serde_json::to_vec(&sealed)?;
    let client = std::cell::RefCell::new(client);
    let ask = |method: &'static str, path: &'static str, body: &[u8]| {
        let mut client = client.borrow_mut();
        let status = client.ask(method, path, body).map(|(status, _)| status);
        assert!(matches!(status, Ok(200)), "{method} {path}: {status:?}");
    };
    let mut contenders = [
        Contender::new("POST /crypto/encrypt", || {
            ask("POST", "/crypto/encrypt", black_box(&plain))
        }),
        Contender::new("POST /crypto/decrypt", || {
            ask("POST", "/crypto/decrypt", black_box(&sealed))
        }),
        Contender::new("GET /status", || ask("GET", "/status", b"")),
    ];
    race("through the door, messages of 1 MiB", message.len(), rounds, &mut contenders);
    drop(contenders);
    stop.cancel();
    servers.block_on(running)??;
    Ok(())
}
