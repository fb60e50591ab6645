//! Many tasks want the same seats at once, through several connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bms_domain::store::{HoldChange, HoldStore as _, PlaceHold, Placed};
use bms_domain::testing::ManualClock;
use bms_domain::time::Clock as _;
use bms_postgres::PostgresHolds;
use bms_postgres::testing::Server;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::kit::{PATIENCE, TTL, by, checkout, fence, hold_id, holds, occupancy, order_id, prime, show, sold, wish};
use crate::support;

/// Processes that share a primed show, and the database that they share.
struct Rig {
    database: String,
    stores: Vec<PostgresHolds>,
    clock: ManualClock,
}

impl Rig {
    async fn new(seats: u32) -> Self {
        let url = Server::shared().fresh_database().unwrap();
        let database = url.rsplit('/').next().unwrap().to_owned();
        let config = support::schema_in(&url).await.connections(8).unwrap();
        let clock = ManualClock::new();
        let stores = vec![holds(&config, &clock).await, holds(&config, &clock).await, holds(&config, &clock).await];
        prime(&stores[0], seats).await;
        Self { database, stores, clock }
    }

    fn ask(&self, sql: &str) -> String {
        let schema = Server::shared().psql_in(&self.database, "select nspname from pg_namespace where nspname like 'case%'");
        Server::shared().psql_in(&self.database, &format!("set search_path = {}; {sql}", schema.unwrap())).unwrap()
    }

    /// Fails unless the tables agree with each other, and no two ever waited for each other.
    fn audit(&self) {
        let marks = |column: &str| {
            format!(
                "select coalesce(array_agg(block * 1024 + bit order by block, bit), '{{}}') from hold_seats, generate_series(0, 1023) bit \
                 where get_bit({column}, bit) = 1"
            )
        };
        let live = "select coalesce(array_agg(seat order by seat), '{}') from holds, unnest(seats) seat where state = 'HELD'";
        assert_eq!(self.ask(&marks("held")), self.ask(live), "P2: marks, and the seats of live holds");
        let bought = "select coalesce(array_agg(seat order by seat), '{}') from hold_sales, unnest(seats) seat";
        assert_eq!(self.ask(&marks("sold")), self.ask(bought), "marks, and the seats that orders bought");
        let ended = self.ask("select count(*) from holds where state <> 'HELD'");
        assert_eq!(self.ask("select ended from hold_shows"), ended, "ended holds that are counted");
        let log = "select count(*) = max(version) - min(version) + 1 and max(version) = (select version from hold_shows) \
                   from hold_changes";
        assert_eq!(self.ask(log), "t", "each version has its change");
        let due = "select due <= coalesce(min(ends_at), 'infinity') from hold_shows, holds where state = 'HELD' group by due";
        assert_ne!(self.ask(due), "f", "P5: a hold ends before the show is looked at");
        let deadlocks = format!("select deadlocks from pg_stat_database where datname = '{}'", self.database);
        assert_eq!(self.ask(&deadlocks), "0");
    }

    /// Sets off a task for each wish at one signal, spread over the processes. Gives those that were granted.
    async fn race(&self, wishes: Vec<PlaceHold>) -> Vec<PlaceHold> {
        let start = Arc::new(Barrier::new(wishes.len()));
        let mut tasks = JoinSet::new();
        for (number, wish) in wishes.into_iter().enumerate() {
            let (store, start) = (self.stores[number % self.stores.len()].clone(), Arc::clone(&start));
            tasks.spawn(async move {
                start.wait().await;
                match store.place(&wish).await.unwrap() {
                    Placed::Placed(_) => Some(wish),
                    Placed::Taken(seats) => {
                        assert!(!seats.is_empty() && seats.iter().all(|seat| wish.seats.contains(seat)), "P3: {seats:?}");
                        None
                    }
                    other => panic!("{other:?}"),
                }
            });
        }
        tasks.join_all().await.into_iter().flatten().collect()
    }
}

/// P2.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_200_gets_a_seat() {
    let rig = Rig::new(48).await;
    for round in 0..4 {
        let wishes = (0..200).map(|n| wish(1_000 * round + n, &format!("user-{n}"), &[round])).collect();
        assert_eq!(rig.race(wishes).await.len(), 1);
        assert!(occupancy(&rig.stores[0]).await.held.iter().eq(0..=round));
    }
    rig.audit();
}

/// P2, P3: 64 users want 6 of 40 seats, again and again. Nobody is ever given a seat that another has, and nobody waits for
/// ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sets_that_overlap_are_granted_whole_and_apart() {
    const SEATS: u32 = 40;
    const ROUNDS: u32 = 40;
    let rig = Rig::new(SEATS).await;
    let owners: Arc<Vec<AtomicU32>> = Arc::new((0..SEATS).map(|_| AtomicU32::new(0)).collect());
    let mut tasks = JoinSet::new();
    for task in 1..=64_u32 {
        let (store, owners) = (rig.stores[task as usize % 3].clone(), Arc::clone(&owners));
        tasks.spawn(async move {
            let (user, mut granted) = (format!("user-{task}"), 0);
            for round in 0..ROUNDS {
                let number = task * ROUNDS + round;
                let seats: Vec<u32> = (0..6).map(|k| (number * 13 + k * (7 + task % 5)) % SEATS).collect();
                let wish = wish(number, &user, &seats);
                if matches!(store.place(&wish).await.unwrap(), Placed::Placed(_)) {
                    granted += 1;
                    for seat in wish.seats.iter() {
                        let before = owners[seat as usize].swap(task, Ordering::SeqCst);
                        assert_eq!(before, 0, "P2: seat {seat} was given to {task} while {before} had it");
                    }
                    for seat in wish.seats.iter() {
                        owners[seat as usize].store(0, Ordering::SeqCst);
                    }
                    assert!(matches!(store.release(wish.id, &by(&user)).await.unwrap(), HoldChange::Done(_)));
                }
            }
            granted
        });
    }
    let granted: u32 = tasks.join_all().await.into_iter().sum();
    assert!(granted > 64, "only {granted} were granted");
    assert_eq!(occupancy(&rig.stores[0]).await.held.count(), 0);
    rig.audit();
}

