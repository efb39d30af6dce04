//! What a model's file says of itself, typed.

use super::source::code;

/// One value of the metadata.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A whole number, not negative by its type.
    Unsigned(u64),
    /// A whole number.
    Signed(i64),
    /// A number with a fraction.
    Float(f64),
    /// True or false.
    Flag(bool),
    /// A text.
    Text(String),
    /// Many values of one type.
    List(List),
}

/// Many values of one type, kept close together: a vocabulary has hundreds of thousands.
#[derive(Debug, Clone, PartialEq)]
pub enum List {
    /// Whole numbers, not negative by their type.
    Unsigned(Vec<u64>),
    /// Whole numbers.
    Signed(Vec<i64>),
    /// Numbers with a fraction.
    Float(Vec<f64>),
    /// Truths.
    Flags(Vec<bool>),
    /// Texts.
    Texts(Vec<String>),
    /// Lists of lists.
    Lists(Vec<List>),
}

impl List {
    /// An empty list for values of the file's type `code`.
    pub(super) fn of(code: u32, room: usize) -> Self {
        match code {
            code::U8 | code::U16 | code::U32 | code::U64 => {
                Self::Unsigned(Vec::with_capacity(room))
            }
            code::I8 | code::I16 | code::I32 | code::I64 => Self::Signed(Vec::with_capacity(room)),
            code::F32 | code::F64 => Self::Float(Vec::with_capacity(room)),
            code::BOOL => Self::Flags(Vec::with_capacity(room)),
            code::TEXT => Self::Texts(Vec::with_capacity(room)),
            _ => Self::Lists(Vec::new()),
        }
    }

    /// Puts a value behind the others; one of another type changes nothing.
    pub(super) fn push(&mut self, value: Value) {
        match (self, value) {
            (Self::Unsigned(list), Value::Unsigned(value)) => list.push(value),
            (Self::Signed(list), Value::Signed(value)) => list.push(value),
            (Self::Float(list), Value::Float(value)) => list.push(value),
            (Self::Flags(list), Value::Flag(value)) => list.push(value),
            (Self::Texts(list), Value::Text(value)) => list.push(value),
            (Self::Lists(list), Value::List(value)) => list.push(value),
            _ => {}
        }
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Unsigned(list) => list.len(),
            Self::Signed(list) => list.len(),
            Self::Float(list) => list.len(),
            Self::Flags(list) => list.len(),
            Self::Texts(list) => list.len(),
            Self::Lists(list) => list.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
