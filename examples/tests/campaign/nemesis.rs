//! What goes wrong, and whether anybody noticed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bms_domain::testing::servers::{Failure, Network, until};
use bms_domain::time::{Clock as _, SystemClock, Timestamp};
use bms_redis::testing::Server as Redis;
use parking_lot::Mutex;
use reqwest::Method;
use serde_json::json;
use tokio::runtime::Handle;

use crate::answers::Span;
use crate::deployment::{Deployment, Holds};
use crate::plan::{BOOTHS, Fault, Partition, Step};
use crate::record::{Answer, Ask, Desk, What};
use crate::shows;
use crate::signs::{Held, SOON, Sign, Slowed, Struck, errors, judge};

/// How long a fault that is to be noticed is left to be; a server asks each store for 2 s at most.
const NOTICED: Duration = Duration::from_secs(10);

/// How long all may take to be well again.
const HEALED: Duration = Duration::from_secs(60);

/// How late a slow answer is, and how much longer it is kept, for whoever asks for it to be there in time.
const SLOW: Duration = Duration::from_millis(250);
const IN_TIME: Duration = Duration::from_millis(100);

/// How often a fault strikes in its turn, until something comes of it.
const ATTEMPTS: usize = 3;

/// How many slow answers there are, one after the other.
const SLOW_TIMES: usize = 4;

/// How many answers are lost.
const LOST: usize = 4;

/// Where orders are asked for.
const ORDERS_PATH: &str = "/api/v1/orders";

/// The stores, as a server's readiness names them.
const ORDERS: &str = "the order store";
const HOLDS: &str = "the hold store";

pub(crate) struct Nemesis {
    pub(crate) deployment: Arc<Deployment>,
    pub(crate) desk: Arc<Desk>,
    pub(crate) runtime: Handle,
    /// What went wrong that must not.
    pub(crate) broken: Mutex<Vec<String>>,
    /// Seats of its own that were held so far.
    pub(crate) held: Mutex<u32>,
}

impl Nemesis {
    /// Lets one fault after the other strike, and heals each; blocks until all is over.
    pub(crate) fn haunt(&self, lane: &[Step]) -> Vec<Struck> {
        let mut struck = Vec::new();
        for step in lane {
            self.pass(step.after);
            for _ in 0..ATTEMPTS {
                let began = self.desk.now();
                let outcome = self.strike(step);
                let span = (began, self.desk.now());
                let (sign, is_over) = match outcome {
                    Ok(sign) => (sign, false),
                    Err(failure) => {
                        self.broken.lock().push(format!("{}: {failure}", step.fault.name()));
                        (Sign::Seen("nothing, for it failed", 0), true)
                    }
                };
                let it = self.judged(step.fault, span, &sign);
                let is_felt = it.effect > 0;
                struck.push(it);
                if is_felt || is_over {
                    break;
                }
            }
        }
        struck
    }

    /// What came of a fault. Answers that it delayed may still be on their way.
    fn judged(&self, fault: Fault, span: Span, sign: &Sign) -> Struck {
        let look = || self.desk.look(|record| judge(fault, span, sign, record));
        if !matches!(sign, Sign::Seen(..)) {
            _ = until("an effect", SOON, || (look().effect > 0).then_some(()).ok_or_else(String::new));
        }
        look()
    }

    fn strike(&self, step: &Step) -> Result<Sign, Failure> {
        let (world, orders) = (&*self.deployment, &self.deployment.postgres);
        let broken = |what: String| Failure::State(what);
        Ok(match step.fault {
            Fault::KillServer(booth) => {
                world.booths[booth].kill().map_err(broken)?;
                self.pass(step.lasts);
                world.booths[booth].start()?;
                Sign::Refused(booth)
            }
            Fault::EndServer(booth) => {
                world.booths[booth].end().map_err(broken)?;
                self.pass(step.lasts);
                world.booths[booth].start()?;
                Sign::Refused(booth)
            }
            Fault::PauseServer(booth) => {
                world.booths[booth].pause().map_err(broken)?;
                let from = self.desk.now();
                self.ask_for_orders(booth);
                self.pass(step.lasts + IN_TIME);
                world.booths[booth].resume().map_err(broken)?;
                let spans = vec![(from, self.desk.now())];
                Sign::Slow(Slowed { booth: Some(booth), needs: |_| true, spans, by: step.lasts })
            }
            Fault::EndBackends => Sign::Seen("connections ended", orders.terminate_backends("true")?),
            Fault::PausePostgres => {
                orders.pause()?;
                let noticed = self.is_missed(0, ORDERS);
                orders.resume()?;
                self.until_back(ORDERS)?;
                Sign::Seen("named by /readyz", noticed)
            }
            Fault::KillPostgres => {
                orders.kill()?;
                let noticed = self.is_missed(0, ORDERS);
                orders.restart()?;
                self.until_back(ORDERS)?;
                Sign::Seen("named by /readyz", noticed)
            }
            Fault::PartitionPostgres(booth, how) => self.cut(&world.database_roads[booth], how, booth, ORDERS)?,
            Fault::LosePostgresAnswers(_) | Fault::SlowPostgres(_) => self.disturb(step.fault)?,
            Fault::Flush
            | Fault::ScriptFlush
            | Fault::KillRedis
            | Fault::PauseRedis
            | Fault::Relieve
            | Fault::FallBack
            | Fault::PartitionRedis(..)
            | Fault::LoseRedisAnswers(_)
            | Fault::SlowRedis(_)
            | Fault::Fill
            | Fault::StepClock(_) => self.strike_redis(step)?,
        })
    }

