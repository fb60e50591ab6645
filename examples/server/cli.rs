//! The command line. Every option has an environment variable.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bms_adapters_http::RateLimit;
use bms_domain::id::OrderId;
use bms_domain::time::Timestamp;
use clap::{Args, Parser, Subcommand, ValueEnum};
use secrecy::SecretString;

use crate::common::keys::KeyOptions;
use crate::common::log::LogFormat;
use crate::common::rate::rate_limit;

/// Sells limited seats over HTTP: holds, orders, payments, tickets.
///
/// Without arguments it runs in demo mode: embedded stores, a demo catalogue, tokens for whoever asks, payments in a
/// sandbox. Everything is gone when it ends.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    #[command(flatten)]
    pub(crate) options: ServeOptions,

    /// How log lines are written (to standard error; RUST_LOG chooses which).
    #[arg(long, env = "BMS_LOG_FORMAT", value_enum, default_value = "text", global = true)]
    pub(crate) log_format: LogFormat,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Checks a catalogue file and loads it into a running server.
    Import(ImportOptions),
    /// Makes the tables in the database, or brings them up to this version. Wants the right to create; serving does not.
    Migrate(DatabaseCommand),
    /// Audits the promises on a live database, and says what it found. Ends with 0 when nothing is wrong, with 2 when
    /// something is, and with 1 when it could not be seen.
    Doctor(DatabaseCommand),
    /// Tidies up once, says what it did, and ends: for a scheduler. With --webhook-url it publishes waiting events too.
    Sweep(SweepOptions),
    /// Puts events back that were published or given up, so that the servers publish them again.
    Replay(ReplayOptions),
}

#[derive(Args)]
pub(crate) struct ServeOptions {
    /// Where to listen.
    #[arg(long, env = "BMS_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    pub(crate) listen: SocketAddr,

    #[command(flatten)]
    pub(crate) stores: StoreOptions,

    #[command(flatten)]
    pub(crate) keys: KeyOptions,

    /// The secret that the payment provider signs its notices with. Without it no notices are taken.
    #[arg(long, env = "BMS_PAYMENT_WEBHOOK_SECRET", value_name = "SECRET", hide_env_values = true)]
    pub(crate) payment_webhook_secret: Option<SecretString>,

    /// How long a hold lasts, such as 10m or 90s.
    #[arg(long, env = "BMS_HOLD_TTL", value_name = "TIME", value_parser = humantime::parse_duration, default_value = "10m")]
    pub(crate) hold_ttl: Duration,

    /// How long an order waits for payment.
    #[arg(long, env = "BMS_ORDER_TTL", value_name = "TIME", value_parser = humantime::parse_duration, default_value = "5m")]
    pub(crate) order_ttl: Duration,

    /// The most seats of one hold.
    #[arg(long, env = "BMS_MAX_SEATS_PER_HOLD", value_name = "SEATS", default_value = "10")]
    pub(crate) max_seats_per_hold: u32,

    /// The most seats that one user has of one show, held and sold together.
    #[arg(long, env = "BMS_MAX_SEATS_PER_USER", value_name = "SEATS", default_value = "10")]
    pub(crate) max_seats_per_user: u32,

    /// How often a user (or an address without a token) may ask, such as 20/s or 600/m. No limit without it.
    #[arg(long, env = "BMS_RATE_LIMIT", value_name = "REQUESTS/TIME", value_parser = rate_limit)]
    pub(crate) rate_limit: Option<RateLimit>,

    /// Load the demo catalogue. The demo mode does so by itself.
    #[arg(long, env = "BMS_DEMO", value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) demo: bool,

    /// Load this catalogue file at the start.
    #[arg(long, env = "BMS_CATALOGUE", value_name = "FILE")]
    pub(crate) catalogue: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) webhooks: WebhookOptions,

    /// How often to tidy up: retire what has expired, ask after payments under way, forget what is old. Events do not wait
    /// for it.
    #[arg(long, env = "BMS_SWEEP_EVERY", value_name = "TIME", value_parser = humantime::parse_duration, default_value = "30s")]
    pub(crate) sweep_every: Duration,
}

