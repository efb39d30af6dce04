//! A body as the original takes it: whatever is no JSON object counts as an empty one.
//!
//! Texts stay where they lie in the body, so that a long message is not copied to be decoded.

use std::borrow::Cow;
use std::fmt;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::web::WebFault;
use crate::web::extract::buffering;

/// The bytes of a body, whatever it says of its type.
#[derive(Debug)]
pub(super) struct Given(pub(super) Bytes);

impl<S: Send + Sync> FromRequest<S> for Given {
    type Rejection = WebFault;

    async fn from_request(request: Request, state: &S) -> Result<Self, WebFault> {
        match Bytes::from_request(request, state).await {
            Ok(bytes) => Ok(Self(bytes)),
            Err(refused) => Err(buffering(&refused).into()),
        }
    }
}

/// What stands for a member of the body.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) enum Word<'a> {
    /// Nothing, or null.
    #[default]
    Absent,
    /// A text.
    Text(Cow<'a, str>),
    /// A whole number.
    Whole(i64),
    /// Anything else: it is nowhere asked for.
    Other,
}

impl Word<'_> {
    /// A whole number, or a text that spells one as Python's `int` reads it, underscores aside.
    pub(super) fn number(&self) -> Option<i64> {
        match self {
            Self::Whole(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
            Self::Absent | Self::Other => None,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Word<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Words)
    }
}

struct Words;

impl<'de> Visitor<'de> for Words {
    type Value = Word<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Word<'de>, E> {
        Ok(Word::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Word<'de>, E> {
        Ok(Word::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_string<E>(self, text: String) -> Result<Word<'de>, E> {
        Ok(Word::Text(Cow::Owned(text)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Word<'de>, E> {
        Ok(Word::Whole(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Word<'de>, E> {
        Ok(i64::try_from(number).map_or(Word::Other, Word::Whole))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Word<'de>, E> {
        Ok(Word::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Word<'de>, E> {
        Ok(Word::Other)
    }

    fn visit_unit<E>(self) -> Result<Word<'de>, E> {
        Ok(Word::Absent)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Word<'de>, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Word::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Word<'de>, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Word::Other)
    }
}

macro_rules! members {
    ($($member:ident),* $(,)?) => {
        /// Every member that one of the routes knows.
        #[derive(Debug, Default, PartialEq)]
        pub(super) struct Members<'a> { $(pub(super) $member: Word<'a>),* }

        #[derive(Deserialize)]
        #[expect(non_camel_case_types, reason = "they are spelled as on the wire")]
        enum Name { $($member,)* #[serde(other)] Unknown }

        impl<'a> Members<'a> {
            fn slot(&mut self, name: &Name) -> Option<&mut Word<'a>> {
                match name { $(Name::$member => Some(&mut self.$member),)* Name::Unknown => None }
            }
        }
    };
}

members! {
    role, plaintext_b64, ciphertext_b64, aad_b64, packet_type, node_id_hex, payload_b64, hmac_b64,
    data_b64, host, port, framing, grace_seconds,
}

impl<'a> Members<'a> {
    /// The members of a body; none of any when it is no JSON object.
    pub(super) fn read(body: &'a [u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_default()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Objects)
    }
}

struct Objects;

impl<'de> Visitor<'de> for Objects {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Members::default();
        while let Some(name) = map.next_key::<Name>()? {
            match members.slot(&name) {
                // Of two members with one name the last counts, as everywhere in Python.
                Some(slot) => *slot = map.next_value()?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_no_object_is_an_empty_one() {
        for body in ["", " ", "{", "null", "[]", "[{\"role\":\"server\"}]", "7", "\"role\"", "{}x"]
        {
            assert_eq!(Members::read(body.as_bytes()), Members::default(), "{body}");
        }
        assert_eq!(Members::read(&[0xff, 0xfe]), Members::default());
        // However deep it goes, nothing is spent on it.
        let deep = format!("{{\"x\":{0}{1},\"host\":{0}{1}}}", "[".repeat(9000), "]".repeat(9000));
        assert_eq!(Members::read(deep.as_bytes()).host, Word::Other);
    }

    #[test]
    fn texts_are_borrowed_and_the_last_of_a_name_counts() {
        let body = br#"{"x":{"role":"a"},"role":"client","payload_b64":"aGk=","data_b64":"aG\/p",
            "port":"5056","packet_type":3,"host":null,"framing":{"a":[1]},"grace_seconds":1.5,"role":"server"}"#;
        let read = Members::read(body);
        assert_eq!(read.role, Word::Text("server".into()));
        assert!(matches!(read.payload_b64, Word::Text(Cow::Borrowed("aGk="))));
        assert!(matches!(&read.data_b64, Word::Text(text) if text == "aG/p"));
        assert_eq!((read.port.number(), read.packet_type.number()), (Some(5056), Some(3)));
        assert_eq!((read.host, read.framing), (Word::Absent, Word::Other));
        assert_eq!(read.grace_seconds, Word::Other);
    }

    #[test]
    fn numbers_are_read_as_python_does() {
        for (text, wanted) in [
            ("\" 7 \"", Some(7)),
            ("\"+7\"", Some(7)),
            ("\"-7\"", Some(-7)),
            ("-7", Some(-7)),
            ("\"007\"", Some(7)),
            ("\"7.0\"", None),
            ("7.5", None),
            ("\"seven\"", None),
            ("\"\"", None),
            ("true", None),
            ("18446744073709551615", None),
            ("1e400", None),
            ("[7]", None),
        ] {
            let body = format!("{{\"port\":{text}}}");
            assert_eq!(Members::read(body.as_bytes()).port.number(), wanted, "{text}");
        }
    }
}