    fn strike_redis(&self, step: &Step) -> Result<Sign, Failure> {
        let holds = &self.deployment.holds;
        let sign = match step.fault {
            Fault::Flush => {
                let kept = self.hold();
                for primary in holds.primaries()? {
                    primary.command::<()>(&["FLUSHALL"])?;
                }
                Sign::Seen("holds lost", self.are_lost(kept))
            }
            Fault::ScriptFlush => {
                let before = errors(&holds.nodes(), "NOSCRIPT");
                for primary in holds.primaries()? {
                    primary.command::<()>(&["SCRIPT", "FLUSH"])?;
                }
                Sign::Seen("scripts not found", self.more_errors("NOSCRIPT", before))
            }
            Fault::Fill => {
                let before = errors(&holds.nodes(), "OOM");
                let memory = |most| {
                    let set = |node: &&Redis| node.command::<()>(&["CONFIG", "SET", "maxmemory", most]);
                    holds.nodes().iter().try_for_each(set)
                };
                memory("1")?;
                let refused = self.more_errors("OOM", before);
                self.pass(step.lasts);
                memory("0")?;
                Sign::Seen("commands refused for want of memory", refused)
            }
            Fault::KillRedis => self.fell(step, Redis::kill)?,
            Fault::PauseRedis => {
                let former = holds.primary()?;
                former.pause()?;
                let noticed = match holds.wait_for_heir_of(former)? {
                    true => Sign::Seen("another primary", 1),
                    false => Sign::Seen("named by /readyz", self.is_missed(0, HOLDS)),
                };
                former.resume()?;
                noticed
            }
            Fault::Relieve => Sign::Seen("another primary", usize::from(holds.relieve()?)),
            Fault::FallBack => {
                let Holds::Sentinel(group) = holds else { return Err(Failure::State("only a group falls back".to_owned())) };
                group.stop_replication()?;
                // Acknowledged, and known to nobody else.
                let kept = self.hold();
                let former = group.primary()?;
                former.kill();
                holds.wait_for_heir_of(former)?;
                let lost = self.are_lost(kept);
                former.restart()?;
                group.resume_replication()?;
                // The Sentinels have had the servers write down what they were told meanwhile.
                holds.nodes().iter().try_for_each(|node| node.command::<()>(&["CONFIG", "REWRITE"]))?;
                Sign::Seen("holds lost", lost)
            }
            Fault::PartitionRedis(booth, how) => self.cut(holds.road(booth)?, how, booth, HOLDS)?,
            Fault::LoseRedisAnswers(_) | Fault::SlowRedis(_) => self.disturb(step.fault)?,
            Fault::StepClock(seconds) => {
                let Holds::Single { server, .. } = holds else {
                    return Err(Failure::State("only one server has a clock".to_owned()));
                };
                server.set_clock_offset(seconds)?;
                let stepped = self.hold().is_some_and(|held| held.is_off_by(seconds));
                self.pass(step.lasts);
                server.set_clock_offset(0)?;
                Sign::Seen("holds made at another time", usize::from(stepped))
            }
            other => return Err(Failure::State(format!("{} is no fault of Redis", other.name()))),
        };
        holds.wait_until_whole()?;
        self.until_back(HOLDS)?;
        Ok(sign)
    }

    /// Redis, or a primary of it, is gone, and comes back with nothing.
    fn fell(&self, step: &Step, kill: fn(&Redis)) -> Result<Sign, Failure> {
        let holds = &self.deployment.holds;
        let kept = self.hold();
        let former = holds.primary()?;
        kill(former);
        let heir = holds.wait_for_heir_of(former)?;
        let noticed = if heir { 1 } else { self.is_missed(0, HOLDS) };
        self.pass(step.lasts);
        former.restart()?;
        Ok(match heir {
            true => Sign::Seen("another primary", noticed),
            false => Sign::Seen("named by /readyz, and holds lost", noticed * self.are_lost(kept)),
        })
    }

