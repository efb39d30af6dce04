//! Keys whose bytes sort as their values do, so that order on disk carries the query.

use crate::base::clock::Moment;
use crate::base::id::Id;

/// A value that can be a key, or the front part of one.
pub trait Key: Sized {
    /// Appends bytes that sort as the value does and that say themselves where they end.
    fn write(&self, out: &mut Vec<u8>);
    /// Takes the value off the front of `input`; none when the bytes are not such a key.
    fn read(input: &mut &[u8]) -> Option<Self>;

    /// The bytes alone.
    fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(24);
        self.write(&mut out);
        out
    }
}

fn take<const N: usize>(input: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = input.split_first_chunk::<N>()?;
    *input = rest;
    Some(*head)
}

macro_rules! unsigned_key {
    ($($number:ty),*) => {$(
        impl Key for $number {
            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }
            fn read(input: &mut &[u8]) -> Option<Self> {
                take(input).map(Self::from_be_bytes)
            }
        }
    )*};
}
unsigned_key!(u8, u16, u32, u64);

impl Key for i64 {
    fn write(&self, out: &mut Vec<u8>) {
        // The flipped sign bit makes negative numbers sort before positive ones.
        out.extend_from_slice(&(self.cast_unsigned() ^ (1 << 63)).to_be_bytes());
    }

    fn read(input: &mut &[u8]) -> Option<Self> {
        take(input).map(|b| (u64::from_be_bytes(b) ^ (1 << 63)).cast_signed())
    }
}

impl Key for Moment {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
    }

    fn read(input: &mut &[u8]) -> Option<Self> {
        i64::read(input).map(Moment)
    }
}

impl Key for Id {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    fn read(input: &mut &[u8]) -> Option<Self> {
        take(input).map(Self)
    }
}

impl Key for [u8; 32] {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn read(input: &mut &[u8]) -> Option<Self> {
        take(input)
    }
}

impl Key for () {
    fn write(&self, _: &mut Vec<u8>) {}

    fn read(_: &mut &[u8]) -> Option<Self> {
        Some(())
    }
}

/// Text ends with two zero bytes; a zero inside it is followed by 0xFF, so no text is another's end.
impl Key for String {
    fn write(&self, out: &mut Vec<u8>) {
        for &byte in self.as_bytes() {
            out.push(byte);
            if byte == 0 {
                out.push(0xFF);
            }
        }
        out.extend_from_slice(&[0, 0]);
    }

    fn read(input: &mut &[u8]) -> Option<Self> {
        let mut text = Vec::new();
        loop {
            let (&byte, rest) = input.split_first()?;
            *input = rest;
            if byte != 0 {
                text.push(byte);
            } else {
                let (&after, rest) = input.split_first()?;
                *input = rest;
                match after {
                    0 => return String::from_utf8(text).ok(),
                    0xFF => text.push(0),
                    _ => return None,
                }
            }
        }
    }
}

impl<A: Key, B: Key> Key for (A, B) {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
        self.1.write(out);
    }

    fn read(input: &mut &[u8]) -> Option<Self> {
        Some((A::read(input)?, B::read(input)?))
    }
}

impl<A: Key, B: Key, C: Key> Key for (A, B, C) {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
        self.1.write(out);
        self.2.write(out);
    }

    fn read(input: &mut &[u8]) -> Option<Self> {
        Some((A::read(input)?, B::read(input)?, C::read(input)?))
    }
}

/// The first bytes after everything that starts with `prefix`; none when nothing can follow.
pub fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.last_mut() {
        if *last < 0xFF {
            *last += 1;
            return Some(end);
        }
        end.pop();
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Wide = (String, i64, u32);

    proptest! {
        #[test]
        fn bytes_sort_as_values_and_read_back(a in any::<Wide>(), b in any::<Wide>()) {
            prop_assert_eq!(a.bytes().cmp(&b.bytes()), a.cmp(&b));
            let bytes = a.bytes();
            let mut rest = bytes.as_slice();
            prop_assert_eq!(Wide::read(&mut rest), Some(a));
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn a_prefix_bounds_what_starts_with_it(prefix in any::<Vec<u8>>(), rest in any::<Vec<u8>>()) {
            let whole = [prefix.clone(), rest].concat();
            prop_assert!(whole >= prefix);
            if let Some(end) = after_prefix(&prefix) {
                prop_assert!(whole < end);
            }
        }
    }
}
