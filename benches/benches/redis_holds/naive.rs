//! The layout that comes to mind first, for comparison: a key a seat, which names the hold, and the hold as JSON.
//!
//! It knows no limit a user, no repeated request, no sold seats, no versions and no changes, tells nobody, and reads a map by
//! asking for every seat.

use std::sync::Arc;

use bms_domain::store::PlaceHold;
use bms_domain::time::{Clock as _, SystemClock};
use bms_redis::redis::{self, AsyncConnectionConfig, Value, aio::MultiplexedConnection};

use crate::bench::{Bench, Run};
use crate::ours::TTL;

/// KEYS the hold, then its seats; ARGV the hold's id, the hold, its time to live.
pub(crate) const SCRIPT: &str = "for i = 2, #KEYS do
if redis.call('EXISTS', KEYS[i]) == 1 then return 0 end
end
for i = 2, #KEYS do redis.call('SET', KEYS[i], ARGV[1], 'PX', ARGV[3]) end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
";

pub(crate) fn load(bench: &Bench) -> String {
    bench.server.command(&["SCRIPT", "LOAD", SCRIPT]).unwrap()
}

pub(crate) fn connect(bench: &Bench) -> MultiplexedConnection {
    let client = redis::Client::open(bench.server.url()).unwrap();
    // Half a second by default, which a machine that is busy elsewhere may need.
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    bench.runtime.block_on(client.get_multiplexed_async_connection_with_config(&config)).unwrap()
}

/// Seats are told by their number here, which is kind to this layout: names are longer.
pub(crate) fn seat_key(show: &str, seat: &str) -> String {
    format!("seat:{show}:{seat}")
}

/// Every field that the HTTP interface shows of a hold.
fn json(request: &PlaceHold) -> String {
    let now = SystemClock.now();
    let seats: Vec<String> = request.seats.iter().map(|seat| format!("S{seat}")).collect();
    serde_json::json!({
        "holdId": request.id.to_string(),
        "showId": request.show.as_str(),
        "userId": request.owner.as_str(),
        "seatIds": seats,
        "status": "HELD",
        "amount": request.price.amount(),
        "currency": request.price.currency().code(),
        "createdAt": now.to_string(),
        "expiresAt": now.plus(TTL).to_string(),
    })
    .to_string()
}

/// The keys and arguments of a call.
pub(crate) fn words(request: &PlaceHold) -> Vec<String> {
    let mut words = vec![(1 + request.seats.len()).to_string(), format!("hold:{}", request.id)];
    words.extend(request.seats.iter().map(|seat| seat_key(request.show.as_str(), &seat.to_string())));
    words.extend([request.id.to_string(), json(request), TTL.as_millis().to_string()]);
    words
}

/// Places holds on free seats, through the client library as it is.
pub(crate) fn place(bench: &Bench, connection: &MultiplexedConnection, sha: &str, requests: &[PlaceHold]) -> Run {
    let commands: Arc<[redis::Cmd]> = requests
        .iter()
        .map(|request| {
            let mut command = redis::cmd("EVALSHA");
            command.arg(sha).arg(words(request));
            command
        })
        .collect();
    let connection = connection.clone();
    bench.run(commands.len() as u64, move |number| {
        let (mut connection, commands) = (connection.clone(), Arc::clone(&commands));
        async move {
            let answer = connection.send_packed_command(&commands[usize::try_from(number).unwrap()]).await.unwrap();
            assert_eq!(answer, Value::Int(1));
        }
    })
}

/// Reads which seats of a show are held.
pub(crate) fn maps(bench: &Bench, connection: &MultiplexedConnection, show: &str, seats: u32, maps: u64) -> Run {
    let mut command = redis::cmd("MGET");
    for seat in 0..seats {
        command.arg(seat_key(show, &seat.to_string()));
    }
    let (command, connection) = (Arc::new(command), connection.clone());
    bench.run_with(4, maps, move |_| {
        let (command, mut connection) = (Arc::clone(&command), connection.clone());
        async move {
            let answer = connection.send_packed_command(&command).await.unwrap();
            assert!(matches!(answer, Value::Array(_)), "{answer:?}");
        }
    })
}
