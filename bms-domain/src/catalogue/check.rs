//! The rules for what people write into the catalogue, in one place, for a document and for the admin routes alike.

use std::collections::HashSet;
use std::fmt;
use std::ops::RangeInclusive;

use super::{Movie, Show, Theatre};
use crate::error::Violation;

/// The lengths that texts may have, in characters, and other bounds.
const TITLE: RangeInclusive<usize> = 1..=200;
const SYNOPSIS: RangeInclusive<usize> = 0..=4_000;
const LANGUAGE: RangeInclusive<usize> = 1..=35;
const CERTIFICATE: RangeInclusive<usize> = 0..=20;
const GENRE: RangeInclusive<usize> = 1..=40;
const NAME: RangeInclusive<usize> = 1..=200;
const MAX_GENRES: usize = 10;
const MAX_SCREENS: usize = 200;
const MAX_PRICES: usize = 200;
const DURATION_MINUTES: RangeInclusive<u32> = 1..=1_440;
const MAX_POSTER_URL_BYTES: usize = 2_048;

impl Movie {
    /// Checks what people wrote: title 1–200 characters, synopsis at most 4,000, language 1–35, certificate at most 20,
    /// at most 10 genres of 1–40, 1–1,440 minutes, the poster an `http` or `https` address of at most 2,048 bytes, and no
    /// control characters anywhere.
    ///
    /// # Errors
    /// Everything that breaks a rule, by its JSON pointer in the movie.
    pub fn check(&self) -> Result<(), Vec<Violation>> {
        let mut found = Findings::default();
        found.text("/title", &self.title, TITLE);
        found.text("/synopsis", &self.synopsis, SYNOPSIS);
        found.text("/certificate", &self.certificate, CERTIFICATE);
        found.text("/language", &self.language, LANGUAGE);
        if !self.language.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            found.add("/language", "a language tag has letters, digits and hyphens only, such as en or pt-BR");
        }
        if !DURATION_MINUTES.contains(&self.duration_minutes) {
            found.add("/durationMinutes", format_args!("must be {} to {}", DURATION_MINUTES.start(), DURATION_MINUTES.end()));
        }
        found.at_most("/genres", self.genres.len(), MAX_GENRES);
        for (position, genre) in self.genres.iter().take(MAX_GENRES).enumerate() {
            found.text(&format!("/genres/{position}"), genre, GENRE);
        }
        if let Some(url) = &self.poster_url
            && !is_web_address(url)
        {
            found.add("/posterUrl", format_args!("must be an http or https address of at most {MAX_POSTER_URL_BYTES} bytes"));
        }
        found.into_result()
    }
}

impl Theatre {
    /// Checks what people wrote: names and the city 1–200 characters without control characters, 1–200 screens, no two
    /// of one id.
    ///
    /// # Errors
    /// Everything that breaks a rule, by its JSON pointer in the theatre.
    pub fn check(&self) -> Result<(), Vec<Violation>> {
        let mut found = Findings::default();
        found.text("/name", &self.name, NAME);
        found.text("/city", &self.city, NAME);
        if self.screens.is_empty() {
            found.add("/screens", "a theatre has at least one screen");
        }
        found.at_most("/screens", self.screens.len(), MAX_SCREENS);
        let mut ids = HashSet::new();
        for (position, screen) in self.screens.iter().take(MAX_SCREENS).enumerate() {
            found.text(&format!("/screens/{position}/name"), &screen.name, NAME);
            if !ids.insert(screen.screen) {
                found.add(&format!("/screens/{position}/screen"), format_args!("screen {} is there twice", screen.screen));
            }
        }
        found.into_result()
    }
}

impl Show {
    /// Checks the show by itself: sales open before it starts, at most 200 prices. Whether it fits its theatre and its
    /// layout is for [`Listing::new`](super::Listing::new).
    ///
    /// # Errors
    /// Everything that breaks a rule, by its JSON pointer in the show.
    pub fn check(&self) -> Result<(), Vec<Violation>> {
        let mut found = Findings::default();
        if self.sales_open_at.is_some_and(|open| open >= self.start_time) {
            found.add("/salesOpenAt", "sales must open before the show starts");
        }
        found.at_most("/prices", self.prices.len(), MAX_PRICES);
        found.into_result()
    }
}

/// The rule for a name that people read, such as a section's. The sentence says what is wrong.
pub(super) fn check_name(text: &str) -> Result<(), String> {
    text_fault(text, NAME).map_or(Ok(()), Err)
}

#[derive(Default)]
struct Findings(Vec<Violation>);

impl Findings {
    fn add(&mut self, pointer: &str, detail: impl fmt::Display) {
        self.0.push(Violation::new(pointer, detail));
    }

    fn text(&mut self, pointer: &str, text: &str, chars: RangeInclusive<usize>) {
        if let Some(fault) = text_fault(text, chars) {
            self.add(pointer, fault);
        }
    }

    fn at_most(&mut self, pointer: &str, count: usize, limit: usize) {
        if count > limit {
            self.add(pointer, format_args!("must be at most {limit} entries"));
        }
    }

    fn into_result(self) -> Result<(), Vec<Violation>> {
        if self.0.is_empty() { Ok(()) } else { Err(self.0) }
    }
}

fn text_fault(text: &str, chars: RangeInclusive<usize>) -> Option<String> {
    let (least, most) = chars.into_inner();
    // Counting stops one past the bound: a text of megabytes costs no more than one that is just too long.
    let count = text.chars().take(most.saturating_add(1)).count();
    if count > most {
        Some(format!("must be at most {most} characters"))
    } else if least > 0 && text.trim().is_empty() {
        Some("must not be empty".to_owned())
    } else if text.chars().any(char::is_control) {
        Some("must not have control characters".to_owned())
    } else {
        None
    }
}

