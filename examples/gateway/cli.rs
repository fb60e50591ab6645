//! The command line. Every option has an environment variable.

use std::net::SocketAddr;
use std::time::Duration;

use bms_adapters_http::RateLimit;
use bms_adapters_lambda::Function;
use clap::{Args, Parser};
use reqwest::Url;

use crate::common::keys::KeyOptions;
use crate::common::log::LogFormat;
use crate::common::rate::rate_limit;

/// Stands in front of the functions of a booking service: authenticates, limits the rate, forwards.
#[derive(Parser)]
#[command(version)]
pub(crate) struct Cli {
    /// Where to listen.
    #[arg(long, env = "BMS_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    pub(crate) listen: SocketAddr,

    #[command(flatten)]
    pub(crate) functions: FunctionUrls,

    #[command(flatten)]
    pub(crate) keys: KeyOptions,

    /// How often a user (or an address without a token) may ask, such as 20/s or 600/m. No limit without it.
    #[arg(long, env = "BMS_RATE_LIMIT", value_name = "REQUESTS/TIME", value_parser = rate_limit)]
    pub(crate) rate_limit: Option<RateLimit>,

    /// How many proxies of yours stand in front and append to X-Forwarded-For. What a client itself writes there never counts.
    #[arg(long, env = "BMS_TRUSTED_PROXIES", value_name = "NUMBER", default_value = "0")]
    pub(crate) trusted_proxies: usize,

    /// How long connecting to a function may take.
    #[arg(long, env = "BMS_CONNECT_TIMEOUT", value_name = "TIME", value_parser = time, default_value = "1s")]
    pub(crate) connect_timeout: Duration,

    /// How long a function may take to answer, all tries together, from the first byte of the request to the last of the answer.
    /// Longer than the functions' own time, so that they tell themselves that they are late. A live seat map has no end.
    #[arg(long, env = "BMS_ANSWER_TIMEOUT", value_name = "TIME", value_parser = time, default_value = "20s")]
    pub(crate) answer_timeout: Duration,

    /// How log lines are written (to standard error; RUST_LOG chooses which).
    #[arg(long, env = "BMS_LOG_FORMAT", value_enum, default_value = "text")]
    pub(crate) log_format: LogFormat,
}

/// Where the functions are: function URLs, or any other server of their routes.
#[derive(Args)]
pub(crate) struct FunctionUrls {
    /// The function of films and shows.
    #[arg(long, env = "LAMBDA_MOVIES_URL", value_name = "URL", value_parser = address)]
    movies_url: Url,

    /// The function of holds.
    #[arg(long, env = "LAMBDA_HOLDS_URL", value_name = "URL", value_parser = address)]
    holds_url: Url,

    /// The function of orders, payments and tickets.
    #[arg(long, env = "LAMBDA_ORDERS_URL", value_name = "URL", value_parser = address)]
    orders_url: Url,

    /// The function of seat maps.
    #[arg(long, env = "LAMBDA_SEATS_URL", value_name = "URL", value_parser = address)]
    seats_url: Url,
}

impl FunctionUrls {
    /// All of them, each with a name for people.
    pub(crate) fn all(&self) -> [(Function, &'static str, &Url); 4] {
        [
            (Function::Movies, "the movies function", &self.movies_url),
            (Function::Holds, "the holds function", &self.holds_url),
            (Function::Orders, "the orders function", &self.orders_url),
            (Function::Seats, "the seats function", &self.seats_url),
        ]
    }
}

/// An address to which paths can be appended.
fn address(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|_| "an address such as https://abc.lambda-url.eu-west-1.on.aws".to_owned())?;
    let is_web = matches!(url.scheme(), "http" | "https") && url.has_host();
    let is_bare = url.query().is_none() && url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
    if is_web && is_bare { Ok(url) } else { Err("an http or https address without user, query and fragment".to_owned()) }
}

/// Some time: none would end every request at once.
fn time(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if time.is_zero() { Err("longer than no time".to_owned()) } else { Ok(time) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_function_has_an_address() {
        let urls = ["movies", "holds", "orders", "seats"].map(|name| format!("--{name}-url=http://127.0.0.1:1/{name}"));
        let cli = Cli::parse_from(std::iter::once("bms-gateway".to_owned()).chain(urls));
        for function in Function::ALL {
            assert!(cli.functions.all().iter().any(|(known, ..)| *known == function), "{function:?}");
        }
    }

    #[test]
    fn addresses_that_make_no_sense_are_refused() {
        for good in ["http://127.0.0.1:9001", "https://abc.lambda-url.eu-west-1.on.aws/", "http://h/prefix"] {
            assert!(address(good).is_ok(), "{good}");
        }
        for bad in ["", "127.0.0.1:9001", "ftp://h", "http://", "http://u:p@h", "http://h?a=b", "http://h/#f", "file:///etc"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
