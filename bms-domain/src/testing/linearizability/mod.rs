//! Whether what many clients saw of a store at the same time could have come about one call after the other.
//!
//! A [`History`] is recorded; [`check`] looks for an order of its calls that a [`Specification`] gives the same answers in,
//! and in which no call comes before another that had ended when it began. A call that failed did nothing, and is left out;
//! one whose outcome is unknown took effect at some time after it began, or never.
//!
//! The search is that of Wing and Gong, with Lowe's memory of where it has been.
//! [`histories`](super::histories) draws what clients do, records and checks.

mod history;
mod violation;

use std::collections::HashSet;
use std::hash::Hash;

pub use history::{History, Operation, Outcome};
pub use violation::Violation;

use super::calls::Call;

/// What a thing answers when it is asked one call after the other.
pub trait Specification: Clone + Eq + Hash {
    /// What it is asked.
    type Call: Call;

    /// Takes a call. Gives the answers that are right: more than one where the documentation leaves the choice.
    fn take(&mut self, call: &Self::Call) -> Vec<<Self::Call as Call>::Answer>;
}

/// An operation of a specification.
pub type OperationOf<S> = Operation<<S as Specification>::Call>;

/// The most calls of one history.
pub const LONGEST: usize = 128;

/// Looks for a right order of the calls of a history that begins at `first`.
///
/// # Errors
/// [`Violation`], with the shortest beginning of the history for which there is none.
///
/// # Panics
/// With more than [`LONGEST`] calls.
pub fn check<S: Specification>(first: &S, history: &[OperationOf<S>]) -> Result<(), Violation> {
    let counted: Vec<&OperationOf<S>> = history.iter().filter(|operation| operation.outcome != Outcome::Failed).collect();
    assert!(counted.len() <= LONGEST, "a history of {} calls is too long", counted.len());
    let mut search = Search::<S> { operations: counted, been: HashSet::new() };
    if search.finds(Taken::default(), first) { Ok(()) } else { Err(Violation::of(first, history)) }
}

/// Which of the operations were put in order so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Taken(u128);

impl Taken {
    fn has(self, operation: usize) -> bool {
        self.0 & (1 << operation) != 0
    }

    fn with(self, operation: usize) -> Self {
        Self(self.0 | (1 << operation))
    }
}

struct Search<'a, S: Specification> {
    operations: Vec<&'a OperationOf<S>>,
    /// From where nothing leads to the end.
    been: HashSet<(Taken, S)>,
}

