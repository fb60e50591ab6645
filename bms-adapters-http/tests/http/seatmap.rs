//! Seat maps that are asked for again.

use serde_json::json;

use crate::support::{Ask, catalogue, cinema};

const MAP: &str = "/api/v1/shows/tonight/seatmap";

#[tokio::test]
async fn a_map_that_is_known_is_not_sent_again_until_it_changes() {
    let cinema = cinema().await;
    let first = cinema.ask(Ask::get(MAP)).await;
    let tag = first.is(200).header("etag").unwrap().to_owned();
    assert!(tag.starts_with('"') && tag.ends_with('"'), "a strong tag: {tag}");

    for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
        let again = cinema.ask(Ask::get(MAP).header("if-none-match", known)).await;
        again.is(304);
        assert!(again.bytes.is_empty());
        assert_eq!(again.header("etag"), Some(tag.as_str()));
        assert_eq!(again.header("cache-control"), Some("no-cache"));
    }
    cinema.ask(Ask::get(MAP).header("if-none-match", "\"other\"")).await.is(200);
    // Without its layout it is another thing.
    let short = cinema.ask(Ask::get(format!("{MAP}?layout=false")).header("if-none-match", &*tag)).await;
    assert_ne!(short.is(200).header("etag"), Some(tag.as_str()));

    cinema.held("alice", &["A1"]).await;
    let changed = cinema.ask(Ask::get(MAP).header("if-none-match", &*tag)).await;
    assert_ne!(changed.is(200).header("etag"), Some(tag.as_str()));
}

#[tokio::test]
async fn a_tag_is_of_the_bytes_that_are_sent() {
    let cinema = cinema().await;
    let first = cinema.ask(Ask::get(MAP)).await;
    let tag = first.header("etag").unwrap().to_owned();
    // The same seats as before, but another version.
    let hold = cinema.held("alice", &["A1"]).await;
    cinema.ask(Ask::delete(format!("/api/v1/holds/{hold}")).by("alice")).await.is(200);
    let second = cinema.ask(Ask::get(MAP).header("if-none-match", &*tag)).await;
    assert_ne!(second.is(200).json()["version"], first.json()["version"]);
    let tag = second.header("etag").unwrap().to_owned();
    // The same version, but another seat that is not for sale.
    let mut show = catalogue()["shows"][0].clone();
    show["blockedSeats"] = json!(["A19", "A20"]);
    cinema.ask(Ask::put("/api/v1/admin/shows/tonight", show).by_admin()).await.is(200);
    let third = cinema.ask(Ask::get(MAP).header("if-none-match", &*tag)).await;
    assert_eq!(third.is(200).json()["version"], second.json()["version"]);
    assert_eq!(third.json()["unavailableSeatIds"], json!(["A19", "A20"]));
}

#[tokio::test]
async fn a_map_says_nothing_of_who_holds_a_seat() {
    let cinema = cinema().await;
    let hold = cinema.held("canary-user", &["A1"]).await;
    let map = cinema.ask(Ask::get(MAP)).await;
    let text = String::from_utf8(map.is(200).bytes.to_vec()).unwrap();
    assert!(!text.contains("canary-user") && !text.contains(&hold));
}
