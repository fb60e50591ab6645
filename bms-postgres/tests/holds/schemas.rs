//! The schema beside a host's own, whatever it is called, wherever the host's names lead and whoever uses it.

use std::time::Duration;

use bms_domain::store::{Changes, Counts, HoldChange, HoldStore as _, Placed, Restored, ShowClaims};
use bms_domain::testing::{ManualClock, sample};
use bms_postgres::testing::Server;
use bms_postgres::{Postgres, PostgresConfig};

use crate::kit::{TTL, by, checkout, claims, fence, hold_id, holds, occupancy, order_id, prime, show, sold, wish};

/// Tables of the same names, and functions that shadow those of Postgres, before everything else on the search path.
const TRAPS: &str = "
    create schema trap;
    create table trap.holds (id integer);
    create table trap.hold_shows (id integer);
    create table trap.hold_seats (id integer);
    create function trap.date_trunc(text, timestamptz) returns timestamptz language sql as $$ select '-infinity'::timestamptz $$;
    create function trap.cardinality(anyarray) returns integer language sql as $$ select 1000000 $$;
    create function trap.get_bit(bit, integer) returns integer language sql as $$ select 1 $$;
    create function trap.hold_time(timestamptz) returns timestamptz language sql as $$ select '-infinity'::timestamptz $$;
    create function trap.bit_count(bit) returns bigint language sql as $$ select 7::bigint $$;
";

/// A whole sale, in a schema that is not called `bms`, on connections whose search path belongs to somebody else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_search_path_changes_nothing() {
    let server = Server::shared();
    let url = server.fresh_database().unwrap();
    let database = url.rsplit('/').next().unwrap();
    server.psql_in(database, TRAPS).unwrap();
    server.psql_in(database, &format!("alter database {database} set search_path = trap, pg_catalog")).unwrap();
    let config = PostgresConfig::new(&url).unwrap().schema("box_office").unwrap();
    Postgres::migrate(&config).await.unwrap();
    let clock = ManualClock::new();
    let store = holds(&config, &clock).await;
    prime(&store, 2_000).await;
    assert!(matches!(store.place(&wish(1, "ann", &[1, 1_500])).await.unwrap(), Placed::Placed(_)));
    assert!(matches!(store.place(&wish(2, "bob", &[1_500])).await.unwrap(), Placed::Taken(seats) if seats.as_slice() == [1_500]));
    assert!(matches!(store.place(&wish(2, "bob", &[2])).await.unwrap(), Placed::Placed(_)));
    assert!(matches!(store.begin_checkout(hold_id(1), &by("ann"), &checkout(1)).await.unwrap(), HoldChange::Done(_)));
    store.mark_sold(&sold(1, "ann", &[1, 1_500])).await.unwrap();
    assert!(matches!(store.begin_checkout(hold_id(2), &by("bob"), &checkout(2)).await.unwrap(), HoldChange::Done(_)));
    assert!(matches!(store.end_checkout(hold_id(2), order_id(2)).await.unwrap(), HoldChange::Done(_)));
    assert_eq!(store.counts(&[show()]).await.unwrap(), [Some(Counts { held: 1, sold: 2 })]);
    let known = occupancy(&store).await;
    assert!(known.held.iter().eq([2]) && known.sold.iter().eq([1, 1_500]));
    let Changes::Since(changes) = store.changes(&show(), known.version - 1).await.unwrap() else { panic!("a change is kept") };
    assert_eq!(changes[0].sold.as_slice(), [1, 1_500]);
    assert!(matches!(store.release(hold_id(2), &by("bob")).await.unwrap(), HoldChange::Done(_)));
    store.mark_free(&sold(1, "ann", &[1, 1_500])).await.unwrap();
    let told = claims(2_000, vec![sold(3, "cid", &[7])]);
    assert_eq!(store.restore(&told, fence(&store).await).await.unwrap(), Restored::Done { added: 1, freed: 0 });
    store.place(&wish(4, "dan", &[8])).await.unwrap();
    clock.advance(TTL);
    assert_eq!(store.sweep(10).await.unwrap(), 1);
    assert_eq!(store.get(&[hold_id(4)]).await.unwrap()[0].as_ref().unwrap().owner, sample::user("dan"));
    let ours = "select count(*) from trap.holds";
    assert_eq!(server.psql_in(database, ours).unwrap(), "0");
}

/// The role of the README can do all that a hold store does, forgetting included.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_runtime_role_needs_no_right_to_change_tables() {
    let server = Server::shared();
    let url = server.fresh_database().unwrap();
    let name = url.rsplit('/').next().unwrap();
    Postgres::migrate(&PostgresConfig::new(&url).unwrap()).await.unwrap();
    let seller = server.role(&format!("seller_{name}"), "s3cret", name).unwrap();
    let rights = include_str!("../../README.md").split("```sql").nth(1).unwrap().split("```").next().unwrap();
    server.psql_in(name, &rights.replace("bms_seller", &format!("\"seller_{name}\""))).unwrap();
    let clock = ManualClock::new();
    let store = holds(&PostgresConfig::new(&seller).unwrap(), &clock).await;
    prime(&store, 100).await;
    for n in 0..1_400_u32 {
        store.place(&wish(n, "ann", &[1])).await.unwrap();
        store.release(hold_id(n), &by("ann")).await.unwrap();
    }
    store.mark_sold(&sold(1, "ann", &[1])).await.unwrap();
    store.mark_sold(&sold(2, "bob", &[1])).await.unwrap();
    store.mark_free(&sold(2, "bob", &[1])).await.unwrap();
    let other = ShowClaims { layout: sample::layout_id("other"), ..claims(50, vec![sold(3, "cid", &[7])]) };
    assert_eq!(store.restore(&other, fence(&store).await).await.unwrap(), Restored::Done { added: 1, freed: 0 });
    clock.advance(Duration::from_hours(8 * 24));
    store.sweep(100).await.unwrap();
    clock.advance(Duration::from_hours(8 * 24));
    store.sweep(100).await.unwrap();
    assert_eq!(store.counts(&[show()]).await.unwrap(), [None]);
}

/// P14: whoever drops what keeps the marks apart is told when he connects.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_constraint_is_noticed() {
    let server = Server::shared();
    let url = server.fresh_database().unwrap();
    let config = PostgresConfig::new(&url).unwrap();
    Postgres::migrate(&config).await.unwrap();
    let drop = "alter table bms.hold_seats drop constraint hold_seats_held_or_sold";
    server.psql_in(url.rsplit('/').next().unwrap(), drop).unwrap();
    let missing = Postgres::connect(&config).await.err();
    assert!(
        matches!(&missing, Some(bms_postgres::Error::Damaged { missing, .. }) if missing == &["hold_seats.hold_seats_held_or_sold"]),
        "{missing:?}"
    );
}
