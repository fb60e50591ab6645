//! Whether everything that Redis keeps of a show agrees with itself. Reads the raw keys, and knows their form from the
//! comments of `lua/`, not from the code that writes them.

use std::collections::{BTreeMap, BTreeSet};

use bms_domain::id::ShowId;
use bms_redis::testing::Server;

/// Everything of a show, read at one instant.
const READ: &str = "local r = redis.call
return { r('HGETALL', KEYS[1]), r('GET', KEYS[2]), r('ZRANGE', KEYS[3], 0, -1, 'WITHSCORES'), r('LRANGE', KEYS[4], 0, -1),
  r('LRANGE', KEYS[5], 0, -1), r('ZSCORE', KEYS[6], ARGV[1]), r('HGETALL', KEYS[7]) }";

type Bytes = Vec<u8>;
type Raw = (Vec<(Bytes, Bytes)>, Option<Bytes>, Vec<(Bytes, i64)>, Vec<Bytes>, Vec<Bytes>, Option<f64>, Vec<(Bytes, Bytes)>);

/// What Redis keeps of a show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The occupancy version.
    pub version: u64,
    /// Whether the show is primed.
    pub primed: bool,
    /// Seats under a live hold.
    pub held: BTreeSet<u32>,
    /// Seats that are marked sold.
    pub sold: BTreeSet<u32>,
    /// How many live holds there are.
    pub live: usize,
    /// How many holds there are that have ended.
    pub ended: usize,
}

/// Reads a show and compares everything with everything. `None` when Redis knows nothing of it.
///
/// Fails when a live hold's seats are not exactly those that are marked held, when a sale's are not exactly those that are
/// marked sold, when two of either share a seat, or when tallies, counts, queues or the log say anything else.
pub fn audit(server: &Server, prefix: &str, show: &ShowId) -> Option<Kept> {
    let raw = read(server, prefix, show);
    let audit = Audit::of(&raw, show.as_str());
    let (_, marks, live, ended, log, due, _) = raw;
    let Some(numbers) = &audit.numbers else {
        assert!(audit.tallies.is_empty() && audit.sales.is_empty(), "{show}: sales or tallies without numbers");
        assert!(marks.is_none() && live.is_empty() && log.is_empty() && due.is_none(), "{show}: keys without numbers");
        return None;
    };

    let (held, sold) = read_marks(&marks.unwrap_or_default());
    let holds: Vec<&Hold> = audit.holds.values().filter(|hold| hold.is_live).collect();
    assert_eq!(disjoint(holds.iter().map(|hold| &hold.seats), "live holds"), held, "{show}: seats of live holds, and held marks");
    assert_eq!(disjoint(audit.sales.values().map(|(_, seats)| seats), "sales"), sold, "{show}: seats of sales, and sold marks");
    assert_eq!((numbers.held, numbers.sold), (held.len() as u64, sold.len() as u64), "{show}: counts of held and sold");
    let fits = |seat: &u32| !numbers.primed || u64::from(*seat) < numbers.size;
    assert!(held.iter().chain(&sold).all(fits), "{show}: a seat that the plan does not have");

    let ends: BTreeMap<Bytes, i64> =
        audit.holds.iter().filter(|(_, hold)| hold.is_live).map(|(id, hold)| (id.clone(), hold.till)).collect();
    assert_eq!(live.into_iter().collect::<BTreeMap<_, _>>(), ends, "{show}: the queue of ends, and the ends of live holds");
    if let Some(first) = ends.values().min() {
        assert!(numbers.due <= *first as f64, "{show}: a hold ends at {first} and is looked for at {}", numbers.due);
        assert!(due.is_some_and(|due| due <= *first as f64), "{show}: a hold ends at {first} and is tidied up at {due:?}");
    }
    assert!(due.is_some(), "{show}: is never tidied up");
    let over: BTreeSet<&Bytes> = audit.holds.iter().filter(|(_, hold)| !hold.is_live).map(|(id, _)| id).collect();
    assert!(over.is_subset(&ended.iter().collect()), "{show}: a hold that ended is never forgotten");

    let mut tallies: BTreeMap<Bytes, i64> = BTreeMap::new();
    let owned =
        holds.iter().map(|hold| (&hold.owner, &hold.seats)).chain(audit.sales.values().map(|(owner, seats)| (owner, seats)));
    for (owner, seats) in owned.filter(|(_, seats)| !seats.is_empty()) {
        *tallies.entry(owner.clone()).or_default() += seats.len() as i64;
    }
    assert_eq!(audit.tallies, tallies, "{show}: tallies, and what users have");
    check_log(&log, numbers.version, show);
    Some(Kept { version: numbers.version, primed: numbers.primed, held, sold, live: holds.len(), ended: over.len() })
}