/// P2: whoever asks for a hold that is placed just then finds it or not, and changes nothing when he says that he did not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_that_was_not_there_yet_is_not_changed() {
    const COMMANDS: u32 = 4;
    let clock = ManualClock::new();
    let case = support::case_with(&clock, |config| config.deadline(PATIENCE).unwrap()).await;
    let store = PostgresHolds::new(case.postgres.clone());
    prime(&store, 48).await;
    // Who looks for a hold waits at a gate when he has looked.
    let gate = "create table bms.gate ();
        alter function bms.hold_enter_by(timestamptz, smallint, uuid) rename to hold_enter_at_once;
        create function bms.hold_enter_by(given timestamptz, the_shard smallint, the_id uuid) returns bms.hold_shows
        language plpgsql as $$
        declare room bms.hold_shows := bms.hold_enter_at_once(given, the_shard, the_id);
        begin lock table bms.gate in access share mode; return room; end $$";
    case.sql(gate).await.unwrap();
    for command in 0..COMMANDS {
        let closed = case.schema.open("lock table bms.gate in access exclusive mode").await;
        let asks = tokio::spawn({
            let (store, until) = (store.clone(), clock.now().plus(TTL));
            async move {
                let (hold, ann) = (hold_id(command), by("ann"));
                match command {
                    0 => store.release(hold, &ann).await,
                    1 => store.begin_checkout(hold, &ann, &checkout(command)).await,
                    2 => store.end_checkout(hold, order_id(command)).await,
                    _ => store.give_back(hold, order_id(command), until).await,
                }
            }
        });
        let waiting = "select 1 from pg_locks where relation = 'bms.gate'::regclass and not granted";
        support::until("one who waits at the gate", async || case.sql(waiting).await == Ok(1)).await;
        assert!(matches!(store.place(&wish(command, "ann", &[command])).await.unwrap(), Placed::Placed(_)));
        if command > 1 {
            // What these would change is a hold with an order.
            case.sql(&format!("update bms.holds set order_id = '{}' where {command} = any (seats)", order_id(command)))
                .await
                .unwrap();
        }
        let before = store.get(&[hold_id(command)]).await.unwrap();
        drop(closed);
        assert_eq!(asks.await.unwrap().unwrap(), HoldChange::NotFound);
        assert_eq!(store.get(&[hold_id(command)]).await.unwrap(), before, "command {command}");
    }
    assert!(occupancy(&store).await.held.iter().eq(0..COMMANDS));
}

/// Everything at once while the clock moves: what is kept agrees with itself afterwards, and nothing is left when everybody's
/// time is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_count_of_in_thousands_of_steps() {
    const TASKS: u32 = 48;
    let rig = Rig::new(48).await;
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let (store, clock) = (rig.stores[task as usize % 3].clone(), rig.clock.clone());
        tasks.spawn(async move { wander(&store, &clock, task, 50).await });
    }
    let granted: u32 = tasks.join_all().await.into_iter().sum();
    assert!(granted > TASKS, "only {granted} were granted");
    let sold = occupancy(&rig.stores[0]).await.sold;
    rig.audit();
    rig.clock.advance(Duration::from_hours(2));
    while rig.stores[1].sweep(100).await.unwrap() > 0 {}
    rig.audit();
    let over = occupancy(&rig.stores[2]).await;
    assert_eq!((over.held.count(), over.sold), (0, sold), "P5");
    rig.clock.advance(TTL);
}

/// One user's steps, as a small generator of random numbers says. Says how many holds he was granted.
async fn wander(store: &PostgresHolds, clock: &ManualClock, task: u32, steps: u32) -> u32 {
    let user = format!("user-{}", task % 40);
    let mut random = u64::from(task) + 1;
    let mut draw = |below: u32| {
        // Numerical Recipes' generator; its high bits are good enough to choose by.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as u32 % below
    };
    let (mut granted, mut seed) = (0, 0);
    let mut seats = Vec::new();
    for step in 0..steps {
        match draw(13) {
            0..=4 => {
                seed = task * steps + step + 1;
                seats = (0..=draw(3)).map(|_| draw(48)).collect();
                let placed = store.place(&wish(seed, &user, &seats)).await.unwrap();
                granted += u32::from(matches!(placed, Placed::Placed(_)));
            }
            5..=6 => drop(store.release(hold_id(seed), &by(&user)).await.unwrap()),
            7 => {
                let begun = store.begin_checkout(hold_id(seed), &by(&user), &checkout(seed)).await.unwrap();
                // Who is covered pays, now and then; what is not cancelled stays sold.
                if matches!(begun, HoldChange::Done(_)) && draw(3) > 0 {
                    let sale = sold(seed, &user, &seats);
                    store.mark_sold(&sale).await.unwrap();
                    if draw(8) > 0 {
                        store.mark_free(&sale).await.unwrap();
                    }
                }
            }
            8 => drop(store.end_checkout(hold_id(seed), checkout(seed).order).await.unwrap()),
            9 => drop(fence(store).await),
            10 => drop(store.sweep(20).await.unwrap()),
            11 => drop(store.counts(&[show()]).await.unwrap()),
            _ => clock.advance(Duration::from_secs(u64::from(draw(60)))),
        }
    }
    granted
}
