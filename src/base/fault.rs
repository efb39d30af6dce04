//! What can go wrong, in a handful of kinds that know nothing of HTTP.

use std::error::Error;
use std::fmt;
use std::time::Duration;

/// How a fault is to be treated by whoever receives it. `web/fault.rs` gives each a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request makes no sense as it stands.
    Invalid,
    /// The request is well formed, but some of its fields are not acceptable.
    Unprocessable,
    /// Nobody is signed in, or the proof shown is not good.
    Unauthenticated,
    /// Somebody is signed in and may not do this.
    Forbidden,
    /// There is no such thing, or it is not the caller's to see.
    NotFound,
    /// The thing exists, but not in the state the request assumes.
    Conflict,
    /// More bytes, rows or depth than a limit allows.
    TooLarge,
    /// The request came to a name this box does not answer for.
    Misdirected,
    /// The peer took longer than a limit allows.
    TooSlow,
    /// Too many requests; the same one may succeed later.
    Busy,
    /// A part of the box is not there at the moment.
    Unavailable,
    /// The disk has no room for this write; reads go on.
    Full,
    /// The box is at fault. The cause is logged and never sent.
    Broken,
}

/// One field that was not acceptable, in the shape of one-server.md's 422 list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Where it is, outermost first, for instance `["body", "password"]`.
    pub place: Vec<String>,
    /// A stable word for what is wrong, for instance `string_too_short`.
    pub wrong: &'static str,
    /// A sentence for a person.
    pub message: String,
}

/// Something went wrong: what kind, a stable code, and a sentence for a person.
#[derive(Debug)]
pub struct Fault {
    /// How it is to be treated.
    pub kind: Kind,
    /// Stable `snake_case` word; pages translate it, clients may match on it.
    pub code: &'static str,
    /// A sentence for a person, in English; it may be sent to the caller.
    pub message: String,
    /// The fields at fault, for [`Kind::Unprocessable`].
    pub fields: Vec<Field>,
    /// When the same request may succeed, for [`Kind::Busy`] and [`Kind::Unavailable`].
    pub retry_after: Option<Duration>,
    /// What lies below; logged, never sent.
    pub cause: Option<Box<dyn Error + Send + Sync>>,
}

impl Fault {
    /// A fault of any kind.
    pub fn new(kind: Kind, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            kind,
            code,
            message: message.into(),
            fields: Vec::new(),
            retry_after: None,
            cause: None,
        }
    }

    /// The request makes no sense as it stands.
    pub fn invalid(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, code, message)
    }

    /// Fields are not acceptable; the message is the first field's.
    pub fn fields(fields: Vec<Field>) -> Self {
        let message = fields.first().map_or_else(String::new, |f| f.message.clone());
        let mut fault = Self::new(Kind::Unprocessable, "validation", message);
        fault.fields = fields;
        fault
    }

    /// One field of a JSON body is not acceptable.
    pub fn field(name: &str, wrong: &'static str, message: impl Into<String>) -> Self {
        Self::fields(vec![Field {
            place: vec!["body".into(), name.into()],
            wrong,
            message: message.into(),
        }])
    }

    /// Nobody is signed in.
    pub fn unauthenticated() -> Self {
        Self::new(Kind::Unauthenticated, "unauthenticated", "Sign in first.")
    }

    /// The caller may not do this.
    pub fn forbidden(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Kind::Forbidden, code, message)
    }

    /// There is no such thing, or it is not the caller's to see.
    pub fn not_found(what: &str) -> Self {
        Self::new(Kind::NotFound, "not_found", format!("There is no such {what}."))
    }

    /// The thing is not in the state the request assumes.
    pub fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Kind::Conflict, code, message)
    }

    /// A limit was passed.
    pub fn too_large(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Kind::TooLarge, code, message)
    }

    /// Too many at once, or too often.
    pub fn busy(code: &'static str, message: impl Into<String>, retry_after: Duration) -> Self {
        let mut fault = Self::new(Kind::Busy, code, message);
        fault.retry_after = Some(retry_after);
        fault
    }

    /// A part of the box is not there at the moment.
    pub fn unavailable(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Kind::Unavailable, code, message)
    }

    /// The box is at fault; `doing` names what it was doing, for the log.
    pub fn broken(doing: &str, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let mut fault = Self::new(Kind::Broken, "internal", doing);
        fault.cause = Some(cause.into());
        fault
    }

    /// The same fault, with when to try again.
    #[must_use]
    pub fn retry_after(mut self, pause: Duration) -> Self {
        self.retry_after = Some(pause);
        self
    }

    /// The same fault, with what lies below.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)?;
        if let Some(cause) = &self.cause {
            write!(f, ": {cause}")?;
        }
        Ok(())
    }
}

impl Error for Fault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_ref().map(|c| c.as_ref() as &(dyn Error + 'static))
    }
}
