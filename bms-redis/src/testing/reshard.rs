//! Moving a slot from one node of a cluster to another, step by step.

use bms_domain::testing::servers::Failure;

use super::{
    builder::HARNESS,
    cluster::{Cluster, id_in, view_of},
    server::Server,
};

/// How many keys move at a time.
const BATCH: usize = 10;

/// How far a slot has moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MoveStep {
    /// Both nodes know of the move; the old owner sends clients that ask for what it does not have to the new one.
    Marked,
    /// So many more keys (10 at most) are at the new owner.
    Moved(usize),
    /// The slot belongs to the new owner, and every primary was told.
    Assigned,
}

impl Cluster {
    /// Moves a slot with all its keys to the primary `to`, as `redis-cli --cluster reshard` does.
    ///
    /// # Errors
    ///
    /// As [`Cluster::move_slot_with`].
    pub fn move_slot(&self, slot: u16, to: &Server) -> Result<(), Failure> {
        self.move_slot_with(slot, to, |_| {})
    }

    /// The same, calling `watch` after every step, while the slot stays as that step left it. Moving a slot to its owner does
    /// nothing and calls nobody.
    ///
    /// # Errors
    ///
    /// [`Failure::Command`] if a node refuses, as one that is no primary does; [`Failure::Late`] if the nodes do not agree on the
    /// new owner within a minute.
    pub fn move_slot_with(&self, slot: u16, to: &Server, mut watch: impl FnMut(MoveStep)) -> Result<(), Failure> {
        let from = self.owner_of(slot)?;
        if from.port() == to.port() {
            return Ok(());
        }
        let view = view_of(self.any()?)?;
        let (from_id, to_id) = (id_in(&view, from)?, id_in(&view, to)?);
        let name = slot.to_string();
        to.command::<()>(&["CLUSTER", "SETSLOT", &name, "IMPORTING", from_id])?;
        from.command::<()>(&["CLUSTER", "SETSLOT", &name, "MIGRATING", to_id])?;
        watch(MoveStep::Marked);
        loop {
            let keys: Vec<Vec<u8>> = from.command(&["CLUSTER", "GETKEYSINSLOT", &name, &BATCH.to_string()])?;
            if keys.is_empty() {
                break;
            }
            migrate(from, to, &keys)?;
            watch(MoveStep::Moved(keys.len()));
        }
        // The new owner first: else the old one would send clients to a node that sends them back.
        to.command::<()>(&["CLUSTER", "SETSLOT", &name, "NODE", to_id])?;
        from.command::<()>(&["CLUSTER", "SETSLOT", &name, "NODE", to_id])?;
        for primary in self.primaries()? {
            primary.command::<()>(&["CLUSTER", "SETSLOT", &name, "NODE", to_id])?;
        }
        watch(MoveStep::Assigned);
        self.wait_for_owner_after(slot, from)?;
        Ok(())
    }
}

fn migrate(from: &Server, to: &Server, keys: &[Vec<u8>]) -> Result<(), Failure> {
    let port = to.port().to_string();
    let words = ["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "AUTH2", HARNESS, HARNESS, "KEYS"];
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).chain(keys.iter().map(Vec::as_slice)).collect();
    from.command(&words)
}
