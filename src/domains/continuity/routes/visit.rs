//! Somebody before one of Plan B's pages: who it is, in which language, and the page that answers.

use axum::extract::{FromRequestParts, OriginalUri, Request};
use axum::http::header::{
    ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::KEY_HEADER;
use crate::base::caller::{Caller, Refusal, Who};
use crate::base::fault::{Fault, Kind};
use crate::domains::continuity::pack::Found;
use crate::domains::continuity::pages::{Lang, View, fault_page};
use crate::domains::continuity::people::SESSION;
use crate::domains::continuity::standing::Standing;
use crate::web::recognition::Recognised;
use crate::web::{Asker, Peer, WebFault, run};

/// The cookie of a sign-in at Plan B.
const SESSION_COOKIE: &str = "planb_session";
/// The header of a kiosk's key.
const KIOSK_HEADER: &str = "x-kiosk-api-key";
/// The longest path that a sign-in leads back to, bytes.
const BACK_MAX: usize = 500;

/// Who is before a page.
pub(super) struct Visit {
    pub(super) caller: Caller,
    pub(super) peer: Peer,
    /// The language that the address names, then the one that the browser wishes for.
    asked: Option<Lang>,
    accepted: Option<Lang>,
    /// The page's own address, without its language.
    pub(super) path: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Visit {
    type Rejection = WebFault;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, WebFault> {
        let Asker(caller) = Asker::from_request_parts(parts, state).await?;
        let peer = parts.extensions.get::<Peer>().copied().unwrap_or_default();
        let uri = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |uri| &uri.0);
        let pairs = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let (lang, rest): (Vec<&str>, Vec<&str>) = pairs.partition(|p| p.starts_with("lang="));
        let asked = lang.iter().find_map(|pair| Lang::named(pair.trim_start_matches("lang=")));
        let path = if rest.is_empty() {
            uri.path().to_owned()
        } else {
            format!("{}?{}", uri.path(), rest.join("&"))
        };
        let header = parts.headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        Ok(Self { caller, peer, asked, accepted: header.and_then(Lang::accepted), path })
    }
}

impl Visit {
    /// The page to be, over a pack.
    pub(super) fn view<'a>(&'a self, standing: &'a Standing, found: &'a Found) -> View<'a> {
        View {
            standing,
            found,
            caller: &self.caller,
            lang: self.lang(found),
            lang_asked: self.asked.is_some(),
            path: &self.path,
        }
    }

    /// What the address says, else what the person's account says, else what the browser says.
    fn lang(&self, found: &Found) -> Lang {
        let of_person = || {
            let Who::User { id, .. } = &self.caller.who else { return None };
            let person = found.pack.as_ref()?.people().find(|person| person.id == *id)?;
            Lang::named(&person.language)
        };
        self.asked.or_else(of_person).or(self.accepted).unwrap_or(Lang::Fr)
    }

    /// Where a form leads next, in the language of this address.
    pub(super) fn to(&self, path: &str) -> Response {
        let lang = self.asked.map(Lang::code);
        let sign = if path.contains('?') { '&' } else { '?' };
        let (front, anchor) = path.split_once('#').unwrap_or((path, ""));
        let mut to =
            lang.map_or_else(|| front.to_owned(), |lang| format!("{front}{sign}lang={lang}"));
        if !anchor.is_empty() {
            to.push('#');
            to.push_str(anchor);
        }
        let to = HeaderValue::from_str(&to).unwrap_or(HeaderValue::from_static("/planb"));
        (StatusCode::SEE_OTHER, [(LOCATION, to)]).into_response()
    }

    /// What is seen instead of a page that cannot be shown: the sign-in where that helps.
    pub(super) fn refuse(&self, standing: &Standing, fault: &Fault) -> Response {
        if fault.kind == Kind::Unauthenticated && self.caller.who == Who::Nobody {
            let back = crate::domains::continuity::pages::encoded(&self.path);
            return self.to(&format!("/planb/sign-in?back={back}"));
        }
        let found = standing.found();
        let body = fault_page(&self.view(standing, &found), fault);
        html_of(fault, body)
    }
}

/// A page that is made on a thread that may wait: it looks at the pack's files.
pub(super) async fn shown(page: impl FnOnce() -> Response + Send + 'static) -> Response {
    run(move || Ok(page())).await.unwrap_or_else(IntoResponse::into_response)
}

