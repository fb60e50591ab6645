//! Commands that work on a database alone: making its tables, and auditing what is in them.

use bms_postgres::{Audit, Migrated, Postgres};

use crate::Failure;
use crate::cli::DatabaseCommand;
use crate::stores::database_config;

/// `bms-server migrate`
pub(crate) async fn migrate(command: DatabaseCommand) -> Result<(), Failure> {
    let config = database_config(&command.database_url, &command.database)?;
    let Migrated { applied, version, .. } = Postgres::migrate(&config).await?;
    match applied.len() {
        0 => println!("the tables are at version {version} already"),
        count => println!("the tables are at version {version} now: {count} migrations were applied"),
    }
    Ok(())
}

/// `bms-server doctor`
pub(crate) async fn doctor(command: DatabaseCommand) -> Result<(), Failure> {
    let config = database_config(&command.database_url, &command.database)?;
    let audit = Postgres::connect_to_audit(&config).await?.audit().await?;
    print!("{}", told(&audit));
    match audit.findings.len() {
        0 => Ok(()),
        found => Err(Failure::Unsound(found)),
    }
}

/// What an audit saw, and then what it found.
fn told(audit: &Audit) -> String {
    let mut lines = vec![
        format!("orders    {}, {} of them confirmed, with {} seats", audit.orders, audit.confirmed, audit.seats_sold),
        format!("payments  {} under way, {} to be given back", audit.payments_under_way, audit.refunds_due),
        format!(
            "upkeep    {} orders to expire, {} events to publish, {} dead letters",
            audit.overdue, audit.events_waiting, audit.dead_letters
        ),
    ];
    for total in &audit.totals {
        let (sold, counted, refunds) = (total.sold, total.counted, total.refunds);
        lines.push(format!("{:<9} {sold} sold, {counted} paid, {refunds} to be given back (minor units)", total.currency));
    }
    for finding in &audit.findings {
        lines.push(format!("{:<9} {}: {} times", finding.promise, finding.what, finding.count));
        lines.extend(finding.examples.iter().map(|example| format!("          {example}")));
    }
    match audit.findings.len() {
        0 => lines.push(format!("sound     {} rules were held against it all", audit.rules)),
        found => lines.push(format!("UNSOUND   {found} of {} rules are broken", audit.rules)),
    }
    lines.join("\n") + "\n"
}
