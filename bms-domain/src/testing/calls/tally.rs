//! What came about in a run, so that one which tried nothing can be told from one in which all was well.

use std::collections::BTreeMap;
use std::fmt;

/// Counts runs, calls, and how often each answer of each call came about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Traces or histories.
    pub runs: usize,
    /// Calls that were answered.
    pub answered: usize,
    /// Calls that failed, and so did nothing.
    pub failed: usize,
    /// Calls of which nobody knows whether they took effect.
    pub unknown: usize,
    /// Calls that were answered, and went on while another did.
    pub overlapping: usize,
    answers: BTreeMap<(&'static str, &'static str), usize>,
}

impl Tally {
    /// Counts an answer of a call.
    pub fn count(&mut self, call: &'static str, answer: &'static str) {
        self.answered += 1;
        *self.answers.entry((call, answer)).or_default() += 1;
    }

    /// How often an answer of a call came about.
    #[must_use]
    pub fn of(&self, call: &str, answer: &str) -> usize {
        let told = self.answers.iter().find(|((its_call, its_answer), _)| (*its_call, *its_answer) == (call, answer));
        told.map_or(0, |(_, count)| *count)
    }

    /// Fails unless each of these came about: calls, each with its answers.
    ///
    /// # Panics
    /// When the run was vacuous: names what is missing.
    pub fn assert_all(&self, expected: &[(&str, &[&str])]) {
        let pairs = expected.iter().flat_map(|(call, answers)| answers.iter().map(move |answer| (*call, *answer)));
        let missing: Vec<_> = pairs.filter(|(call, answer)| self.of(call, answer) == 0).collect();
        assert!(missing.is_empty(), "the run was vacuous: {missing:?} never came about, only {:?}", self.answers);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, answered, failed, unknown, overlapping, .. } = self;
        write!(f, "{runs} runs, {} calls: {answered} answered, {failed} failed, ", answered + failed + unknown)?;
        write!(f, "{unknown} unknown; {overlapping} at the same time as another")
    }
}
