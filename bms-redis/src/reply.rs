//! Reads what a script answered.

use redis::Value;

use crate::codec::{self, Unreadable};

/// The parts of an answer, read one after the other.
pub(crate) struct Reply(std::vec::IntoIter<Value>);

impl Reply {
    pub(crate) fn new(value: Value) -> Result<Self, Unreadable> {
        match value {
            Value::Array(parts) => Ok(Self(parts.into_iter())),
            _ => Err(Unreadable),
        }
    }

    fn next(&mut self) -> Result<Value, Unreadable> {
        self.0.next().ok_or(Unreadable)
    }

    /// A letter that says what came of the call.
    pub(crate) fn code(&mut self) -> Result<u8, Unreadable> {
        match self.bytes()?.as_slice() {
            [code] => Ok(*code),
            _ => Err(Unreadable),
        }
    }

    pub(crate) fn int(&mut self) -> Result<i64, Unreadable> {
        match self.next()? {
            Value::Int(number) => Ok(number),
            _ => Err(Unreadable),
        }
    }

    /// A number that fits, such as a count of seats.
    pub(crate) fn count(&mut self) -> Result<u32, Unreadable> {
        self.int()?.try_into().map_err(|_| Unreadable)
    }

    /// A number that was written as text, because a script's integers would lose digits.
    pub(crate) fn digits(&mut self) -> Result<u64, Unreadable> {
        codec::text(&self.bytes()?)
    }

    pub(crate) fn bytes(&mut self) -> Result<Vec<u8>, Unreadable> {
        self.optional_bytes()?.ok_or(Unreadable)
    }

    pub(crate) fn optional_bytes(&mut self) -> Result<Option<Vec<u8>>, Unreadable> {
        match self.next()? {
            Value::BulkString(bytes) => Ok(Some(bytes)),
            Value::SimpleString(text) => Ok(Some(text.into_bytes())),
            Value::Nil => Ok(None),
            _ => Err(Unreadable),
        }
    }

    /// A part that has parts itself.
    pub(crate) fn parts(&mut self) -> Result<Self, Unreadable> {
        Self::new(self.next()?)
    }

    /// How many parts are left.
    pub(crate) fn left(&self) -> usize {
        self.0.len()
    }
}
