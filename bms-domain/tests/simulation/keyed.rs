//! Requests with an idempotency key, as an adapter takes them.

use bms_domain::BookingService;
use bms_domain::error::Error;
use bms_domain::id::{Caller, HoldId, SeatId};
use bms_domain::store::{Begun, Fingerprint, IdempotencyKey};

use crate::world::show;

/// Places a hold, and tries so many times. The key finds the seed, and the first answer.
pub(crate) async fn under_key(
    service: BookingService,
    caller: Caller,
    names: Vec<SeatId>,
    key: IdempotencyKey,
    tries: usize,
) -> Result<HoldId, Error> {
    let seed = match service.begin_request(&key, Fingerprint([7; 32])).await? {
        Begun::Run { seed } => seed,
        Begun::InProgress => return Err(Error::Unavailable { dependency: "another try", source: None }),
        Begun::Finished(answer) => return parse(&answer),
        Begun::Reused => return Err(Error::Internal("a key of one request was taken for another's".to_owned())),
    };
    let mut placed = service.place_hold(&caller, &show(), &names, seed).await;
    for _ in 1..tries {
        if let Err(Error::Unavailable { .. }) = placed {
            placed = service.place_hold(&caller, &show(), &names, seed).await;
        }
    }
    let answer = match placed {
        Ok(placed) => placed.hold.id.to_string().into_bytes(),
        Err(error @ (Error::Unavailable { .. } | Error::OutcomeUnknown { .. })) => {
            service.abandon_request(&key).await?;
            return Err(error);
        }
        Err(_) => b"refused".to_vec(),
    };
    parse(&service.finish_request(&key, answer).await?)
}

fn parse(answer: &[u8]) -> Result<HoldId, Error> {
    HoldId::parse(&String::from_utf8_lossy(answer)).map_err(|_| Error::SeatsUnavailable(Vec::new()))
}
