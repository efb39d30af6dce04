//! What handlers take apart: JSON, query and path, whose refusals wear the house's one fault body.

use std::error::Error;

use axum::body::Bytes;
use axum::extract::path::ErrorKind;
use axum::extract::rejection::{BytesRejection, FormRejection, PathRejection};
use axum::extract::{
    FromRequest, FromRequestParts, Multipart, OptionalFromRequest, RawPathParams, Request,
};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_path_to_error::Segment;

use super::ends::Over;
use super::fault::WebFault;
use super::limits::SlowPeer;
use crate::base::fault::{Fault, Field};

/// A JSON body, coming in or going out.
///
/// Refusals: `content_type` (415), `json_malformed` (400), `validation` (422, with the place of the
/// field), `body_too_large` (413), `body_too_slow` (408), `body_broken` (400).
#[derive(Debug, Clone, Copy, Default)]
pub struct Json<T>(pub T);

/// A form with files, as browsers send it. Refusals: `content_type` (415), `upload_malformed` (400)
/// when it does not say what separates its parts.
#[derive(Debug)]
pub struct Form(pub Multipart);

/// A form without files, as old clients and HTML send it (`application/x-www-form-urlencoded`).
///
/// Refusals: as [`Json`], with `validation` (422) for whatever is not such a form.
#[derive(Debug, Clone, Copy, Default)]
pub struct Urlencoded<T>(pub T);

/// The query string. Refusal: `validation` (422) with the name of the parameter.
#[derive(Debug, Clone, Copy, Default)]
pub struct Query<T>(pub T);

/// The parts of the path. Refusal: `validation` (422) with the name of the part.
#[derive(Debug, Clone, Copy, Default)]
pub struct Path<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = WebFault;

    async fn from_request(request: Request, state: &S) -> Result<Self, WebFault> {
        if !is_json(request.headers().get(CONTENT_TYPE).map(axum::http::HeaderValue::as_bytes)) {
            return Err(wrong_type("application/json"));
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|r| buffering(&r))?;
        Ok(Self(from_json(&bytes)?))
    }
}

/// `Option<Json<T>>`: none when there is no body at all.
impl<T: DeserializeOwned, S: Send + Sync> OptionalFromRequest<S> for Json<T> {
    type Rejection = WebFault;

    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, WebFault> {
        let headers = request.headers();
        let empty = headers.get(CONTENT_LENGTH).is_none_or(|n| n == "0")
            && !headers.contains_key(TRANSFER_ENCODING);
        if empty && !headers.contains_key(CONTENT_TYPE) {
            return Ok(None);
        }
        <Self as FromRequest<S>>::from_request(request, state).await.map(Some)
    }
}

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = WebFault;

    async fn from_request(request: Request, state: &S) -> Result<Self, WebFault> {
        let kind = request.headers().get(CONTENT_TYPE).map(axum::http::HeaderValue::as_bytes);
        if !kind.is_some_and(|kind| essence(kind).eq_ignore_ascii_case(b"multipart/form-data")) {
            return Err(wrong_type("multipart/form-data"));
        }
        <Multipart as FromRequest<S>>::from_request(request, state).await.map(Self).map_err(
            |refused| {
                let words = format!("The upload cannot be read: {}", refused.body_text());
                Fault::invalid("upload_malformed", words).into()
            },
        )
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Urlencoded<T> {
    type Rejection = WebFault;

    async fn from_request(request: Request, state: &S) -> Result<Self, WebFault> {
        match axum::Form::<T>::from_request(request, state).await {
            Ok(form) => Ok(Self(form.0)),
            Err(FormRejection::InvalidFormContentType(_)) => {
                Err(wrong_type("application/x-www-form-urlencoded"))
            }
            Err(FormRejection::BytesRejection(refused)) => Err(buffering(&refused).into()),
            Err(refused) => {
                let words = innermost(&refused);
                Err(Fault::fields(vec![placed("body", &words)]).into())
            }
        }
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = WebFault;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, WebFault> {
        axum::extract::Query::try_from_uri(&parts.uri).map(|query| Self(query.0)).map_err(
            |refused| {
                let words = innermost(&refused);
                Fault::fields(vec![placed("query", &words)]).into()
            },
        )
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = WebFault;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, WebFault> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(path) => Ok(Self(path.0)),
            Err(PathRejection::FailedToDeserializePathParams(refused)) => {
                let names = match RawPathParams::from_request_parts(parts, state).await {
                    Ok(raw) => raw.iter().map(|(name, _)| name.to_owned()).collect(),
                    Err(_) => Vec::new(),
                };
                Err(path_fault(refused.into_kind(), &names).into())
            }
            Err(other) => {
                Err(Fault::broken("reading the parts of a path", other.body_text()).into())
            }
        }
    }
}

/// A member that some clients send as null where others leave it out (`#[serde(deserialize_with)]`).
///
/// # Errors
/// What the deserializer says.
pub fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::Deserialize<'de> + Default,
{
    <Option<T> as serde::Deserialize>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Reads JSON from foreign bytes.
///
/// # Errors
/// `json_malformed` when it is no JSON; `validation` with the field's place when it does not fit `T`.
pub fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Fault> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|refused| {
        let steps = refused.path().iter().filter_map(step_of).collect();
        // What is no JSON is refused as such, however early a field of it is; what is JSON is refused for its
        // field, though serde calls some of these (a number for one word of several) slips of syntax.
        match serde_json::from_slice::<IgnoredAny>(bytes) {
            Ok(IgnoredAny) => data_fault(refused.inner(), steps),
            Err(slip) => malformed(&slip),
        }
    })?;
    reader.end().map_err(|slip| malformed(&slip))?;
    Ok(value)
}

