//! Little-endian values out of a file of which nothing is believed.

use std::io::{Read, Seek, SeekFrom};

use super::value::{List, Value};
use super::{
    ARRAY_DEPTH_MAX, ARRAY_ELEMENTS_MAX, ELEMENTS_MAX, HEADER_BYTES_MAX, KEY_BYTES_MAX,
    TEXT_BYTES_MAX, damaged,
};
use crate::base::fault::Fault;

/// How much is asked of the file at once.
const BUFFER_BYTES: usize = 64 << 10;

/// A file that is read from its start, with what is left of it and of the limits.
pub(super) struct Source<R> {
    file: R,
    buffer: Vec<u8>,
    /// Where in the buffer the next byte is.
    at: usize,
    /// Where in the file the next byte is.
    position: u64,
    file_bytes: u64,
    /// Elements of arrays so far, all arrays together.
    elements: u64,
}

impl<R: Read + Seek> Source<R> {
    pub(super) fn new(mut file: R) -> Result<Self, Fault> {
        let unread = |e| Fault::broken("reading a model's file", e);
        let file_bytes = file.seek(SeekFrom::End(0)).map_err(unread)?;
        file.seek(SeekFrom::Start(0)).map_err(unread)?;
        Ok(Self { file, buffer: Vec::new(), at: 0, position: 0, file_bytes, elements: 0 })
    }

    /// Bytes read so far.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Bytes of the whole file.
    pub(super) fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Fails unless `count` more bytes are there and may be read. Asked before room is made for them.
    fn ask(&self, count: u64, what: &str) -> Result<(), Fault> {
        let end = self.position.saturating_add(count);
        if end > self.file_bytes {
            return Err(damaged(format!(
                "The file is cut off: {what} would end at byte {end} of {}.",
                self.file_bytes
            )));
        }
        if end > HEADER_BYTES_MAX {
            return Err(damaged(format!(
                "The file's header is longer than {HEADER_BYTES_MAX} bytes, at {what}."
            )));
        }
        Ok(())
    }

    /// Fails unless `count` things of at least `least` bytes each can still follow.
    pub(super) fn ask_for(&self, count: u64, least: u64, what: &str) -> Result<(), Fault> {
        self.ask(count.saturating_mul(least), what)
    }

