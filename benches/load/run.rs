//! A run: users come by the clock, the sale's curve is noted on the way, and in the end everything is accounted for.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bms_domain::id::{SeatId, ShowId};
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout, timeout_at};

use crate::arrivals::Schedule;
use crate::book::ASKED_FOR;
use crate::crowd::Crowd;
use crate::office::Answer;
use crate::tally::Sample;

/// How often the sale's curve is noted.
const EVERY: Duration = Duration::from_millis(100);

/// How long to wait before somebody is asked again.
const AGAIN: Duration = Duration::from_millis(50);

/// How long a run may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// After which nobody comes any more.
    pub(crate) arrivals: Duration,
    /// How long those who have come may take to finish after that.
    pub(crate) finish: Duration,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Ending {
    /// Everybody has come and has done all that he came for.
    Complete,
    /// The time for arrivals was over before everybody had come.
    OutOfTime,
    /// Some did not finish in time.
    Unfinished,
    /// A promise was broken.
    Broken,
}

/// How a run ended, and how long it took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub(crate) how: Ending,
    /// From the first arrival to the end of the last user.
    pub(crate) took: Duration,
}

/// Lets a crowd come and do what it came for; `watch` is shown how far the sale is. A broken promise ends it.
pub(crate) async fn play(crowd: &Arc<Crowd>, bounds: Bounds, watch: impl Fn(Sample) + Send + Sync + 'static) -> Ended {
    let began = Instant::now();
    let noting = tokio::spawn(note(Arc::clone(crowd), began, watch));
    let mut users = JoinSet::new();
    let how = tokio::select! {
        () = crowd.book.is_broken() => Ending::Broken,
        how = come_and_go(crowd, began, bounds, &mut users) => how,
    };
    // Whoever is still there goes without an answer.
    users.shutdown().await;
    let took = began.elapsed();
    noting.abort();
    // Ends as soon as it is aborted, with nothing to say.
    _ = noting.await;
    crowd.tally.sample(took, crowd.book.seats_sold());
    account(crowd).await;
    Ended { how: if crowd.book.broken().is_empty() { how } else { Ending::Broken }, took }
}

async fn come_and_go(crowd: &Arc<Crowd>, began: Instant, bounds: Bounds, users: &mut JoinSet<()>) -> Ending {
    let mut how = Ending::Complete;
    for (number, due) in (0..).zip(Schedule::of(&crowd.scenario, crowd.seed)) {
        if due > bounds.arrivals {
            how = Ending::OutOfTime;
            break;
        }
        let intended = began + due;
        if intended > Instant::now() {
            sleep_until(intended).await;
        }
        crowd.tally.arrived(intended.elapsed());
        let crowd = Arc::clone(crowd);
        users.spawn(async move { crowd.visit(number, intended).await });
        while users.try_join_next().is_some() {}
    }
    let all = async { while users.join_next().await.is_some() {} };
    if timeout(bounds.finish, all).await.is_err() { Ending::Unfinished } else { how }
}

async fn note(crowd: Arc<Crowd>, began: Instant, watch: impl Fn(Sample)) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        watch(crowd.tally.sample(began.elapsed(), crowd.book.seats_sold()));
    }
}

/// Asks after every payment of which nobody was told, and reads the maps.
async fn account(crowd: &Crowd) {
    let until = Instant::now() + ASKED_FOR;
    while !crowd.book.open_payments().is_empty() && Instant::now() < until {
        for payment in crowd.book.open_payments() {
            let asked = crowd.office.confirm(&payment.user, payment.order, &payment.reference);
            match timeout_at(until, asked).await {
                Ok(Answer::Given(sale)) => crowd.book.sold(payment.show, &sale, Instant::now()),
                Ok(Answer::Refused(refusal)) => crowd.book.refused(payment.order, &refusal),
                Ok(Answer::Unknown(_)) | Err(_) => sleep(AGAIN).await,
            }
        }
    }
    crowd.book.close();
    for show in crowd.hall.shows() {
        let until = Instant::now() + ASKED_FOR;
        match sold(crowd, show, until).await {
            Some(seats) => crowd.book.compare(*show, &seats),
            None => crowd.book.map_is_missing(*show),
        }
    }
}

