//! Where things are kept. Everything of one show lives in one slot: the hash tag is the number of its shard, never
//! anything that a user chose.

use bms_domain::id::{Shard, ShowId};

/// Names keys under a prefix.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    prefix: String,
}

/// How many keys a script on a show declares, in the order of `lua/show.lua`.
pub(crate) const SHOW_KEYS: usize = 7;

impl Keys {
    pub(crate) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// The keys of a show: `prefix:{shard}:show…`, and two of its shard.
    pub(crate) fn of_show(&self, show: &ShowId) -> [Vec<u8>; SHOW_KEYS] {
        let shard = show.shard();
        let name = |part: &str| format!("{}:{{{}}}:show:{show}{part}", self.prefix, shard.number()).into_bytes();
        [name(""), name(":seats"), name(":live"), name(":ended"), name(":log"), self.holds(shard), self.due(shard)]
    }

    /// The channel on which the changes of a show are told: the name of its hash.
    pub(crate) fn channel(&self, show: &ShowId) -> Vec<u8> {
        format!("{}:{{{}}}:show:{show}", self.prefix, show.shard().number()).into_bytes()
    }

    /// The records of a shard's holds.
    pub(crate) fn holds(&self, shard: Shard) -> Vec<u8> {
        format!("{}:{{{}}}:holds", self.prefix, shard.number()).into_bytes()
    }

    /// The shows of a shard by when there is something to tidy up.
    pub(crate) fn due(&self, shard: Shard) -> Vec<u8> {
        format!("{}:{{{}}}:due", self.prefix, shard.number()).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_a_show_has_its_shard_as_the_tag() {
        let show = ShowId::parse("show-1").unwrap();
        let tag = format!("{{{}}}", show.shard().number());
        for key in Keys::new("bms").of_show(&show) {
            let key = String::from_utf8(key).unwrap();
            assert!(key.starts_with(&format!("bms:{tag}:")) && key.matches('{').count() == 1, "{key}");
        }
    }

    #[test]
    fn no_two_shows_share_a_key() {
        // A show id may end as another's key does: `:` is not in its alphabet.
        let keys = |id: &str| Keys::new("bms").of_show(&ShowId::parse(id).unwrap());
        assert!(keys("a").iter().take(5).all(|key| !keys("a.seats").contains(key)));
    }
}
