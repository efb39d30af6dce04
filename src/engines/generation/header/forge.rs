//! Makes GGUF files for tests, whole ones and broken ones.

use super::source::code;

/// A file in the making. Counts and places can be made to lie.
#[derive(Clone)]
pub(in super::super) struct Forge {
    pub(in super::super) version: u32,
    pub(in super::super) keys: Vec<Vec<u8>>,
    pub(in super::super) tensors: Vec<(String, Vec<u64>, u32, u64)>,
    pub(in super::super) key_count: Option<u64>,
    pub(in super::super) tensor_count: Option<u64>,
    pub(in super::super) data: Vec<u8>,
    pub(in super::super) alignment: usize,
}

fn text(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

impl Forge {
    pub(in super::super) fn new(architecture: &str) -> Self {
        let empty = Self {
            version: 3,
            keys: vec![],
            tensors: vec![],
            key_count: None,
            tensor_count: None,
            data: vec![],
            alignment: 32,
        };
        empty.text("general.architecture", architecture)
    }

    /// A key with a value of any type.
    pub(in super::super) fn raw(mut self, key: &str, code: u32, value: &[u8]) -> Self {
        let mut bytes = text(key);
        bytes.extend_from_slice(&code.to_le_bytes());
        bytes.extend_from_slice(value);
        self.keys.push(bytes);
        self
    }

    pub(in super::super) fn text(self, key: &str, value: &str) -> Self {
        self.raw(key, code::TEXT, &text(value))
    }

    pub(in super::super) fn number(self, key: &str, value: u32) -> Self {
        self.raw(key, code::U32, &value.to_le_bytes())
    }

    pub(in super::super) fn float(self, key: &str, value: f32) -> Self {
        self.raw(key, code::F32, &value.to_le_bytes())
    }

    pub(in super::super) fn flag(self, key: &str, value: bool) -> Self {
        self.raw(key, code::BOOL, &[u8::from(value)])
    }

    /// A list of a type, its count, and its values one after the other.
    pub(in super::super) fn list(self, key: &str, of: u32, count: u64, values: &[u8]) -> Self {
        let mut bytes = of.to_le_bytes().to_vec();
        bytes.extend_from_slice(&count.to_le_bytes());
        bytes.extend_from_slice(values);
        self.raw(key, code::ARRAY, &bytes)
    }

    pub(in super::super) fn texts(self, key: &str, values: &[&str]) -> Self {
        let bytes: Vec<u8> = values.iter().flat_map(|value| text(value)).collect();
        self.list(key, code::TEXT, values.len() as u64, &bytes)
    }

    pub(in super::super) fn numbers(self, key: &str, values: &[i32]) -> Self {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.list(key, code::I32, values.len() as u64, &bytes)
    }

    pub(in super::super) fn floats(self, key: &str, values: &[f32]) -> Self {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.list(key, code::F32, values.len() as u64, &bytes)
    }

    /// A tensor of zeroes, put behind the others; `bytes` is how many it takes.
    pub(in super::super) fn tensor(
        self,
        name: &str,
        dims: &[u64],
        kind: u32,
        bytes: usize,
    ) -> Self {
        let offset = self.data.len() as u64;
        let mut with = self.tensor_at(name, dims, kind, offset);
        with.data.resize(with.data.len() + bytes.next_multiple_of(with.alignment), 0);
        with
    }

    /// A tensor that is said to lie somewhere.
    pub(in super::super) fn tensor_at(
        mut self,
        name: &str,
        dims: &[u64],
        kind: u32,
        offset: u64,
    ) -> Self {
        self.tensors.push((name.to_owned(), dims.to_vec(), kind, offset));
        self
    }

    pub(in super::super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend_from_slice(&self.version.to_le_bytes());
        let tensor_count = self.tensor_count.unwrap_or(self.tensors.len() as u64);
        bytes.extend_from_slice(&tensor_count.to_le_bytes());
        bytes.extend_from_slice(&self.key_count.unwrap_or(self.keys.len() as u64).to_le_bytes());
        bytes.extend(self.keys.iter().flatten());
        for (name, dims, kind, offset) in &self.tensors {
            bytes.extend(text(name));
            bytes.extend_from_slice(&u32::try_from(dims.len()).unwrap().to_le_bytes());
            bytes.extend(dims.iter().flat_map(|dim| dim.to_le_bytes()));
            bytes.extend_from_slice(&kind.to_le_bytes());
            bytes.extend_from_slice(&offset.to_le_bytes());
        }
        bytes.resize(bytes.len().next_multiple_of(self.alignment), 0);
        bytes.extend_from_slice(&self.data);
        bytes
    }

    pub(in super::super) fn header(&self) -> super::Header {
        super::Header::read(&mut std::io::Cursor::new(self.bytes())).unwrap()
    }
}
