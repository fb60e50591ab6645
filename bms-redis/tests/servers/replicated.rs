//! A primary, its replicas and the Sentinels.

use std::path::Path;

use bms_redis::testing::{Replicated, Server};

fn write(server: &Server, key: &str) {
    server.command::<()>(&["SET", key, "1"]).unwrap();
}

fn knows(server: &Server, key: &str) -> bool {
    server.command(&["EXISTS", key]).unwrap()
}

#[test]
fn a_group_replicates_fails_over_on_order_and_is_gone_after_its_drop() {
    let group = Replicated::start().unwrap();
    let first = group.primary().unwrap();
    write(first, "a");
    assert_eq!(first.command::<usize>(&["WAIT", "2", "10000"]).unwrap(), 2);
    let second = group.failover().unwrap();
    assert_ne!(first.port(), second.port());
    assert_eq!(group.primary().unwrap().port(), second.port());
    assert!(knows(second, "a"));
    assert_eq!(first.info("role").unwrap(), "slave");
    assert_eq!(group.replicas().unwrap().len(), 2);

    let pids: Vec<_> = group.nodes().iter().chain(group.sentinels()).map(|server| server.pid().unwrap()).collect();
    assert_eq!(pids.len(), 6);
    drop(group);
    assert!(pids.iter().all(|pid| !Path::new("/proc").join(pid.to_string()).exists()));
}

#[test]
fn a_killed_primary_is_replaced_and_takes_what_was_not_replicated_with_it() {
    // Passwords are asked of clients only: the group has its own.
    let group = Replicated::start_with(Server::builder().password("secret")).unwrap();
    let first = group.primary().unwrap();
    write(first, "kept");
    assert_eq!(first.command::<usize>(&["WAIT", "2", "10000"]).unwrap(), 2);
    group.stop_replication().unwrap();
    write(first, "lost");
    first.kill();
    let second = group.wait_for_primary_after(first).unwrap();
    assert!(knows(second, "kept") && !knows(second, "lost"));
    group.resume_replication().unwrap();
    first.restart().unwrap();
    group.wait_until_whole().unwrap();
    assert!(knows(first, "kept") && !knows(first, "lost"));
}

#[test]
fn a_paused_primary_is_replaced_and_follows_when_it_comes_back() {
    let group = Replicated::start().unwrap();
    let first = group.primary().unwrap();
    first.pause().unwrap();
    let second = group.wait_for_primary_after(first).unwrap();
    write(second, "a");
    first.resume().unwrap();
    group.wait_until_whole().unwrap();
    assert!(knows(first, "a"));
}

#[test]
fn clients_find_the_primary_through_the_sentinels() {
    let group = Replicated::start().unwrap();
    let mut sentinels = redis::sentinel::Sentinel::build(group.sentinel_urls()).unwrap();
    let client = sentinels.master_for(group.service_name(), None).unwrap();
    let redis::ConnectionAddr::Tcp(_, port) = client.get_connection_info().addr() else { panic!("not TCP") };
    assert_eq!(*port, group.primary().unwrap().port());
}
