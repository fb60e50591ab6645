//! Seat maps as they are sent. A map that the service keeps is written out once, not for every request.

use std::fmt::Write as _;
use std::sync::{Arc, Weak};

use axum::body::Bytes;
use axum::http::HeaderValue;
use bms_domain::id::ShowId;
use bms_domain::service::SeatMap;
use moka::sync::Cache;
use sha2::{Digest as _, Sha256};

use crate::dto::SeatMapBody;

/// How many bytes are kept: the map of a 20,000-seat arena with its plan has about 2 million.
const BYTES_KEPT: u64 = 64 * 1024 * 1024;

/// A map written out.
#[derive(Clone)]
pub(crate) struct Sheet {
    of: Weak<SeatMap>,
    pub(crate) tag: HeaderValue,
    pub(crate) json: Bytes,
}

/// The last sheets, for each show one with its plan and one without.
pub(crate) struct Sheets(Cache<(ShowId, bool), Sheet>);

impl Sheets {
    pub(crate) fn new() -> Self {
        let weigh = |_: &(ShowId, bool), sheet: &Sheet| u32::try_from(sheet.json.len()).unwrap_or(u32::MAX);
        Self(Cache::builder().max_capacity(BYTES_KEPT).weigher(weigh).build())
    }

    /// The sheet of exactly this map, if it is there.
    pub(crate) fn find(&self, map: &Arc<SeatMap>, with_layout: bool) -> Option<Sheet> {
        // The weak pointer keeps the address from being given to another map.
        self.0.get(&key(map, with_layout)).filter(|sheet| std::ptr::eq(sheet.of.as_ptr(), Arc::as_ptr(map)))
    }

    pub(crate) fn write(&self, map: &Arc<SeatMap>, with_layout: bool, tag: HeaderValue) -> Result<Sheet, serde_json::Error> {
        let json = serde_json::to_vec(&SeatMapBody::new(map, with_layout))?;
        let sheet = Sheet { of: Arc::downgrade(map), tag, json: json.into() };
        self.0.insert(key(map, with_layout), sheet.clone());
        Ok(sheet)
    }
}

fn key(map: &SeatMap, with_layout: bool) -> (ShowId, bool) {
    (map.listing.show().show_id, with_layout)
}

/// A strong tag: the same for the same bytes alone. The version does not cover what the durable store adds to a map.
pub(crate) fn entity_tag(map: &SeatMap, with_layout: bool) -> String {
    let mut digest = Sha256::new();
    digest.update([u8::from(with_layout)]);
    digest.update(map.version.to_be_bytes());
    for name in [map.listing.show().show_id.as_str(), map.listing.layout().id().as_str()] {
        digest.update((name.len() as u64).to_be_bytes());
        digest.update(name);
    }
    for bits in [&map.unavailable, &map.held] {
        digest.update((bits.words().len() as u64).to_be_bytes());
        for word in bits.words() {
            digest.update(word.to_be_bytes());
        }
    }
    let mut tag = String::with_capacity(34);
    tag.push('"');
    for byte in digest.finalize().iter().take(16) {
        let _ = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    tag
}

#[cfg(test)]
mod tests {
    use bms_domain::BookingService;
    use bms_domain::catalogue::CatalogueDocument;
    use bms_domain::id::{Caller, UserId};
    use serde_json::json;

    use super::*;

    async fn a_map() -> Arc<SeatMap> {
        let service = BookingService::in_memory().build().unwrap();
        let seat = json!({"seatId": "A1", "category": "c", "x": 0, "y": 0});
        let layout = json!({"layoutId": "l", "name": "L", "categories": [{"category": "c", "name": "C"}],
            "sections": [{"sectionId": "s", "name": "S", "rows": [{"rowId": "A", "seats": [seat]}]}]});
        let document = json!({
            "movies": [{"movieId": "m", "title": "M", "durationMinutes": 90, "language": "en", "genres": [], "certificate": "PG"}],
            "theatres": [{"theatreId": "t", "name": "T", "city": "Madrid", "timeZone": "Europe/Madrid",
                "screens": [{"screen": "one", "name": "One", "layout": layout}]}],
            "shows": [{"showId": "gala", "movieId": "m", "theatreId": "t", "screen": "one", "startTime": "2099-01-01T20:00:00Z",
                "prices": [{"category": "c", "amount": 1_250, "currency": "EUR"}]}],
        });
        let document = CatalogueDocument::parse(document.to_string()).unwrap();
        service.import(&Caller::admin(UserId::parse("root").unwrap()), &document).await.unwrap();
        service.seat_map(&ShowId::parse("gala").unwrap()).await.unwrap()
    }

    #[tokio::test]
    async fn a_sheet_is_of_one_map_alone() {
        let (sheets, map) = (Sheets::new(), a_map().await);
        let tag = HeaderValue::try_from(entity_tag(&map, true)).unwrap();
        assert!(sheets.find(&map, true).is_none());
        let written = sheets.write(&map, true, tag.clone()).unwrap();
        let found = sheets.find(&map, true).unwrap();
        assert_eq!((found.json.as_ptr(), &found.tag), (written.json.as_ptr(), &tag), "the same bytes, not a copy");
        assert!(sheets.find(&map, false).is_none(), "without its plan it is another thing");
        // A map that shows the same, at another address.
        let twin = Arc::new(SeatMap::clone(&map));
        assert!(sheets.find(&twin, true).is_none());
    }
}