fn read(server: &Server, prefix: &str, show: &ShowId) -> Raw {
    let shard = format!("{prefix}:{{{}}}", show.shard().number());
    let key = |part: &str| format!("{shard}:{part}:{show}");
    let keys =
        [format!("{shard}:records"), key("seats"), key("live"), key("ended"), key("log"), format!("{shard}:due"), key("sales")];
    let words: Vec<&str> =
        ["EVAL", READ, "7"].into_iter().chain(keys.iter().map(String::as_str)).chain([show.as_str()]).collect();
    server.command(&words).unwrap()
}

struct Numbers {
    version: u64,
    due: f64,
    held: u64,
    sold: u64,
    size: u64,
    primed: bool,
}

struct Hold {
    is_live: bool,
    till: i64,
    owner: Bytes,
    seats: Vec<u32>,
}

/// The fields of the records that are a show's, and its sales.
#[derive(Default)]
struct Audit {
    numbers: Option<Numbers>,
    tallies: BTreeMap<Bytes, i64>,
    sales: BTreeMap<Bytes, (Bytes, Vec<u32>)>,
    holds: BTreeMap<Bytes, Hold>,
}

impl Audit {
    fn of(raw: &Raw, show: &str) -> Self {
        let mut audit = Self::default();
        let user = format!("u{show}:").into_bytes();
        for (field, value) in &raw.0 {
            if field == format!("m{show}").as_bytes() {
                audit.numbers = Some(read_numbers(value));
            } else if let Some(user) = field.strip_prefix(&*user) {
                let tally = String::from_utf8(value.clone()).unwrap().parse().unwrap();
                assert!(tally > 0, "{show}: a tally of {tally}");
                audit.tallies.insert(user.to_vec(), tally);
            } else if field[0] == b'h'
                && let Some(hold) = read_hold(value, show)
            {
                audit.holds.insert(field.clone(), hold);
            }
        }
        for (order, value) in &raw.6 {
            let (owner, seats) = split_name(&value[1..]);
            audit.sales.insert(order.clone(), (owner.to_vec(), read_seats(seats)));
        }
        audit
    }
}

fn read_numbers(value: &[u8]) -> Numbers {
    let number = |at: usize| f64::from_be_bytes(value[8 * at..8 * at + 8].try_into().unwrap());
    Numbers {
        version: number(0) as u64,
        due: number(2),
        held: number(3) as u64,
        sold: number(4) as u64,
        size: number(5) as u64,
        primed: value[56] > 0,
    }
}

/// A hold of the show; `None` for one of another show of the shard.
fn read_hold(value: &[u8], show: &str) -> Option<Hold> {
    let number = |from: usize, to: usize| value[from..to].iter().fold(0, |number, byte| number << 8 | i64::from(*byte));
    let (owner, rest) = split_name(&value[17..]);
    let count = usize::from(rest[0]) << 8 | usize::from(rest[1]);
    let (of, _) = split_name(&rest[2 + 3 * count..]);
    assert!(b"HLREC".contains(&value[0]), "a hold in state {}", value[0]);
    (of == show.as_bytes()).then(|| Hold {
        is_live: b"HL".contains(&value[0]),
        till: number(1, 7) + number(12, 17),
        owner: owner.to_vec(),
        seats: read_seats(&rest[2..2 + 3 * count]),
    })
}

fn split_name(value: &[u8]) -> (&[u8], &[u8]) {
    value[1..].split_at(usize::from(value[0]))
}

fn read_seats(packed: &[u8]) -> Vec<u32> {
    assert_eq!(packed.len() % 3, 0, "seats of three bytes");
    packed.chunks(3).map(|seat| u32::from_be_bytes([0, seat[0], seat[1], seat[2]])).collect()
}

fn read_marks(marks: &[u8]) -> (BTreeSet<u32>, BTreeSet<u32>) {
    let (mut held, mut sold) = (BTreeSet::new(), BTreeSet::new());
    for seat in 0..4 * marks.len() as u32 {
        match marks[seat as usize / 4] >> (6 - 2 * (seat % 4)) & 3 {
            0 => {}
            1 => drop(held.insert(seat)),
            2 => drop(sold.insert(seat)),
            other => panic!("seat {seat} is marked {other}"),
        }
    }
    (held, sold)
}

fn disjoint<'a>(groups: impl Iterator<Item = &'a Vec<u32>>, what: &str) -> BTreeSet<u32> {
    let mut seen = BTreeSet::new();
    for seat in groups.flatten() {
        assert!(seen.insert(*seat), "seat {seat} is in two {what}");
    }
    seen
}

/// Each version has its change, up to the present one.
fn check_log(log: &[Bytes], version: u64, show: &ShowId) {
    let versions: Vec<u64> = log.iter().map(|change| f64::from_be_bytes(change[..8].try_into().unwrap()) as u64).collect();
    assert!(versions.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{show}: versions are missing: {versions:?}");
    assert!(versions.last().is_none_or(|last| *last == version), "{show}: is at {version}, and its log at {:?}", versions.last());
}
