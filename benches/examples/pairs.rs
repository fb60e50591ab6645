//! tmp
use bms_benches::*;
use futures::executor::block_on;
fn main() {
    let venue = venue(1, 1000).unwrap();
    let caller = user(0).unwrap();
    let n: usize = std::env::args().nth(1).unwrap().parse().unwrap();
    let t = std::time::Instant::now();
    for _ in 0..n {
        let seed = venue.service.new_seed();
        let held = block_on(venue.service.place_hold(&caller, &venue.shows[0], &venue.seats[..2], seed)).unwrap();
        block_on(venue.service.release_hold(&caller, held.hold.id)).unwrap();
    }
    println!("{:?}", t.elapsed() / n as u32);
}
