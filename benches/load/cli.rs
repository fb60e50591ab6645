//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, ValueEnum};
use secrecy::SecretString;

use crate::loopback;
use crate::scenario::{Arrivals, Name, Scenario};
use crate::stage::StoreSet;

/// Puts a load on the booking library, over HTTP or in the process, and says how it bore it.
///
/// Users come by a clock, however slow the answers are, and latency counts from when a request was meant to be made: a stall is
/// seen by everybody who came meanwhile. What users are answered is held against itself on the way: no seat twice, no payment
/// lost. A broken promise ends the run, which then names the seats and orders.
///
/// Without options it starts `bms-server` and what it needs, all on loopback addresses, and ends them with the run.
///
/// Exit codes: 0 all promises were kept, 1 one was broken, 2 there was no run.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Cli {
    /// What is played.
    #[arg(value_enum)]
    pub(crate) scenario: Name,

    #[command(flatten)]
    pub(crate) target: TargetOptions,

    #[command(flatten)]
    pub(crate) changes: Changes,

    #[command(flatten)]
    pub(crate) bounds: BoundOptions,

    /// Write the report here, as JSON.
    #[arg(long, value_name = "FILE", help_heading = "Reports")]
    pub(crate) json: Option<PathBuf>,

    /// Draw the report here, as SVG.
    #[arg(long, value_name = "FILE", help_heading = "Reports")]
    pub(crate) svg: Option<PathBuf>,
}

/// The way to the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Through {
    /// A server's HTTP surface.
    Http,
    /// The library in this process, without a server.
    Library,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "What is loaded")]
pub(crate) struct TargetOptions {
    /// The way to the service.
    #[arg(long, value_enum, default_value = "http")]
    pub(crate) through: Through,

    /// Where holds and orders are kept. Private servers are started for the run.
    #[arg(long, value_enum, default_value = "embedded", conflicts_with_all = ["redis_url", "database_url", "url"])]
    pub(crate) stores: StoreSet,

    /// Keep holds in this Redis instead, or in this cluster of several servers, separated by commas.
    #[arg(long, value_name = "URL", requires = "database_url", conflicts_with = "url")]
    pub(crate) redis_url: Option<String>,

    /// Keep orders in this Postgres database instead.
    #[arg(long, value_name = "URL", conflicts_with = "url")]
    pub(crate) database_url: Option<String>,

    /// Load this running server, and start none. It gets a catalogue of the run's own, which nobody takes away again.
    #[arg(long, value_name = "URL", requires = "jwt_secret")]
    pub(crate) url: Option<String>,

    /// The secret that the running server checks tokens with.
    #[arg(long, env = "BMS_JWT_SECRET", value_name = "SECRET", hide_env_values = true)]
    pub(crate) jwt_secret: Option<SecretString>,

    /// The bms-server to start; the one that was built beside this program without it.
    #[arg(long, value_name = "PROGRAM", conflicts_with = "url")]
    pub(crate) server: Option<PathBuf>,

    /// How many requests may be under way at once, each on a connection of its own. Others wait, and the wait counts.
    #[arg(long, value_name = "NUMBER", default_value = "256", value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub(crate) at_once: u32,
}

impl TargetOptions {
    /// Refuses what is not on this machine, and what makes no sense together.
    pub(crate) fn check(&self) -> Result<(), String> {
        let urls = [("--url", &self.url), ("--redis-url", &self.redis_url), ("--database-url", &self.database_url)];
        for (option, url) in urls {
            url.as_deref().map_or(Ok(()), |url| loopback::check(option, url))?;
        }
        match self.through {
            Through::Library if self.url.is_some() => {
                Err("--url names a server, and --through library does without one".to_owned())
            }
            Through::Library if self.server.is_some() => {
                Err("--server names a server, and --through library does without one".to_owned())
            }
            Through::Library | Through::Http => Ok(()),
        }
    }
}

/// What is otherwise than the scenario has it. Shares are from 0 to 1.
#[derive(Debug, Args)]
#[command(next_help_heading = "Changes to the scenario (shares are from 0 to 1)")]
pub(crate) struct Changes {
    /// Play it with this share of its users and seats, at the same rate.
    #[arg(long, value_name = "FACTOR", default_value = "1")]
    pub(crate) scale: f64,

    /// How many users come.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) users: Option<u64>,

    /// How many users come a second.
    #[arg(long, value_name = "USERS")]
    pub(crate) rate: Option<f64>,

    /// How they come.
    #[arg(long, value_enum)]
    pub(crate) arrivals: Option<Arrivals>,

