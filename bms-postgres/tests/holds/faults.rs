//! Crashes, lost answers, a pooler.

use std::sync::Arc;
use std::time::Duration;

use bms_domain::hold::HoldState;
use bms_domain::memory::{MemoryCatalogue, MemoryIdempotency, SandboxGateway};
use bms_domain::service::{BookingService, Payment, Ports};
use bms_domain::store::{CatalogueStore as _, HoldChange, HoldStore as _, OccupancyRead, Placed, Restored, StoreError};
use bms_domain::testing::{ManualClock, sample};
use bms_domain::time::Clock as _;
use bms_postgres::testing::{PgBouncer, Proxy, Server};
use bms_postgres::{Postgres, PostgresConfig, PostgresHolds, PostgresOrders};
use tokio::task::JoinSet;

use crate::kit::{PATIENCE, TTL, by, checkout, claims, fence, hold_id, holds, occupancy, order_id, prime, show, sold, wish};
use crate::support;

/// P10: the server is killed. Holds are gone and orders are not; the next call on the show brings back what is known of it,
/// and nothing that is sold or waits for payment is granted to anybody else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_crash_a_show_is_restored_from_the_claims() {
    let server = Server::builder().durable().start().unwrap();
    let clock = ManualClock::new();
    let config = support::schema_in(&server.fresh_database().unwrap()).await.deadline(PATIENCE).unwrap();
    let postgres = Postgres::connect(&config).await.unwrap().with_clock(Arc::new(clock.clone()));
    let (store, orders) = (PostgresHolds::new(postgres.clone()), Arc::new(PostgresOrders::new(postgres)));
    let catalogue = MemoryCatalogue::new();
    catalogue.write(&sample::catalogue("gala", 100, clock.now())).await.unwrap();
    let ports = Ports {
        holds: Arc::new(store.clone()),
        orders: orders.clone(),
        outbox: orders,
        catalogue: Arc::new(catalogue),
        idempotency: Arc::new(MemoryIdempotency::new(Arc::new(clock.clone()))),
        gateway: Arc::new(SandboxGateway),
    };
    let service = BookingService::builder(ports).clock(Arc::new(clock.clone())).build().unwrap();
    let (ann, bob, cid) = (by("ann"), by("bob"), by("cid"));
    let seat = |n: u32| [sample::seat_name(n)];
    for (user, n) in [(&ann, 1), (&bob, 2), (&cid, 3)] {
        service.place_hold(user, &show(), &seat(n), sample::uuid(n)).await.unwrap();
    }
    let hold = |n: u32| bms_domain::id::HoldId::of(&show(), sample::uuid(n));
    let paid = service.create_order(&ann, hold(1), sample::customer()).await.unwrap().order;
    let confirmed = service.confirm_order(&ann, paid.id, &sample::reference("pay_ok-1")).await.unwrap();
    assert!(matches!(confirmed, Payment::Confirmed(_)));
    let pending = service.create_order(&bob, hold(2), sample::customer()).await.unwrap().order;
    let before = occupancy(&store).await;
    assert!(before.held.iter().eq([2, 3]) && before.sold.iter().eq([1]));

    server.kill().unwrap();
    assert!(matches!(store.occupancy(&show()).await, Err(StoreError::Unavailable { .. })));
    server.restart().unwrap();

    let OccupancyRead::NotPrimed(fence) = store.occupancy(&show()).await.unwrap() else { panic!("a crash forgets the holds") };
    assert!(fence.version >= u64::try_from(clock.now().as_millis()).unwrap() * 1_000);
    assert!(service.place_hold(&cid, &show(), &seat(1), sample::uuid(4)).await.is_err(), "P1: seat 1 is sold");
    assert!(service.place_hold(&cid, &show(), &seat(2), sample::uuid(5)).await.is_err(), "P8: seat 2 waits for payment");
    let after = occupancy(&store).await;
    assert!(after.held.iter().eq([2]) && after.sold.iter().eq([1]), "the hold without an order is gone");
    let confirmed = service.confirm_order(&bob, pending.id, &sample::reference("pay_ok-2")).await.unwrap();
    assert!(matches!(confirmed, Payment::Confirmed(_)));
    service.place_hold(&cid, &show(), &seat(3), sample::uuid(6)).await.unwrap();
    let after = occupancy(&store).await;
    assert!(after.held.iter().eq([3]) && after.sold.iter().eq([1, 2]));
}

