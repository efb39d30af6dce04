//! The wire to the other server: connect, ask once, read the answer as it comes.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use super::events::Events;
use super::protocol::{self, Added, Counted, End};
use super::{Inner, Place, Trouble, down, failed, trust, unreachable};
use crate::base::fault::Fault;

/// No whole answer (a list of models, a complaint, an answer that is not streamed) is longer, bytes.
const WHOLE_BYTES_MAX: usize = 4 << 20;
/// No stream is longer, bytes.
const STREAM_BYTES_MAX: usize = 256 << 20;
/// No answer may take longer from its first byte to its last.
const ANSWER_MAX: Duration = Duration::from_mins(10);
/// How a stream says that nothing follows.
const DONE: &[u8] = b"[DONE]";
/// How this client names itself.
const AGENT: &str = concat!("ilot/", env!("CARGO_PKG_VERSION"));

/// The connection's own side of the talk; it must be polled for anything to move.
type Talk = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

/// Something that bytes go through.
trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<W: AsyncRead + AsyncWrite + Send + Unpin> Wire for W {}

/// An answer as it comes; the connection ends with it.
pub struct Answer {
    model: String,
    /// Whether the name is settled: by the first event that names it, at the latest by the first text.
    named: bool,
    body: Body,
    events: Events,
    /// What was read and not handed on yet.
    ready: VecDeque<Vec<u8>>,
    end: Option<End>,
    counted: Option<Counted>,
    over: bool,
}

impl Answer {
    /// The model that answers, as the server named it at the beginning.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// More text; none at the end.
    ///
    /// # Errors
    /// `upstream_failed` when it breaks off, is silent for too long, or says what is no answer.
    pub async fn next(&mut self) -> Result<Option<String>, Fault> {
        loop {
            while let Some(data) = self.ready.pop_front() {
                if data == DONE {
                    self.over = true;
                    self.ready.clear();
                    break;
                }
                let Added { model, text, end, counted } = protocol::read(&data)?;
                if let Some(name) = model.filter(|_| !self.named) {
                    self.model = name;
                    self.named = true;
                }
                self.end = end.or(self.end);
                self.counted = counted.or(self.counted);
                if !text.is_empty() {
                    self.named = true;
                    return Ok(Some(text));
                }
            }
            if self.over {
                // A server that ends without a word of why was cut off.
                return match self.end {
                    Some(_) => Ok(None),
                    None => Err(failed("It broke off within an answer.")),
                };
            }
            self.read_on().await?;
        }
    }

    /// Why it ended; only known at the end.
    pub fn end(&self) -> Option<End> {
        self.end
    }

    /// What it cost, when the server says so.
    pub fn counted(&self) -> Option<Counted> {
        self.counted
    }

    async fn read_on(&mut self) -> Result<(), Fault> {
        if let Some(chunk) = self.body.next().await? {
            let whole = self.events.push(&chunk)?;
            // Comments and half events are no sign that an answer goes on.
            if !whole.is_empty() {
                self.body.heard();
            }
            self.ready.extend(whole);
        } else {
            self.over = true;
            self.ready.extend(std::mem::take(&mut self.events).finish());
        }
        Ok(())
    }
}

/// The body of an answer, which moves its own connection and knows how long it may be silent.
struct Body {
    /// None when the whole answer was read already.
    incoming: Option<Incoming>,
    talk: Option<Talk>,
    silence: Duration,
    /// When its silence has lasted too long.
    silent_until: Instant,
    /// When it has to be over.
    end: Instant,
    bytes_left: usize,
}

impl Body {
    /// It said something.
    fn heard(&mut self) {
        self.silent_until = Instant::now() + self.silence;
    }

