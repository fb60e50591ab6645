use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::catalogue::{CatalogueDocument, DocumentError, Existing, SeatPlan, ShowStatus};
use crate::id::{LayoutId, MovieId};
use crate::store::CatalogueWrite;
use crate::time::Timestamp;

fn plan(id: &str, seats: u32) -> Value {
    json!({"layoutId": id, "name": "Hall", "categories": [{"category": "stalls", "name": "Stalls"}], "sections": [
        {"sectionId": "s", "name": "S", "rows": [
            {"rowId": "A", "numbers": format!("1-{seats}"), "category": "stalls", "line": {"x": 0, "y": 0}}]}]})
}

fn document() -> Value {
    json!({
        "movies": [{"movieId": "film", "title": "Film", "durationMinutes": 90, "language": "en"}],
        "theatres": [{"theatreId": "club", "name": "Club", "city": "London", "timeZone": "Europe/London",
                      "screens": [{"screen": "1", "name": "One", "layout": plan("club-v1", 4)}]}],
        "shows": [{"showId": "club-1", "movieId": "film", "theatreId": "club", "screen": "1",
                   "startTime": "2030-06-01T20:00:00+01:00", "prices": [{"category": "stalls", "amount": 900, "currency": "GBP"}]}],
        "schedules": [{"idPrefix": "daily", "movieId": "film", "theatreId": "club", "screen": "1", "days": "0-1", "times": ["18:00"],
                       "prices": [{"category": "stalls", "amount": 900, "currency": "GBP"}]}],
    })
}

fn expand_with(document: &Value, existing: &Existing) -> Result<CatalogueWrite, DocumentError> {
    let document = CatalogueDocument::parse(document.to_string()).unwrap();
    document.expand(Timestamp::parse("2030-06-01T08:00:00Z").unwrap(), existing)
}

fn expand(document: &Value) -> Result<CatalogueWrite, DocumentError> {
    expand_with(document, &Existing::default())
}

/// Where the faults are, after a change of the good document.
fn faults(change: impl FnOnce(&mut Value)) -> Vec<String> {
    let mut document = document();
    change(&mut document);
    let error = expand(&document).err().map(|error| error.violations().to_vec());
    error.unwrap_or_default().into_iter().map(|violation| violation.pointer).collect()
}

fn existing() -> Existing {
    let write = expand(&document()).unwrap();
    Existing {
        movies: write.movies.iter().map(|movie| movie.movie_id).collect(),
        theatres: write.theatres.into_iter().map(|theatre| (theatre.theatre_id, Arc::new(theatre))).collect(),
        layouts: write.layouts.into_iter().map(|layout| (layout.id(), layout)).collect(),
    }
}

#[test]
fn a_document_becomes_entries_that_fit_each_other() {
    let write = expand(&document()).unwrap();
    assert_eq!((write.movies.len(), write.layouts.len(), write.theatres.len(), write.shows.len()), (1, 1, 1, 3));
    let show = &write.shows[0];
    assert_eq!(show.start_time.to_string(), "2030-06-01T19:00:00.000Z");
    assert_eq!((show.status, show.layout_id, show.blocked_seats.len()), (ShowStatus::OnSale, write.layouts[0].id(), 0));
    assert_eq!(write.shows[2].show_id.as_str(), "daily-20300602-1800");
    assert_eq!(write.shows[2].start_time.to_string(), "2030-06-02T17:00:00.000Z");
}

#[test]
fn every_list_may_be_left_out_and_unknown_fields_may_not_be_there() {
    assert_eq!(expand(&json!({})), Ok(CatalogueWrite::default()));
    for path in
        ["", "/movies/0", "/theatres/0", "/theatres/0/screens/0", "/theatres/0/screens/0/layout", "/shows/0", "/schedules/0"]
    {
        let mut document = document();
        document.pointer_mut(path).unwrap()["colour"] = json!("red");
        assert!(CatalogueDocument::parse(document.to_string()).is_err(), "{path}");
    }
    let error = CatalogueDocument::parse("{\n  \"movies\": 1}").unwrap_err();
    assert_eq!(error.pointer(), "");
    assert!(error.detail().contains("line 2"), "{error}");
}