/// A clean stop keeps the holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clean_restart_forgets_nothing() {
    let server = Server::start().unwrap();
    let store = holds(&support::schema_in(&server.fresh_database().unwrap()).await, &ManualClock::new()).await;
    prime(&store, 100).await;
    let Placed::Placed(hold) = store.place(&wish(1, "ann", &[1])).await.unwrap() else { panic!("seat 1 is free") };
    let before = occupancy(&store).await;
    server.restart().unwrap();
    support::until("a new connection", async || store.ping().await.is_ok()).await;
    assert_eq!(occupancy(&store).await, before);
    assert_eq!(store.get(&[hold_id(1)]).await.unwrap(), [Some(hold)]);
}

/// A store behind a proxy, and one beside it, on a primed show.
async fn behind_a_proxy(clock: &ManualClock) -> (Proxy, PostgresHolds, PostgresHolds) {
    let server = Server::shared();
    let url = server.fresh_database().unwrap();
    let proxy = Proxy::start(server).unwrap();
    let config = PostgresConfig::new(&url).unwrap();
    Postgres::migrate(&config).await.unwrap();
    let through = PostgresConfig::new(&proxy.instead_of(&url)).unwrap().connections(1).unwrap();
    let (far, near) = (holds(&through, clock).await, holds(&config, clock).await);
    prime(&near, 100).await;
    (proxy, far, near)
}

fn is_unknown<Answer>(answer: &Result<Answer, StoreError>) -> bool {
    matches!(answer, Err(StoreError::OutcomeUnknown { .. }))
}

/// P6, P11: each operation took effect and its answer is cut off: unknown, with nothing sent again; asking again finds out,
/// and changes nothing more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_unknown_and_asking_again_finds_out() {
    let clock = ManualClock::new();
    let (proxy, far, near) = behind_a_proxy(&clock).await;
    let ann = by("ann");
    for n in [1, 2] {
        proxy.drop_reply_of("hold_place");
        assert!(is_unknown(&far.place(&wish(n, "ann", &[n])).await));
        let there = near.get(&[hold_id(n)]).await.unwrap().remove(0).expect("it was placed");
        clock.advance(Duration::from_millis(1));
        assert_eq!(far.place(&wish(n, "ann", &[n])).await.unwrap(), Placed::Existing(there));
    }

    proxy.drop_reply_of("hold_begin_checkout");
    assert!(is_unknown(&far.begin_checkout(hold_id(1), &ann, &checkout(1)).await));
    let HoldChange::Done(linked) = far.begin_checkout(hold_id(1), &ann, &checkout(9)).await.unwrap() else { panic!("linked") };
    assert!(matches!(linked.state, HoldState::Held { order, .. } if order == Some(order_id(1))));

    proxy.drop_reply_of("hold_end_checkout");
    assert!(is_unknown(&far.end_checkout(hold_id(1), order_id(1)).await));
    let frees = fence(&near).await.frees;
    assert!(matches!(far.end_checkout(hold_id(1), order_id(1)).await.unwrap(), HoldChange::Done(_)));
    assert_eq!(fence(&near).await.frees, frees);

    proxy.drop_reply_of("hold_release");
    assert!(is_unknown(&far.release(hold_id(2), &ann).await));
    let version = occupancy(&near).await.version;
    assert!(matches!(far.release(hold_id(2), &ann).await.unwrap(), HoldChange::Done(_)));
    assert_eq!(occupancy(&near).await.version, version);

    let sale = sold(1, "ann", &[1]);
    proxy.drop_reply_of("hold_mark_sold");
    assert!(is_unknown(&far.mark_sold(&sale).await));
    let before = occupancy(&near).await;
    assert!(before.sold.iter().eq([1]));
    far.mark_sold(&sale).await.unwrap();
    assert_eq!(occupancy(&near).await, before);

    proxy.drop_reply_of("hold_mark_free");
    assert!(is_unknown(&far.mark_free(&sale).await));
    let before = occupancy(&near).await;
    assert_eq!(before.sold.count(), 0);
    far.mark_free(&sale).await.unwrap();
    assert_eq!(occupancy(&near).await.version, before.version);

    let told = claims(100, vec![sold(5, "bob", &[5])]);
    let fence = fence(&near).await;
    proxy.drop_reply_of("hold_restore");
    assert!(is_unknown(&far.restore(&told, fence).await));
    let before = occupancy(&near).await;
    assert!(before.sold.iter().eq([5]));
    assert_eq!(far.restore(&told, fence).await.unwrap(), Restored::Done { added: 0, freed: 0 });
    assert_eq!(occupancy(&near).await, before);

    // A look that is lost is asked again by itself, though it retires what has expired.
    near.place(&wish(7, "cid", &[7])).await.unwrap();
    clock.advance(TTL);
    proxy.drop_reply_of("hold_occupancy");
    assert_eq!(occupancy(&far).await.held.count(), 0);
    assert_eq!(proxy.dropped(), 9);
}

