//! Where a Postgres message ends, and what is asked with it: as much of the protocol as a proxy has to know.

use std::{borrow::Cow, collections::HashMap};

use bms_domain::testing::servers::{Answered, Foreign, Sent, Wire};

/// What a client asks for in place of a version, before it begins.
const TLS: u32 = 80_877_103;
const GSSAPI: u32 = 80_877_104;
const CANCEL: u32 = 80_877_102;

/// Longer messages are none.
const LONGEST: usize = 1 << 30;

/// One connection, as far as it has come.
#[derive(Debug, Default)]
pub(super) struct Postgres {
    /// Whether the client has named itself; its messages have a kind from then on.
    begun: bool,
    /// How many single bytes the server owes: whether it encrypts.
    offers: usize,
    /// The text of each prepared statement, and of each portal.
    statements: HashMap<Vec<u8>, Vec<u8>>,
    portals: HashMap<Vec<u8>, Vec<u8>>,
}

impl Wire for Postgres {
    fn sent<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<(usize, Sent<'a>)>, Foreign> {
        if !self.begun {
            return self.opening(bytes);
        }
        let Some((kind, body, length)) = message(bytes)? else { return Ok(None) };
        let meaning = match kind {
            b'Q' => Sent::Whole(Some(Cow::Borrowed(texts(body).next().unwrap_or_default()))),
            b'F' => Sent::Whole(Some(Cow::Borrowed(&[]))),
            b'S' => Sent::Whole(None),
            b'E' => Sent::Part(Some(Cow::Owned(self.portals.get(first(body)).cloned().unwrap_or_default()))),
            b'P' | b'B' => {
                self.remember(kind, body);
                Sent::Part(None)
            }
            b'C' | b'D' | b'H' => Sent::Part(None),
            // Passwords, what is copied, and the end.
            b'p' | b'd' | b'c' | b'f' | b'X' => Sent::Aside,
            _ => return Err(Foreign),
        };
        Ok(Some((length, meaning)))
    }

    fn answered(&mut self, bytes: &[u8]) -> Result<Option<(usize, Answered)>, Foreign> {
        if self.offers > 0 && !bytes.is_empty() {
            // Whoever encrypts is not understood from here on.
            self.offers -= 1;
            return if bytes.first() == Some(&b'N') { Ok(Some((1, Answered::Whole))) } else { Err(Foreign) };
        }
        let Some((kind, _, length)) = message(bytes)? else { return Ok(None) };
        let meaning = match kind {
            b'Z' => Answered::Whole,
            // Notices, notifications, and parameters that have changed.
            b'N' | b'A' | b'S' => Answered::Aside,
            _ => Answered::Part,
        };
        Ok(Some((length, meaning)))
    }
}

impl Postgres {
    /// What comes before the first message with a kind.
    fn opening<'a>(&mut self, bytes: &[u8]) -> Result<Option<(usize, Sent<'a>)>, Foreign> {
        let (Some(length), Some(wish)) = (number(bytes, 0), number(bytes, 4)) else { return Ok(None) };
        let length = length as usize;
        if !(8..=LONGEST).contains(&length) {
            return Err(Foreign);
        }
        if bytes.len() < length {
            return Ok(None);
        }
        match wish {
            TLS | GSSAPI => self.offers += 1,
            CANCEL => return Ok(Some((length, Sent::Aside))),
            _ => self.begun = true,
        }
        Ok(Some((length, Sent::Greeting)))
    }

    /// Notes the text of a statement (`Parse`), or that a portal is to run it (`Bind`).
    fn remember(&mut self, kind: u8, body: &[u8]) {
        let mut names = texts(body).map(<[u8]>::to_vec);
        let (Some(name), Some(of)) = (names.next(), names.next()) else { return };
        if kind == b'P' {
            self.statements.insert(name, of);
        } else {
            let text = self.statements.get(&of).cloned().unwrap_or_default();
            self.portals.insert(name, text);
        }
    }
}

/// The kind, body and length of a message.
type Message<'a> = (u8, &'a [u8], usize);

/// The first message with a kind.
fn message(bytes: &[u8]) -> Result<Option<Message<'_>>, Foreign> {
    let (Some(kind), Some(length)) = (bytes.first(), number(bytes, 1)) else { return Ok(None) };
    let length = length as usize;
    if !(4..=LONGEST).contains(&length) {
        return Err(Foreign);
    }
    Ok(bytes.get(5..=length).map(|body| (*kind, body, length + 1)))
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// The texts in a message, each of which ends with a zero.
fn texts(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    body.split(|byte| *byte == 0)
}

fn first(body: &[u8]) -> &[u8] {
    texts(body).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(kind: &[u8], body: &[u8]) -> Vec<u8> {
        let length = (body.len() as u32 + 4).to_be_bytes();
        [kind, &length, body].concat()
    }

    fn begun() -> Postgres {
        Postgres { begun: true, ..Postgres::default() }
    }

    #[test]
    fn a_statement_is_known_by_its_name_until_another_has_it() {
        let mut wire = begun();
        let mut run = |portal: &str, name: &str| {
            let bind = framed(b"B", format!("{portal}\0{name}\0\0\0").as_bytes());
            wire.sent(&bind).unwrap();
            for statement in [("first", "SELECT 1"), ("", "SELECT 2")] {
                let parse = framed(b"P", format!("{}\0{}\0\0\0", statement.0, statement.1).as_bytes());
                assert_eq!(wire.sent(&parse).unwrap(), Some((parse.len(), Sent::Part(None))));
            }
            wire.sent(&bind).unwrap();
            let execute = framed(b"E", format!("{portal}\0\0\0\0\0").as_bytes());
            let Some((_, Sent::Part(Some(text)))) = wire.sent(&execute).unwrap() else { panic!() };
            String::from_utf8(text.into_owned()).unwrap()
        };
        assert_eq!(run("", "first"), "SELECT 1");
        assert_eq!(run("", ""), "SELECT 2");
        assert_eq!(run("portal", "first"), "SELECT 1");
        assert_eq!(run("", "unknown"), "");
    }

    #[test]
    fn a_message_ends_where_the_next_begins() {
        let query = framed(b"Q", b"COMMIT\0");
        let stream = [query.clone(), framed(b"S", b"")].concat();
        let text = Sent::Whole(Some(Cow::Borrowed(b"COMMIT".as_slice())));
        assert_eq!(begun().sent(&stream).unwrap(), Some((query.len(), text)));
        for length in 0..query.len() {
            assert_eq!(begun().sent(&query[..length]).unwrap(), None);
            assert_eq!(begun().answered(&query[..length]).unwrap(), None);
        }
        assert_eq!(begun().sent(b"GET / HTTP/1.1\r\n\r\n"), Err(Foreign));
    }

    #[test]
    fn who_refuses_to_encrypt_is_understood_and_who_does_not_is_foreign() {
        let tls = framed(b"", &TLS.to_be_bytes());
        let mut wire = Postgres::default();
        assert_eq!(wire.sent(&tls).unwrap(), Some((8, Sent::Greeting)));
        assert_eq!(wire.answered(b"N").unwrap(), Some((1, Answered::Whole)));
        let begin = framed(b"", &[0, 3, 0, 0, 0]);
        assert_eq!(wire.sent(&begin).unwrap(), Some((9, Sent::Greeting)));
        assert_eq!(wire.answered(&framed(b"Z", b"I")).unwrap(), Some((6, Answered::Whole)));
        let mut wire = Postgres::default();
        wire.sent(&tls).unwrap();
        assert_eq!(wire.answered(b"S"), Err(Foreign));
    }
}
