//! What a seed decides: the deployment, and which faults strike when.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;

/// How many servers there are.
pub(crate) const BOOTHS: usize = 2;

/// How long a round takes, about: every fault of the deployment strikes once in it.
const ROUND_SECONDS: u64 = 15;

/// How long the nemesis leaves a lane alone between two faults, in milliseconds.
const PAUSE_MS: std::ops::Range<u64> = 100..400;

/// Where the holds are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One Redis, each server behind a proxy of its own.
    Single,
    /// A primary with two replicas, and three Sentinels.
    Sentinel,
    /// Three shards of two, each node behind a proxy.
    Cluster,
}

/// What the nemesis can do. A number says to which of the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// SIGKILL to a server, which is started again.
    KillServer(usize),
    /// SIGTERM to a server, which has to end by itself and is started again.
    EndServer(usize),
    /// SIGSTOP to a server, and SIGCONT later.
    PauseServer(usize),
    /// `pg_terminate_backend` for every connection.
    EndBackends,
    /// SIGSTOP to Postgres, until a server says that it is gone.
    PausePostgres,
    /// SIGKILL to Postgres, which recovers.
    KillPostgres,
    /// Postgres cannot be reached from a server; it can from the other.
    PartitionPostgres(usize, Partition),
    /// Postgres does what a server asks, and the answer is lost.
    LosePostgresAnswers(usize),
    /// Answers of Postgres come late.
    SlowPostgres(usize),
    /// FLUSHALL.
    Flush,
    /// SCRIPT FLUSH.
    ScriptFlush,
    /// SIGKILL to Redis, or to a primary of it.
    KillRedis,
    /// SIGSTOP to Redis, or to a primary of it, for long enough to be noticed.
    PauseRedis,
    /// A replica takes over while both run.
    Relieve,
    /// A replica takes over that lacks what was acknowledged last.
    FallBack,
    /// Redis, or a node of it, cannot be reached.
    PartitionRedis(usize, Partition),
    /// Redis does what it is asked, and the answer is lost.
    LoseRedisAnswers(usize),
    /// Answers of Redis come late.
    SlowRedis(usize),
    /// No memory is left.
    Fill,
    /// The clock of Redis steps by so many seconds, and later back.
    StepClock(i64),
}

/// How two are kept apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Partition {
    /// Connections end, and none can be made.
    Refused,
    /// What is asked arrives, and no answer comes back.
    Silent,
}

/// A fault, and when: after the one before it in its lane, and a pause.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) after: Duration,
    pub(crate) fault: Fault,
    /// How long it lasts at least, where that is a matter of choice.
    pub(crate) lasts: Duration,
}

/// All that a seed decides before the first request. How processes interleave it cannot decide.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) seconds: u64,
    pub(crate) kind: Kind,
    /// Two lanes, side by side: servers and Postgres, and Redis.
    pub(crate) lanes: [Vec<Step>; 2],
}

impl Plan {
    /// The plan of a seed: every third is of the same deployment.
    pub(crate) fn of(seed: u64, seconds: u64) -> Self {
        let kind = match seed % 3 {
            0 => Kind::Single,
            1 => Kind::Sentinel,
            _ => Kind::Cluster,
        };
        let mut rng = Rng::with_seed(seed);
        let rounds = seconds.div_ceil(ROUND_SECONDS);
        let lanes = [processes as fn(&mut Rng) -> Vec<Fault>, kind.faults()].map(|faults| lane(&mut rng, rounds, faults));
        Self { seed, seconds, kind, lanes }
    }
}

impl Kind {
    fn faults(self) -> fn(&mut Rng) -> Vec<Fault> {
        match self {
            Self::Single => single,
            Self::Sentinel => |_| {
                vec![
                    Fault::Flush,
                    Fault::ScriptFlush,
                    Fault::Fill,
                    Fault::KillRedis,
                    Fault::PauseRedis,
                    Fault::Relieve,
                    Fault::FallBack,
                ]
            },
            Self::Cluster => cluster,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Single => "single",
            Self::Sentinel => "sentinel",
            Self::Cluster => "cluster",
        })
    }
}

