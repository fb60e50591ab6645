//! `pgbench`, which comes with the server, with the statements of the library, each for one order.

use std::fs;
use std::process::Command;

use bms_postgres::testing::{confirm_statement, create_statement};

use crate::bench::{Bench, CONNECTIONS};
use crate::ours::SHOWS;

/// Counts the orders of a client, and gives each a show and seats of its own.
const NUMBERS: &str =
    "\\set n :n + 1\n\\set order :client_id + :n * 16\n\\set shard :order % 1000\n\\set seat :order / 1000 * 2\n";

/// The id of an order, with its shard.
const ID: &str =
    "('01900000-0000-7' || lpad(to_hex(:shard::integer), 3, '0') || '-8000-' || lpad(to_hex(:order::bigint), 12, '0'))::uuid";

/// How many milliseconds a lock is waited for.
const PATIENCE: &str = "'30000'";

fn filled(statement: &str, arguments: &[&str]) -> String {
    // The last first, so that $1 is not taken for the beginning of $10.
    let numbered = arguments.iter().enumerate().rev();
    numbered.fold(statement.to_owned(), |text, (place, argument)| text.replace(&format!("${}", place + 1), argument))
}

fn without_comments(statement: &str) -> String {
    statement.lines().filter(|line| !line.trim_start().starts_with("--")).collect::<Vec<_>>().join("\n")
}

/// Makes an order of two seats.
pub(crate) fn create_script() -> String {
    let statement = without_comments(&create_statement());
    let id = format!("array[{ID}]");
    let arguments = [
        "null",
        "array[:shard::smallint]",
        id.as_str(),
        id.as_str(),
        "array['theirs-' || :shard]",
        "array['plan-1']",
        "array['user-' || :order]",
        "array['S' || :seat || ',S' || (:seat::integer + 1)]",
        "array[:seat::text || ',' || (:seat::integer + 1)]",
        "array[2500::bigint]",
        "array['EUR']",
        "array['Ann Example']",
        "array['ann@example.org']",
        "array[36000000::bigint]",
        PATIENCE,
    ];
    format!("{NUMBERS}{};\n", filled(&statement, &arguments))
}

/// Confirms it.
pub(crate) fn confirm_script() -> String {
    let statement = without_comments(&confirm_statement());
    let id = format!("array[{ID}]");
    let arguments = [
        "null",
        "array[:shard::smallint]",
        id.as_str(),
        "array['theirs-' || :order]",
        "array['theirs-' || :order]",
        "array[2500::bigint]",
        "array['EUR']",
        "array['BMS-Z' || lpad(translate(upper(to_hex(:order::bigint)), 'ILOU', '1100'), 5, '0')]",
        "array[lpad(:order::text, 32, '0')]",
        "array[null]",
        "null",
        PATIENCE,
    ];
    format!("{NUMBERS}{};\n", filled(&statement, &arguments))
}

/// The shows that the scripts sell, decided as the library does.
pub(crate) fn prepare(bench: &Bench, database: &str) {
    let shows = format!(
        "insert into bms.show_plans (shard, show_id, layout_id) select n, 'theirs-' || n, 'plan-1' from generate_series(0, {}) as n",
        SHOWS - 1
    );
    bench.server.psql_in(database, &shows).unwrap();
}

/// Runs a script so often, and says how often a second.
pub(crate) fn run(bench: &Bench, database: &str, script: &str, before: u64, count: u64) -> f64 {
    let file = std::env::temp_dir().join(format!("bms-pgbench-{}.sql", std::process::id()));
    fs::write(&file, script).unwrap();
    let each = count / u64::from(CONNECTIONS);
    let program = bench.server.program("pgbench").unwrap();
    let mut command = Command::new(program);
    command.args(["--no-vacuum", "--protocol", "prepared", "--jobs", "2"]);
    command.args(["--client", &CONNECTIONS.to_string(), "--transactions", &each.to_string()]);
    command.args(["--define", &format!("n={}", before / u64::from(CONNECTIONS))]);
    command.arg("--file").arg(&file).arg(bench.server.url_in(database));
    let output = command.output().expect("`pgbench` is not installed; install it with: apt-get install -y postgresql");
    fs::remove_file(&file).unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text} {}", String::from_utf8_lossy(&output.stderr));
    let line = text.lines().find(|line| line.starts_with("tps = ")).unwrap();
    line["tps = ".len()..].split(' ').next().unwrap().parse().unwrap()
}
