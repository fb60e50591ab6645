//! What is seen of a run while it goes on: a bar with the sale's curve on a terminal, a line each few seconds elsewhere.

use std::io::{IsTerminal as _, stderr};

use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;

use crate::tally::Sample;

/// How many steps the curve has.
const STEPS: usize = 30;
/// From nothing to all.
const HEIGHTS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// How often a line is written where there is no terminal, in milliseconds.
const LINE_EVERY_MS: u64 = 5_000;

/// Shows how far a run is.
pub(crate) struct Progress {
    seats: u64,
    bar: Option<ProgressBar>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// By how many seats were sold at each look.
    curve: Vec<u64>,
    next_line_ms: u64,
}

impl Progress {
    /// Of so many users, for so many seats.
    pub(crate) fn of(users: u64, seats: u64) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(users);
            let style = ProgressStyle::with_template("{elapsed} {bar:20} {pos}/{len} users  {msg}");
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self { seats, bar, seen: Mutex::default() }
    }

    /// How far it is now.
    pub(crate) fn show(&self, sample: Sample) {
        let Sample { at_ms, users, seats_sold, refused } = sample;
        let mut seen = self.seen.lock();
        seen.curve.push(seats_sold);
        match &self.bar {
            Some(bar) => {
                bar.set_position(users);
                let curve = curve(&seen.curve, self.seats);
                bar.set_message(format!("▕{curve}▏ {seats_sold}/{} seats sold, {refused} refused", self.seats));
            }
            None if at_ms >= seen.next_line_ms => {
                seen.next_line_ms = at_ms + LINE_EVERY_MS;
                let seconds = at_ms / 1_000;
                eprintln!("{seconds:>4} s: {users} users, {seats_sold} of {} seats sold, {refused} refused", self.seats);
            }
            None => {}
        }
    }

    /// It is over.
    pub(crate) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A curve in one line of text, squeezed to its width, from nothing to `most`.
fn curve(values: &[u64], most: u64) -> String {
    let height = |value: u64| (value * 8).checked_div(most).map_or(0, |eighths| eighths.min(8) as usize);
    let steps = (1..=STEPS.min(values.len())).map(|step| (step * values.len()).div_ceil(STEPS.min(values.len())) - 1);
    steps.filter_map(|place| HEIGHTS.get(height(*values.get(place)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_is_squeezed_and_ends_with_the_last_value() {
        assert_eq!(curve(&[], 8), "");
        assert_eq!(curve(&[0, 1, 4, 8], 8), " ▁▄█");
        let long: Vec<u64> = (0..=300).collect();
        let drawn = curve(&long, 300);
        assert_eq!((drawn.chars().count(), drawn.chars().last()), (STEPS, Some('█')));
        assert_eq!(curve(&[5], 0), " ");
    }
}