    /// Keeps a server from a store until it says so.
    fn cut(&self, road: &Network, how: Partition, booth: usize, store: &str) -> Result<Sign, Failure> {
        match how {
            Partition::Refused => road.refuse(),
            Partition::Silent => road.hold_replies(),
        }
        let noticed = self.is_missed(booth, store);
        match how {
            Partition::Refused => road.accept()?,
            Partition::Silent => road.release(),
        }
        self.until_back(store)?;
        Ok(Sign::Seen("named by /readyz", noticed))
    }

    /// Loses answers, or lets them wait.
    fn disturb(&self, fault: Fault) -> Result<Sign, Failure> {
        let world = &self.deployment;
        let (road, changes, booth) = match fault {
            Fault::LosePostgresAnswers(booth) | Fault::SlowPostgres(booth) => {
                (&*world.database_roads[booth], "insert into \"bms\".outbox", booth)
            }
            Fault::LoseRedisAnswers(booth) | Fault::SlowRedis(booth) => (world.holds.road(booth)?, "EVALSHA", booth),
            other => return Err(Failure::State(format!("{} is not on the road", other.name()))),
        };
        // A server that the other lane has just felled has nothing to lose.
        _ = until("a server that answers", NOTICED, || self.is_ready(booth).then_some(()).ok_or_else(String::new));
        if matches!(fault, Fault::LosePostgresAnswers(_) | Fault::LoseRedisAnswers(_)) {
            let before = road.dropped();
            for lost in 1..=LOST {
                road.drop_reply_of(changes);
                let is_lost = || (road.dropped() >= before + lost).then_some(()).ok_or_else(String::new);
                // Nobody may have asked for one by then.
                _ = until("a lost answer", NOTICED / 4, is_lost);
            }
            road.drop_no_more();
            return Ok(Sign::Seen("answers lost", road.dropped() - before));
        }
        let mut spans = Vec::new();
        for _ in 0..SLOW_TIMES {
            road.hold_replies();
            let from = self.desk.now();
            // The crowd may be busy elsewhere.
            match fault {
                Fault::SlowRedis(_) => (0..BOOTHS).for_each(|booth| self.ask_for_a_hold(booth)),
                _ => self.ask_for_orders(booth),
            }
            self.pass(SLOW + IN_TIME);
            spans.push((from, self.desk.now()));
            road.release();
            self.pass(SLOW / 5);
        }
        // The nodes of a cluster are slow for everybody.
        let is_for_all = matches!((fault, &world.holds), (Fault::SlowRedis(_), Holds::Cluster(_)));
        let needs = if matches!(fault, Fault::SlowRedis(_)) { holds_of_the_large_show } else { asks_postgres };
        Ok(Sign::Slow(Slowed { booth: (!is_for_all).then_some(booth), needs, spans, by: SLOW }))
    }

    /// Waits until the server says that it misses the store: 1 if it does.
    fn is_missed(&self, booth: usize, store: &str) -> usize {
        usize::from(
            until("a server that misses a store", NOTICED, || self.misses(booth, store).then_some(()).ok_or_else(String::new))
                .is_ok(),
        )
    }

    /// Waits until every server answers that it has the store.
    fn until_back(&self, store: &str) -> Result<(), Failure> {
        self.until_all("servers that have their store", |readiness| has(readiness, store))
    }

    /// Waits until every server answers that it has all that it needs.
    pub(crate) fn until_ready(&self) -> Result<(), Failure> {
        self.until_all("servers that are ready", Answer::is_ok)
    }

    fn until_all(&self, what: &str, is_well: impl Fn(&Answer) -> bool) -> Result<(), Failure> {
        until(what, HEALED, || {
            (0..BOOTHS).try_for_each(|booth| {
                let readiness = self.readiness(booth);
                if is_well(&readiness) { Ok(()) } else { Err(format!("server {booth} answers {readiness:?}")) }
            })
        })
    }

    /// Whether a server that answers names the store among what does not.
    fn misses(&self, booth: usize, store: &str) -> bool {
        lacks(&self.readiness(booth), store)
    }

    pub(crate) fn is_ready(&self, booth: usize) -> bool {
        self.readiness(booth).is_ok()
    }

    fn readiness(&self, booth: usize) -> Answer {
        let ready = self.ask(What::Look, "nemesis", Method::GET, "/readyz".to_owned(), None);
        self.runtime.block_on(self.desk.ask(booth, &ready))
    }

    /// Asks for what Postgres knows, and does not wait for it.
    fn ask_for_orders(&self, booth: usize) {
        self.ask_aside(booth, self.ask(What::Look, "nemesis", Method::GET, ORDERS_PATH.to_owned(), None));
    }