async fn sold(crowd: &Crowd, show: &ShowId, until: Instant) -> Option<HashSet<SeatId>> {
    loop {
        match timeout_at(until, crowd.office.sold(show)).await {
            Ok(Answer::Given(seats)) => return Some(seats),
            Ok(Answer::Refused(_)) | Err(_) => return None,
            Ok(Answer::Unknown(_)) => sleep(AGAIN).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use bms_domain::id::{HoldId, OrderId, UserId};
    use parking_lot::Mutex;
    use tokio::sync::Semaphore;
    use uuid::Uuid;

    use super::*;
    use crate::book::Book;
    use crate::hall::Hall;
    use crate::office::{BoxOffice, Held, Kind, Sale};
    use crate::scenario::{Arrivals, Choice, Name, Scenario};
    use crate::tally::Tally;

    const BOUNDS: Bounds = Bounds { arrivals: Duration::from_secs(60), finish: Duration::from_secs(60) };

    /// An office that grants whatever is asked for, each answer after a while.
    struct Office {
        began: Instant,
        /// Nobody is answered before it, once it has begun: a span since the beginning.
        stall: Option<(Duration, Duration)>,
        /// Whether it keeps what it sells.
        forgets: bool,
        /// Whether it answers whoever pays.
        answers_payments: bool,
        sold: Mutex<HashSet<SeatId>>,
        holds: Mutex<Vec<(HoldId, Vec<SeatId>)>>,
    }

    impl Office {
        fn new() -> Self {
            let (sold, holds) = (Mutex::default(), Mutex::default());
            Self { began: Instant::now(), stall: None, forgets: false, answers_payments: true, sold, holds }
        }

        async fn work(&self) {
            match self.stall {
                Some((from, to)) if (from..to).contains(&self.began.elapsed()) => sleep_until(self.began + to).await,
                _ => sleep(Duration::from_millis(2)).await,
            }
        }
    }

    #[async_trait]
    impl BoxOffice for Office {
        async fn look(&self, _: &ShowId) -> Answer<()> {
            self.work().await;
            Answer::Given(())
        }

        async fn sold(&self, _: &ShowId) -> Answer<HashSet<SeatId>> {
            Answer::Given(self.sold.lock().clone())
        }

        async fn hold(&self, _: &UserId, show: &ShowId, seats: &[SeatId]) -> Answer<Held> {
            self.work().await;
            let mut holds = self.holds.lock();
            let hold = HoldId::of(show, Uuid::from_u128((holds.len() as u128) << 80));
            holds.push((hold, seats.to_vec()));
            Answer::Given(Held { hold, seats: seats.to_vec(), lasts: Duration::from_secs(600) })
        }

        async fn release(&self, _: &UserId, _: HoldId) -> Answer<()> {
            self.work().await;
            Answer::Given(())
        }

        async fn order(&self, _: &UserId, hold: HoldId) -> Answer<OrderId> {
            self.work().await;
            Answer::Given(OrderId::parse(&hold.to_string()).unwrap())
        }

        async fn confirm(&self, _: &UserId, order: OrderId, _: &str) -> Answer<Sale> {
            self.work().await;
            if !self.answers_payments {
                return Answer::Unknown("lost".to_owned());
            }
            let holds = self.holds.lock();
            let (_, seats) = holds.iter().find(|(hold, _)| hold.to_string() == order.to_string()).unwrap();
            if !self.forgets {
                self.sold.lock().extend(seats);
            }
            Answer::Given(Sale { order, seats: seats.clone(), code: format!("BMS-{order}") })
        }
    }

    fn crowd(office: Office, scenario: Scenario) -> Arc<Crowd> {
        let hall = Hall::of(&scenario, "run").unwrap();
        let (book, tally, gate) = (Book::default(), Tally::new().unwrap(), Semaphore::new(64));
        Arc::new(Crowd { scenario, hall, office: Arc::new(office), book, tally, gate, seed: 1 })
    }

    /// A hundred users a second, each with seats of his own.
    fn calm() -> Scenario {
        Scenario {
            users: 400,
            users_per_second: 100.0,
            arrivals: Arrivals::Constant,
            shows: 1,
            seats: 800,
            ..Scenario::of(Name::Purchase)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn everybody_is_served_by_an_office_that_does_its_work() {
        let crowd = crowd(Office::new(), calm());
        let ended = play(&crowd, BOUNDS, |_| {}).await;
        assert_eq!(crowd.book.broken(), Vec::<String>::new());
        assert_eq!((ended.how, crowd.book.seats_sold(), crowd.tally.users()), (Ending::Complete, 800, (400, 400)));
        let curve = crowd.tally.curve();
        assert!(curve.len() > 30 && curve.is_sorted_by_key(|sample| sample.seats_sold), "{curve:?}");
        assert_eq!(curve.last().unwrap().seats_sold, 800);
    }

    /// Who measures from when a request was sent sees one slow answer for each connection; who measures from when it was meant
    /// to be sent sees all the hundred users who came meanwhile.
    #[tokio::test(start_paused = true)]
    async fn a_stall_is_seen_by_everybody_who_came_meanwhile() {
        let stall = Some((Duration::from_secs(1), Duration::from_secs(2)));
        let scenario = Scenario { pays: 0.0, ..calm() };
        let hall = Hall::of(&scenario, "run").unwrap();
        let office = Arc::new(Office { stall, ..Office::new() });
        // One request at a time: the others cannot even be sent.
        let (book, tally, gate) = (Book::default(), Tally::new().unwrap(), Semaphore::new(1));
        let crowd = Arc::new(Crowd { scenario, hall, office, book, tally, gate, seed: 1 });
        assert_eq!(play(&crowd, BOUNDS, |_| {}).await.how, Ending::Complete);
        crowd.tally.of(Kind::Hold, |hold| {
            assert_eq!(hold.latency.len(), 400);
            // A quarter of all came during the stall, and waited half of it on average.
            let slow = hold.latency.count_between(100_000, 2_000_000);
            assert!((85..140).contains(&slow), "{slow} of 400 were kept waiting");
            assert!(hold.latency.value_at_quantile(0.99) > 900_000);
        });
        // The generator itself was in time: by the clock, it did not wait for anybody.
        assert!(crowd.tally.lateness(|late| late.max()) < 5_000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_seat_given_twice_ends_the_run() {
        let scenario = Scenario { choice: Choice::FirstBlock, ..calm() };
        let crowd = crowd(Office::new(), scenario);
        let ended = play(&crowd, BOUNDS, |_| {}).await;
        assert_eq!(ended.how, Ending::Broken);
        assert!(ended.took < Duration::from_secs(1) && crowd.tally.users().0 < 100, "{ended:?}");
        assert!(crowd.book.broken()[0].contains("1-1"), "{:?}", crowd.book.broken());
    }

    #[tokio::test(start_paused = true)]
    async fn a_sale_that_was_forgotten_is_found_in_the_end() {
        let crowd = crowd(Office { forgets: true, ..Office::new() }, Scenario { users: 5, ..calm() });
        let ended = play(&crowd, BOUNDS, |_| {}).await;
        assert_eq!((ended.how, crowd.book.broken().len()), (Ending::Broken, 10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_payment_that_is_never_answered_is_lost() {
        let crowd = crowd(Office { answers_payments: false, ..Office::new() }, Scenario { users: 3, ..calm() });
        let ended = play(&crowd, BOUNDS, |_| {}).await;
        assert_eq!(ended.how, Ending::Broken);
        let broken = crowd.book.broken();
        assert_eq!(broken.iter().filter(|line| line.starts_with("P4")).count(), 3, "{broken:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_ends_in_time() {
        let bounds = Bounds { arrivals: Duration::from_secs(1), finish: Duration::from_secs(1) };
        let crowd_in_time = crowd(Office::new(), calm());
        let ended = play(&crowd_in_time, bounds, |_| {}).await;
        assert_eq!((ended.how, crowd_in_time.tally.users().0), (Ending::OutOfTime, 101));
        let stall = Some((Duration::ZERO, Duration::from_secs(100)));
        let stalled = crowd(Office { stall, ..Office::new() }, calm());
        let ended = play(&stalled, bounds, |_| {}).await;
        // A timer's step more at most.
        assert_eq!((ended.how, ended.took.as_millis() / 10), (Ending::Unfinished, 200));
    }
}