fn step_of(segment: &Segment) -> Option<String> {
    match segment {
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Map { key } => Some(key.clone()),
        Segment::Enum { variant } => Some(variant.clone()),
        Segment::Unknown => None,
    }
}

fn malformed(slip: &serde_json::Error) -> Fault {
    Fault::invalid("json_malformed", format!("The body is not JSON: {slip}."))
}

/// The body is JSON, and not what was asked for.
fn data_fault(refused: &serde_json::Error, steps: Vec<String>) -> Fault {
    let full = refused.to_string();
    // serde_json ends its sentence with a line and a column, which say nothing about a field.
    let words = full.rsplit_once(" at line ").map_or(full.as_str(), |(words, _)| words);
    let mut field = field_of(words);
    let mut place = vec!["body".to_owned()];
    place.extend(steps);
    place.append(&mut field.place);
    field.place = place;
    Fault::fields(vec![field])
}

/// Turns `path: words` (as axum words a query's refusal) into a field under `root`.
fn placed(root: &str, words: &str) -> Field {
    let (step, words) = match words.split_once(": ") {
        Some((step, rest)) if !step.contains(' ') => (Some(step), rest),
        _ => (None, words),
    };
    let mut field = field_of(words);
    let mut place = vec![root.to_owned()];
    place.extend(step.map(str::to_owned));
    place.append(&mut field.place);
    field.place = place;
    field
}

/// Names what serde says is wrong; a missing or unknown field brings its own last step.
fn field_of(words: &str) -> Field {
    let quoted = || words.split('`').nth(1).map(str::to_owned).into_iter().collect::<Vec<_>>();
    if words.starts_with("missing field") {
        return Field { place: quoted(), wrong: "missing", message: "Field required".into() };
    }
    if words.starts_with("unknown field") {
        return Field { place: Vec::new(), wrong: "extra_forbidden", message: words.to_owned() };
    }
    let wrong = if words.starts_with("invalid type") { "type_error" } else { "value_error" };
    Field { place: Vec::new(), wrong, message: words.to_owned() }
}

