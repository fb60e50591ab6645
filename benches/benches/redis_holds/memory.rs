//! What held seats take in Redis, beside the naive layout.

use std::sync::Arc;

use bms_domain::store::PlaceHold;
use bms_redis::RedisHolds;

use crate::bench::{Bench, head, row};
use crate::{naive, ours};

/// How much of what the naive layout takes this one may take, for two-seat holds of as many users.
const SHARE: f64 = 0.5;

/// Says whether holds take little enough.
pub(crate) fn print(bench: &Bench, holds: &RedisHolds) -> bool {
    let seats = bench.scale.seats;
    println!("\nMemory of a show with every one of its {seats} seats held, all that Redis keeps of the show included.");
    head(&["holds", "this", "naive", "this, a hold", "naive, a hold", "this by naive"]);
    let mut little = true;
    for (of_hold, of_user) in [(2, 1), (2, 5), (10, 1)] {
        let count = u64::from(seats / of_hold);
        let request = |number: u64| {
            let first = u32::try_from(number).unwrap() * of_hold;
            ours::request(ours::show(0), ours::user(number / of_user), first..first + of_hold)
        };
        let requests: Arc<[PlaceHold]> = (0..count).map(request).collect();
        bench.flush();
        let empty = bench.memory();
        ours::prime_all(bench, holds, &[ours::show(0)], seats);
        ours::place(bench, holds, &requests, ours::granted);
        let this = bench.memory() - empty;

        let (plain, sha) = (naive::connect(bench), naive::load(bench));
        bench.flush();
        let empty = bench.memory();
        naive::place(bench, &plain, &sha, &requests);
        let other = bench.memory() - empty;

        little &= of_hold > 2 || of_user > 1 || this <= SHARE * other;
        let each = |bytes: f64| format!("{:.0}", bytes / count as f64);
        let users = if of_user == 1 { "each of another user".to_owned() } else { format!("{of_user} a user") };
        row(&[
            format!("{count} of {of_hold} seats, {users}"),
            format!("{this:.0}"),
            format!("{other:.0}"),
            each(this),
            each(other),
            format!("{:.2}", this / other),
        ]);
    }
    bench.flush();
    println!("\nWanted: at most {SHARE} for two-seat holds, each of another user.");
    little
}
