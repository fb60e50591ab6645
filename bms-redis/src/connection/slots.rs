//! Which slot a key is in, and which node a slot is on.

use redis::Value;

/// How many slots a cluster has.
const SLOTS: u16 = 16384;

/// The slot of a key: of what stands between its first brace and the next closing one, if there is something.
pub(crate) fn slot_of(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = key.get(open + 1..)?;
        let close = rest.iter().position(|byte| *byte == b'}')?;
        rest.get(..close).filter(|tag| !tag.is_empty())
    });
    crc16(tag.unwrap_or(key)) % SLOTS
}

/// CRC-16/XMODEM, by nibbles: a table of 16 is as quick as one of 256 on the few bytes of a tag.
fn crc16(bytes: &[u8]) -> u16 {
    const TABLE: [u16; 16] = [
        0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5, 0x60c6, 0x70e7, 0x8108, 0x9129, 0xa14a, 0xb16b, 0xc18c, 0xd1ad, 0xe1ce,
        0xf1ef,
    ];
    let step = |crc: u16, nibble: u8| {
        let index = usize::from((crc >> 12) as u8 ^ nibble);
        (crc << 4) ^ TABLE.get(index & 15).copied().unwrap_or(0)
    };
    bytes.iter().fold(0, |crc, byte| step(step(crc, byte >> 4), byte & 15))
}

/// Slots that one node owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) first: u16,
    pub(crate) last: u16,
    /// Host and port of the primary.
    pub(crate) owner: Address,
}

/// A node of a cluster, as the cluster names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Address {
    /// Reads `host:port`. Without a host it is that of the node which said so.
    pub(crate) fn read(text: &str, said_by: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        Some(Self { host: known_host(host, said_by), port: port.parse().ok()? })
    }
}

/// A node that does not know its own name says nothing, or `?`.
fn known_host(host: &str, said_by: &str) -> String {
    if matches!(host, "" | "?") { said_by.to_owned() } else { host.to_owned() }
}

/// Reads the answer to `CLUSTER SLOTS` of the node at `said_by`; `None` if it is something else.
pub(crate) fn read_ranges(answer: &Value, said_by: &str) -> Option<Vec<Range>> {
    let Value::Array(ranges) = answer else { return None };
    ranges
        .iter()
        .map(|range| {
            let Value::Array(range) = range else { return None };
            let [Value::Int(first), Value::Int(last), Value::Array(primary), ..] = range.as_slice() else { return None };
            let [host, Value::Int(port), ..] = primary.as_slice() else { return None };
            let host = match host {
                Value::BulkString(host) => std::str::from_utf8(host).ok()?,
                Value::SimpleString(host) => host,
                Value::Nil => "",
                _ => return None,
            };
            let owner = Address { host: known_host(host, said_by), port: u16::try_from(*port).ok()? };
            Some(Range { first: u16::try_from(*first).ok()?, last: u16::try_from(*last).ok()?, owner })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(slot_of(b"123456789"), 12739);
        assert_eq!(slot_of(b"foo"), 12182);
        assert_eq!(slot_of(b"bms:{foo}:holds"), 12182);
        assert_eq!(slot_of(b"{foo}{bar}"), 12182);
        assert_eq!(slot_of(b"foo{}bar"), crc16(b"foo{}bar") % SLOTS);
        assert_eq!(slot_of(b"foo{bar"), crc16(b"foo{bar") % SLOTS);
    }

    #[test]
    fn a_node_without_a_name_is_the_one_that_answers() {
        let node = |host: Value| Value::Array(vec![host, Value::Int(7001), Value::BulkString(b"id".to_vec())]);
        let range = |host| Value::Array(vec![Value::Int(0), Value::Int(100), node(host)]);
        for host in [Value::Nil, Value::BulkString(Vec::new()), Value::BulkString(b"?".to_vec())] {
            let ranges = read_ranges(&Value::Array(vec![range(host)]), "10.0.0.1").unwrap();
            assert_eq!(ranges, [Range { first: 0, last: 100, owner: Address { host: "10.0.0.1".into(), port: 7001 } }]);
        }
        assert!(read_ranges(&Value::Okay, "h").is_none());
        assert_eq!(Address::read("::1:7000", "h"), Some(Address { host: "::1".into(), port: 7000 }));
        assert_eq!(Address::read(":7000", "h"), Some(Address { host: "h".into(), port: 7000 }));
        assert_eq!(Address::read("nonsense", "h"), None);
    }
}