/// `names` are those of the parts, in their order: axum knows a lone part by its place alone.
fn path_fault(kind: ErrorKind, names: &[String]) -> Fault {
    let at = |index: usize| names.get(index).cloned().unwrap_or_else(|| index.to_string());
    let field = |key: String, message: String| {
        let place = vec!["path".to_owned(), key];
        Fault::fields(vec![Field { place, wrong: "value_error", message }])
    };
    let expected = |what: &str| format!("This part of the address must be a {what}.");
    match kind {
        ErrorKind::ParseErrorAtKey { key, expected_type, .. } => {
            field(key, expected(expected_type))
        }
        ErrorKind::ParseErrorAtIndex { index, expected_type, .. } => {
            field(at(index), expected(expected_type))
        }
        ErrorKind::ParseError { expected_type, .. } => field(at(0), expected(expected_type)),
        ErrorKind::DeserializeError { key, message, .. } => field(key, message),
        ErrorKind::Message(message) => field(at(0), message),
        ErrorKind::InvalidUtf8InPathParam { key } => {
            field(key, "This part of the address is not UTF-8.".into())
        }
        // What is left is a route whose handler asks for other parts than it declares.
        other => Fault::broken("reading the parts of a path", other.to_string()),
    }
}

fn wrong_type(right: &str) -> WebFault {
    let fault = Fault::invalid("content_type", format!("The body must be sent as {right}."));
    WebFault::with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE, fault)
}

/// A media type without its parameters.
fn essence(content_type: &[u8]) -> &[u8] {
    content_type.split(|b| *b == b';').next().unwrap_or_default().trim_ascii()
}

fn is_json(content_type: Option<&[u8]>) -> bool {
    let Some(essence) = content_type.map(essence) else { return false };
    essence.eq_ignore_ascii_case(b"application/json")
        || (essence.len() > 12
            && essence.get(..12).is_some_and(|p| p.eq_ignore_ascii_case(b"application/"))
            && essence.ends_with(b"+json"))
}

/// Why a body could not be buffered, for handlers that read its bytes themselves.
pub fn buffering(refused: &BytesRejection) -> Fault {
    if refused.status() == StatusCode::PAYLOAD_TOO_LARGE {
        too_large()
    } else {
        body_fault(refused)
    }
}

