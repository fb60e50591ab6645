//! The rules that a store must keep, races included. A backend's test file calls a line for each port:
//! [`hold_store`], [`order_store`], [`idempotency_store`], [`catalogue_store`].
//!
//! Each rule is a function of its own and names the promise it proves. A rule gets a store of its own, takes no real
//! time to see something expire, and fails with what was seen; a suite runs all of its rules, then names those that
//! failed. So that a store which loses a wake-up fails instead of hanging, a rule has [`PATIENCE`] to end.

mod catalogue;
mod hold_kit;
mod holds_change;
mod holds_place;
mod holds_prime;
mod holds_read;
mod holds_sell;
mod idempotency;
mod order_kit;
mod orders_create;
mod orders_end;
mod orders_race;
mod orders_read;
mod orders_settle;
mod outbox;

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use futures::FutureExt as _;
use futures::channel::oneshot;
use futures::future::{BoxFuture, Either, select};

use super::backend::race;
use super::{Backend, ManualClock, Runtime};
use crate::store::{CatalogueStore, HoldStore, IdempotencyStore, OrderStore, Outbox};
use crate::time::{Clock as _, Timestamp};

/// How long one rule may take for real before it counts as hung.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// An order store with its outbox.
pub trait Orders: OrderStore + Outbox {}

impl<S: OrderStore + Outbox> Orders for S {}

/// What a rule works with: a store that nothing was done to, its clock, and a way to race.
pub(crate) struct Case<S: ?Sized> {
    pub(crate) store: Arc<S>,
    pub(crate) clock: ManualClock,
    runtime: Arc<dyn Runtime>,
    _guard: Box<dyn Any + Send + Sync>,
}

impl<S: ?Sized> Case<S> {
    pub(crate) fn advance(&self, span: Duration) {
        self.clock.advance(span);
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) async fn race<T, Task>(&self, tasks: impl IntoIterator<Item = Task>) -> Vec<T>
    where
        T: Send + 'static,
        Task: Future<Output = T> + Send + 'static,
    {
        race(&*self.runtime, tasks).await
    }
}

/// A rule and its name.
type Rule<S> = (&'static str, fn(Case<S>) -> BoxFuture<'static, ()>);

/// Runs rules, and remembers which failed.
struct Report {
    suite: &'static str,
    failed: Vec<(&'static str, String)>,
}

impl Report {
    async fn run(&mut self, rule: &'static str, body: BoxFuture<'static, ()>) {
        let (ended, watch) = mpsc::channel::<()>();
        let (give_up, late) = oneshot::channel::<()>();
        thread::spawn(move || {
            if watch.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
                let _ = give_up.send(());
            }
        });
        let outcome = select(AssertUnwindSafe(body).catch_unwind(), late).await;
        drop(ended);
        match outcome {
            Either::Left((Ok(()), _)) => {}
            Either::Left((Err(panic), _)) => self.failed.push((rule, seen(&*panic))),
            Either::Right(_) => self.failed.push((rule, format!("did not end within {PATIENCE:?}"))),
        }
    }

    fn finish(self) {
        assert!(self.failed.is_empty(), "{self}");
    }
}

fn seen(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} breaks {} rules:", self.suite, self.failed.len())?;
        self.failed.iter().try_for_each(|(rule, seen)| write!(f, "\n- {}: {seen}", rule.rsplit("::").next().unwrap_or(rule)))
    }
}

