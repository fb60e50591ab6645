//! What is wrong in Redis is told without saying whose it is.

use std::sync::Arc;

use bms_domain::store::HoldStore as _;
use bms_redis::testing::Server;
use tempfile::NamedTempFile;

use crate::support::rig::{PREFIX, Rig, hold_id, show};

/// No program of ours has this user; what a host calls its users may be their mail addresses.
const CANARY: &str = "canary@example.org";

fn all_of(error: &dyn std::error::Error) -> String {
    let source = error.source().map(all_of).unwrap_or_default();
    format!("{error} {error:?} {source}")
}

/// A hand in the data makes the scripts fail, each in its way, with the user's id among their arguments.
#[tokio::test]
async fn what_fails_in_redis_names_no_user() {
    let log = NamedTempFile::new().unwrap();
    let listens = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(Arc::new(log.reopen().unwrap()));
    let _listening = tracing::subscriber::set_default(listens.finish());
    let server = Server::start().unwrap();
    let rig = Rig::new(&server.url(), 40).await;
    let shard = show().shard().number();
    let (records, seats) = (format!("{PREFIX}:{{{shard}}}:records"), format!("{PREFIX}:{{{shard}}}:seats:{}", show()));
    let user = format!("u{}:{CANARY}", show());
    let meta = format!("m{}", show());
    let corruptions: [&[&str]; 5] = [
        &["SET", &records, CANARY],
        &["HSET", &records, &meta, "x"],
        &["HSET", &records, &user, CANARY],
        &["RPUSH", &seats, CANARY],
        &["DEL", &records],
    ];
    // A show that was sold, which the sweeper looks after.
    rig.buy(CANARY, &[39], 99).await.unwrap();
    let mut said = Vec::new();
    for (seed, corruption) in (1..).zip(corruptions) {
        server.command::<()>(&["FLUSHALL"]).unwrap();
        rig.place(CANARY, &[4 * seed, 4 * seed + 1], 2 * seed).await.unwrap();
        if corruption[0] != "HSET" {
            server.command::<()>(&["DEL", corruption[1]]).unwrap();
        }
        server.command::<()>(corruption).unwrap();
        said.extend(rig.place(CANARY, &[4 * seed + 2], 2 * seed + 1).await.err().map(|error| all_of(&error)));
        said.extend(rig.order(CANARY, 2 * seed).await.err().map(|error| all_of(&error)));
        said.extend(rig.service.seat_map_fresh(&show()).await.err().map(|error| all_of(&error)));
        // It writes into the log what it cannot do.
        said.extend(rig.service.sweep(100).await.err().map(|error| all_of(&error)));
        said.extend(rig.holds.get(&[hold_id(2 * seed)]).await.err().map(|error| all_of(&error)));
    }
    assert!(said.len() >= 8, "what was to fail did not: {said:?}");
    let logged = std::fs::read_to_string(log.path()).unwrap();
    let failed = logged.lines().filter(|line| line.contains("a show was not reconciled") && line.contains("a script failed"));
    assert!(failed.count() >= 3, "what failed is not in the log, so that it proves nothing: {logged}");
    for text in said.iter().chain([&logged]) {
        assert!(!text.contains("canary"), "{text}");
    }
}
