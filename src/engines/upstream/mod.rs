//! A server on the LAN that speaks `OpenAI`'s protocol and generates for this box.
//!
//! One connection a question: it is closed when nobody wants the answer any more, which is how such
//! servers learn that they may stop.

mod events;
mod protocol;
mod trust;
mod wire;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::Uri;
use hyper::http::uri::Scheme;
use serde_json::{Map, Value};

pub use protocol::{Counted, End};
pub use wire::Answer;

use crate::base::fault::Fault;

/// Where another server is and how long it may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamOptions {
    /// Its front, as `https://gpu.lan:8000/v1`.
    pub url: String,
    /// The model to ask for; empty takes the first one it lists.
    pub model: String,
    /// The authorities it is trusted by, PEM or DER; none takes the machine's own.
    pub ca_file: Option<PathBuf>,
    /// How long a connection may take.
    pub connect: Duration,
    /// How long it may say nothing while it is expected to.
    pub silence: Duration,
}

/// Which of its doors a question goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// `/chat/completions`: messages.
    Chat,
    /// `/completions`: a text to go on from.
    Text,
}

/// Why there is no answer.
#[derive(Debug)]
pub struct Trouble {
    /// What the one who asks is told.
    pub fault: Fault,
    /// Whether the server is to blame, so that another one may do better with the same question.
    pub down: bool,
    /// The status it answered with, when it answered at all.
    pub status: Option<u16>,
}

impl Trouble {
    /// Whether it will be the same with any question: nobody is there, or lets this box in.
    pub fn lasts(&self) -> bool {
        let code = self.fault.code;
        matches!(self.status, Some(502..=504))
            || ["upstream_unreachable", "upstream_refused", "upstream_ca_unusable"].contains(&code)
    }

    /// Whether it says anything of the server: what goes wrong within an answer, or with a question
    /// that it refuses, is that question's own.
    pub fn counts(&self) -> bool {
        self.down && !self.status.is_some_and(|status| (200..300).contains(&status))
    }
}

/// Another server. Clones are the same.
#[derive(Clone)]
pub struct Upstream(Arc<Inner>);

struct Inner {
    options: UpstreamOptions,
    place: Place,
    /// The first model of its list, once it was asked.
    first: Mutex<Option<String>>,
}

/// The parts of its URL.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    tls: bool,
    host: String,
    port: u16,
    /// As `Host` names it.
    authority: String,
    /// What stands before the protocol's own paths, without a slash at its end.
    front: String,
}

impl Upstream {
    /// The server of these options; nothing is connected yet.
    ///
    /// # Errors
    /// `upstream_url_invalid` when the URL is none of plain HTTP or https, or carries a password.
    pub fn new(options: UpstreamOptions) -> Result<Self, Fault> {
        let place = place(&options.url)?;
        let first = Mutex::default();
        Ok(Self(Arc::new(Inner { options, place, first })))
    }

    /// Its scheme, host and port, which is what a key is kept for.
    pub fn origin(&self) -> String {
        let Place { tls, host, port, .. } = &self.0.place;
        format!("{}://{host}:{port}", if *tls { "https" } else { "http" })
    }

    /// Asks, and waits until an answer begins.
    ///
    /// # Errors
    /// `upstream_unreachable`, `upstream_refused` (a key is missing or wrong), `upstream_failed`,
    /// `upstream_ca_unusable`.
    pub async fn ask(
        &self,
        key: Option<&str>,
        way: Way,
        question: Map<String, Value>,
    ) -> Result<Answer, Trouble> {
        let model = self.model(key).await?;
        let body = protocol::complete(question, &model).to_string().into_bytes();
        let path = match way {
            Way::Chat => "/chat/completions",
            Way::Text => "/completions",
        };
        wire::ask(&self.0, path, key, body, model).await.inspect_err(|_| {
            // Another model may be served when it is back.
            self.first().take();
        })
    }

    /// Whether it is there and lets this box in.
    ///
    /// # Errors
    /// As [`Upstream::ask`].
    pub async fn greet(&self, key: Option<&str>) -> Result<(), Trouble> {
        match wire::fetch(&self.0, "/models", key).await {
            Ok(_) => Ok(()),
            // A small server may list nothing and still answer questions, if it is told a model.
            Err(Trouble { status: Some(404 | 405), .. }) if !self.0.options.model.is_empty() => {
                Ok(())
            }
            Err(trouble) => Err(trouble),
        }
    }

    /// The name of the model it is asked for, which also shows that it is there.
    ///
    /// # Errors
    /// As [`Upstream::ask`].
    pub async fn model(&self, key: Option<&str>) -> Result<String, Trouble> {
        let set = &self.0.options.model;
        if !set.is_empty() {
            return Ok(set.clone());
        }
        let known = self.first().clone();
        if let Some(known) = known {
            return Ok(known);
        }
        let body = wire::fetch(&self.0, "/models", key).await?;
        let found = protocol::first_model(&body).map_err(down)?;
        *self.first() = Some(found.clone());
        Ok(found)
    }

    /// The model it is asked for, as far as it is known without asking.
    pub fn known_model(&self) -> Option<String> {
        let set = &self.0.options.model;
        if set.is_empty() { self.first().clone() } else { Some(set.clone()) }
    }

    fn first(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.0.first.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn place(url: &str) -> Result<Place, Fault> {
    let invalid = || {
        Fault::invalid(
            "upstream_url_invalid",
            "assistant.openai.url is no URL as http://gpu.lan:8000/v1 or https://gpu.lan:8000/v1.",
        )
    };
    let uri: Uri = url.parse().map_err(|e| invalid().because(e))?;
    let tls = match uri.scheme() {
        Some(scheme) if *scheme == Scheme::HTTPS => true,
        Some(scheme) if *scheme == Scheme::HTTP => false,
        _ => return Err(invalid()),
    };
    let authority = uri.authority().ok_or_else(invalid)?;
    if authority.as_str().contains('@') || uri.query().is_some() {
        return Err(invalid());
    }
    Ok(Place {
        tls,
        host: authority.host().to_owned(),
        port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }),
        authority: authority.as_str().to_owned(),
        front: uri.path().trim_end_matches('/').to_owned(),
    })
}

fn unreachable(message: impl Into<String>) -> Fault {
    Fault::unavailable("upstream_unreachable", message)
}

fn failed(message: impl Into<String>) -> Fault {
    let message = message.into();
    Fault::unavailable("upstream_failed", format!("The server that generates failed. {message}"))
}

/// An answer that had begun went wrong: another server may do better, and this one is still there.
pub fn within(fault: Fault) -> Trouble {
    Trouble { fault, down: true, status: Some(200) }
}

/// The server is to blame.
pub fn down(fault: Fault) -> Trouble {
    Trouble { fault, down: true, status: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_of_a_server_is_read_and_nonsense_is_named() {
        let read = place("https://gpu.lan:8000/v1/").unwrap();
        assert_eq!((read.tls, read.host.as_str(), read.port), (true, "gpu.lan", 8000));
        assert_eq!(read.front, "/v1");
        assert_eq!(place("http://10.0.0.7").unwrap().port, 80);
        assert_eq!(place("https://[fd00::7]/v1").unwrap().host, "[fd00::7]");
        for bad in ["", "gpu.lan", "ftp://gpu.lan/", "http://a:b@gpu.lan/v1", "http://h/v1?k=1"] {
            assert_eq!(place(bad).unwrap_err().code, "upstream_url_invalid", "{bad}");
        }
    }
}
