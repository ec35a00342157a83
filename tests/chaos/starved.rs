//! Workers that get next to no time: one that is held, and two on a machine that is overrun.

use crate::{feed::Feed, machine_alone, work};
use harness::{
    cluster::Cluster,
    job::Job,
    process::{Process, Signal},
};
use rustix::process::{Pid, kill_process};
use serde_json::json;
use std::{
    process::Command,
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::time::Instant;

/// Lets a process run for one part in a hundred of the time, until it is dropped.
struct Held {
    release: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Held {
    fn process(process: &Process) -> Self {
        const PARTS: [(Signal, Duration); 2] =
            [(Signal::STOP, Duration::from_millis(495)), (Signal::CONT, Duration::from_millis(5))];
        let id = Pid::from_raw(process.id().try_into().unwrap()).unwrap();
        let (release, released) = channel::<()>();
        let thread = thread::spawn(move || {
            for (signal, lasts) in PARTS.into_iter().cycle() {
                kill_process(id, signal).unwrap();
                if released.recv_timeout(lasts) != Err(RecvTimeoutError::Timeout) {
                    return kill_process(id, Signal::CONT).unwrap();
                }
            }
        });
        Self { release: Some(release), thread: Some(thread) }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.release.take());
        let _panicked = self.thread.take().map(JoinHandle::join);
    }
}

#[test]
fn a_worker_held_to_a_hundredth_of_a_core_does_not_hold_up_the_job() {
    let _alone = machine_alone();
    let mut cluster = Cluster::start(2);
    let job = Job::of(200, |_| json!({"task": "spin", "ms": 50}));
    let timed = |cluster: &Cluster| {
        let begun = Instant::now();
        let results = cluster.run(&[], &job).expect(0).results();
        results.assert_exactly_once(job.ids()).assert_all_ok();
        (results, begun.elapsed())
    };
    let (_, healthy) = timed(&cluster);
    cluster.add_worker("held");
    cluster.wait_registered();
    let held = Held::process(cluster.worker("held"));
    let (results, with_held) = timed(&cluster);
    drop(held);
    let share = results.by_worker().get("held").copied().unwrap_or_default();
    println!("two workers took {healthy:?}, and with one that is held, which did {share}, {with_held:?}");
    assert!(share < job.len() / 10, "the held worker did {share}");
    // Twice is the promise; what else the machine does may come in between.
    assert!(with_held < 3 * healthy, "{with_held:?}, and without the held one {healthy:?}");
}

/// For how long the machine is overrun: ten times what a hang may last unnoticed.
const OVERRUN: Duration = Duration::from_secs(40);

#[test]
fn workers_on_a_machine_that_is_overrun_lose_no_task_and_are_not_lost() {
    let _alone = machine_alone();
    let cluster = Cluster::start(2);
    // Three for each core, however many there are.
    let cores = thread::available_parallelism().unwrap().get();
    let _loops: Vec<Process> = (0..3 * cores.max(2))
        .map(|_| {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", "while :; do :; done"]);
            cluster.spawn("busy loop", command)
        })
        .collect();
    let spin = |index| json!({"id": work::id(index), "task": "spin", "ms": 100});
    let begun = Instant::now();
    let feed = Feed::start(&cluster, &[], usize::MAX, spin);
    while begun.elapsed() < OVERRUN {
        feed.wait_results(feed.results() + 1);
    }
    let (results, fed) = feed.finish(&cluster);
    let ids: Vec<String> = (0..fed).map(work::id).collect();
    results.assert_exactly_once(ids.iter().map(String::as_str)).assert_first_attempts();
    assert_eq!(results.by_worker().len(), 2);
    assert!(cluster.wait_registered().iter().all(|row| row.state == "healthy"));
}
