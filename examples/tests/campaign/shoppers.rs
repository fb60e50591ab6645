//! Who buys: users in a hurry, who come back, give up, pay late, and sometimes leave it to the provider to say so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fastrand::Rng;
use reqwest::Method;
use serde_json::{Value, json};

use crate::plan::BOOTHS;
use crate::provider::Provider;
use crate::record::{Answer, Ask, Desk, What};
use crate::shows;

/// One after the other, so many users at once.
pub(crate) const CROWD: u64 = 24;

/// A place in the crowd.
pub(crate) struct Shopper {
    pub(crate) desk: Arc<Desk>,
    pub(crate) provider: Arc<Provider>,
    pub(crate) rng: Rng,
    pub(crate) place: u64,
    /// Users so far.
    pub(crate) users: u64,
    /// Keys and payments so far.
    pub(crate) drawn: u64,
}

/// An order that was answered.
struct Bought {
    id: String,
    hold: String,
    show: String,
    seats: Vec<String>,
    amount: i64,
}

impl Shopper {
    /// Lets one user after the other shop, until it is over.
    pub(crate) async fn shop(mut self, over: Arc<AtomicBool>) {
        while !over.load(Ordering::SeqCst) {
            self.users += 1;
            // Any character is one of a user's id.
            let user = format!("user:{}:{{{}}}", self.place, self.users);
            self.visit(&user).await;
            // A crowd has its own pace; without it the first seconds would sell all there is.
            tokio::time::sleep(Duration::from_millis(self.rng.u64(10..120))).await;
        }
    }

    async fn visit(&mut self, user: &str) {
        let show = match self.rng.u8(..10) {
            0..=2 => shows::rush_at(self.desk.now(), 0),
            3..=5 => shows::rush_at(self.desk.now(), self.rng.usize(1..6)),
            _ => shows::LARGE.to_owned(),
        };
        if self.rng.u8(..5) == 0 {
            self.look_at_the_map(&show).await;
        }
        let seats = self.choose(&show);
        let Some(hold) = self.hold(user, &show, &seats).await else { return };
        match self.rng.u8(..20) {
            // Goes away, and lets time take the seats back.
            0 => return,
            1 | 2 => {
                return self.release(user, &hold).await;
            }
            _ => {}
        }
        let Some(order) = self.order(user, &hold, &show).await else { return };
        match self.rng.u8(..20) {
            0..=2 => {
                // Gives it up, and comes back.
                self.give_up(user, &order.id).await;
                if let Some(order) = self.order(user, &hold, &show).await {
                    self.pay(user, order).await;
                }
            }
            3 => {}
            _ => self.pay(user, order).await,
        }
    }

    async fn look_at_the_map(&mut self, show: &str) {
        let path = format!("/api/v1/shows/{show}/seatmap?layout=false");
        let look = self.ask(What::Map, "", Method::GET, path, show, None);
        self.desk.ask(self.rng.usize(..BOOTHS), &look).await;
    }

    /// Some seats of a show.
    fn choose(&mut self, show: &str) -> Vec<String> {
        let mut seats: Vec<String> = Vec::new();
        for _ in 0..self.rng.u8(1..=3) {
            let seat = shows::draw_seat(show, |below| self.rng.u32(..below));
            if !seats.contains(&seat) {
                seats.push(seat);
            }
        }
        seats
    }

    /// A hold's id, if it is granted.
    async fn hold(&mut self, user: &str, show: &str, seats: &[String]) -> Option<String> {
        let wanted = json!({"showId": show, "seatIds": seats});
        let ask = self.ask(What::Hold, user, Method::POST, "/api/v1/holds".to_owned(), show, Some(wanted));
        let answer = self.once(ask).await;
        answer.text("holdId").map(str::to_owned)
    }

    async fn order(&mut self, user: &str, hold: &str, show: &str) -> Option<Bought> {
        let wanted = json!({"holdId": hold, "customer": {"name": "A", "email": "a@example.org"}});
        let ask = self.ask(What::Order, user, Method::POST, "/api/v1/orders".to_owned(), hold, Some(wanted));
        let answer = self.once(ask).await;
        if answer.is_problem("seats-unavailable") {
            self.look_at_the_map(show).await;
        }
        let (id, body) = (answer.text("orderId")?.to_owned(), answer.body());
        let seats = body["seatIds"].as_array()?.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        let (hold, show, amount) = (hold.to_owned(), show.to_owned(), body["amount"].as_i64()?);
        // Whoever was told late of an order that has ended since begins anew another day.
        (answer.text("status") == Some("PAYMENT_PENDING")).then_some(Bought { id, hold, show, seats, amount })
    }

