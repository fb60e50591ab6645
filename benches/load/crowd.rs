//! What users do: look, hold, think, order, pay, give up, come back.

use std::sync::Arc;

use bms_domain::id::{HoldId, SeatId, ShowId, UserId};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use rand_distr::{Distribution as _, Exp1};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};

use crate::book::Book;
use crate::hall::{Hall, Wish};
use crate::office::{Answer, BoxOffice, Kind};
use crate::scenario::Scenario;
use crate::tally::Tally;

/// How often somebody who has paid asks again when the answer is lost; after that he is asked about when all is over.
const CONFIRMS: u32 = 3;

/// Everybody, and what they share.
pub(crate) struct Crowd {
    pub(crate) scenario: Scenario,
    pub(crate) hall: Hall,
    pub(crate) office: Arc<dyn BoxOffice>,
    pub(crate) book: Book,
    pub(crate) tally: Tally,
    /// How many requests may be under way. Who waits for it is kept waiting by those who are slow to answer.
    pub(crate) gate: Semaphore,
    pub(crate) seed: u64,
}

/// One of them.
struct User<'a> {
    crowd: &'a Crowd,
    id: UserId,
    number: u64,
    rng: SmallRng,
    /// When the next request is meant to be made.
    intended: Instant,
}

/// An answer, and when it was asked for and given.
struct Heard<T> {
    answer: Answer<T>,
    asked: Instant,
    told: Instant,
}

impl Crowd {
    /// A user comes, who was meant to come at `intended`, and does what he came for.
    pub(crate) async fn visit(&self, number: u64, intended: Instant) {
        // Every user's own luck, whenever his turn comes.
        let rng = SmallRng::seed_from_u64(self.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        if let Ok(id) = UserId::parse(&format!("user-{number}")) {
            User { crowd: self, id, number, rng, intended }.visit().await;
        }
        self.tally.left();
    }

    /// Makes a request when it is its turn, which was meant to be made at `intended`. The wait for the turn counts. The next is
    /// meant to be made when it is answered.
    async fn ask<T>(&self, intended: &mut Instant, kind: Kind, request: impl Future<Output = Answer<T>>) -> Heard<T> {
        // Never closed.
        let _turn = self.gate.acquire().await;
        let asked = Instant::now();
        let answer = request.await;
        let told = Instant::now();
        self.tally.answered(kind, told - *intended, &answer);
        *intended = told;
        Heard { answer, asked, told }
    }
}

impl<'a> User<'a> {
    async fn visit(&mut self) {
        let crowd = self.crowd;
        if self.chance(crowd.scenario.looks) {
            if let Some(wish) = self.wish() {
                self.look(wish.show).await;
            }
            return;
        }
        for attempt in 1..=crowd.scenario.tries {
            let Some(wish) = self.wish() else { return };
            let heard = crowd.ask(&mut self.intended, Kind::Hold, crowd.office.hold(&self.id, &wish.show, wish.seats)).await;
            match heard.answer {
                Answer::Given(held) => {
                    crowd.book.granted(wish.show, wish.seats, &held, heard.asked, heard.told);
                    crowd.hall.given(wish.number);
                    return self.decide(wish, held.hold).await;
                }
                // He may have them; without an answer he will never know.
                Answer::Unknown(_) => return,
                Answer::Refused(_) => {
                    if attempt == crowd.scenario.tries || !self.chance(crowd.scenario.comes_back) {
                        return;
                    }
                    self.think().await;
                    self.look(wish.show).await;
                }
            }
        }
    }

    async fn decide(&mut self, wish: Wish<'_>, hold: HoldId) {
        let Scenario { pays, gives_up, .. } = self.crowd.scenario;
        let drawn: f64 = self.rng.random();
        self.think().await;
        if drawn < pays {
            self.buy(wish.show, wish.seats, hold).await;
        } else if drawn < pays + gives_up {
            let crowd = self.crowd;
            crowd.book.letting_go(hold);
            let heard = crowd.ask(&mut self.intended, Kind::Release, crowd.office.release(&self.id, hold)).await;
            if matches!(heard.answer, Answer::Given(())) {
                crowd.hall.given_back(wish.number);
            }
        }
    }

    async fn buy(&mut self, show: ShowId, seats: &[SeatId], hold: HoldId) {
        let crowd = self.crowd;
        let heard = crowd.ask(&mut self.intended, Kind::Order, crowd.office.order(&self.id, hold)).await;
        let Answer::Given(order) = heard.answer else { return };
        self.think().await;
        let reference = format!("pay_ok_{order}");
        crowd.book.paid(order, &self.id, show, seats, &reference);
        for _ in 0..CONFIRMS {
            let heard = crowd.ask(&mut self.intended, Kind::Confirm, crowd.office.confirm(&self.id, order, &reference)).await;
            match heard.answer {
                Answer::Given(sale) => return crowd.book.sold(show, &sale, heard.told),
                Answer::Refused(refusal) => return crowd.book.refused(order, &refusal),
                Answer::Unknown(_) => self.think().await,
            }
        }
    }

    async fn look(&mut self, show: ShowId) {
        let crowd = self.crowd;
        crowd.ask(&mut self.intended, Kind::Map, crowd.office.look(&show)).await;
    }

    fn wish(&mut self) -> Option<Wish<'a>> {
        self.crowd.hall.wish(self.number, &mut self.rng)
    }

    fn chance(&mut self, share: f64) -> bool {
        self.rng.random::<f64>() < share
    }

    /// Takes a while, on average as long as the scenario says.
    async fn think(&mut self) {
        let mean = self.crowd.scenario.think;
        if mean.is_zero() {
            return;
        }
        let drawn: f64 = Exp1.sample(&mut self.rng);
        // Nobody thinks ten times as long as others, or the end of the run waits for one.
        self.intended += mean.mul_f64(drawn.min(5.0));
        sleep_until(self.intended).await;
        self.crowd.tally.was_late(self.intended.elapsed());
    }
}
