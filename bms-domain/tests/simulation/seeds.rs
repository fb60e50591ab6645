//! Many worlds keep every promise, and the same seed is the same world.

use crate::plan::Plan;
use crate::run::{campaign, run, threads};
use crate::shrink::{report, shrink};

#[test]
fn every_promise_is_kept_in_20_000_worlds() {
    let campaign = campaign(0..20_000, threads(), None);
    if let Some(broken) = campaign.broken {
        panic!("{}\n\nThe smallest world found:\n{}", report(&broken), report(&shrink(broken.clone())));
    }
    let missing = campaign.counts.missing();
    assert!(missing.is_empty(), "the promises were kept where nothing happened. In no world: {}", missing.join("; "));
    println!("{} worlds, {} steps, traces {:016x}", campaign.worlds, campaign.steps, campaign.hash);
}

#[test]
fn the_same_seed_is_the_same_trace() {
    for seed in 0..40 {
        let (one, other) = (run(&Plan::of(seed), false), run(&Plan::of(seed), false));
        assert_eq!((one.hash, one.steps, &one.struck), (other.hash, other.steps, &other.struck), "seed {seed}");
        assert_ne!(one.hash, run(&Plan::of(seed + 1), false).hash, "seed {seed}");
    }
}

#[test]
fn a_run_of_many_worlds_does_not_depend_on_the_threads() {
    let (one, three) = (campaign(0..60, 1, None), campaign(0..60, 3, None));
    assert_eq!((one.hash, one.steps, one.counts), (three.hash, three.steps, three.counts));
}

/// A fault that is left out changes the number and the kind of no other.
#[test]
fn faults_are_left_out_one_by_one() {
    let rich = (0..).map(|seed| run(&Plan::of(seed), false)).find(|run| run.struck.len() > 5).unwrap();
    let kept: Vec<_> = rich.struck.iter().map(|(number, _)| *number).step_by(2).collect();
    let fewer = run(&Plan { faults: Some(kept.iter().copied().collect()), ..rich.plan.clone() }, false);
    assert_eq!(fewer.struck.first(), rich.struck.first());
    assert!(fewer.struck.iter().all(|(number, _)| kept.contains(number)));
    let none = run(&Plan { faults: Some(Default::default()), ..rich.plan }, false);
    assert!(none.struck.is_empty());
}
