//! What is shown of a history that no order of its calls explains.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use super::{Operation, OperationOf, Outcome, Search, Specification, Taken};

/// A history that nothing explains: its shortest beginning of which that is true, client by client. A call that goes on at the
/// end of it is shown without its end.
#[derive(Clone, Debug, thiserror::Error)]
pub struct Violation {
    by_client: BTreeMap<usize, Vec<String>>,
    last: String,
}

impl Violation {
    /// Cuts a wrong history where it first goes wrong.
    pub(super) fn of<S: Specification>(first: &S, history: &[OperationOf<S>]) -> Self {
        let mut ends: Vec<u64> = history.iter().filter_map(|operation| operation.outcome.ended()).collect();
        ends.sort_unstable();
        // What is right up to an end is right up to every earlier one: the first wrong end is found by halves.
        let wrong = ends.partition_point(|end| is_right(first, &until(history, *end)));
        let end = ends.get(wrong).copied().unwrap_or(u64::MAX);
        let beginning = until(history, end);
        let last = beginning.iter().find(|operation| operation.outcome.ended() == Some(end));
        let last = last.map(ToString::to_string).unwrap_or_default();
        let mut by_client: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for operation in &beginning {
            by_client.entry(operation.client).or_default().push(operation.to_string());
        }
        Self { by_client, last }
    }
}

fn is_right<S: Specification>(first: &S, history: &[OperationOf<S>]) -> bool {
    let counted = history.iter().filter(|operation| operation.outcome != Outcome::Failed).collect();
    Search::<S> { operations: counted, been: HashSet::new() }.finds(Taken::default(), first)
}

/// What was known at an instant: calls that began later had not been made, those that ended later went on.
fn until<C: crate::testing::calls::Call>(history: &[Operation<C>], end: u64) -> Vec<Operation<C>> {
    let begun = history.iter().filter(|operation| operation.began < end).cloned();
    begun
        .map(|mut operation| {
            if operation.outcome.ended().is_some_and(|its_end| its_end > end) {
                operation.outcome = Outcome::Unknown;
            }
            operation
        })
        .collect()
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "no order of these calls explains their answers; the first that none explains is")?;
        writeln!(f, "  {}", self.last)?;
        for (client, operations) in &self.by_client {
            writeln!(f, "client {client}")?;
            operations.iter().try_for_each(|operation| writeln!(f, "  {operation}"))?;
        }
        Ok(())
    }
}
