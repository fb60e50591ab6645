//! Counts and latencies, as Prometheus text. Each router has a recorder of its own: two routers in one process do not
//! clash, and the host's global recorder is left alone.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::http::{Method, StatusCode, header};
use axum::response::IntoResponse;
use bms_domain::service::SeatMapReads;
use metrics::{counter, describe_counter, describe_histogram, histogram, with_local_recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::problem::Code;

/// Upper bounds of the latency histogram, in seconds.
const BUCKETS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];
/// After how many requests latencies are added up, should nobody fetch the metrics.
const UPKEEP_EVERY: u32 = 4_096;

const REQUESTS: &str = "bms_http_requests_total";
const LATENCY: &str = "bms_http_request_duration_seconds";
const HOLDS_PLACED: &str = "bms_holds_placed_total";
const HOLDS_REFUSED: &str = "bms_holds_refused_total";
const ORDERS: &str = "bms_orders_created_total";
const CONFIRMATIONS: &str = "bms_orders_confirmed_total";
const REFUNDS: &str = "bms_refunds_due_total";
const SEAT_MAPS: &str = "bms_seat_map_reads_total";

pub(crate) struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    requests: AtomicU32,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let builder = PrometheusBuilder::new();
        // Refused for an empty list alone, which this is not; then latencies are a summary instead.
        let builder = builder.set_buckets(&BUCKETS).unwrap_or_default();
        let recorder = builder.build_recorder();
        with_local_recorder(&recorder, || {
            describe_counter!(REQUESTS, "Answers, by route, method and status.");
            describe_histogram!(LATENCY, "Time to the head of the answer in seconds, by route, method and status.");
            describe_counter!(HOLDS_PLACED, "Answers with a hold that was placed.");
            describe_counter!(HOLDS_REFUSED, "Holds that were not placed, by problem code.");
            describe_counter!(ORDERS, "Orders that were made.");
            describe_counter!(CONFIRMATIONS, "Answers with an order that is confirmed, and notices that confirmed one.");
            describe_counter!(
                REFUNDS,
                "Answers to cancellations, and notices of payments, after which money is to be given back."
            );
            describe_counter!(
                SEAT_MAPS,
                "Seat maps, by source: kept or shared with others (cache), or read from the stores, failed readings too (stores)."
            );
        });
        Self { handle: recorder.handle(), recorder, requests: AtomicU32::new(1) }
    }

    /// The answer to `/metrics`. Seat maps are counted by the service, where there is one, which also reads them for others
    /// than this router.
    pub(crate) fn page(&self, maps: Option<SeatMapReads>) -> impl IntoResponse + use<> {
        if let Some(maps) = maps {
            with_local_recorder(&self.recorder, || {
                counter!(SEAT_MAPS, "source" => "cache").absolute(maps.from_cache);
                counter!(SEAT_MAPS, "source" => "stores").absolute(maps.from_stores);
            });
        }
        self.handle.run_upkeep();
        ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], self.handle.render())
    }

    pub(crate) fn request(&self, method: &Method, route: &str, status: StatusCode, latency: Duration) {
        let labels = [("route", route.to_owned()), ("method", known(method).to_owned()), ("status", status.as_u16().to_string())];
        with_local_recorder(&self.recorder, || {
            counter!(REQUESTS, &labels).increment(1);
            histogram!(LATENCY, &labels).record(latency);
        });
        if self.requests.fetch_add(1, Ordering::Relaxed).is_multiple_of(UPKEEP_EVERY) {
            self.handle.run_upkeep();
        }
    }

    pub(crate) fn hold_placed(&self) {
        with_local_recorder(&self.recorder, || counter!(HOLDS_PLACED).increment(1));
    }

    pub(crate) fn hold_refused(&self, code: Code) {
        with_local_recorder(&self.recorder, || counter!(HOLDS_REFUSED, "code" => code.name()).increment(1));
    }

    pub(crate) fn order_created(&self) {
        with_local_recorder(&self.recorder, || counter!(ORDERS).increment(1));
    }

    pub(crate) fn order_confirmed(&self) {
        with_local_recorder(&self.recorder, || counter!(CONFIRMATIONS).increment(1));
    }

    pub(crate) fn refund_due(&self) {
        with_local_recorder(&self.recorder, || counter!(REFUNDS).increment(1));
    }
}

/// A client can invent methods; a label must not take them all.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}