#[derive(Args)]
pub(crate) struct StoreOptions {
    /// Keep holds and idempotency keys in Redis, where other processes share them: redis://user:password@host:port/db,
    /// rediss:// for TLS, redis+sentinel://host,host/service, or several servers of a cluster, separated by commas.
    #[arg(long, env = "REDIS_URL", value_name = "URL", hide_env_values = true)]
    pub(crate) redis_url: Option<SecretString>,

    /// What every key and channel in Redis starts with; `bms` without it. Servers with the same prefix share their holds.
    #[arg(long, env = "BMS_REDIS_PREFIX", value_name = "PREFIX")]
    pub(crate) redis_prefix: Option<String>,

    /// The CA, as PEM, that has signed Redis' certificate. Without it those of the operating system are trusted.
    #[arg(long, env = "BMS_REDIS_CA", value_name = "FILE")]
    pub(crate) redis_ca: Option<String>,

    /// The user of the sentinels, where they have users of their own. What stands in the URL is for the servers with the data.
    #[arg(long, env = "BMS_REDIS_SENTINEL_USER", value_name = "USER")]
    pub(crate) redis_sentinel_user: Option<String>,

    /// The password of the sentinels.
    #[arg(long, env = "BMS_REDIS_SENTINEL_PASSWORD", value_name = "PASSWORD", hide_env_values = true)]
    pub(crate) redis_sentinel_password: Option<SecretString>,

    /// Where orders, payments and the catalogue are kept, and holds too when there is no Redis: a Postgres database, as
    /// postgres://user:password@host:port/database. Without it everything is in memory, and gone when the server ends.
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub(crate) database_url: Option<SecretString>,

    #[command(flatten)]
    pub(crate) database: DatabaseOptions,

    /// Use Redis without a database: orders, payments and tickets are gone when the server ends, and are unknown to other
    /// servers. To try it, not to sell.
    #[arg(long, env = "BMS_VOLATILE_ORDERS", value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) volatile_orders: bool,

    /// Refuse to start with a set-up that may lose holds or orders, such as a Redis that evicts keys or a database with
    /// synchronous_commit off, instead of only warning.
    #[arg(long, env = "BMS_STRICT", value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) strict: bool,
}

/// How the database is used.
#[derive(Args)]
pub(crate) struct DatabaseOptions {
    /// The schema that the tables are in; `bms` without it.
    #[arg(long, env = "BMS_DATABASE_SCHEMA", value_name = "NAME")]
    pub(crate) database_schema: Option<String>,

    /// The CA, as PEM, that has signed the database's certificate; the certificate is checked then, and its host name.
    #[arg(long, env = "BMS_DATABASE_CA", value_name = "FILE")]
    pub(crate) database_ca: Option<String>,

    /// The most connections that this process opens to the database; 16 without it.
    #[arg(long, env = "BMS_DATABASE_CONNECTIONS", value_name = "NUMBER")]
    pub(crate) database_connections: Option<u32>,

    /// The database is behind a pooler that hands each transaction another connection, as PgBouncer does in transaction mode.
    #[arg(long, env = "BMS_DATABASE_TRANSACTION_POOLING", value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) database_transaction_pooling: bool,

    /// A replica of the database to read lists of the catalogue from.
    #[arg(long, env = "BMS_DATABASE_REPLICA_URL", value_name = "URL", hide_env_values = true)]
    pub(crate) database_replica_url: Option<SecretString>,
}

/// A command that works on a database alone.
#[derive(Args)]
pub(crate) struct DatabaseCommand {
    /// The database, as postgres://user:password@host:port/database.
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub(crate) database_url: SecretString,

    #[command(flatten)]
    pub(crate) database: DatabaseOptions,
}