impl Fault {
    /// What it is counted as.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::KillServer(_) => "kill server",
            Self::EndServer(_) => "end server",
            Self::PauseServer(_) => "pause server",
            Self::EndBackends => "end backends",
            Self::PausePostgres => "pause postgres",
            Self::KillPostgres => "kill postgres",
            Self::PartitionPostgres(..) => "partition postgres",
            Self::LosePostgresAnswers(_) => "lose postgres' answers",
            Self::SlowPostgres(_) => "slow postgres",
            Self::Flush => "flush",
            Self::ScriptFlush => "flush scripts",
            Self::KillRedis => "kill redis",
            Self::PauseRedis => "pause redis",
            Self::Relieve => "relieve",
            Self::FallBack => "fall back",
            Self::PartitionRedis(..) => "partition redis",
            Self::LoseRedisAnswers(_) => "lose redis' answers",
            Self::SlowRedis(_) => "slow redis",
            Self::Fill => "fill",
            Self::StepClock(_) => "step clock",
        }
    }

    /// Whether Redis may forget by it what it has acknowledged, holds and idempotency keys: it comes back with nothing, or a replica
    /// takes over that has not heard of it yet. In a cluster, a primary that is relieved waits for its replica.
    pub(crate) fn loses_data(self, kind: Kind) -> bool {
        match self {
            Self::Flush | Self::KillRedis | Self::FallBack => true,
            Self::PauseRedis => kind != Kind::Single,
            Self::Relieve => kind == Kind::Sentinel,
            Self::KillServer(_)
            | Self::EndServer(_)
            | Self::PauseServer(_)
            | Self::EndBackends
            | Self::PausePostgres
            | Self::KillPostgres
            | Self::PartitionPostgres(..)
            | Self::LosePostgresAnswers(_)
            | Self::SlowPostgres(_)
            | Self::ScriptFlush
            | Self::PartitionRedis(..)
            | Self::LoseRedisAnswers(_)
            | Self::SlowRedis(_)
            | Self::Fill
            | Self::StepClock(_) => false,
        }
    }

    /// Whether Redis, and with it the idempotency keys, may be out of reach or take nothing while it lasts. Slow answers come long
    /// before a server gives up.
    pub(crate) fn hides_data(self) -> bool {
        match self {
            Self::KillRedis
            | Self::PauseRedis
            | Self::Relieve
            | Self::FallBack
            | Self::PartitionRedis(..)
            | Self::LoseRedisAnswers(_)
            | Self::Fill => true,
            Self::KillServer(_)
            | Self::EndServer(_)
            | Self::PauseServer(_)
            | Self::EndBackends
            | Self::PausePostgres
            | Self::KillPostgres
            | Self::PartitionPostgres(..)
            | Self::LosePostgresAnswers(_)
            | Self::SlowPostgres(_)
            | Self::Flush
            | Self::ScriptFlush
            | Self::SlowRedis(_)
            | Self::StepClock(_) => false,
        }
    }
}

fn lane(rng: &mut Rng, rounds: u64, faults: fn(&mut Rng) -> Vec<Fault>) -> Vec<Step> {
    let mut steps = Vec::new();
    for _ in 0..rounds {
        let mut round = faults(rng);
        rng.shuffle(&mut round);
        steps.extend(round.into_iter().map(|fault| Step {
            after: Duration::from_millis(rng.u64(PAUSE_MS)),
            fault,
            lasts: Duration::from_millis(rng.u64(300..900)),
        }));
    }
    steps
}

fn processes(rng: &mut Rng) -> Vec<Fault> {
    vec![
        Fault::KillServer(booth(rng)),
        Fault::EndServer(booth(rng)),
        Fault::PauseServer(booth(rng)),
        Fault::EndBackends,
        Fault::PausePostgres,
        Fault::KillPostgres,
        Fault::PartitionPostgres(booth(rng), partition(rng)),
        Fault::LosePostgresAnswers(booth(rng)),
        Fault::SlowPostgres(booth(rng)),
    ]
}

fn single(rng: &mut Rng) -> Vec<Fault> {
    vec![
        Fault::Flush,
        Fault::ScriptFlush,
        Fault::Fill,
        Fault::KillRedis,
        Fault::PauseRedis,
        Fault::PartitionRedis(booth(rng), partition(rng)),
        Fault::LoseRedisAnswers(booth(rng)),
        Fault::SlowRedis(booth(rng)),
        Fault::StepClock(if rng.bool() { 6 } else { -6 }),
    ]
}

fn cluster(rng: &mut Rng) -> Vec<Fault> {
    vec![
        Fault::Flush,
        Fault::ScriptFlush,
        Fault::Fill,
        Fault::KillRedis,
        Fault::PauseRedis,
        Fault::Relieve,
        Fault::PartitionRedis(booth(rng), partition(rng)),
        Fault::LoseRedisAnswers(booth(rng)),
        Fault::SlowRedis(booth(rng)),
    ]
}

fn booth(rng: &mut Rng) -> usize {
    rng.usize(..BOOTHS)
}

fn partition(rng: &mut Rng) -> Partition {
    if rng.bool() { Partition::Refused } else { Partition::Silent }
}

#[test]
fn a_seed_decides_the_plan() {
    let told = |seed| format!("{:?}", Plan::of(seed, 60));
    assert_eq!(told(7), told(7));
    assert_ne!(told(7), told(10), "the same deployment, other faults");
    let kinds = [0, 1, 2].map(|seed| Plan::of(seed, 15).kind);
    assert_eq!(kinds, [Kind::Single, Kind::Sentinel, Kind::Cluster]);
}