#[test]
fn a_document_survives_its_text() {
    let first = CatalogueDocument::parse(document().to_string()).unwrap();
    assert_eq!(CatalogueDocument::parse(serde_json::to_vec(&first).unwrap()).unwrap(), first);
    let mut reference = document();
    reference["theatres"][0]["screens"][0]["layout"] = json!({"layoutId": "club-v1"});
    let first = CatalogueDocument::parse(reference.to_string()).unwrap();
    assert_eq!(CatalogueDocument::parse(serde_json::to_vec(&first).unwrap()).unwrap(), first);
}

#[test]
fn a_fault_is_named_by_its_pointer_and_its_id() {
    let mut document = document();
    document["shows"][0]["prices"] = json!([]);
    let error = expand(&document).unwrap_err();
    assert_eq!(error.pointer(), "/shows/0");
    assert!(error.detail().contains("show club-1") && error.detail().contains("category stalls"), "{error}");
    let faulty_row = faults(|d| d["theatres"][0]["screens"][0]["layout"]["sections"][0]["rows"][0]["numbers"] = json!("1-x"));
    assert_eq!(faulty_row, ["/theatres/0/screens/0/layout"], "the shows of a refused plan are not blamed");
}

#[test]
fn every_kind_of_fault_is_found() {
    let doubled = |list: &'static str| {
        move |d: &mut Value| {
            let first = d[list][0].clone();
            d[list].as_array_mut().unwrap().push(first);
        }
    };
    assert_eq!(faults(|_| {}), [""; 0]);
    assert_eq!(faults(|d| d["movies"][0]["title"] = json!("")), ["/movies/0/title"]);
    assert_eq!(faults(|d| d["theatres"][0]["city"] = json!("")), ["/theatres/0/city"]);
    assert_eq!(faults(|d| d["shows"][0]["salesOpenAt"] = json!("2031-01-01T00:00:00Z")), ["/shows/0/salesOpenAt"]);
    assert_eq!(faults(|d| d["shows"][0]["movieId"] = json!("moon")), ["/shows/0/movieId"]);
    assert_eq!(faults(|d| d["shows"][0]["theatreId"] = json!("moon")), ["/shows/0/theatreId"]);
    assert_eq!(faults(|d| d["shows"][0]["screen"] = json!("9")), ["/shows/0/screen"]);
    assert_eq!(faults(|d| d["shows"][0]["layoutId"] = json!("moon")), ["/shows/0/layoutId"]);
    assert_eq!(faults(|d| d["shows"][0]["blockedSeats"] = json!(["A5"])), ["/shows/0"]);
    assert_eq!(faults(|d| d["shows"][0]["prices"][0]["amount"] = json!(-1)), ["/shows/0"]);
    assert_eq!(faults(|d| d["schedules"][0]["movieId"] = json!("moon"))[..1], ["/schedules/0/movieId"]);
    assert_eq!(faults(|d| d["schedules"][0]["days"] = json!("x")), ["/schedules/0/days"]);
    assert_eq!(faults(|d| d["schedules"][0]["times"] = json!(["18:00", "25:00"])), ["/schedules/0/times/1"]);
    assert_eq!(faults(|d| d["schedules"][0]["prices"] = json!([])), ["/schedules/0"], "said once, not for each day");
    assert_eq!(faults(doubled("movies")), ["/movies/1/movieId"]);
    assert_eq!(faults(doubled("theatres")), ["/theatres/1/theatreId"]);
    assert_eq!(faults(doubled("shows")), ["/shows/1"]);
    assert_eq!(faults(doubled("schedules")), ["/schedules/1"]);
    let missing = faults(|d| d["theatres"][0]["screens"][0]["layout"] = json!({"layoutId": "moon"}));
    assert_eq!(missing, ["/theatres/0/screens/0/layout/layoutId"]);
}

#[test]
fn all_faults_are_reported_together_up_to_a_bound() {
    let several = faults(|d| {
        d["movies"][0]["title"] = json!("");
        d["theatres"][0]["name"] = json!("");
        d["shows"][0]["prices"] = json!([]);
    });
    assert_eq!(several, ["/movies/0/title", "/theatres/0/name", "/shows/0"]);
    let many = faults(|d| {
        d["movies"] = json!(vec![json!({"movieId": "film", "title": "", "durationMinutes": 1, "language": "en"}); 1_000])
    });
    assert_eq!(many.len(), DocumentError::MAX_VIOLATIONS);
}

