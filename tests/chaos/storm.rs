//! A job under a storm: workers killed one after the other, and whatever else the [`plan`] has.
//!
//! `SGDT_CHAOS_SEED` and `SGDT_CHAOS_KILLS` choose another storm; `scripts/chaos.sh` runs long ones.

use crate::{
    machine_shared,
    plan::{self, Event},
    stage::Stage,
    work,
};
use serde_json::json;
use std::{collections::BTreeMap, env, thread};
use tokio::time::Instant;

const SEATS: usize = 6;

/// The last of the seats, which are behind a proxy each.
const LINKS: usize = 2;

/// Says how to see it again, when a test fails.
struct Replay {
    seed: u64,
    kills: usize,
}

impl Drop for Replay {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!(
                "to replay: SGDT_CHAOS_SEED={} SGDT_CHAOS_KILLS={} cargo test -p sgdt-tests --test chaos -- \
                 --nocapture --exact storm::no_task_is_lost_in_a_storm",
                self.seed, self.kills
            );
        }
    }
}

fn setting<T: std::str::FromStr>(name: &str) -> Option<T> {
    let value = env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is no number: {value:?}")))
}

#[test]
fn no_task_is_lost_in_a_storm() {
    let _shared = machine_shared();
    let seed = setting("SGDT_CHAOS_SEED").unwrap_or(1);
    let kills = setting("SGDT_CHAOS_KILLS").unwrap_or(100);
    let _replay = Replay { seed, kills };
    let steps = plan::storm(seed, kills, SEATS, LINKS);
    let begun = Instant::now();
    let mut stage = Stage::new(SEATS, LINKS);
    let feed = stage.feed(usize::MAX, work::task);
    for step in &steps {
        feed.wait_results(feed.results() + step.after);
        stage.apply(&step.event, &feed);
    }
    let (results, fed) = feed.finish(&stage.cluster);
    work::assert_right(&results, fed);
    stage.settle();
    assert!(!results.moved().is_empty(), "the storm has moved no task");

    let mut events: BTreeMap<String, usize> = BTreeMap::new();
    for step in &steps {
        let text = format!("{:?}", step.event);
        *events.entry(text.split(' ').next().unwrap_or_default().to_owned()).or_default() += 1;
    }
    let most = results.all().iter().map(|result| result.attempts).max();
    println!(
        "seed {seed}: {events:?} under {fed} tasks in {:?}; {} were moved, and none had more attempts than {most:?}",
        begun.elapsed(),
        results.moved().len()
    );
}

#[test]
fn twelve_workers_are_killed_in_turn_under_six_hundred_tasks() {
    const TASKS: usize = 600;
    let _shared = machine_shared();
    let mut stage = Stage::new(12, 0);
    let feed = stage.feed(TASKS, |index| json!({"id": work::id(index), "task": "sleep", "ms": 150}));
    for seat in 0..12 {
        feed.wait_results(20 + 40 * seat);
        stage.apply(&Event::Kill { seat, same_name: false }, &feed);
    }
    feed.wait_results(TASKS);
    let (results, fed) = feed.finish(&stage.cluster);
    assert_eq!((fed, stage.hired), (TASKS, 24));
    let ids: Vec<String> = (0..TASKS).map(work::id).collect();
    results.assert_exactly_once(ids.iter().map(String::as_str)).assert_all_ok();
    assert!(!results.moved().is_empty(), "no kill met a task");
    assert!(results.by_worker().len() > 12, "no replacement did anything: {:?}", results.by_worker());
    stage.settle();
}
