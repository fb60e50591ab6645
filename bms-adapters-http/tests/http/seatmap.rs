//! Seat maps that are asked for again.

use crate::support::{Ask, cinema};

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
async fn a_map_says_nothing_of_who_holds_a_seat() {
    let cinema = cinema().await;
    let hold = cinema.held("canary-user", &["A1"]).await;
    let map = cinema.ask(Ask::get(MAP)).await;
    let text = String::from_utf8(map.is(200).bytes.to_vec()).unwrap();
    assert!(!text.contains("canary-user") && !text.contains(&hold));
}