/// Every operation is one round trip.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_operation_is_one_round_trip() {
    let clock = ManualClock::new();
    let (proxy, far, _) = behind_a_proxy(&clock).await;
    for pass in 0..2 {
        let (n, mut last, mut trips) = (10 * pass + 1, proxy.round_trips(), Vec::new());
        let mut passed = |name| {
            trips.push((name, proxy.round_trips() - last));
            last = proxy.round_trips();
        };
        far.place(&wish(n, "ann", &[n])).await.unwrap();
        passed("place");
        far.get(&[hold_id(n), hold_id(99)]).await.unwrap();
        passed("get");
        far.begin_checkout(hold_id(n), &by("ann"), &checkout(n)).await.unwrap();
        passed("begin_checkout");
        far.end_checkout(hold_id(n), order_id(n)).await.unwrap();
        passed("end_checkout");
        far.give_back(hold_id(n), order_id(n), clock.now()).await.unwrap();
        passed("give_back");
        far.release(hold_id(n), &by("ann")).await.unwrap();
        passed("release");
        far.mark_sold(&sold(n, "ann", &[n])).await.unwrap();
        passed("mark_sold");
        far.mark_free(&sold(n, "ann", &[n])).await.unwrap();
        passed("mark_free");
        let fence = occupancy(&far).await.fence;
        passed("occupancy");
        far.restore(&claims(100, Vec::new()), fence).await.unwrap();
        passed("restore");
        far.counts(&[show(), sample::show("other")]).await.unwrap();
        passed("counts");
        far.changes(&show(), fence.version - 1).await.unwrap();
        passed("changes");
        // The first pass prepares the statements.
        assert!(pass == 0 || trips.iter().all(|(_, trips)| *trips == 1), "{trips:?}");
    }
}

/// Everything through PgBouncer in transaction mode, many at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_in_transaction_mode_is_no_hindrance() {
    let (server, clock) = (Server::shared(), ManualClock::new());
    let url = server.fresh_database().unwrap();
    Postgres::migrate(&PostgresConfig::new(&url).unwrap()).await.unwrap();
    let bouncer = PgBouncer::start(server, &[("default_pool_size", "3")]).unwrap();
    let database = url.rsplit('/').next().unwrap();
    let config = PostgresConfig::new(&bouncer.url_in(database)).unwrap().transaction_pooling(true);
    let store = holds(&config, &clock).await;
    prime(&store, 100).await;
    let version = occupancy(&store).await.version;
    let follower = store.clone();
    let following = tokio::spawn(async move { follower.changes(&show(), version).await.unwrap() });
    let mut users = JoinSet::new();
    for user in 0..12_u32 {
        let store = store.clone();
        users.spawn(async move {
            for round in 0..6 {
                let (n, name) = (user * 6 + round, format!("user-{user}"));
                assert!(matches!(store.place(&wish(n, &name, &[n])).await.unwrap(), Placed::Placed(_)));
                let begun = store.begin_checkout(hold_id(n), &by(&name), &checkout(n)).await.unwrap();
                assert!(matches!(begun, HoldChange::Done(_)));
                store.mark_sold(&sold(n, &name, &[n])).await.unwrap();
            }
        });
    }
    users.join_all().await;
    assert_eq!(occupancy(&store).await.sold.count(), 72);
    following.await.unwrap();
}