    /// How many shows they come for.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) shows: Option<u32>,

    /// How many seats each show has.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) seats: Option<u32>,

    /// How much more front seats are wanted than others: the exponent of Zipf's law, 0 for not at all.
    #[arg(long, value_name = "EXPONENT")]
    pub(crate) skew: Option<f64>,

    /// How long users think between two requests, on average, such as 200ms.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) think: Option<Duration>,

    /// The share of users who only look at a seat map.
    #[arg(long, value_name = "SHARE")]
    pub(crate) looks: Option<f64>,

    /// Of those who hold seats, the share that pays.
    #[arg(long, value_name = "SHARE")]
    pub(crate) pays: Option<f64>,

    /// Of those who hold seats, the share that lets them go. The rest walks away, and leaves them to time.
    #[arg(long, value_name = "SHARE")]
    pub(crate) gives_up: Option<f64>,

    /// Of those who were refused, the share that comes back, each time.
    #[arg(long, value_name = "SHARE")]
    pub(crate) comes_back: Option<f64>,

    /// Repeats a run's draws: arrivals, wishes, who pays.
    #[arg(long, value_name = "NUMBER", default_value = "1")]
    pub(crate) seed: u64,
}

impl Changes {
    /// The scenario with these changes.
    pub(crate) fn of(&self, name: Name) -> Result<Scenario, String> {
        if !(self.scale.is_finite() && self.scale > 0.0) {
            return Err(format!("--scale {}: a factor is more than 0", self.scale));
        }
        let meant = Scenario::of(name).scaled(self.scale);
        let scenario = Scenario {
            users: self.users.unwrap_or(meant.users),
            users_per_second: self.rate.unwrap_or(meant.users_per_second),
            arrivals: self.arrivals.unwrap_or(meant.arrivals),
            shows: self.shows.unwrap_or(meant.shows),
            seats: self.seats.unwrap_or(meant.seats),
            skew: self.skew.unwrap_or(meant.skew),
            think: self.think.unwrap_or(meant.think),
            looks: self.looks.unwrap_or(meant.looks),
            pays: self.pays.unwrap_or(meant.pays),
            gives_up: self.gives_up.unwrap_or(meant.gives_up),
            comes_back: self.comes_back.unwrap_or(meant.comes_back),
            ..meant
        };
        scenario.check()?;
        Ok(scenario)
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Bounds")]
pub(crate) struct BoundOptions {
    /// After this time nobody comes any more.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "5m")]
    pub(crate) duration: Duration,

    /// How long those who have come may take to finish after that.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "1m")]
    pub(crate) finish: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn parsed(options: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from([&["bms-load"], options].concat())
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_scenario_is_played_with_the_changes_that_are_asked_for() {
        let cli = parsed(&["flash", "--scale", "0.1", "--rate", "50", "--skew", "0", "--think", "1s", "--pays", "0.5"]).unwrap();
        let scenario = cli.changes.of(cli.scenario).unwrap();
        let expected = Scenario {
            users: 10_000,
            seats: 100,
            users_per_second: 50.0,
            skew: 0.0,
            think: Duration::from_secs(1),
            pays: 0.5,
            ..Scenario::of(Name::Flash)
        };
        assert_eq!(scenario, expected);
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for options in [
            &["nothing"][..],
            &["flash", "--stores", "postgres", "--database-url", "postgres://127.0.0.1/d"],
            &["flash", "--redis-url", "redis://127.0.0.1"],
            &["flash", "--url", "http://127.0.0.1:1"],
            &["flash", "--at-once", "0"],
        ] {
            assert!(parsed(options).is_err(), "{options:?}");
        }
        let refused = |options: &[&str]| {
            let cli = parsed(options).unwrap();
            cli.target.check().is_err() || cli.changes.of(cli.scenario).is_err()
        };
        assert!(!refused(&["flash", "--through", "library", "--database-url", "postgres://127.0.0.1/d"]));
        for options in [
            &["flash", "--scale", "0"][..],
            &["flash", "--pays", "2"],
            &["purchase", "--users", "1000000"],
            &["flash", "--url", "http://10.1.1.1:1", "--jwt-secret", "s"],
            &["flash", "--database-url", "postgres://db.example.com/d"],
            &["flash", "--through", "library", "--server", "bms-server"],
        ] {
            assert!(refused(options), "{options:?}");
        }
    }

    #[test]
    fn the_secret_is_not_shown() {
        let cli = parsed(&["flash", "--url", "http://127.0.0.1:1", "--jwt-secret", "canary"]).unwrap();
        assert!(!format!("{cli:?}").contains("canary"));
    }
}
