//! A seat map that stays alive: server-sent events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use bms_domain::Error;
use bms_domain::catalogue::Listing;
use bms_domain::id::ShowId;
use bms_domain::store::Changes;
use futures::{Stream, stream};
use serde::Serialize;

use crate::dto::{ChangeBody, EntryId, SnapshotBody};
use crate::extract::Id;
use crate::problem::Problem;
use crate::state::App;

/// How long to wait for a change before asking again, so that what has expired meanwhile is noticed.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// The seat map as it changes: a `snapshot`, then a `change` with every change. The id of an event is the version;
/// sent back as `Last-Event-ID` it resumes after that version, with a new `snapshot` where that is too long ago.
#[utoipa::path(get, path = "/api/v1/shows/{showId}/seatmap/events", operation_id = "watchSeatMap", tag = "seats",
    params(("showId" = EntryId, Path), ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was seen")),
    responses(
        (status = 200, content_type = "text/event-stream", body = String, description = "`snapshot` events with a SeatMapSnapshot and `change` events with a SeatMapChange as data"),
        (status = 404, description = "`not-found`"),
    ))]
pub(crate) async fn events(
    State(app): State<Arc<App>>,
    Id(show): Id<ShowId>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let seen = headers.get("last-event-id").and_then(|id| id.to_str().ok()).and_then(|id| id.parse().ok());
    let listing = app.service.listing(&show).await?;
    let mut watch = Watch { app, show, listing, version: seen, snapshot_before: false, ready: VecDeque::new() };
    if watch.version.is_none() {
        watch.take_snapshot().await?;
    }
    Ok(Sse::new(stream::unfold(watch, Watch::next)).keep_alive(KeepAlive::default()))
}

/// One page that looks on.
struct Watch {
    app: Arc<App>,
    show: ShowId,
    listing: Arc<Listing>,
    /// The last version that was sent; `None` before the first snapshot.
    version: Option<u64>,
    /// Whether the last thing that was sent is a snapshot.
    snapshot_before: bool,
    ready: VecDeque<Event>,
}

impl Watch {
    /// The next event; none once the program goes down, or the stores do not answer. Then the page comes back and says
    /// what it saw last.
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        let shutdown = self.app.edge.shutdown.clone();
        loop {
            if shutdown.has_begun() {
                return None;
            }
            if let Some(event) = self.ready.pop_front() {
                return Some((Ok(event), self));
            }
            let learned = tokio::select! {
                () = shutdown.begun() => return None,
                learned = self.learn() => learned,
            };
            if let Err(error) = learned {
                tracing::warn!(show = %self.show, %error, "a live seat map has ended");
                return None;
            }
        }
    }

    /// Waits for changes, and gets them ready to be sent.
    async fn learn(&mut self) -> Result<(), Error> {
        let Some(version) = self.version else { return self.take_snapshot().await };
        match tokio::time::timeout(ASK_AGAIN, self.app.service.seat_changes(&self.show, version)).await {
            Err(_) => Ok(()),
            Ok(Ok(Changes::Since(changes))) => {
                for change in &changes {
                    self.version = Some(change.version);
                    self.push("change", change.version, &ChangeBody::new(self.listing.layout(), change))?;
                }
                self.snapshot_before = false;
                Ok(())
            }
            Ok(Ok(Changes::Gap)) => {
                if self.snapshot_before {
                    // The store forgets faster than it is read. Do not ask it as fast as it forgets.
                    tokio::time::sleep(ASK_AGAIN).await;
                }
                self.take_snapshot().await
            }
            Ok(Err(error)) => Err(error),
        }
    }

    async fn take_snapshot(&mut self) -> Result<(), Error> {
        let map = self.app.service.seat_map_fresh(&self.show).await?;
        self.push("snapshot", map.version, &SnapshotBody::from(&*map))?;
        self.version = Some(map.version);
        self.snapshot_before = true;
        self.listing = map.listing.clone();
        Ok(())
    }

    fn push(&mut self, name: &str, version: u64, data: &impl Serialize) -> Result<(), Error> {
        let event = Event::default().event(name).id(version.to_string()).json_data(data);
        self.ready.push_back(event.map_err(|error| Error::Internal(error.to_string()))?);
        Ok(())
    }
}
