//! Lua scripts and their calls.

use bms_domain::time::Clock;
use redis::{Cmd, RedisWrite};

/// A Lua script, sent by the SHA-1 of its text.
#[derive(Debug)]
pub(crate) struct Script {
    /// redis' own type, for its SHA-1 alone: how it invokes a script is not wanted here, see [`Script::eval`].
    script: redis::Script,
    text: String,
}

impl Script {
    /// A script of this text. Its hash is computed here, once.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { script: redis::Script::new(&text), text }
    }

    /// The whole text.
    #[cfg(feature = "testing")]
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The call by hash. A server that does not know the script answers NOSCRIPT, and has done nothing.
    pub(crate) fn evalsha(&self, call: &Call) -> Cmd {
        call.command(b"EVALSHA", self.script.get_hash().as_bytes())
    }

    /// The call with the whole text, which the server remembers. `SCRIPT LOAD` would be a round trip more, and in a
    /// cluster redis-rs sends it to every node, so that one that is stalled holds up all others.
    pub(crate) fn eval(&self, call: &Call) -> Cmd {
        call.command(b"EVAL", self.text.as_bytes())
    }
}

/// The keys and arguments of one call of a script. All keys of a call are in one slot.
///
/// They stand one after the other in one buffer: a call is made for every hold, and most arguments are a few bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Call {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    keys: usize,
}

impl Call {
    /// A call without keys and arguments.
    pub(crate) fn new() -> Self {
        Self { bytes: Vec::with_capacity(256), ends: Vec::with_capacity(16), keys: 0 }
    }

    /// One key more. Keys come before arguments.
    pub(crate) fn key(mut self, key: impl AsRef<[u8]>) -> Self {
        debug_assert_eq!(self.keys, self.ends.len(), "keys come before arguments");
        self.push(key.as_ref());
        self.keys += 1;
        self
    }

    /// One argument more.
    pub(crate) fn arg(mut self, arg: impl AsRef<[u8]>) -> Self {
        self.push(arg.as_ref());
        self
    }

    /// The time as one argument more: nothing where the server's own clock decides.
    pub(crate) fn now(self, clock: Option<&dyn Clock>) -> Self {
        match clock {
            Some(clock) => self.number(clock.now().as_millis()),
            None => self.arg(""),
        }
    }

    /// One argument more, as its decimal digits.
    pub(crate) fn number(mut self, number: impl std::fmt::Display) -> Self {
        use std::io::Write as _;
        // Writing into a vector cannot fail.
        let _ = write!(self.bytes, "{number}");
        self.ends.push(self.bytes.len());
        self
    }

    fn push(&mut self, part: &[u8]) {
        self.bytes.extend_from_slice(part);
        self.ends.push(self.bytes.len());
    }

    fn parts(&self) -> impl Iterator<Item = &[u8]> {
        self.ends.iter().scan(0, |start, end| {
            let part = self.bytes.get(*start..*end);
            *start = *end;
            part
        })
    }

    /// The first key, by which a cluster finds the slot.
    pub(crate) fn first_key(&self) -> Option<&[u8]> {
        (self.keys > 0).then(|| self.parts().next()).flatten()
    }

    fn command(&self, name: &[u8], script: &[u8]) -> Cmd {
        let mut command = Cmd::with_capacity(self.ends.len() + 3, self.bytes.len() + name.len() + script.len() + 4);
        command.write_arg(name);
        command.write_arg(script);
        command.write_arg_fmt(self.keys);
        for part in self.parts() {
            command.write_arg(part);
        }
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_written_with_its_keys_before_its_arguments() {
        let script = Script::new("return 1");
        let call = Call::new().key("{7}a").key("{7}b").arg("x").arg("").number(42);
        assert_eq!(call.first_key(), Some(b"{7}a".as_slice()));
        let mut expected = redis::cmd("EVALSHA");
        expected.arg("e0e1f9fabfc9d4800c877a703b823ac0578ff8db").arg(2).arg("{7}a").arg("{7}b").arg("x").arg("").arg(42);
        assert_eq!(script.evalsha(&call).get_packed_command(), expected.get_packed_command());
        let mut expected = redis::cmd("EVAL");
        expected.arg("return 1").arg(2).arg("{7}a").arg("{7}b").arg("x").arg("").arg(42);
        assert_eq!(script.eval(&call).get_packed_command(), expected.get_packed_command());
    }

    #[test]
    fn a_call_without_keys_has_no_first_key() {
        assert_eq!(Call::new().arg("x").first_key(), None);
    }
}
