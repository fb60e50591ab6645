//! The same random sequences on the embedded store, on Redis and on Postgres, compared answer for answer.

use bms_domain::testing::sequences::{self, Rival};

use crate::stage::{OnPostgres, OnRedis, Tokio, embedded_holds, embedded_orders, runs};

#[test]
fn hold_stores_agree() {
    let runtime = Tokio::new();
    let (redis, postgres) = (OnRedis::start(&runtime), OnPostgres::start(&runtime));
    let rivals =
        [Rival::new("embedded", embedded_holds()), Rival::new("Redis", redis.holds()), Rival::new("Postgres", postgres.holds())];
    let tally = sequences::hold_stores_agree(sequences::config(runs(400), file!()), &runtime.handle(), &rivals);
    println!("holds on three stores: {tally}");
    tally.assert_all(&[
        ("place", &["placed", "existing", "taken", "too many", "id taken", "not primed"]),
        ("release", &["done", "refused", "not found"]),
        ("begin_checkout", &["done", "refused", "not found"]),
        ("end_checkout", &["done", "not found"]),
        ("give_back", &["done", "not found"]),
        ("mark_sold", &["done"]),
        ("mark_free", &["done"]),
        ("restore", &["done", "stale"]),
        ("sweep", &["answered"]),
        ("get", &["answered"]),
        ("occupancy", &["answered", "not primed"]),
        ("counts", &["answered", "not primed"]),
    ]);
}

#[test]
fn order_stores_agree() {
    let runtime = Tokio::new();
    let postgres = OnPostgres::start(&runtime);
    let rivals = [Rival::new("embedded", embedded_orders()), Rival::new("Postgres", postgres.orders())];
    let tally = sequences::order_stores_agree(sequences::config(runs(350), file!()), &runtime.handle(), &rivals);
    println!("orders on two stores: {tally}");
    tally.assert_all(&[
        ("create", &["created", "existing", "taken", "layout changed"]),
        ("settle", &["confirmed", "failed", "refund due", "recorded", "code taken", "another order's"]),
        ("give_up", &["changed", "the same", "refused", "not found"]),
        ("cancel", &["changed", "the same", "refused", "not found"]),
        ("expire_overdue", &["answered"]),
        ("claim_attempts", &["answered", "none"]),
        ("get", &["answered", "not found"]),
        ("by_holds", &["answered"]),
        ("list", &["answered"]),
        ("by_ticket", &["answered", "not found"]),
        ("refunds_due", &["answered", "none"]),
        ("sold", &["answered"]),
        ("claims", &["answered", "none"]),
        ("sales_within", &["answered", "none"]),
        ("pin_layout", &["pinned", "in use"]),
    ]);
}

#[test]
fn outboxes_agree() {
    let runtime = Tokio::new();
    let postgres = OnPostgres::start(&runtime);
    let rivals = [Rival::new("embedded", embedded_orders()), Rival::new("Postgres", postgres.orders())];
    let tally = sequences::outboxes_agree(sequences::config(runs(250), file!()), &runtime.handle(), &rivals);
    println!("outboxes of two stores: {tally}");
    tally.assert_all(&[
        ("claim", &["answered", "none"]),
        ("published", &["answered"]),
        ("postpone", &["answered"]),
        ("bury", &["answered"]),
        ("dead", &["answered", "none"]),
        ("replay", &["answered", "none"]),
    ]);
}
