//! Ids, codes and keys: what is read is written as it was, nothing else is read, and a refusal repeats nothing.

use std::fmt::{Debug, Display};
use std::str::from_utf8;

use bms_domain::event::EventKey;
use bms_domain::id::{
    CategoryId, HoldId, LayoutId, MovieId, OrderId, ParseIdError, ScreenId, SeatId, Shard, ShowId, TheatreId, UserId,
};
use bms_domain::order::{TicketCode, TicketSecret};
use bms_domain::payment::{NoticeId, PaymentKey, PaymentReference};
use bms_domain::store::IdempotencyKey;
use bms_domain::testing::fuzz::{Target, TestCaseError};
use bms_domain::time::Timestamp;
use proptest::{prop_assert, prop_assert_eq};

/// Reads a text in one way, and holds it against what the documentation says of it: the text that is written of it, if it is one.
/// Gives back whether it is.
fn read<T: PartialEq + Debug, E: PartialEq + Debug + Display>(
    text: &str,
    parse: impl Fn(&str) -> Result<T, E>,
    written: impl Fn(&T) -> String,
    rule: impl Fn(&str) -> Option<String>,
) -> Result<bool, TestCaseError> {
    let parsed = parse(text);
    let as_written = parsed.as_ref().map(&written).ok();
    prop_assert_eq!(&as_written, &rule(text));
    // What is written is read as the same; and one refusal for all texts cannot repeat any of them.
    let again = parse(&as_written.unwrap_or_default());
    prop_assert_eq!(&again, &parsed);
    Ok(parsed.is_ok())
}

/// A text that is written as it was read, if it is so long and of such bytes.
fn of(longest: usize, allowed: impl Fn(u8) -> bool) -> impl Fn(&str) -> Option<String> {
    move |text| ((1..=longest).contains(&text.len()) && text.bytes().all(&allowed)).then(|| text.to_owned())
}

fn name(longest: usize) -> impl Fn(&str) -> Option<String> {
    of(longest, |byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

fn visible(longest: usize) -> impl Fn(&str) -> Option<String> {
    of(longest, |byte| (b'!'..=b'~').contains(&byte))
}

/// A hyphenated UUID of version 7, in small letters.
fn uuid(text: &str) -> Option<String> {
    let is_hex = |part: &str, length| part.len() == length && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let parts: Vec<&str> = text.split('-').collect();
    let well_formed = parts.len() == 5 && parts.iter().zip([8, 4, 4, 4, 12]).all(|(part, length)| is_hex(part, length));
    let of_version_7 = well_formed && parts[2].starts_with('7') && parts[3].starts_with(['8', '9', 'a', 'b', 'A', 'B']);
    of_version_7.then(|| text.to_ascii_lowercase())
}

const CROCKFORD: &str = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

fn ticket_code(text: &str) -> Option<String> {
    let code = text.to_ascii_uppercase();
    let code = code.strip_prefix("BMS-")?.replace(['I', 'L'], "1").replace('O', "0");
    (code.chars().count() == 6 && code.chars().all(|letter| CROCKFORD.contains(letter))).then(|| format!("BMS-{code}"))
}

fn ticket_secret(text: &str) -> Option<String> {
    (text.chars().count() == 32 && text.chars().all(|letter| CROCKFORD.contains(letter))).then(|| text.to_owned())
}

fn event_key(text: &str) -> Option<String> {
    let (order, number) = text.split_once('/')?;
    let number: u32 = number.parse().ok().filter(|number: &u32| *number > 0 && number.to_string() == text[order.len() + 1..])?;
    (uuid(order)? == order).then(|| format!("{order}/{number}"))
}

/// Whether the parts that an id is made of make it again.
fn sharded(shard: Shard, uuid: uuid::Uuid) -> bool {
    shard.number() < Shard::COUNT && OrderId::new(shard, uuid).uuid() == uuid && HoldId::new(shard, uuid).uuid() == uuid
}

fn key(text: &str) -> Result<IdempotencyKey, ParseIdError> {
    IdempotencyKey::new(UserId::parse("ann").unwrap(), text)
}

#[test]
fn fuzz() {
    Target::new(env!("CARGO_MANIFEST_DIR"), "ids").check(&["one of ours", "none of ours"], |input| {
        let Ok(text) = from_utf8(input) else { return Ok("none of ours") };
        let mut known = false;
        // Not `||`: each of them is to be tried.
        known |= read(text, MovieId::parse, ToString::to_string, name(64))?;
        known |= read(text, TheatreId::parse, ToString::to_string, name(64))?;
        known |= read(text, ScreenId::parse, ToString::to_string, name(64))?;
        known |= read(text, LayoutId::parse, ToString::to_string, name(64))?;
        known |= read(text, ShowId::parse, ToString::to_string, name(64))?;
        known |= read(text, SeatId::parse, ToString::to_string, name(32))?;
        known |= read(text, CategoryId::parse, ToString::to_string, name(32))?;
        known |= read(text, HoldId::parse, ToString::to_string, uuid)?;
        known |= read(text, OrderId::parse, ToString::to_string, uuid)?;
        known |= read(text, TicketCode::parse, ToString::to_string, ticket_code)?;
        known |= read(text, TicketSecret::parse, |secret| secret.expose().to_owned(), ticket_secret)?;
        known |= read(text, EventKey::parse, ToString::to_string, event_key)?;
        known |= read(text, key, |key| key.key().to_owned(), visible(255))?;
        known |= read(text, PaymentReference::parse, ToString::to_string, visible(255))?;
        known |= read(text, NoticeId::parse, ToString::to_string, visible(255))?;
        // Opaque to us, so any other text is one of these, and says nothing of whether something was read.
        read(text, UserId::parse, ToString::to_string, of(255, |_| true))?;
        read(text, PaymentKey::parse, |key| key.as_str().to_owned(), of(300, |_| true))?;
        if let Ok(id) = OrderId::parse(text) {
            prop_assert!(sharded(id.shard(), id.uuid()));
        }
        if let Ok(instant) = Timestamp::parse(text) {
            prop_assert_eq!(Timestamp::parse(&instant.to_string()), Ok(instant));
            prop_assert!((Timestamp::MIN..=Timestamp::MAX).contains(&instant));
        }
        Ok(if known { "one of ours" } else { "none of ours" })
    });
}