    /// The next bytes; none at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        let Self { incoming, talk, silence, silent_until, end, bytes_left } = self;
        let Some(incoming) = incoming else { return Ok(None) };
        let next = async {
            loop {
                let frame = match talk {
                    Some(moving) => tokio::select! {
                        biased;
                        frame = incoming.frame() => frame,
                        // What it left behind can be read to its end.
                        _ = moving => {
                            *talk = None;
                            continue;
                        }
                    },
                    None => incoming.frame().await,
                };
                match frame.transpose() {
                    // Trailers say nothing here.
                    Ok(Some(frame)) => {
                        if let Ok(bytes) = frame.into_data() {
                            return Ok(Some(bytes));
                        }
                    }
                    Ok(None) => return Ok(None),
                    Err(e) => return Err(failed("It broke off within an answer.").because(e)),
                }
            }
        };
        let (silent_until, end, seconds) = (*silent_until, *end, silence.as_secs());
        let too_long = || {
            failed(if silent_until < end {
                format!("It was silent for {seconds} s within an answer.")
            } else {
                format!("Its answer takes more than {} s.", ANSWER_MAX.as_secs())
            })
        };
        let until = silent_until.min(end);
        if until <= Instant::now() {
            // Bytes that are always there would never let the time be up.
            return Err(too_long());
        }
        let bytes = timeout_at(until, next).await.map_err(|_| too_long())??;
        if let Some(bytes) = &bytes {
            *bytes_left = bytes_left
                .checked_sub(bytes.len())
                .ok_or_else(|| failed("Its answer is longer than any should be."))?;
        }
        Ok(bytes)
    }

    async fn whole(&mut self) -> Result<Vec<u8>, Fault> {
        self.bytes_left = WHOLE_BYTES_MAX;
        let mut whole = Vec::new();
        while let Some(bytes) = self.next().await? {
            self.heard();
            whole.extend_from_slice(&bytes);
        }
        Ok(whole)
    }
}

/// Puts a question and waits until its answer begins.
pub(super) async fn ask(
    upstream: &Inner,
    path: &str,
    key: Option<&str>,
    question: Vec<u8>,
    model: String,
) -> Result<Answer, Trouble> {
    let (response, talk) = send(upstream, Method::POST, path, key, question).await?;
    let streamed = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().to_ascii_lowercase().starts_with(b"text/event-stream"));
    let mut body = body(upstream, response, talk);
    let mut ready = VecDeque::new();
    if !streamed {
        // Some servers do not stream: their whole answer is one event.
        ready.push_back(body.whole().await.map_err(down)?);
        ready.push_back(DONE.to_vec());
    }
    Ok(Answer {
        model,
        named: false,
        body,
        events: Events::default(),
        ready,
        end: None,
        counted: None,
        over: false,
    })
}

/// Fetches a whole answer.
pub(super) async fn fetch(
    upstream: &Inner,
    path: &str,
    key: Option<&str>,
) -> Result<Vec<u8>, Trouble> {
    let (response, talk) = send(upstream, Method::GET, path, key, Vec::new()).await?;
    body(upstream, response, talk).whole().await.map_err(down)
}

fn body(upstream: &Inner, response: Response<Incoming>, talk: Talk) -> Body {
    let (silence, now) = (upstream.options.silence, Instant::now());
    Body {
        incoming: Some(response.into_body()),
        talk: Some(talk),
        silence,
        silent_until: now + silence,
        end: now + ANSWER_MAX,
        bytes_left: STREAM_BYTES_MAX,
    }
}

/// Sends a request on a connection of its own; whatever is not a success is a trouble.
async fn send(
    upstream: &Inner,
    method: Method,
    path: &str,
    key: Option<&str>,
    sent: Vec<u8>,
) -> Result<(Response<Incoming>, Talk), Trouble> {
    let request = request(&upstream.place, method, path, key, sent)?;
    let limit = upstream.options.connect;
    let connected = timeout(limit, connect(upstream)).await;
    let wire = connected.map_err(|_| {
        down(unreachable(format!(
            "{} did not take a connection within {} s.",
            upstream.place.authority,
            limit.as_secs()
        )))
    })??;
    let cut = |e: hyper::Error| {
        down(unreachable(format!("{} broke off.", upstream.place.authority)).because(e))
    };
    let (mut sender, connection) = http1::handshake(TokioIo::new(wire)).await.map_err(cut)?;
    let mut talk: Talk = Box::pin(connection);
    let mut response = Box::pin(sender.send_request(request));
    let silence = upstream.options.silence;
    let begun = timeout(silence, async {
        tokio::select! {
            biased;
            begun = &mut response => begun,
            ended = &mut talk => match ended {
                Ok(()) => response.await,
                Err(e) => Err(e),
            },
        }
    });
    let response = begun
        .await
        .map_err(|_| {
            let (place, seconds) = (&upstream.place.authority, silence.as_secs());
            down(unreachable(format!("{place} said nothing for {seconds} s.")))
        })?
        // The connection was good: the question may be to blame.
        .map_err(|e| down(failed("It broke off before it answered.").because(e)))?;
    if response.status().is_success() {
        return Ok((response, talk));
    }
    let status = response.status();
    let said = body(upstream, response, talk).whole().await.unwrap_or_default();
    Err(refusal(status, &said))
}

