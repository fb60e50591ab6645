//! `redis-benchmark`, which comes with the server.

use std::process::Command;

use bms_domain::store::HoldStore as _;
use bms_redis::RedisHolds;
use bms_redis::testing::place_script;
use hdrhistogram::Histogram;

use crate::bench::{Bench, Run};
use crate::naive;
use crate::ours::{self, MOST, PREFIX, TTL};

/// Seats of a plan so large that a random seat is nearly always free: as many as a record can name.
const SEATS: u32 = 1 << 24;
/// Stands for twelve random digits, others each time.
const RANDOM: &str = "__rand_int__";
/// The marks of four seats of which the first two are held: 0101 0000.
const PAIR: &str = "P";

/// How many connections call, each with sixteen calls under way.
#[derive(Clone, Copy)]
pub(crate) enum Callers {
    /// As many as bring out the most.
    Fifty,
    /// As many as have 256 calls under way, like the library's tasks.
    Sixteen,
}

/// Calls a script as often as the library does in a round; its random numbers are below `places`.
fn run(bench: &Bench, callers: Callers, sha: &str, words: &[String], places: u32) -> Run {
    let call: Vec<String> = ["EVALSHA", sha].into_iter().map(str::to_owned).chain(words.iter().cloned()).collect();
    repeat(bench, callers, &call, places)
}

fn plain_key(digits: &str) -> String {
    format!("plain:{digits}")
}

/// Makes plain keys, for [`get_plain`].
pub(crate) fn prepare_plain(bench: &Bench, keys: usize) {
    let numbers: Vec<usize> = (0..keys).collect();
    for some in numbers.chunks(1_000) {
        let pairs = some.iter().flat_map(|number| [plain_key(&format!("{number:012}")), "x".repeat(100)]);
        let words: Vec<String> = std::iter::once("MSET".to_owned()).chain(pairs).collect();
        bench.server.command::<()>(&words).unwrap();
    }
}

/// Reads one of so many plain keys each time, the simplest thing that a server does.
pub(crate) fn get_plain(bench: &Bench, keys: usize) -> Run {
    repeat(bench, Callers::Fifty, &["GET".to_owned(), plain_key(RANDOM)], u32::try_from(keys).unwrap())
}

/// Sends a command as often as the library places a hold in a round.
fn repeat(bench: &Bench, callers: Callers, command: &[String], places: u32) -> Run {
    let holds = bench.scale.holds;
    let (port, holds_text, places) = (bench.server.port().to_string(), holds.to_string(), places.to_string());
    let callers = match callers {
        Callers::Fifty => "50",
        Callers::Sixteen => "16",
    };
    let arguments = ["-p", &port, "-P", "16", "-c", callers, "-n", &holds_text, "-r", &places, "--csv"];
    let output = Command::new("redis-benchmark").args(arguments).args(command).output();
    let output = output.expect("`redis-benchmark` is not installed; install it with: apt-get install -y redis-tools");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text} {}", String::from_utf8_lossy(&output.stderr));
    // The last seven: the rate, and six times in milliseconds: mean, least, p50, p95, p99, most.
    let numbers: Vec<f64> = text.trim_end().rsplit(',').take(7).map(|number| number.trim_matches('"').parse().unwrap()).collect();
    let mut each = Histogram::new(3).unwrap();
    for (share, milliseconds) in [(98, numbers[3]), (2, numbers[1])] {
        // Enough of it to be read again as what it was: the median, and the 99th of a hundred.
        each.record_n((1_000.0 * milliseconds) as u64, share).unwrap();
    }
    Run { operations: holds, rate: numbers[6], each }
}

fn key(part: &str) -> String {
    format!("{PREFIX}:{{{}}}:{part}", ours::show(0).shard().number())
}

fn of_show(part: &str) -> String {
    key(&format!("{part}:{}", ours::show(0)))
}

/// Primes the show that [`place`] holds seats of, and gives the script's hash.
pub(crate) fn prepare(bench: &Bench, holds: &RedisHolds) -> String {
    bench.runtime.block_on(ours::prime(holds, ours::show(0), SEATS, Vec::new()));
    // The library's shows have all their marks soon; these would grow, seat by seat.
    bench.server.command::<()>(&["SETRANGE", &of_show("seats"), &(SEATS / 4 - 1).to_string(), "\0"]).unwrap();
    bench.server.command(&["SCRIPT", "LOAD", place_script()]).unwrap()
}

/// Places holds by the library's own script: the keys, arguments and lengths are those of the library, but for the place of
/// the seats, which has more digits.
pub(crate) fn place(bench: &Bench, callers: Callers, holds: &RedisHolds, sha: &str) -> Run {
    let show = ours::show(0);

    let names = 2 + show.as_str().len() + ours::layout().as_str().len();
    let body_after_owner = "s".repeat(2 + 2 * 3 + names + 8 + 3);
    let owner = format!("user-{RANDOM}");
    let length = char::from(u8::try_from(owner.len()).unwrap());
    let words = [
        "6".to_owned(),
        key("records"),
        of_show("seats"),
        of_show("live"),
        of_show("ended"),
        of_show("log"),
        key("due"),
        String::new(),
        format!("m{show}"),
        format!("u{show}:{owner}"),
        format!("h{RANDOM}abcd"),
        format!("{length}{owner}{body_after_owner}"),
        ours::layout().to_string(),
        TTL.as_millis().to_string(),
        "2".to_owned(),
        MOST.to_string(),
        RANDOM.to_owned(),
        PAIR.to_owned(),
    ];
    let run = run(bench, callers, sha, &words, SEATS / 4);
    let held = bench.runtime.block_on(holds.counts(&[show])).unwrap()[0].unwrap().held;
    assert!(u64::from(held) > bench.scale.holds * 19 / 10, "only {held} seats were held by {} calls", bench.scale.holds);
    run
}

/// Places holds in the naive layout.
pub(crate) fn place_naive(bench: &Bench, sha: &str) -> Run {
    let mut words = naive::words(&ours::request(ours::show(0), ours::user(0), [10_000, 10_001]));
    let hold = ours::hold_id(&ours::show(0)).to_string();
    // Twelve digits of the id, the user and the seats are drawn anew.
    let drawn = format!("{}{RANDOM}", &hold[..24]);
    let id = words[4].clone();
    for word in &mut words {
        *word = word.replace(&id, &drawn).replace(ours::user(0).as_str(), &format!("user-{RANDOM}"));
    }
    for seat in [2, 3] {
        words[seat] = naive::seat_key(ours::show(0).as_str(), RANDOM);
    }
    run(bench, Callers::Fifty, sha, &words, SEATS)
}
