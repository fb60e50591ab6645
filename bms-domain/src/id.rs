//! Identifiers: parsed once, with private fields, so that a value of one of these types is always well formed.
//!
//! A [`HoldId`] and an [`OrderId`] carry the [`Shard`] of their show, so that an id alone finds the slot or the
//! database shard it lives in, without an index and without a round trip.

use std::fmt;
use std::hash::Hasher as _;
use std::str::FromStr;
use std::sync::Arc;

use arrayvec::ArrayString;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Why a text is not an identifier. Says which kind of id was expected; never repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a {kind}: {rule}")]
pub struct ParseIdError {
    kind: &'static str,
    rule: &'static str,
}

impl ParseIdError {
    pub(crate) fn new(kind: &'static str, rule: &'static str) -> Self {
        Self { kind, rule }
    }

    /// The kind of id that was expected, such as `show id`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// The rule that the text breaks.
    #[must_use]
    pub fn rule(&self) -> &'static str {
        self.rule
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

macro_rules! name_id {
    ($(#[$doc:meta])* $name:ident, $capacity:literal, $kind:literal, $rule:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(ArrayString<$capacity>);

        impl $name {
            /// The longest text that is still an id, in characters.
            pub const MAX_LEN: usize = $capacity;

            /// Parses the text of an id.
            ///
            /// # Errors
            /// [`ParseIdError`] when the text is empty, too long or has a character outside `A–Z a–z 0–9 . _ -`.
            pub fn parse(text: &str) -> Result<Self, ParseIdError> {
                match ArrayString::from(text) {
                    Ok(name) if is_name(text) => Ok(Self(name)),
                    _ => Err(ParseIdError { kind: $kind, rule: $rule }),
                }
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseIdError;

            fn try_from(text: String) -> Result<Self, ParseIdError> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.as_str().to_owned()
            }
        }
    };
}

name_id!(
    /// A film (or play, or concert): 1–64 characters of `A–Z a–z 0–9 . _ -`.
    MovieId, 64, "movie id", "1 to 64 characters of A-Z a-z 0-9 . _ -"
);
name_id!(
    /// A venue: 1–64 characters of `A–Z a–z 0–9 . _ -`.
    TheatreId, 64, "theatre id", "1 to 64 characters of A-Z a-z 0-9 . _ -"
);
name_id!(
    /// A screen (hall, stage) of a theatre: 1–64 characters of `A–Z a–z 0–9 . _ -`.
    ScreenId, 64, "screen id", "1 to 64 characters of A-Z a-z 0-9 . _ -"
);
name_id!(
    /// One immutable version of a seat plan: 1–64 characters of `A–Z a–z 0–9 . _ -`.
    LayoutId, 64, "layout id", "1 to 64 characters of A-Z a-z 0-9 . _ -"
);
name_id!(
    /// One screening or performance: 1–64 characters of `A–Z a–z 0–9 . _ -`.
    ShowId, 64, "show id", "1 to 64 characters of A-Z a-z 0-9 . _ -"
);
name_id!(
    /// A seat's name in its layout, such as `A1`: 1–32 characters of `A–Z a–z 0–9 . _ -`. Data, never syntax.
    SeatId, 32, "seat id", "1 to 32 characters of A-Z a-z 0-9 . _ -"
);
name_id!(
    /// A price category of a layout, such as `stalls`: 1–32 characters of `A–Z a–z 0–9 . _ -`.
    CategoryId, 32, "category", "1 to 32 characters of A-Z a-z 0-9 . _ -"
);

impl ShowId {
    /// The shard that everything of this show lives in.
    #[must_use]
    pub fn shard(&self) -> Shard {
        Shard::of(self)
    }
}

/// One of 4,096 groups of shows. Everything of one show lives in one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard(u16);

impl Shard {
    /// How many shards there are.
    pub const COUNT: u16 = 4096;

    /// The shard of a show: FNV-1a (64 bits) of the id's bytes, its two halves and their halves folded, modulo 4,096.
    /// Stored ids depend on it, so it never changes.
    #[must_use]
    pub fn of(show: &ShowId) -> Self {
        let hash = Self::hash(show);
        let folded = hash ^ (hash >> 32);
        let folded = folded ^ (folded >> 12);
        Self((folded & 0xfff) as u16)
    }

    /// Every shard.
    pub fn all() -> impl ExactSizeIterator<Item = Self> {
        (0..Self::COUNT).map(Self)
    }

    fn hash(show: &ShowId) -> u64 {
        let mut hasher = fnv::FnvHasher::default();
        hasher.write(show.as_str().as_bytes());
        hasher.finish()
    }

    /// The shard's number, `0..4096`.
    #[must_use]
    pub fn number(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! sharded_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Uuid);

        impl $name {
            /// Makes an id from a UUIDv7 (time and randomness) by writing the shard into its 12 `rand_a` bits.
            #[must_use]
            pub fn new(shard: Shard, uuid: Uuid) -> Self {
                let mut bits = uuid.as_u128();
                bits &= !(0xffff_u128 << 64);
                bits |= (0x7000_u128 | u128::from(shard.number())) << 64;
                bits &= !(0b11_u128 << 62);
                bits |= 0b10_u128 << 62;
                Self(Uuid::from_u128(bits))
            }

            /// Parses the hyphenated text of an id.
            ///
            /// # Errors
            /// [`ParseIdError`] when the text is not a hyphenated UUID of version 7.
            pub fn parse(text: &str) -> Result<Self, ParseIdError> {
                let refused = ParseIdError { kind: $kind, rule: "a hyphenated UUID of version 7" };
                if text.len() != 36 {
                    return Err(refused);
                }
                let uuid = Uuid::try_parse(text).map_err(|_| refused)?;
                Self::from_uuid(uuid)
            }

            /// Takes a UUID that was stored before.
            ///
            /// # Errors
            /// [`ParseIdError`] when it is not of version 7 and the RFC 9562 variant.
            pub fn from_uuid(uuid: Uuid) -> Result<Self, ParseIdError> {
                if uuid.get_version_num() == 7 && uuid.get_variant() == uuid::Variant::RFC4122 {
                    Ok(Self(uuid))
                } else {
                    Err(ParseIdError { kind: $kind, rule: "a hyphenated UUID of version 7" })
                }
            }

            /// The id as a UUID.
            #[must_use]
            pub fn uuid(&self) -> Uuid {
                self.0
            }

            /// The shard of the show that this belongs to.
            #[must_use]
            pub fn shard(&self) -> Shard {
                Shard(((self.0.as_u128() >> 64) & 0xfff) as u16)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseIdError;

            fn try_from(text: String) -> Result<Self, ParseIdError> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }
    };
}

sharded_id!(
    /// A hold: a UUIDv7 whose `rand_a` bits are the [`Shard`] of its show.
    HoldId, "hold id"
);
sharded_id!(
    /// An order: a UUIDv7 whose `rand_a` bits are the [`Shard`] of its show.
    OrderId, "order id"
);

impl HoldId {
    /// The id of the hold that a seed stands for in a show: the same again for the same two, and another for another show,
    /// so that an id names one hold of one show.
    #[must_use]
    pub fn of(show: &ShowId, seed: Uuid) -> Self {
        Self::new(show.shard(), Uuid::from_u128(seed.as_u128() ^ u128::from(Shard::hash(show))))
    }
}

/// Who buys: opaque, 1–255 bytes of any characters (`:` and `{` too). No key or value is ever split on it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserId(Arc<str>);

impl UserId {
    /// The longest user id, in bytes of UTF-8.
    pub const MAX_LEN: usize = 255;

    /// Takes an opaque user id.
    ///
    /// # Errors
    /// [`ParseIdError`] when it is empty or longer than 255 bytes.
    pub fn parse(text: &str) -> Result<Self, ParseIdError> {
        if text.is_empty() || text.len() > Self::MAX_LEN {
            return Err(ParseIdError { kind: "user id", rule: "1 to 255 bytes" });
        }
        Ok(Self(Arc::from(text)))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserId({:?})", &*self.0)
    }
}

impl TryFrom<String> for UserId {
    type Error = ParseIdError;

    fn try_from(text: String) -> Result<Self, ParseIdError> {
        Self::parse(&text)
    }
}

impl From<UserId> for String {
    fn from(id: UserId) -> Self {
        id.as_str().to_owned()
    }
}

/// Who calls: a user, and whether with an administrator's rights (promise P9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    user: UserId,
    admin: bool,
}

impl Caller {
    /// An ordinary user, who sees and changes only what is his own.
    #[must_use]
    pub fn user(user: UserId) -> Self {
        Self { user, admin: false }
    }

