//! The README's walk-through, run as it is written, against a server of its own.

mod support;

use std::path::Path;
use std::process::Command;

use support::Server;

/// The shell lines of the README, in one script: what a reader would paste.
fn walk_through() -> String {
    let readme = include_str!("../../README.md");
    let blocks = readme.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let script: String = blocks.collect();
    assert!(script.contains("ticketCode"), "the README has no walk-through");
    format!("set -euo pipefail\n{script}")
}

#[test]
fn the_walk_through_ends_with_a_ticket_and_a_sold_seat() {
    let server = Server::start(&[]);
    let output = Command::new("bash").arg("-c").arg(walk_through()).env("BMS_URL", server.url()).output();
    let output = output.expect("the walk-through needs bash; apt-get install -y bash curl jq");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the walk-through failed (it needs: apt-get install -y curl jq)\n{out}\n{err}");
    let last = out.lines().last().unwrap_or_default();
    assert!(bms_domain::order::TicketCode::parse(last).is_ok(), "no ticket code at the end:\n{out}");
}

/// The quick start in the README is the example, letter by letter, so that it compiles.
#[test]
fn the_quick_start_is_the_example() {
    assert!(include_str!("../../README.md").contains(include_str!("../embed.rs").trim_end()));
}

/// Whatever a page refers to inside the project is there.
#[test]
fn every_link_inside_the_project_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let listed = Command::new("git").args(["ls-files", "-z", "*.md"]).current_dir(&root).output();
    let listed = listed.expect("the list of pages needs git; apt-get install -y git");
    assert!(listed.status.success(), "this is no checkout: {}", String::from_utf8_lossy(&listed.stderr));
    let pages = String::from_utf8(listed.stdout).unwrap();
    assert!(pages.contains("bms-redis/README.md"), "{pages}");
    for page in pages.split_terminator('\0').filter(|page| root.join(page).exists()) {
        let text = std::fs::read_to_string(root.join(page)).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
            if !target.is_empty() && !target.contains("://") {
                assert!(root.join(page).parent().unwrap().join(target).exists(), "{page} refers to {target}");
            }
        }
    }
}