/// Why a body could not be read to its end, for handlers that read it themselves.
pub fn body_fault(refused: &(dyn Error + 'static)) -> Fault {
    let mut link = Some(refused);
    while let Some(error) = link {
        if error.is::<SlowPeer>() {
            return SlowPeer.fault();
        }
        if error.is::<Over>() {
            return Over.fault();
        }
        if error.is::<http_body_util::LengthLimitError>() {
            return too_large();
        }
        link = error.source();
    }
    Fault::invalid("body_broken", "The body ended before it was complete.")
}

fn too_large() -> Fault {
    Fault::too_large("body_too_large", "The body is larger than this address takes.")
}

fn innermost(refused: &(dyn Error + 'static)) -> String {
    let mut words = refused.to_string();
    let mut link = refused.source();
    while let Some(error) = link {
        let deeper = error.to_string();
        // The outermost sentence that carries the path wins; what lies below has lost it.
        if words.contains(&deeper) && !words.starts_with("Failed to deserialize") {
            break;
        }
        words = deeper;
        link = error.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Person {
        #[expect(dead_code, reason = "only its reading is looked at")]
        name: String,
        #[serde(default)]
        #[expect(dead_code, reason = "only its reading is looked at")]
        ages: Vec<u8>,
    }

    fn refused(json: &str) -> (String, Vec<String>, String) {
        let fault = from_json::<Person>(json.as_bytes()).unwrap_err();
        let field = fault.fields.first();
        (
            fault.code.to_owned(),
            field.map(|f| f.place.clone()).unwrap_or_default(),
            field.map(|f| f.wrong.to_owned()).unwrap_or_default(),
        )
    }

    #[test]
    fn json_that_does_not_fit_says_where() {
        let place = |steps: &[&str]| steps.iter().map(ToString::to_string).collect::<Vec<_>>();
        for (json, code, steps, wrong) in [
            ("{", "json_malformed", place(&[]), ""),
            ("", "json_malformed", place(&[]), ""),
            (r#"{"name":"a"} x"#, "json_malformed", place(&[]), ""),
            ("{}", "validation", place(&["body", "name"]), "missing"),
            (r#"{"name":1}"#, "validation", place(&["body", "name"]), "type_error"),
            (
                r#"{"name":"a","ages":[1,"b"]}"#,
                "validation",
                place(&["body", "ages", "1"]),
                "type_error",
            ),
            (
                r#"{"name":"a","ages":[999]}"#,
                "validation",
                place(&["body", "ages", "0"]),
                "value_error",
            ),
            (r#"{"nom":"a"}"#, "validation", place(&["body", "nom"]), "extra_forbidden"),
            ("[]", "validation", place(&["body"]), "value_error"),
        ] {
            let (got_code, got_steps, got_wrong) = refused(json);
            assert_eq!((got_code.as_str(), &got_steps), (code, &steps), "{json}");
            if json != "[]" {
                assert_eq!(got_wrong, wrong, "{json}");
            }
        }
    }

    #[tokio::test]
    async fn a_query_says_which_parameter() {
        #[derive(Debug, Deserialize)]
        struct Page {
            #[expect(dead_code, reason = "only its reading is looked at")]
            top_k: u8,
        }
        for (uri, place, wrong) in [
            ("/?top_k=many", vec!["query", "top_k"], "value_error"),
            ("/", vec!["query", "top_k"], "missing"),
        ] {
            let (mut parts, _) =
                axum::http::Request::builder().uri(uri).body(Body::empty()).unwrap().into_parts();
            let fault = Query::<Page>::from_request_parts(&mut parts, &()).await.unwrap_err();
            let field = fault.fault().fields.first().unwrap();
            assert_eq!(
                (field.place.iter().map(String::as_str).collect::<Vec<_>>(), field.wrong),
                (place, wrong)
            );
        }
    }

    #[tokio::test]
    async fn a_form_says_which_field() {
        #[derive(Debug, Deserialize)]
        struct Sent {
            username: String,
        }
        let sent = |kind: &str, body: &str| {
            let request = axum::http::Request::builder()
                .method("POST")
                .uri("/")
                .header(CONTENT_TYPE, kind)
                .body(Body::from(body.to_owned()))
                .unwrap();
            Urlencoded::<Sent>::from_request(request, &())
        };
        let form = "application/x-www-form-urlencoded";
        let good = sent(form, "username=Zo%C3%A9+M&scope=").await.unwrap();
        assert_eq!(good.0.username, "Zoé M");
        let fault = sent(form, "user=x").await.unwrap_err();
        let field = fault.fault().fields.first().unwrap();
        assert_eq!((field.place.join("."), field.wrong), ("body.username".to_owned(), "missing"));
        let fault = sent("application/json", "{}").await.unwrap_err();
        assert_eq!((fault.status().as_u16(), fault.fault().code), (415, "content_type"));
    }

    #[tokio::test]
    async fn a_body_that_is_read_by_hand_keeps_its_limit() {
        use http_body_util::{BodyExt, Limited};
        let limited = Limited::new(Body::from("x".repeat(101)), 100);
        let refused = axum::Error::new(Body::new(limited).collect().await.unwrap_err());
        assert_eq!(body_fault(&refused).code, "body_too_large");
    }

    #[test]
    fn only_json_is_json() {
        for (value, good) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/problem+json", true),
            ("text/plain", false),
            ("text/json", false),
            ("application/jsonp", false),
        ] {
            assert_eq!(is_json(Some(value.as_bytes())), good, "{value}");
        }
        assert!(!is_json(None));
    }
}