    fn fill(&mut self, into: &mut [u8], what: &str) -> Result<(), Fault> {
        self.ask(into.len() as u64, what)?;
        let mut done = 0;
        while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let ready = self.buffer.get(self.at..).unwrap_or_default();
            if ready.is_empty() {
                self.buffer.resize(BUFFER_BYTES, 0);
                let count = read_some(&mut self.file, &mut self.buffer)?;
                self.buffer.truncate(count);
                self.at = 0;
                if count == 0 {
                    return Err(damaged(format!("The file became shorter while {what} was read.")));
                }
                continue;
            }
            let count = ready.len().min(rest.len());
            for (to, from) in rest.iter_mut().zip(ready) {
                *to = *from;
            }
            done += count;
            self.at += count;
        }
        self.position = self.position.saturating_add(into.len() as u64);
        Ok(())
    }

    pub(super) fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], Fault> {
        let mut bytes = [0; N];
        self.fill(&mut bytes, what)?;
        Ok(bytes)
    }

    pub(super) fn u32(&mut self, what: &str) -> Result<u32, Fault> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    pub(super) fn u64(&mut self, what: &str) -> Result<u64, Fault> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// A key or a tensor's name: short, and not empty.
    pub(super) fn name(&mut self, what: &str) -> Result<String, Fault> {
        let name = self.text_up_to(KEY_BYTES_MAX, what)?;
        if name.is_empty() {
            return Err(damaged(format!("{what} is empty.")));
        }
        Ok(name)
    }

    fn text_up_to(&mut self, most: u64, what: &str) -> Result<String, Fault> {
        let length = self.u64(what)?;
        if length > most {
            return Err(damaged(format!("{what} is {length} bytes long; {most} are allowed.")));
        }
        self.ask(length, what)?;
        let length = usize::try_from(length).map_err(|e| damaged(what).because(e))?;
        let mut bytes = vec![0; length];
        self.fill(&mut bytes, what)?;
        // A title in another encoding is no reason to refuse a model.
        Ok(String::from_utf8(bytes)
            .unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
    }

    /// One value of the type `code` that the key `key` announced.
    pub(super) fn value(&mut self, code: u32, key: &str) -> Result<Value, Fault> {
        if code == code::ARRAY {
            return Ok(Value::List(self.list(key, ARRAY_DEPTH_MAX)?));
        }
        Ok(match code {
            code::U8 => Value::Unsigned(self.array::<1>(key).map(u8::from_le_bytes)?.into()),
            code::I8 => Value::Signed(self.array(key).map(i8::from_le_bytes)?.into()),
            code::U16 => Value::Unsigned(self.array(key).map(u16::from_le_bytes)?.into()),
            code::I16 => Value::Signed(self.array(key).map(i16::from_le_bytes)?.into()),
            code::U32 => Value::Unsigned(self.u32(key)?.into()),
            code::I32 => Value::Signed(self.array(key).map(i32::from_le_bytes)?.into()),
            code::F32 => Value::Float(self.array(key).map(f32::from_le_bytes)?.into()),
            code::BOOL => Value::Flag(self.flag(key)?),
            code::TEXT => Value::Text(self.text_up_to(TEXT_BYTES_MAX, key)?),
            code::U64 => Value::Unsigned(self.u64(key)?),
            code::I64 => Value::Signed(self.array(key).map(i64::from_le_bytes)?),
            code::F64 => Value::Float(self.array(key).map(f64::from_le_bytes)?),
            _ => return Err(damaged(format!("{key} has the unknown type {code}."))),
        })
    }

    fn flag(&mut self, key: &str) -> Result<bool, Fault> {
        match self.array::<1>(key)? {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => Err(damaged(format!("{key} is neither true nor false, but {other}."))),
        }
    }

    fn list(&mut self, key: &str, depth: usize) -> Result<List, Fault> {
        let code = self.u32(key)?;
        let count = self.u64(key)?;
        self.elements = self.elements.saturating_add(count);
        if count > ARRAY_ELEMENTS_MAX || self.elements > ELEMENTS_MAX {
            return Err(damaged(format!(
                "{key} has {count} elements; {ARRAY_ELEMENTS_MAX} are allowed, and \
                 {ELEMENTS_MAX} in all lists together."
            )));
        }
        let Some(least) = code::least_bytes(code) else {
            return Err(damaged(format!("{key} is a list of the unknown type {code}.")));
        };
        self.ask_for(count, least, key)?;
        if code == code::ARRAY {
            let deeper = depth.checked_sub(1).ok_or_else(|| {
                damaged(format!("{key} has lists in lists, deeper than {ARRAY_DEPTH_MAX}."))
            })?;
            return (0..count)
                .map(|_| self.list(key, deeper))
                .collect::<Result<_, _>>()
                .map(List::Lists);
        }
        let mut list = List::of(code, usize::try_from(count).unwrap_or_default());
        for _ in 0..count {
            let value = self.value(code, key)?;
            list.push(value);
        }
        Ok(list)
    }
}

/// One read that a signal does not end.
fn read_some(file: &mut impl Read, buffer: &mut [u8]) -> Result<usize, Fault> {
    loop {
        match file.read(buffer) {
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            read => return read.map_err(|e| Fault::broken("reading a model's file", e)),
        }
    }
}

/// The numbers by which a file names the types of its values.
pub(super) mod code {
    pub(in super::super) const U8: u32 = 0;
    pub(in super::super) const I8: u32 = 1;
    pub(in super::super) const U16: u32 = 2;
    pub(in super::super) const I16: u32 = 3;
    pub(in super::super) const U32: u32 = 4;
    pub(in super::super) const I32: u32 = 5;
    pub(in super::super) const F32: u32 = 6;
    pub(in super::super) const BOOL: u32 = 7;
    pub(in super::super) const TEXT: u32 = 8;
    pub(in super::super) const ARRAY: u32 = 9;
    pub(in super::super) const U64: u32 = 10;
    pub(in super::super) const I64: u32 = 11;
    pub(in super::super) const F64: u32 = 12;

    /// The least bytes a value of this type takes; none for a type there is not.
    pub(super) fn least_bytes(code: u32) -> Option<u64> {
        Some(match code {
            U8 | I8 | BOOL => 1,
            U16 | I16 => 2,
            U32 | I32 | F32 => 4,
            U64 | I64 | F64 | TEXT => 8,
            ARRAY => 12,
            _ => return None,
        })
    }
}