    /// An administrator, who sees and changes everything.
    #[must_use]
    pub fn admin(user: UserId) -> Self {
        Self { user, admin: true }
    }

    /// The user id.
    #[must_use]
    pub fn id(&self) -> &UserId {
        &self.user
    }

    /// Whether this caller has an administrator's rights.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.admin
    }

    /// Whether this caller may see and change what `owner` owns.
    #[must_use]
    pub fn may_touch(&self, owner: &UserId) -> bool {
        self.admin || self.user == *owner
    }
}

/// Where new ids come from. The service asks this port for every id, code and secret, so that a simulation can seed it.
pub trait IdSource: Send + Sync + 'static {
    /// A new UUIDv7: unique, its first 48 bits the time in milliseconds.
    fn uuid(&self) -> Uuid;

    /// Fills `bytes` with unpredictable bits, for ticket codes and ticket secrets.
    ///
    /// # Errors
    /// [`EntropyError`] when the system gives none.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError>;
}

/// The operating system gave no randomness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no randomness")]
pub struct EntropyError;

/// The [`IdSource`] of a running program: the system's clock and randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemIds;

impl IdSource for SystemIds {
    #[expect(clippy::disallowed_methods, reason = "the one place where ids are drawn")]
    fn uuid(&self) -> Uuid {
        Uuid::now_v7()
    }

    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        getrandom::fill(bytes).map_err(|_| EntropyError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hostile_names_are_refused() {
        let long = "x".repeat(10_000);
        for text in ["", "a:b", "a{b", "*", "a b", "a\"b", "a\u{0}b", "é", &"x".repeat(65), &long] {
            assert!(ShowId::parse(text).is_err(), "{text:?}");
        }
        assert!(SeatId::parse(&"x".repeat(32)).is_ok());
        assert!(SeatId::parse(&"x".repeat(33)).is_err());
    }

    #[test]
    fn a_user_id_may_hold_any_character() {
        for text in ["a:b", "{x}", "*", "\u{0}", "日本"] {
            assert_eq!(UserId::parse(text).unwrap().as_str(), text);
        }
        assert!(UserId::parse("").is_err());
        assert!(UserId::parse(&"x".repeat(256)).is_err());
    }

    #[test]
    fn an_id_of_another_version_is_refused() {
        assert!(HoldId::parse("00000000-0000-4000-8000-000000000000").is_err());
        assert!(HoldId::parse("urn:uuid:018f0000-0000-7000-8000-000000000000").is_err());
        assert!(HoldId::parse("018f0000-0000-7000-8000-000000000000").is_ok());
    }

    #[test]
    fn the_shard_of_a_show_never_changes() {
        // Stored ids depend on these numbers.
        let number = |text: &str| ShowId::parse(text).unwrap().shard().number();
        assert_eq!([number("a"), number("show-1"), number("show-2")], [1763, 2897, 2212]);
    }

    #[test]
    fn one_seed_is_another_hold_in_another_show_of_the_shard() {
        let show = |n| ShowId::parse(&format!("s{n}")).unwrap();
        let twin = (1..).map(show).find(|twin| twin.shard() == show(0).shard()).unwrap();
        let seed = Uuid::from_u128(7);
        assert_eq!(HoldId::of(&show(0), seed), HoldId::of(&show(0), seed));
        assert_ne!(HoldId::of(&show(0), seed), HoldId::of(&twin, seed));
        assert_eq!(HoldId::of(&twin, seed).shard(), twin.shard());
    }

    proptest! {
        #[test]
        fn an_id_carries_its_shard_and_survives_its_text(show in "[a-zA-Z0-9._-]{1,64}", bits: u128) {
            let show = ShowId::parse(&show).unwrap();
            let id = OrderId::new(show.shard(), Uuid::from_u128(bits));
            prop_assert_eq!(id.shard(), show.shard());
            prop_assert_eq!(OrderId::parse(&id.to_string()), Ok(id));
            prop_assert_eq!(id.uuid().as_u128() >> 80, bits >> 80);
        }
    }
}