    /// Asks for a hold, and does not wait for it.
    fn ask_for_a_hold(&self, booth: usize) {
        self.ask_aside(booth, self.wish());
    }

    fn ask_aside(&self, booth: usize, ask: Ask) {
        let desk = self.desk.clone();
        self.runtime.spawn(async move { desk.ask(booth, &ask).await });
    }

    /// A seat that nobody else wants, by somebody who wants no other.
    fn wish(&self) -> Ask {
        let number = {
            let mut held = self.held.lock();
            *held += 1;
            *held
        };
        let wanted = json!({"showId": shows::LARGE, "seatIds": [shows::own_seat(number)]});
        let user = format!("nemesis-{number}");
        let wish = self.ask(What::Hold, &user, Method::POST, "/api/v1/holds".to_owned(), Some(wanted));
        // Asked for again when its answer was lost, it is the same hold.
        Ask { key: Some(format!("{user}-key")), ..wish }
    }

    /// Holds such a seat.
    fn hold(&self) -> Option<Held> {
        let ask = self.wish();
        let asked = SystemClock.now();
        let answer = self.insist(&ask);
        let answered = SystemClock.now();
        let created = Timestamp::parse(answer.text("createdAt")?).ok()?;
        Some(Held { id: answer.text("holdId")?.to_owned(), user: ask.user, asked, answered, created })
    }

    /// 1 if the servers know nothing of a hold any more.
    fn are_lost(&self, held: Option<Held>) -> usize {
        let Some(held) = held else { return 0 };
        let look = self.ask(What::Look, &held.user, Method::GET, format!("/api/v1/holds/{}", held.id), None);
        let ask = Ask { about: held.id, ..look };
        usize::from(self.insist(&ask).status() == Some(404))
    }

    /// Asks until there is an answer, or no hope for one.
    fn insist(&self, ask: &Ask) -> Answer {
        let mut rng = fastrand::Rng::with_seed(u64::from(*self.held.lock()));
        self.runtime.block_on(self.desk.insist(&mut rng, ask))
    }

    /// How many more errors of a kind there are than there were, once there are some.
    fn more_errors(&self, kind: &str, before: usize) -> usize {
        let nodes = self.deployment.holds.nodes();
        let more = || match errors(&nodes, kind).saturating_sub(before) {
            0 => Err("none".to_owned()),
            more => Ok(more),
        };
        until("an error", NOTICED, more).unwrap_or(0)
    }

    fn ask(&self, what: What, user: &str, method: Method, path: String, body: Option<serde_json::Value>) -> Ask {
        Ask { what, user: user.to_owned(), method, path, about: String::new(), key: None, reference: None, body }
    }

    fn pass(&self, span: Duration) {
        self.runtime.block_on(tokio::time::sleep(span));
    }
}

/// What a server that answers says that it misses.
fn named(readiness: &Answer) -> BTreeSet<&str> {
    if readiness.status() == Some(503) { readiness.texts("dependencies") } else { BTreeSet::new() }
}

/// Whether a server says that it misses the store.
fn lacks(readiness: &Answer, store: &str) -> bool {
    named(readiness).iter().any(|name| name.starts_with(store))
}

/// Whether a server answers that it has the store: that it has all, or misses only what the other lane has struck.
fn has(readiness: &Answer, store: &str) -> bool {
    readiness.is_ok() || (!named(readiness).is_empty() && !lacks(readiness, store))
}

/// Whether a request needs the node of Redis that is slow, wherever its key is kept.
fn holds_of_the_large_show(ask: &Ask) -> bool {
    ask.what == What::Hold && *ask.wanted("showId") == shows::LARGE
}

/// Whether a request needs Postgres.
fn asks_postgres(ask: &Ask) -> bool {
    match ask.what {
        What::Order | What::GiveUp | What::Confirm | What::Cancel | What::Notice => true,
        What::Look => ask.path == ORDERS_PATH,
        What::Hold | What::Release | What::Map => false,
    }
}

#[test]
fn only_a_server_that_answers_has_or_lacks_a_store() {
    let answer = |status, dependencies: &[&str]| {
        let body = json!({"dependencies": dependencies});
        Answer::Given { status, body, replayed: false }
    };
    let seen = |readiness: Answer| (has(&readiness, ORDERS), lacks(&readiness, ORDERS));
    assert_eq!(seen(answer(200, &[ORDERS, HOLDS])), (true, false));
    assert_eq!(seen(answer(503, &["the hold store (redis)"])), (true, false));
    assert_eq!(seen(answer(503, &["the hold store (redis)", "the order store (postgres)"])), (false, true));
    assert_eq!(seen(answer(503, &[])), (false, false), "it does not say what it misses");
    assert_eq!(seen(answer(404, &[HOLDS])), (false, false));
    assert_eq!(seen(Answer::Lost(String::new())), (false, false));
}