fn is_web_address(url: &str) -> bool {
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    url.len() <= MAX_POSTER_URL_BYTES
        && host.is_some_and(|host| host.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '['))
        // A page puts the address into an attribute: what could end the attribute is no part of an address anyway.
        && url.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\'' | b'<' | b'>' | b'\\'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{Screen, ShowStatus};
    use crate::id::{LayoutId, MovieId, ScreenId, ShowId, TheatreId};
    use crate::time::Timestamp;

    fn movie() -> Movie {
        Movie {
            movie_id: MovieId::parse("m").unwrap(),
            title: "A title".into(),
            duration_minutes: 90,
            language: "pt-BR".into(),
            genres: vec!["Drama".into()],
            certificate: "12A".into(),
            poster_url: Some("https://example.com/p.jpg?size=1".into()),
            synopsis: "What happens.".into(),
        }
    }

    fn pointers(result: Result<(), Vec<Violation>>) -> Vec<String> {
        result.err().unwrap_or_default().into_iter().map(|violation| violation.pointer).collect()
    }

    fn broken(change: impl FnOnce(&mut Movie)) -> Vec<String> {
        let mut movie = movie();
        change(&mut movie);
        pointers(movie.check())
    }

    #[test]
    fn a_movie_is_accepted_at_its_bounds() {
        let longest = broken(|movie| {
            movie.title = "é".repeat(200);
            movie.synopsis = "x".repeat(4_000);
            movie.language = "x".repeat(35);
            movie.certificate = "x".repeat(20);
            movie.genres = vec!["x".repeat(40); 10];
            movie.duration_minutes = 1_440;
            movie.poster_url = Some(format!("http://{}", "x".repeat(2_048 - 7)));
        });
        assert!(longest.is_empty(), "{longest:?}");
        let least = broken(|movie| {
            (movie.synopsis, movie.certificate, movie.genres, movie.poster_url) = Default::default();
            movie.duration_minutes = 1;
        });
        assert!(least.is_empty(), "{least:?}");
    }

    #[test]
    fn each_rule_of_a_movie_names_its_field() {
        assert_eq!(broken(|m| m.title = "é".repeat(201)), ["/title"]);
        assert_eq!(broken(|m| m.title = " ".into()), ["/title"]);
        assert_eq!(broken(|m| m.title = "a\u{7}b".into()), ["/title"]);
        assert_eq!(broken(|m| m.synopsis = "x".repeat(4_001)), ["/synopsis"]);
        assert_eq!(broken(|m| m.synopsis = "a\u{0}".into()), ["/synopsis"]);
        assert_eq!(broken(|m| m.language = "x".repeat(36)), ["/language"]);
        assert_eq!(broken(|m| m.language = "en US".into()), ["/language"]);
        assert_eq!(broken(|m| m.certificate = "x".repeat(21)), ["/certificate"]);
        assert_eq!(broken(|m| m.duration_minutes = 0), ["/durationMinutes"]);
        assert_eq!(broken(|m| m.duration_minutes = 1_441), ["/durationMinutes"]);
        assert_eq!(broken(|m| m.genres = vec!["x".into(); 11]), ["/genres"]);
        assert_eq!(broken(|m| m.genres = vec!["x".into(), "x".repeat(41)]), ["/genres/1"]);
        let long = format!("http://{}", "x".repeat(2_048));
        for url in ["", "javascript:alert(1)", "https://", "https:///p", "https://a/ b", "https://a/\"", "ftp://a/b", &long] {
            assert_eq!(broken(|m| m.poster_url = Some(url.into())), ["/posterUrl"], "{url:?}");
        }
    }

    #[test]
    fn each_rule_of_a_theatre_names_its_field() {
        let screen = |id: &str, name: &str| Screen {
            screen: ScreenId::parse(id).unwrap(),
            name: name.into(),
            layout_id: LayoutId::parse("l").unwrap(),
        };
        let mut theatre = Theatre {
            theatre_id: TheatreId::parse("t").unwrap(),
            name: "Theatre".into(),
            city: "Town".into(),
            time_zone: chrono_tz::UTC,
            screens: vec![screen("1", "One"), screen("2", "Two")],
        };
        assert_eq!(theatre.check(), Ok(()));
        theatre.screens.push(screen("1", "\n"));
        theatre.city = String::new();
        assert_eq!(pointers(theatre.check()), ["/city", "/screens/2/name", "/screens/2/screen"]);
        theatre.screens.clear();
        theatre.name = "x".repeat(201);
        assert_eq!(pointers(theatre.check()), ["/name", "/city", "/screens"]);
    }

    #[test]
    fn sales_open_before_the_start() {
        let at = Timestamp::from_millis;
        let mut show = Show {
            show_id: ShowId::parse("s").unwrap(),
            movie_id: MovieId::parse("m").unwrap(),
            theatre_id: TheatreId::parse("t").unwrap(),
            screen: ScreenId::parse("1").unwrap(),
            layout_id: LayoutId::parse("l").unwrap(),
            start_time: at(1_000),
            sales_open_at: Some(at(999)),
            status: ShowStatus::OnSale,
            prices: vec![],
            blocked_seats: vec![],
        };
        assert_eq!(show.check(), Ok(()));
        show.sales_open_at = Some(at(1_000));
        assert_eq!(pointers(show.check()), ["/salesOpenAt"]);
    }
}