impl<S: Specification> Search<'_, S> {
    /// Whether the rest can be put in order, after those that were taken have led to a state.
    fn finds(&mut self, taken: Taken, state: &S) -> bool {
        let rest = self.operations.iter().enumerate().filter(|(position, _)| !taken.has(*position));
        let Some(first_end) = rest.filter_map(|(_, operation)| operation.outcome.ended()).min() else {
            // What is left has no known end, and need not have taken effect.
            return true;
        };
        if !self.been.insert((taken, state.clone())) {
            return false;
        }
        for position in 0..self.operations.len() {
            let operation = self.operations[position];
            // Whatever began after another's end comes after it.
            if taken.has(position) || operation.began > first_end {
                continue;
            }
            let mut next = state.clone();
            let right = next.take(&operation.call);
            let goes_on = match &operation.outcome {
                Outcome::Answered { answer, .. } => right.contains(answer),
                // If it changes nothing it can as well be left out.
                Outcome::Unknown => next != *state,
                Outcome::Failed => false,
            };
            if goes_on && self.finds(taken.with(position), &next) {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A register that can be read, and written if it has a value.
    #[derive(Clone, Debug, PartialEq, Eq, Hash)]
    struct Register(u8);

    #[derive(Clone, Debug)]
    enum Ask {
        Read,
        Write(u8),
        /// Writes the second if the first is there; says whether it was.
        Swap(u8, u8),
    }

    impl Call for Ask {
        type Answer = u8;

        fn name(&self) -> &'static str {
            "ask"
        }

        fn comparable(&self, answer: u8) -> u8 {
            answer
        }

        fn kind(_: &u8) -> &'static str {
            "answered"
        }
    }

    impl Specification for Register {
        type Call = Ask;

        fn take(&mut self, call: &Ask) -> Vec<u8> {
            match *call {
                Ask::Read => vec![self.0],
                Ask::Write(value) => {
                    self.0 = value;
                    vec![0]
                }
                Ask::Swap(old, new) => {
                    let is_there = self.0 == old;
                    self.0 = if is_there { new } else { self.0 };
                    vec![u8::from(is_there)]
                }
            }
        }
    }

    fn answered(client: usize, began: u64, ended: u64, call: Ask, answer: u8) -> Operation<Ask> {
        Operation { client, call, began, outcome: Outcome::Answered { answer, ended } }
    }

    fn lost(client: usize, began: u64, call: Ask) -> Operation<Ask> {
        Operation { client, call, began, outcome: Outcome::Unknown }
    }

    fn failed(client: usize, began: u64, call: Ask) -> Operation<Ask> {
        Operation { client, call, began, outcome: Outcome::Failed }
    }

    fn is_right(history: &[Operation<Ask>]) -> bool {
        check(&Register(0), history).is_ok()
    }

    #[test]
    fn calls_one_after_the_other_are_answered_in_their_order() {
        assert!(is_right(&[]));
        assert!(is_right(&[answered(0, 0, 1, Ask::Write(1), 0), answered(1, 2, 3, Ask::Read, 1)]));
        assert!(!is_right(&[answered(0, 0, 1, Ask::Write(1), 0), answered(1, 2, 3, Ask::Read, 0)]));
        assert!(!is_right(&[answered(0, 0, 1, Ask::Read, 1), answered(1, 2, 3, Ask::Write(1), 0)]));
    }

    #[test]
    fn calls_at_the_same_time_have_either_order() {
        for seen in [0, 1] {
            assert!(is_right(&[answered(0, 0, 3, Ask::Write(1), 0), answered(1, 1, 2, Ask::Read, seen)]));
        }
        // Who has seen the new value has no successor that sees the old one.
        let seen = |first, second| {
            let write = answered(0, 0, 9, Ask::Write(1), 0);
            is_right(&[write, answered(1, 1, 2, Ask::Read, first), answered(2, 3, 4, Ask::Read, second)])
        };
        assert!(seen(0, 0) && seen(0, 1) && seen(1, 1) && !seen(1, 0));
    }

    #[test]
    fn of_two_who_want_one_thing_at_the_same_time_one_gets_it() {
        let swaps =
            |first, second| is_right(&[answered(0, 0, 3, Ask::Swap(0, 1), first), answered(1, 1, 2, Ask::Swap(0, 2), second)]);
        assert!(swaps(1, 0) && swaps(0, 1) && !swaps(1, 1) && !swaps(0, 0));
    }

    #[test]
    fn a_lost_call_takes_effect_late_or_never_but_once() {
        let lost_write = || lost(0, 0, Ask::Write(1));
        assert!(is_right(&[lost_write()]));
        for seen in [[0, 0], [0, 1], [1, 1]] {
            assert!(is_right(&[lost_write(), answered(1, 2, 3, Ask::Read, seen[0]), answered(1, 4, 5, Ask::Read, seen[1])]));
        }
        assert!(!is_right(&[lost_write(), answered(1, 2, 3, Ask::Read, 1), answered(1, 4, 5, Ask::Read, 0)]));
        // It came after another's write, which its client saw end before; but not twice.
        let (other, read) = (answered(1, 4, 5, Ask::Write(2), 0), answered(1, 6, 7, Ask::Read, 1));
        assert!(is_right(&[lost_write(), other.clone(), read.clone()]));
        assert!(!is_right(&[lost_write(), answered(1, 2, 3, Ask::Read, 1), other, read]));
        // Not before it began.
        assert!(!is_right(&[answered(1, 0, 1, Ask::Read, 1), lost(0, 2, Ask::Write(1))]));
    }

    #[test]
    fn a_call_that_failed_did_nothing() {
        assert!(is_right(&[failed(0, 0, Ask::Write(1)), answered(1, 2, 3, Ask::Read, 0)]));
        assert!(!is_right(&[failed(0, 0, Ask::Write(1)), answered(1, 2, 3, Ask::Read, 1)]));
    }

    #[test]
    fn the_shortest_wrong_beginning_is_shown() {
        let history = [
            answered(0, 0, 1, Ask::Write(1), 0),
            answered(1, 2, 7, Ask::Read, 0),
            answered(2, 3, 4, Ask::Read, 1),
            answered(0, 5, 6, Ask::Read, 1),
            answered(2, 8, 9, Ask::Read, 0),
        ];
        let shown = check(&Register(0), &history).unwrap_err().to_string();
        // The answer at 7 is the first that nothing explains: what came later is not shown, what had not ended is.
        assert!(shown.contains("[2..7] Read → 0") && shown.contains("[3..4] Read → 1"), "{shown}");
        assert!(!shown.contains("8.."), "{shown}");
        let history = [answered(0, 0, 9, Ask::Write(1), 0), answered(1, 1, 2, Ask::Read, 1), answered(1, 3, 4, Ask::Read, 0)];
        let shown = check(&Register(0), &history).unwrap_err().to_string();
        assert!(shown.contains("[0..…] Write(1) → ?"), "{shown}");
    }

    /// Sixteen calls have more orders than anybody could look at; but they lead to few states.
    #[test]
    fn a_wrong_history_of_many_at_once_is_found_out() {
        let mut history: Vec<_> = (0..16).map(|client| answered(client, 0, 100, Ask::Write(1), 0)).collect();
        history.push(answered(16, 101, 102, Ask::Read, 1));
        assert!(is_right(&history));
        history.push(answered(16, 103, 104, Ask::Read, 2));
        assert!(!is_right(&history));
    }
}