#[test]
fn two_screens_may_share_a_plan_but_not_an_id() {
    let second = |layout: Value| {
        move |d: &mut Value| {
            let screen = json!({"screen": "2", "name": "Two", "layout": layout});
            d["theatres"][0]["screens"].as_array_mut().unwrap().insert(0, screen);
        }
    };
    assert_eq!(faults(second(plan("club-v1", 4))), [""; 0]);
    assert_eq!(faults(second(json!({"layoutId": "club-v1"}))), [""; 0], "a reference may stand before its plan");
    assert_eq!(faults(second(plan("club-v1", 5))), ["/theatres/0/screens/1/layout"]);
    let mut document = document();
    second(plan("club-v1", 4))(&mut document);
    assert_eq!(expand(&document).unwrap().layouts.len(), 1);
    assert!(CatalogueDocument::parse(document.to_string().replace("\"sections\"", "\"parts\"")).is_err());
    document["theatres"][0]["screens"][0]["layout"] = json!({"layoutId": "l", "name": "Half a plan"});
    assert!(CatalogueDocument::parse(document.to_string()).is_err());
}

#[test]
fn what_exists_already_may_be_referred_to() {
    let mut later = document();
    later["movies"] = json!([]);
    later["theatres"] = json!([]);
    let document = CatalogueDocument::parse(later.to_string()).unwrap();
    let wanted = document.references();
    assert_eq!(wanted.movies.iter().map(MovieId::as_str).collect::<Vec<_>>(), ["film"]);
    assert_eq!(wanted.theatres.len(), 1);
    assert!(expand(&later).is_err());
    let write = expand_with(&later, &existing()).unwrap();
    assert_eq!((write.movies.len(), write.layouts.len(), write.theatres.len(), write.shows.len()), (0, 0, 0, 3));
}

#[test]
fn references_are_what_the_document_does_not_bring_and_all_layouts() {
    let mut value = document();
    value["shows"][0]["layoutId"] = json!("other");
    let wanted = CatalogueDocument::parse(value.to_string()).unwrap().references();
    assert!(wanted.movies.is_empty() && wanted.theatres.is_empty());
    assert_eq!(wanted.layouts.iter().map(LayoutId::as_str).collect::<Vec<_>>(), ["club-v1", "other"]);
}

#[test]
fn a_layout_that_exists_is_not_written_again_and_never_changed() {
    let again = expand_with(&document(), &existing()).unwrap();
    assert_eq!((again.layouts.len(), again.theatres.len(), again.shows.len()), (0, 1, 3));
    let mut changed = document();
    changed["theatres"][0]["screens"][0]["layout"] = plan("club-v1", 5);
    let error = expand_with(&changed, &existing()).unwrap_err();
    assert_eq!((error.pointer(), error.violations().len()), ("/theatres/0/screens/0/layout", 1));
}

#[test]
fn a_small_document_cannot_ask_for_much_work() {
    let many_plans = faults(|d| {
        let screens = (0..100).map(|i| json!({"screen": i.to_string(), "name": "S", "layout": plan(&format!("l{i}"), 200_000)}));
        d["theatres"][0]["screens"] = screens.collect();
    });
    assert_eq!(many_plans, ["/theatres/0/screens/2/layout"]);
    let many_shows = faults(|d| {
        let times: Vec<_> = (0..48).map(|half| format!("{:02}:{:02}", half / 2, half % 2 * 30)).collect();
        let schedule = |i: usize| {
            let mut schedule = d["schedules"][0].clone();
            (schedule["idPrefix"], schedule["days"], schedule["times"]) = (json!(format!("p{i}")), json!("1-366"), json!(times));
            schedule
        };
        d["schedules"] = (0..50).map(schedule).collect();
    });
    assert_eq!(many_shows, ["/schedules/1"]);
}

#[test]
fn the_plan_inside_a_screen_is_the_plan_itself() {
    let plan: SeatPlan = serde_json::from_value(plan("club-v1", 4)).unwrap();
    let write = expand(&document()).unwrap();
    assert_eq!(*write.layouts[0], plan.expand().unwrap());
    let ids: HashSet<_> = write.shows.iter().map(|show| show.show_id).collect();
    assert_eq!(ids.len(), write.shows.len());
    let layouts: HashMap<_, _> = write.layouts.iter().map(|layout| (layout.id(), layout)).collect();
    assert!(write.shows.iter().all(|show| layouts.contains_key(&show.layout_id)));
}