macro_rules! suite {
    ($(#[$doc:meta])* $suite:ident, $title:literal, $port:path, [$($rule:path),* $(,)?]) => {
        $(#[$doc])*
        ///
        /// # Panics
        /// When a rule is broken: names all that are, with what was seen.
        pub async fn $suite<B: Backend>(backend: B)
        where
            B::Store: $port + Sized,
        {
            let mut report = Report { suite: $title, failed: Vec::new() };
            // One after another from a table: written out, all of them together would need more than a small stack.
            let rules: &[Rule<dyn $port>] = &[$((stringify!($rule), |case| Box::pin($rule(case)))),*];
            for (name, rule) in rules {
                let clock = ManualClock::new();
                let fresh = backend.fresh(clock.clone()).await;
                let case: Case<dyn $port> =
                    Case { store: fresh.store, clock, runtime: backend.runtime(), _guard: fresh.guard };
                report.run(name, rule(case)).await;
            }
            report.finish();
        }
    };
}

suite!(
    /// Every rule of a [`HoldStore`] (promises P2, P3, P5, P6, P9, P10).
    hold_store, "hold store", HoldStore, [
        holds_place::a_hold_takes_all_of_its_seats_or_none,
        holds_place::a_refusal_names_every_seat_in_the_way,
        holds_place::placing_ones_own_hold_again_gives_the_first_expiry,
        holds_place::an_ended_hold_placed_again_is_told_as_it_is,
        holds_place::the_id_of_another_hold_is_taken,
        holds_place::ones_own_seats_are_taken_too,
        holds_place::a_hold_has_no_more_seats_than_its_limit,
        holds_place::a_user_has_no_more_seats_of_a_show_than_the_limit,
        holds_place::seats_given_back_count_no_more,
        holds_place::sold_seats_count_until_they_are_freed,
        holds_place::a_seat_counts_once_when_it_is_sold,
        holds_place::one_winner_when_many_want_the_same_seats,
        holds_place::overlapping_wishes_never_share_a_seat,
        holds_place::a_users_limit_holds_in_a_race,
        holds_place::one_hold_when_a_request_is_sent_many_times,
        holds_place::users_are_told_apart_whatever_their_ids_hold,
        holds_place::shows_of_one_shard_do_not_mix,
        holds_place::the_last_seat_of_a_big_hall_is_like_any_other,
        holds_change::only_the_owner_and_an_administrator_release,
        holds_change::releasing_twice_is_releasing_once,
        holds_change::a_hold_ends_exactly_at_its_deadline,
        holds_change::an_expired_hold_is_not_released,
        holds_change::a_linked_hold_is_not_released,
        holds_change::checkout_links_and_prolongs,
        holds_change::checkout_never_shortens,
        holds_change::the_first_order_stays_linked,
        holds_change::only_the_owner_and_an_administrator_begin_checkout,
        holds_change::no_hold_outlives_its_longest_life,
        holds_change::an_ended_hold_is_refused_checkout,
        holds_change::a_prolonged_hold_ends_exactly_at_its_deadline,
        holds_change::ending_a_checkout_falls_back_to_the_holds_own_end,
        holds_change::ending_a_checkout_after_the_holds_own_end_frees_its_seats,
        holds_change::another_orders_end_does_not_unlink,
        holds_change::a_hold_in_conflict_is_given_back,
        holds_change::a_hold_that_others_order_is_not_given_back,
        holds_change::an_unknown_hold_is_not_found,
        holds_change::holds_of_two_shows_of_one_shard_are_told_apart,
        holds_change::release_and_checkout_never_both_win,
        holds_sell::old_news_of_a_sale_changes_nothing,
        holds_sell::a_seat_that_was_sold_again_is_not_freed,
        holds_sell::selling_consumes_the_hold,
        holds_sell::selling_twice_is_selling_once,
        holds_sell::selling_cuts_other_holds_short,
        holds_sell::an_ended_hold_is_consumed_by_a_late_payment,
        holds_sell::a_consumed_hold_refuses,
        holds_sell::a_show_that_is_not_primed_is_sold_all_the_same,
        holds_sell::only_the_owners_seats_are_freed,
        holds_sell::freeing_twice_is_freeing_once,
        holds_prime::nothing_is_granted_before_the_first_restore,
        holds_prime::a_restore_marks_sold_what_is_sold,
        holds_prime::a_restore_consumes_the_holds_of_what_is_sold,
        holds_prime::a_restore_brings_pending_holds_back,
        holds_prime::a_restored_hold_is_its_owners_to_use,
        holds_prime::a_pending_order_wins_over_a_hold_without_one,
        holds_prime::a_restore_ends_no_hold_that_has_an_order,
        holds_prime::restoring_twice_is_restoring_once,
        holds_prime::a_restore_read_before_a_free_is_stale,
        holds_prime::a_first_restore_read_before_a_free_is_stale,
        holds_prime::a_stray_sold_seat_is_freed_when_nothing_changed,
        holds_prime::a_stray_sold_seat_stays_when_something_changed,
        holds_prime::a_restore_read_before_a_seat_was_sold_again_is_stale,
        holds_prime::a_restore_read_before_an_order_ended_does_not_link_it_again,
        holds_prime::a_restore_read_before_an_order_expired_takes_nothing_from_anybody,
        holds_prime::another_plan_has_all_that_was_told,
        holds_prime::another_plan_starts_anew,
        holds_prime::another_plan_than_the_primed_one_is_not_primed,
        holds_prime::many_may_restore_at_once,
        holds_read::many_holds_come_in_the_order_asked,
        holds_read::ended_holds_are_told,
        holds_read::the_version_grows_with_every_change,
        holds_read::counts_agree_with_the_occupancy,
        holds_read::changes_replay_to_the_occupancy,
        holds_read::changes_wait_until_there_is_one,
        holds_read::changes_show_what_expired_at_the_next_call,
        holds_read::an_unknown_version_is_a_gap,
        holds_read::a_version_long_past_is_a_gap_or_complete,
        holds_read::a_change_becomes_known_or_nothing_is_said,
        holds_read::no_version_is_known_that_has_not_been,
        holds_read::a_sweep_retires_what_expired_and_no_more,
        holds_read::the_store_answers,
    ]
);

suite!(
    /// Every rule of an [`OrderStore`] and its [`Outbox`] (promises P1, P3, P4, P5, P6, P7, P9).
    order_store, "order store", Orders, [
        orders_create::an_order_is_kept_as_it_was_made,
        orders_create::a_refusal_names_every_seat_in_the_way,
        orders_create::the_same_order_again_is_the_same_order,
        orders_create::an_ended_order_of_the_same_id_comes_back_as_it_is,
        orders_create::a_hold_has_one_open_order,
        orders_create::a_hold_may_be_ordered_again_after_a_failure,
        orders_create::claims_are_taken_over_exactly_at_their_end,
        orders_create::a_takeover_is_all_or_nothing,
        orders_create::sold_seats_are_never_taken_over,
        orders_create::shows_do_not_share_claims,
        orders_create::the_first_order_decides_the_plan,
        orders_create::a_pinned_plan_refuses_another,
        orders_settle::a_payment_confirms_an_order,
        orders_settle::every_state_and_report_goes_by_the_table,
        orders_settle::a_repeated_notice_changes_nothing,
        orders_settle::a_notice_of_a_known_id_is_not_read_again,
        orders_settle::a_repeated_payment_changes_nothing,
        orders_settle::a_wrong_amount_is_given_back,
        orders_settle::a_payment_of_no_order_is_given_back,
        orders_settle::a_failed_attempt_beside_an_open_one_does_not_end_the_order,
        orders_settle::a_failed_attempt_then_a_good_one_confirms,
        orders_settle::a_late_payment_wins_free_seats,
        orders_settle::a_late_payment_does_not_win_anothers_seats,
        orders_settle::a_late_payment_takes_over_expired_claims_only,
        orders_settle::a_second_payment_is_given_back,
        orders_settle::a_ticket_code_is_given_once,
        orders_settle::a_payment_counts_for_one_order,
        orders_end::shows_sold_lately_are_named,
        orders_end::only_the_owner_and_an_administrator_give_up,
        orders_end::giving_up_frees_the_seats_and_is_done_once,
        orders_end::an_order_that_is_over_is_not_given_up,
        orders_end::cancelling_frees_the_seats_and_gives_the_money_back,
        orders_end::only_a_confirmed_order_is_cancelled,
        orders_end::an_order_expires_exactly_at_its_end,
        orders_end::orders_expire_oldest_end_first,
        orders_end::an_order_expires_for_one_caller,
        orders_end::a_payment_in_flight_is_asked_after_before_its_order_expires,
        orders_end::the_provider_is_waited_for_so_long_at_most,
        orders_end::attempts_under_way_are_given_out_after_the_orders_end,
        orders_end::every_attempt_has_its_turn,
        orders_read::a_users_orders_come_newest_first,
        orders_read::users_are_told_apart_whatever_their_ids_hold,
        orders_read::a_ticket_code_finds_its_order,
        orders_read::a_hold_finds_its_open_order_else_its_newest,
        orders_read::sold_and_claims_tell_who_owns_what,
        orders_read::refunds_come_by_order,
        orders_settle::money_that_came_before_its_order_is_given_back_only,
        orders_read::the_store_answers,
        orders_race::two_hundred_want_one_seat,
        orders_race::overlapping_orders_never_share_a_seat,
        orders_race::one_order_when_a_request_is_sent_many_times,
        orders_race::one_ticket_when_a_payment_is_told_many_times,
        orders_race::one_payment_counts_when_many_come,
        orders_race::a_payment_counts_for_one_order_of_many_shows,
        orders_race::a_late_payment_and_a_new_order_never_both_win,
        orders_race::giving_up_and_paying_never_both_win,
        orders_race::a_code_is_given_once_in_a_race,
        outbox::every_change_writes_one_event,
        outbox::a_refusal_writes_no_event,
        outbox::events_of_an_order_come_in_order,
        outbox::a_leased_event_is_one_callers_alone,
        outbox::events_stay_in_order_in_a_race,
        outbox::an_event_comes_again_until_it_was_published,
        outbox::a_later_event_waits_for_the_earlier_one,
        outbox::a_postponed_event_comes_again_at_its_time,
        outbox::events_behind_a_postponed_one_wait,
        outbox::events_behind_a_dead_letter_wait_for_good,
        outbox::dead_letters_come_by_key,
        outbox::dead_letters_are_put_back,
        outbox::an_orders_events_are_put_back,
        outbox::events_since_an_instant_are_put_back,
        outbox::only_old_published_events_are_forgotten,
    ]
);

suite!(
    /// Every rule of an [`IdempotencyStore`] (promise P6).
    idempotency_store, "idempotency store", IdempotencyStore, [
        idempotency::one_of_many_runs,
        idempotency::a_request_is_run_again_when_its_lease_is_over,
        idempotency::the_first_answer_is_kept,
        idempotency::an_answer_keeps_its_bytes,
        idempotency::a_key_is_for_one_request,
        idempotency::an_abandoned_request_keeps_its_seed,
        idempotency::an_abandoned_answer_stays,
        idempotency::an_answer_is_forgotten_exactly_when_its_time_is_over,
        idempotency::the_key_of_another_user_is_another_key,
        idempotency::a_sweep_forgets_what_is_over_and_no_more,
        idempotency::the_store_answers,
    ]
);

suite!(
    /// Every rule of a [`CatalogueStore`].
    catalogue_store, "catalogue store", CatalogueStore, [
        catalogue::what_was_written_is_read,
        catalogue::an_entry_is_replaced,
        catalogue::a_layout_never_changes,
        catalogue::a_broken_write_changes_nothing,
        catalogue::a_replaced_theatre_shows_in_its_listings,
        catalogue::movies_come_by_id_in_parts,
        catalogue::movies_of_a_city_are_those_with_a_show_there,
        catalogue::shows_come_by_start_within_a_time,
        catalogue::the_store_answers,
    ]
);
