//! `bms-server import FILE`: checks a catalogue file, then loads it into a running server through the admin routes.

use std::path::Path;
use std::time::Duration;

use bms_domain::catalogue::{CatalogueDocument, Existing, Show, ShowEntry};
use bms_domain::time::{Clock, SystemClock};
use reqwest::{Client, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::{Value, json};

use crate::Failure;
use crate::cli::ImportOptions;

/// How long one request may take.
const REQUEST_DEADLINE: Duration = Duration::from_secs(30);

/// Reads a catalogue file.
pub(crate) fn read(path: &Path) -> Result<CatalogueDocument, Failure> {
    let name = path.display().to_string();
    let text = std::fs::read(path).map_err(|source| Failure::File { what: "the catalogue", path: name.clone(), source })?;
    CatalogueDocument::parse(text).map_err(|faults| Failure::Catalogue { path: name, faults: faults.to_string() })
}

/// Checks the whole file before it sends the first entry, so that a fault in one entry loads nothing.
pub(crate) async fn run(options: ImportOptions) -> Result<(), Failure> {
    let document = read(&options.file)?;
    let expanded = document
        .expand(SystemClock.now(), &Existing::default())
        .map_err(|faults| Failure::Catalogue { path: options.file.display().to_string(), faults: faults.to_string() })?;
    let (movies, theatres, shows) = (expanded.movies.len(), expanded.theatres.len(), expanded.shows.len());
    if options.dry_run {
        println!("{movies} films, {theatres} theatres, {shows} shows: nothing wrong, nothing loaded");
        return Ok(());
    }
    let server = Server::connect(options.url, options.token).await?;
    for movie in &document.movies {
        server.put("movies", movie.movie_id.as_str(), movie).await?;
    }
    for theatre in &document.theatres {
        server.put("theatres", theatre.theatre_id.as_str(), theatre).await?;
    }
    for show in expanded.shows {
        let id = show.show_id;
        let written = document.shows.iter().find(|entry| entry.show_id == id).cloned();
        server.put("shows", id.as_str(), &written.unwrap_or_else(|| entry(show))).await?;
    }
    println!("{movies} films, {theatres} theatres, {shows} shows are loaded");
    Ok(())
}

/// A show of a schedule as an entry of its own.
fn entry(show: Show) -> ShowEntry {
    let Show { show_id, movie_id, theatre_id, screen, start_time, sales_open_at, status, prices, blocked_seats, .. } = show;
    ShowEntry { show_id, movie_id, theatre_id, screen, layout_id: None, start_time, sales_open_at, status, prices, blocked_seats }
}

struct Server {
    client: Client,
    url: String,
    token: SecretString,
}

impl Server {
    async fn connect(url: String, token: Option<SecretString>) -> Result<Self, Failure> {
        let client = Client::builder().timeout(REQUEST_DEADLINE).build()?;
        let url = url.trim_end_matches('/').to_owned();
        let token = match token {
            Some(token) => token,
            None => demo_token(&client, &url).await?,
        };
        Ok(Self { client, url, token })
    }

    async fn put(&self, kind: &str, id: &str, entry: &impl Serialize) -> Result<(), Failure> {
        let mut body = serde_json::to_value(entry).map_err(|error| Failure::Refused(error.to_string()))?;
        // The path says which entry it is.
        if let Some(fields) = body.as_object_mut() {
            fields.retain(|name, _| {
                !matches!((kind, name.as_str()), ("movies", "movieId") | ("theatres", "theatreId") | ("shows", "showId"))
            });
        }
        let address = format!("{}/api/v1/admin/{kind}/{id}", self.url);
        let answer = self.client.put(address).bearer_auth(self.token.expose_secret()).json(&body).send().await?;
        if answer.status().is_success() { Ok(()) } else { Err(refused(&format!("{kind}/{id}"), answer).await) }
    }
}

async fn demo_token(client: &Client, url: &str) -> Result<SecretString, Failure> {
    let request = json!({ "userId": "bms-server-import", "admin": true });
    let answer = client.post(format!("{url}/api/v1/demo/token")).json(&request).send().await?;
    if answer.status() == StatusCode::NOT_FOUND {
        let reason = "the server is not in demo mode: give a token with the scope bms:admin, with --token or BMS_TOKEN";
        return Err(Failure::Refused(reason.to_owned()));
    }
    let answer: Value = answer.error_for_status()?.json().await?;
    let token = answer.get("token").and_then(Value::as_str);
    token.map(SecretString::from).ok_or_else(|| Failure::Refused("the server gave no demo token".to_owned()))
}

/// What the server's problem says.
async fn refused(entry: &str, answer: Response) -> Failure {
    let status = answer.status();
    let problem: Value = answer.json().await.unwrap_or_default();
    let detail = problem.get("detail").and_then(Value::as_str).unwrap_or("no detail");
    let errors = problem.get("errors").map(|errors| format!("\n{errors}")).unwrap_or_default();
    Failure::Refused(format!("{entry}: the server answered {status}: {detail}{errors}"))
}