#[derive(Args)]
pub(crate) struct WebhookOptions {
    /// Post what happens to orders to this address, an event a request, signed as Standard Webhooks has it.
    #[arg(long, env = "BMS_WEBHOOK_URL", value_name = "URL", hide_env_values = true)]
    pub(crate) webhook_url: Option<SecretString>,

    /// The secret that webhooks are signed with: 24 to 64 random bytes in base64, behind whsec_ or alone. Several,
    /// separated by commas, while it changes.
    #[arg(long, env = "BMS_WEBHOOK_SECRET", value_name = "SECRET", hide_env_values = true, value_delimiter = ',')]
    pub(crate) webhook_secret: Vec<SecretString>,

    /// Send the customer's name and e-mail address in webhooks too.
    #[arg(long, env = "BMS_WEBHOOK_CUSTOMERS", value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) webhook_customers: bool,
}

/// A payment provider that this program knows.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Provider {
    /// Whoever asks has paid.
    Sandbox,
}

#[derive(Args)]
pub(crate) struct SweepOptions {
    #[command(flatten)]
    pub(crate) stores: StoreOptions,

    /// Who to ask after payments that are under way for orders past their end. Without it nobody is asked: the programs that
    /// sell know their provider, and the sandbox takes what it does not know for failed.
    #[arg(long, env = "BMS_PAYMENTS", value_name = "PROVIDER")]
    pub(crate) payments: Option<Provider>,

    #[command(flatten)]
    pub(crate) webhooks: WebhookOptions,
}

#[derive(Args)]
pub(crate) struct ReplayOptions {
    #[command(flatten)]
    pub(crate) which: ReplayWhich,

    #[command(flatten)]
    pub(crate) stores: StoreOptions,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
pub(crate) struct ReplayWhich {
    /// The events that were given up.
    #[arg(long)]
    pub(crate) dead: bool,

    /// All events of an order that are still kept.
    #[arg(long, value_name = "ID", value_parser = OrderId::parse)]
    pub(crate) order: Option<OrderId>,

    /// All events since then that are still kept, such as 2030-01-31T19:30:00Z.
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse)]
    pub(crate) since: Option<Timestamp>,
}

#[derive(Args)]
pub(crate) struct ImportOptions {
    /// The catalogue, in the format that docs/catalogue-format.md describes.
    pub(crate) file: PathBuf,

    /// The server to load it into.
    #[arg(long, env = "BMS_URL", value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub(crate) url: String,

    /// A token with the scope bms:admin. A server in demo mode is asked for one.
    #[arg(long, env = "BMS_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    pub(crate) token: Option<SecretString>,

    /// Only check the file.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn secrets_are_not_shown() {
        let cli = Cli::parse_from(["bms-server", "--jwt-secret", "canary", "--webhook-secret", "canary,canary"]);
        let shown = format!("{:?} {:?}", cli.options.keys.jwt_secret, cli.options.webhooks.webhook_secret);
        assert!(!shown.contains("canary"));
        assert_eq!(cli.options.webhooks.webhook_secret.len(), 2);
        let cli = Cli::parse_from(["bms-server", "--redis-sentinel-password", "canary"]);
        assert!(!format!("{:?}", cli.options.stores.redis_sentinel_password).contains("canary"));
    }

    #[test]
    fn a_replay_says_what_it_puts_back() {
        let parsed = |options: &[&str]| Cli::try_parse_from([&["bms-server", "replay"], options].concat()).is_ok();
        assert!(parsed(&["--dead"]));
        assert!(parsed(&["--order", "0190163d-8694-7abc-9bf5-4b3c4c8fd001"]));
        assert!(parsed(&["--since", "2030-01-31T19:30:00Z"]));
        for wrong in [&[][..], &["--order", "1"], &["--since", "yesterday"], &["--dead", "--since", "2030-01-31T19:30:00Z"]] {
            assert!(!parsed(wrong), "{wrong:?}");
        }
    }
}