/// A page.
pub(super) fn html(status: StatusCode, body: String) -> Response {
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    let cache = HeaderValue::from_static("no-store");
    (status, [(CONTENT_TYPE, kind), (CACHE_CONTROL, cache)], body).into_response()
}

/// A page about a fault: with its status, its wait, and its line in the log.
pub(super) fn html_of(fault: &Fault, body: String) -> Response {
    let same = Fault {
        retry_after: fault.retry_after,
        ..Fault::new(fault.kind, fault.code, fault.message.clone())
    };
    let mut response = WebFault::from(same).into_response().map(|_| axum::body::Body::from(body));
    let headers = response.headers_mut();
    headers.remove(axum::http::header::CONTENT_LENGTH);
    // A browser would ask for a password of its own otherwise.
    headers.remove(axum::http::header::WWW_AUTHENTICATE);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A path of these pages to go back to; the first page for anything else.
pub(super) fn back(wished: &str) -> &str {
    let own = wished == "/planb" || wished.starts_with("/planb/") || wished.starts_with("/planb?");
    let plain =
        wished.len() <= BACK_MAX && wished.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    if own && plain { wished } else { "/planb" }
}

/// The word of the session that a request shows.
pub(super) fn session_word(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs =
        cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
    pairs.find(|(name, _)| name.trim() == SESSION_COOKIE).map(|(_, word)| word.trim())
}

/// Sets the cookie of a session, or takes it away.
pub(super) fn with_session(mut response: Response, word: Option<&str>, secure: bool) -> Response {
    let (word, seconds) = word.map_or(("", 0), |word| (word, SESSION.as_secs()));
    let safe = if secure { "; Secure" } else { "" };
    let cookie = format!(
        "{SESSION_COOKIE}={word}; Path=/planb; Max-Age={seconds}; HttpOnly; SameSite=Strict{safe}"
    );
    if let Ok(value) = HeaderValue::from_str(&cookie) {
        response.headers_mut().append(SET_COOKIE, value);
    }
    response
}

/// Recognises whoever comes to Plan B's process: a kiosk, whoever has a key of Plan B's, a person who
/// signed in. A wrong key is refused late; who shows one is nobody, and is told why where that matters.
pub fn recognise_all(standing: &Standing, request: &Request) -> Option<Recognised> {
    let ground = standing.ground();
    let peer = super::peer_of(request);
    let nobody = Caller::nobody(peer.address, "");
    let header =
        |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap_or_default());
    if let Some(key) = header(KIOSK_HEADER) {
        return Some(match ground.people.by_kiosk_key(nobody.clone(), key.trim()) {
            Ok(caller) => Box::pin(std::future::ready(Ok(caller))),
            Err(fault) => late(standing, nobody, Some(fault)),
        });
    }
    if let Some(known) = super::recognise(&ground.desk, request) {
        return Some(known);
    }
    // The seed's own paths refuse wrong keys late by themselves.
    if header(KEY_HEADER).is_some() && request.uri().path().starts_with("/planb") {
        return Some(late(standing, nobody, None));
    }
    let word = session_word(request.headers())?.to_owned();
    let people = ground.people.clone();
    // It looks at the pack's file, or the key's: a disk that is slow must not keep others waiting.
    Some(Box::pin(run(move || Ok(people.by_cookie(nobody.clone(), &word).unwrap_or(nobody)))))
}

fn late(standing: &Standing, nobody: Caller, fault: Option<Fault>) -> Recognised {
    let desk = standing.ground().desk.clone();
    Box::pin(async move {
        desk.wrong_key(nobody.address)?.wait().await;
        let fault = fault.unwrap_or_else(super::no_good_key);
        let refusal = Refusal { code: fault.code, message: fault.message.into() };
        Ok(Caller { refusal: Some(refusal), ..nobody })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_in_leads_back_to_these_pages_only() {
        for (wished, to) in [
            ("/planb/section/contacts?x=1", "/planb/section/contacts?x=1"),
            ("/planb", "/planb"),
            ("/planbeast", "/planb"),
            ("//evil.example/planb", "/planb"),
            ("https://evil.example/planb/", "/planb"),
            ("/planb/\r\nset-cookie: a=b", "/planb"),
            ("/planb/\\evil", "/planb"),
            ("", "/planb"),
        ] {
            assert_eq!(back(wished), to, "{wished}");
        }
    }
}
