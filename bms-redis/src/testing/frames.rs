//! Where a Redis message ends: as much of the protocol as a proxy has to know.

use bms_domain::testing::servers::Foreign;

/// The length of the first whole message in `bytes`, or nothing while its end is missing.
pub(super) fn first_message(bytes: &[u8]) -> Result<Option<usize>, Foreign> {
    let mut at = 0_usize;
    let mut missing = 1_usize;
    while missing > 0 {
        let rest = bytes.get(at..).unwrap_or_default();
        let Some((kind, number)) = rest.split_first() else { return Ok(None) };
        if !b"+-:,#(_$!=*~>%|".contains(kind) {
            return Err(Foreign);
        }
        let Some(line) = number.windows(2).position(|pair| pair == b"\r\n") else { return Ok(None) };
        at += 1 + line + 2;
        missing -= 1;
        let number = || number.get(..line).and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<i64>().ok());
        // A negative number is the absence of a string or an array.
        let count = || number().map(|number| usize::try_from(number).ok()).ok_or(Foreign);
        match kind {
            b'$' | b'!' | b'=' => at += count()?.map_or(0, |length| length + 2),
            b'*' | b'~' | b'>' => missing += count()?.unwrap_or(0),
            b'%' => missing += 2 * count()?.unwrap_or(0),
            // Attributes stand before the value that they belong to.
            b'|' => missing += 2 * count()?.unwrap_or(0) + 1,
            _ => {}
        }
    }
    Ok((at <= bytes.len()).then_some(at))
}

/// The name of the command in a request, in capitals.
pub(super) fn command_name(request: &[u8]) -> String {
    let name = request.split(|byte| *byte == b'\n').nth(2).unwrap_or_default();
    String::from_utf8_lossy(name).trim_end().to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGES: &[&[u8]] = &[
        b"+OK\r\n",
        b"-ERR no\r\n",
        b":12\r\n",
        b"_\r\n",
        b"$-1\r\n",
        b"$0\r\n\r\n",
        b"$4\r\n\r\n\r\n\r\n",
        b"*-1\r\n",
        b"*0\r\n",
        b"*2\r\n$3\r\nGET\r\n*1\r\n:1\r\n",
        b"%1\r\n+a\r\n*2\r\n:1\r\n:2\r\n",
        b"|1\r\n+a\r\n+b\r\n$1\r\nx\r\n",
        b">2\r\n+invalidate\r\n_\r\n",
    ];

    #[test]
    fn a_message_ends_where_the_next_begins() {
        for message in MESSAGES {
            let stream = [message, MESSAGES[0]].concat();
            assert_eq!(first_message(&stream), Ok(Some(message.len())), "{message:?}");
        }
    }

    #[test]
    fn a_message_without_its_end_is_awaited() {
        for message in MESSAGES {
            for length in 0..message.len() {
                assert_eq!(first_message(&message[..length]), Ok(None), "{message:?} cut to {length}");
            }
        }
    }

    #[test]
    fn another_protocol_is_recognised() {
        assert_eq!(first_message(b"PING\r\n"), Err(Foreign));
        assert_eq!(first_message(b"*x\r\n"), Err(Foreign));
        assert_eq!(first_message(b"\x16\x03\x01"), Err(Foreign));
    }

    #[test]
    fn a_command_is_named_in_capitals() {
        assert_eq!(command_name(b"*2\r\n$3\r\nget\r\n$1\r\nx\r\n"), "GET");
        assert_eq!(command_name(b":1\r\n"), "");
    }
}
