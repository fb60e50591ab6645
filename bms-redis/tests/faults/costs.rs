//! What a call may cost: nothing grows with what others do.

use bms_redis::testing::Server;

use crate::support::rig::Rig;

/// How many records were read one at a time.
fn reads(server: &Server) -> u64 {
    let stats = server.info("cmdstat_hget").unwrap();
    stats.split(',').find_map(|part| part.strip_prefix("calls=")).unwrap().parse().unwrap()
}

async fn reads_of_a_sale(server: &Server, rig: &Rig, seat: u32) -> u64 {
    let before = reads(server);
    rig.buy("buyer", &[seat], 1_000 + seat).await.unwrap();
    reads(server) - before
}

/// Each payment of a rush would hold up the server otherwise, for longer the more people choose seats.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sale_reads_its_own_hold_however_many_there_are() {
    let server = Server::start().unwrap();
    let rig = Rig::new(&server.url(), 400).await;
    rig.place("first", &[0], 0).await.unwrap();
    let few = reads_of_a_sale(&server, &rig, 1).await;
    for seat in 10..310 {
        rig.place(&format!("user-{seat}"), &[seat], seat).await.unwrap();
    }
    assert_eq!(reads_of_a_sale(&server, &rig, 2).await, few);
}
