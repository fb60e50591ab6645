//! Where things are kept. Everything of one show lives in one slot: the hash tag is the number of its shard, never
//! anything that a user chose.

use std::io::Write as _;

use bms_domain::id::{HoldId, Shard, ShowId, UserId};

/// Names keys under a prefix.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    prefix: String,
}

/// How many keys a script on a show declares, in the order of `lua/show.lua`.
pub(crate) const SHOW_KEYS: usize = 6;

impl Keys {
    pub(crate) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// The keys of a show, two of which belong to its whole shard.
    pub(crate) fn of_show(&self, show: &ShowId) -> [Vec<u8>; SHOW_KEYS] {
        let shard = show.shard();
        let name = |part| self.name(shard, part, show.as_str());
        [self.records(shard), name(":seats:"), name(":live:"), name(":ended:"), self.log(show), self.due(shard)]
    }

    /// What each order of a show bought: the key after the others, for the scripts that include `lua/sales.lua`.
    pub(crate) fn sales(&self, show: &ShowId) -> Vec<u8> {
        self.name(show.shard(), ":sales:", show.as_str())
    }

    /// The records of a shard's shows and holds.
    pub(crate) fn records(&self, shard: Shard) -> Vec<u8> {
        self.name(shard, ":records", "")
    }

    /// The shows of a shard by when there is something to tidy up.
    pub(crate) fn due(&self, shard: Shard) -> Vec<u8> {
        self.name(shard, ":due", "")
    }

    /// The last changes of a show; also the channel on which they are told.
    pub(crate) fn log(&self, show: &ShowId) -> Vec<u8> {
        self.name(show.shard(), ":log:", show.as_str())
    }

    /// The field of a show's numbers in the records.
    pub(crate) fn meta(show: &ShowId) -> Vec<u8> {
        [b"m", show.as_str().as_bytes()].concat()
    }

    /// The field of a user's seats of a show in the records. A show id has no `:`, so no two pairs share a field.
    pub(crate) fn user(show: &ShowId, user: &UserId) -> Vec<u8> {
        [b"u", show.as_str().as_bytes(), b":", user.as_str().as_bytes()].concat()
    }

    /// The field of a hold in the records.
    pub(crate) fn hold(id: HoldId) -> [u8; 17] {
        let mut field = [b'h'; 17];
        for (byte, of_id) in field.iter_mut().skip(1).zip(id.uuid().as_bytes()) {
            *byte = *of_id;
        }
        field
    }

    fn name(&self, shard: Shard, part: &str, show: &str) -> Vec<u8> {
        let mut name = Vec::with_capacity(self.prefix.len() + 8 + part.len() + show.len());
        name.extend(self.prefix.as_bytes());
        // Writing into a vector cannot fail.
        let _ = write!(name, ":{{{}}}", shard.number());
        name.extend(part.as_bytes());
        name.extend(show.as_bytes());
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_a_show_has_its_shard_as_the_tag() {
        let show = ShowId::parse("show-1").unwrap();
        let tag = format!("{{{}}}", show.shard().number());
        let keys = Keys::new("bms");
        for key in keys.of_show(&show).into_iter().chain([keys.sales(&show)]) {
            let key = String::from_utf8(key).unwrap();
            assert!(key.starts_with(&format!("bms:{tag}:")) && key.matches('{').count() == 1, "{key}");
        }
    }

    #[test]
    fn no_two_users_share_a_field() {
        let field = |show: &str, user: &str| Keys::user(&ShowId::parse(show).unwrap(), &UserId::parse(user).unwrap());
        assert_ne!(field("a", "b:c"), field("a.b", "c"));
        assert_eq!(field("a", "b:c"), b"ua:b:c");
    }
}