    async fn give_up(&mut self, user: &str, order: &str) {
        let give_up = self.ask(What::GiveUp, user, Method::DELETE, format!("/api/v1/orders/{order}"), order, None);
        self.desk.insist(&mut self.rng, &give_up).await;
    }

    async fn release(&mut self, user: &str, hold: &str) {
        let release = self.ask(What::Release, user, Method::DELETE, format!("/api/v1/holds/{hold}"), hold, None);
        self.desk.insist(&mut self.rng, &release).await;
    }

    async fn pay(&mut self, user: &str, order: Bought) {
        match self.rng.u8(..20) {
            0..=10 => self.pay_at_once(user, &order).await,
            11 | 12 => {
                let declined = self.reference("pay_declined");
                self.provider.charge(&declined, &order.id, order.amount, false);
                if self.rng.bool() {
                    // Says so when another card has paid, perhaps.
                    self.provider.tell(&mut self.rng, &declined, false);
                }
                self.confirm(user, &order.id, &declined).await;
                // Another card: for the order that has failed, or for another of the same hold.
                if self.rng.bool() {
                    self.pay_at_once(user, &order).await;
                } else if let Some(again) = self.order(user, &order.hold, &order.show).await {
                    self.pay_at_once(user, &again).await;
                }
            }
            13..=18 => {
                // Pending when a server asks; what became of it the notice says, which may come late, or name another amount.
                let reference = self.reference("pay_pending");
                let amount = order.amount + i64::from(self.rng.u8(..6) == 0);
                let (succeeded, failed_first) = (self.rng.u8(..5) > 0, self.rng.u8(..3) == 0);
                self.provider.charge(&reference, &order.id, amount, succeeded);
                self.provider.tell(&mut self.rng, &reference, failed_first);
                match self.rng.u8(..4) {
                    0 | 1 => _ = self.confirm(user, &order.id, &reference).await,
                    // Changes his mind when the money is on its way, and lets a friend have the seats.
                    2 => {
                        self.give_up(user, &order.id).await;
                        self.release(user, &order.hold).await;
                        let friend = format!("{user}'s friend");
                        if let Some(hold) = self.hold(&friend, &order.show, &order.seats).await
                            && let Some(order) = self.order(&friend, &hold, &order.show).await
                        {
                            self.pay_at_once(&friend, &order).await;
                        }
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// The money is taken, and the user says so at once. The provider says so as well, unless it forgets.
    async fn pay_at_once(&mut self, user: &str, order: &Bought) {
        let reference = self.reference("pay_ok");
        self.provider.charge(&reference, &order.id, order.amount, true);
        if self.rng.u8(..10) < 6 {
            self.provider.tell(&mut self.rng, &reference, false);
        }
        let answer = self.confirm(user, &order.id, &reference).await;
        if answer.status() != Some(200) {
            return;
        }
        if self.rng.u8(..4) == 0 {
            self.look_at_the_map(&order.show).await;
        }
        if self.rng.u8(..20) == 0 {
            let path = format!("/api/v1/admin/orders/{}/cancel", order.id);
            let cancel = self.ask(What::Cancel, "admin", Method::POST, path, &order.id, None);
            self.once(cancel).await;
        }
    }

    async fn confirm(&mut self, user: &str, order: &str, reference: &str) -> Answer {
        let body = json!({"paymentReference": reference});
        let mut ask = self.ask(What::Confirm, user, Method::POST, format!("/api/v1/orders/{order}/confirm"), order, Some(body));
        ask.reference = Some(reference.to_owned());
        self.once(ask).await
    }

    /// Asks for it under a key of its own; some click twice.
    async fn once(&mut self, mut ask: Ask) -> Answer {
        self.drawn += 1;
        ask.key = Some(format!("key-{}-{}", self.place, self.drawn));
        let answer = self.desk.insist(&mut self.rng, &ask).await;
        if !answer.is_open() && self.rng.u8(..10) == 0 {
            self.desk.insist(&mut self.rng, &ask).await;
        }
        answer
    }

    fn ask(&self, what: What, user: &str, method: Method, path: String, about: &str, body: Option<Value>) -> Ask {
        Ask { what, user: user.to_owned(), method, path, about: about.to_owned(), key: None, reference: None, body }
    }

    fn reference(&mut self, kind: &str) -> String {
        self.drawn += 1;
        format!("{kind}_{}_{}", self.place, self.drawn)
    }
}