/// What a status other than success means.
fn refusal(status: StatusCode, said: &[u8]) -> Trouble {
    let words = protocol::complaint(said);
    let (fault, to_blame) = match status.as_u16() {
        401 | 403 => (refused(status), true),
        // The question is at fault, and would be with any other server of the kind.
        400 | 413 | 422 => (failed(format!("It refuses the question: {words}")), false),
        300..=399 => {
            (failed("It points to another place; set assistant.openai.url to that."), true)
        }
        _ => (failed(format!("It answers {status}: {words}")), true),
    };
    Trouble { fault, down: to_blame, status: Some(status.as_u16()) }
}

fn refused(status: StatusCode) -> Fault {
    Fault::unavailable(
        "upstream_refused",
        format!(
            "The server that generates asks for another key ({status}); an administrator sets it \
             with 'ilot model key'."
        ),
    )
}

fn request(
    place: &Place,
    method: Method,
    path: &str,
    key: Option<&str>,
    sent: Vec<u8>,
) -> Result<Request<Full<Bytes>>, Trouble> {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("{}{path}", place.front))
        .header(HOST, &place.authority)
        .header(USER_AGENT, AGENT)
        .header(ACCEPT, "text/event-stream, application/json")
        .header(CONTENT_TYPE, "application/json");
    if let Some(key) = key {
        let mut value = HeaderValue::from_str(&format!("Bearer {key}"))
            .map_err(|e| down(Fault::broken("writing the key of another server", e)))?;
        value.set_sensitive(true);
        request = request.header(AUTHORIZATION, value);
    }
    request
        .body(Full::new(Bytes::from(sent)))
        .map_err(|e| down(Fault::broken("writing a question to another server", e)))
}

/// A connection, with TLS where the URL says so.
async fn connect(upstream: &Inner) -> Result<Box<dyn Wire>, Trouble> {
    let Place { tls, host, port, authority, .. } = &upstream.place;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let plain = TcpStream::connect((bare, *port)).await.map_err(|e| {
        down(unreachable(format!("{authority} cannot be reached: {e}.")).because(e))
    })?;
    // A token is a packet of its own.
    let _ = plain.set_nodelay(true);
    if !tls {
        return Ok(Box::new(plain));
    }
    let ca_file = upstream.options.ca_file.as_deref();
    let connector = TlsConnector::from(trust::config(ca_file).map_err(down)?);
    let name = ServerName::try_from(bare.to_owned())
        .map_err(|e| down(unreachable(format!("{bare} is no name of a server.")).because(e)))?;
    let sealed = connector.connect(name, plain).await.map_err(|e: io::Error| {
        down(unreachable(format!("{authority} does not speak TLS as it should: {e}.")).because(e))
    })?;
    Ok(Box::new(sealed))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::super::{Upstream, UpstreamOptions, Way};
    use super::*;

    /// Has a server send `line` again and again, and reads its answer until it fails.
    async fn kept_up(line: &'static [u8], limit: Option<Duration>) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let serve = async move {
            let (mut wire, _) = listener.accept().await.unwrap();
            let _ = wire.read(&mut [0; 4096]).await.unwrap();
            let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
            wire.write_all(head).await.unwrap();
            while wire.write_all(line).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            std::future::pending::<()>().await;
        };
        let ask = async {
            let second = Duration::from_secs(1);
            let options = UpstreamOptions {
                url,
                model: "m".into(),
                ca_file: None,
                connect: second,
                silence: second,
            };
            let server = Upstream::new(options).unwrap();
            let mut answer = server.ask(None, Way::Text, serde_json::Map::new()).await.unwrap();
            if let Some(limit) = limit {
                answer.body.end = Instant::now() + limit;
            }
            loop {
                match answer.next().await {
                    Ok(text) => assert!(text.is_some()),
                    Err(fault) => return fault.message,
                }
            }
        };
        tokio::select! { () = serve => String::new(), said = timeout(Duration::from_secs(20), ask) => said.unwrap() }
    }

    #[tokio::test]
    async fn comments_do_not_hold_a_place_for_ever() {
        let said = kept_up(b": still here\n\n", None).await;
        assert!(said.contains("silent for 1 s"), "{said}");
    }

    #[tokio::test]
    async fn an_answer_without_end_is_ended() {
        let event = b"data: {\"choices\":[{\"text\":\"a\"}]}\n\n";
        let said = kept_up(event, Some(Duration::from_millis(1500))).await;
        assert!(said.contains("takes more than 600 s"), "{said}");
    }
}
