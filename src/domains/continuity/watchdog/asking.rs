//! A question over HTTP/1.0 to a process of this machine: so small that nothing of the box has to work for it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

/// The longest answer that is read, bytes: a page of Plan B, with room to spare.
const ANSWER_MAX: u64 = 4 << 20;

/// Where a process is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    /// At a socket of the file system.
    Socket(PathBuf),
    /// At `HOST:PORT`.
    Address(String),
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Question<'q> {
    /// `GET` or `POST`.
    pub method: &'q str,
    /// The path, with its query.
    pub path: &'q str,
    /// Headers besides those every question has.
    pub headers: &'q [(&'q str, &'q str)],
    /// The body; empty for none.
    pub body: &'q [u8],
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// Whether the status tells of success.
    pub fn is_good(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as JSON; null when it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl<'q> Question<'q> {
    /// A question without a body.
    pub fn get(path: &'q str) -> Self {
        Self { method: "GET", path, headers: &[], body: b"" }
    }

    /// The same, with headers.
    #[must_use]
    pub fn with(self, headers: &'q [(&'q str, &'q str)]) -> Self {
        Self { headers, ..self }
    }

    /// Asks, and waits at most `patience` for the whole answer.
    ///
    /// # Errors
    /// What the network says; `TimedOut`; `InvalidData` for what is no HTTP.
    pub async fn ask(self, at: &At, patience: Duration) -> io::Result<Answer> {
        let whole = async {
            match at {
                At::Socket(path) => self.over(UnixStream::connect(path).await?, "localhost").await,
                At::Address(place) => self.over(TcpStream::connect(place).await?, place).await,
            }
        };
        timeout(patience, whole).await.unwrap_or_else(|_| {
            let words = format!("no answer within {} ms", patience.as_millis());
            Err(io::Error::new(io::ErrorKind::TimedOut, words))
        })
    }

    async fn over<S: AsyncRead + AsyncWrite + Unpin>(
        self,
        mut stream: S,
        host: &str,
    ) -> io::Result<Answer> {
        // To HTTP/1.0 nobody answers in chunks: the end of the stream is the end of the answer.
        let mut head = format!("{} {} HTTP/1.0\r\nhost: {host}\r\n", self.method, self.path);
        let length = self.body.len().to_string();
        let of_body = [("content-type", "application/json"), ("content-length", length.as_str())];
        let of_body = if self.body.is_empty() { &[][..] } else { &of_body };
        for (name, value) in of_body.iter().chain(self.headers) {
            head.extend([*name, ": ", *value, "\r\n"]);
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(self.body).await?;
        let mut bytes = Vec::new();
        stream.take(ANSWER_MAX).read_to_end(&mut bytes).await?;
        read(&bytes)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no HTTP was answered"))
    }
}

fn read(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let (head, rest) = bytes.split_at_checked(end)?;
    let head = String::from_utf8_lossy(head);
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    first.next().filter(|version| version.starts_with("HTTP/1."))?;
    let status = first.next()?.parse().ok()?;
    let body = rest.get(4..)?;
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok());
    // Whatever keeps the connection open longer than its answer is taken at its word.
    let body = length.and_then(|length: usize| body.get(..length)).unwrap_or(body);
    Some(Answer { status, body: body.to_vec() })
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn answers_are_read_and_nonsense_is_not() {
        let good = read(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokmore").unwrap();
        assert_eq!((good.status, good.body.as_slice()), (200, &b"ok"[..]));
        let open = read(b"HTTP/1.0 503 no\r\n\r\n{}").unwrap();
        assert_eq!((open.status, open.is_good(), open.json()), (503, false, serde_json::json!({})));
        for nonsense in
            [&b""[..], b"HTTP/1.1 200 OK\r\n", b"SSH-2.0\r\n\r\n", b"HTTP/1.1 x\r\n\r\n"]
        {
            assert_eq!(read(nonsense), None, "{nonsense:?}");
        }
    }

    #[tokio::test]
    async fn who_accepts_and_stays_silent_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = At::Address(listener.local_addr().unwrap().to_string());
        let silent = Question::get("/health").ask(&at, Duration::from_millis(50)).await;
        assert_eq!(silent.unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(listener);
        let gone = Question::get("/health").ask(&at, Duration::from_secs(5)).await;
        assert_eq!(gone.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}
