//! `bms-load` as a program: what it ends with, and what it writes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, as it should"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Runs it, with the reports in a folder.
fn load(folder: &Path, options: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bms-load"));
    command.args(options).arg("--json").arg(folder.join("report.json")).arg("--svg").arg(folder.join("report.svg"));
    command.env_remove("BMS_JWT_SECRET").output().expect("cargo builds bms-load for this test")
}

/// Runs a scenario that keeps all promises; gives its report.
fn report(options: &[&str]) -> Value {
    let folder = TempDir::new().unwrap();
    let output = load(folder.path(), options);
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{options:?}: {said}");
    let svg = std::fs::read_to_string(folder.path().join("report.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>") && svg.contains("seats sold"), "{svg}");
    let report: Value = serde_json::from_slice(&std::fs::read(folder.path().join("report.json")).unwrap()).unwrap();
    assert_eq!((&report["format"], &report["ending"], &report["broken"]), (&json!(1), &json!("complete"), &json!([])), "{said}");
    report
}

fn count(report: &Value, pointer: &str) -> u64 {
    report.pointer(pointer).and_then(Value::as_u64).unwrap_or_default()
}

/// The scenarios at a small scale, each with what has to come of it whatever the machine.
fn play_all(way: &[&str]) {
    let played = |options: &[&str]| report(&[options, &["--rate", "500"], way].concat());

    let steady = played(&["steady", "--scale", "0.003"]);
    assert_eq!((count(&steady, "/requests/hold/given"), count(&steady, "/requests/release/given")), (180, 180), "{steady}");
    assert_eq!(count(&steady, "/seats/sold"), 0);

    let flash = played(&["flash", "--scale", "0.005", "--think", "1ms", "--skew", "0", "--gives-up", "0", "--pays", "1"]);
    assert_eq!((count(&flash, "/seats/onSale"), count(&flash, "/seats/sold")), (6, 6), "{flash}");
    assert_eq!(count(&flash, "/payments"), 3);
    assert!(count(&flash, "/requests/hold/refused/seats-unavailable") > 400, "{flash}");

    let hot = played(&["hot-pair", "--scale", "0.01"]);
    assert_eq!((count(&hot, "/seats/sold"), count(&hot, "/requests/hold/given")), (2, 1), "{hot}");
    assert_eq!(count(&hot, "/requests/hold/refused/seats-unavailable"), 199);

    let browse = played(&["browse", "--scale", "0.003"]);
    assert!(count(&browse, "/requests/map/given") > 140, "{browse}");
    assert_eq!(count(&browse, "/requests/map/given") + count(&browse, "/requests/hold/count"), 180, "{browse}");

    let purchase = played(&["purchase", "--scale", "0.005"]);
    assert_eq!((count(&purchase, "/requests/confirm/given"), count(&purchase, "/seats/sold")), (100, 200), "{purchase}");
    assert_eq!(purchase["curve"].as_array().unwrap().last().unwrap()["seatsSold"], json!(200));

    let arena = played(&["arena", "--scale", "0.005", "--think", "1ms"]);
    assert!(count(&arena, "/seats/sold") > 40, "{arena}");
}

#[test]
fn every_scenario_keeps_its_promises_in_the_process() {
    play_all(&["--through", "library"]);
}

#[test]
fn every_scenario_keeps_its_promises_over_http() {
    play_all(&["--through", "http"]);
}

/// How many requests were answered with nothing but that a store was not to be had.
fn unavailable(report: &Value) -> u64 {
    ["hold", "order", "confirm"]
        .map(|request| report["requests"][request]["unknown"]["unavailable"].as_u64().unwrap_or(0))
        .iter()
        .sum()
}

#[test]
fn purchases_end_as_promised_on_every_set_of_stores() {
    for stores in ["postgres", "redis-postgres", "cluster-postgres"] {
        for through in ["library", "http"] {
            let options = ["purchase", "--scale", "0.002", "--rate", "100", "--through", through, "--stores", stores];
            let report = report(&options);
            // A machine that is busy with other tests may stall a server for longer than a call may take.
            let left = unavailable(&report);
            assert_eq!(count(&report, "/seats/sold"), 80 - 2 * left, "{report}");
            assert!(left < 20, "{report}");
            assert_eq!((&report["target"]["stores"], &report["target"]["through"]), (&json!(stores), &json!(through)));
            assert!(report["versions"]["postgres"].is_string(), "{report}");
        }
    }
}

#[test]
fn what_is_not_on_this_machine_is_not_loaded() {
    let folder = TempDir::new().unwrap();
    let output = load(folder.path(), &["flash", "--url", "http://tickets.example.com", "--jwt-secret", "canary"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("tickets.example.com") && !said.contains("canary"), "{said}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn without_a_server_it_is_said_how_to_get_one() {
    let folder = TempDir::new().unwrap();
    let absent = PathBuf::from("/nonexistent/bms-server");
    let output = load(folder.path(), &["hot-pair", "--server", &absent.to_string_lossy()]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}
