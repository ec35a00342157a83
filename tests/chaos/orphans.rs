//! A client vanishes while its tasks run: they stop, and whoever comes next is not made to wait.
//!
//! Whether a worker computes is read off its threads: one that spins is never anything but runnable.

use crate::machine_alone;
use harness::{
    cluster::Cluster,
    job::Job,
    process::{Process, Signal},
    proxy::{Direction, Proxy},
    wait::eventually,
};
use serde_json::json;
use std::{fs, time::Duration};
use tokio::time::Instant;

/// How long the tasks of a client that has vanished may go on,
const ORPHANED: Duration = Duration::from_secs(3);

/// and what is granted for processes to be scheduled and looked at.
const SLACK: Duration = Duration::from_secs(1);

/// How many of a worker's threads are running, or could be.
fn runnable(worker: u32) -> usize {
    let threads = fs::read_dir(format!("/proc/{worker}/task")).unwrap();
    let is_runnable = |stat: &String| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('R'));
    // A thread may end between the two looks.
    let stats = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("stat")).ok());
    stats.filter(is_runnable).count()
}

/// Waits until the worker computes nothing: no thread of it wants to run, many times in a row.
fn wait_quiet(worker: u32) {
    let mut quiet = 0;
    eventually("the orphaned tasks to stop", || {
        quiet = if runnable(worker) == 0 { quiet + 1 } else { 0 };
        (quiet == 10).then_some(())
    });
}

/// A worker behind a proxy, whose slots spin for a client, with more tasks waiting.
struct Scene {
    cluster: Cluster,
    proxy: Proxy,
    client: Process,
    worker: u32,
}

impl Scene {
    fn new() -> Self {
        let mut cluster = Cluster::builder().nameserver_args(&["--lease-ttl", "10m"]).start();
        let proxy = Proxy::start();
        let behind = cluster.add_worker_with("w1", &["--advertise", &proxy.address().to_string()]);
        proxy.set_target(behind);
        cluster.wait_registered();
        let job = Job::of(10, |_| json!({"task": "spin", "ms": 600_000}));
        let client = cluster.run_spawn(&[], &job);
        let worker = cluster.worker("w1").id();
        eventually("both slots to spin", || (runnable(worker) >= 2).then_some(()));
        Self { cluster, proxy, client, worker }
    }

    /// Makes the client vanish; requires that its tasks stop in time.
    fn assert_stopped(&mut self, vanish: impl FnOnce(&Process, &Proxy)) {
        let begun = Instant::now();
        vanish(&self.client, &self.proxy);
        wait_quiet(self.worker);
        let took = begun.elapsed();
        assert!(took < ORPHANED + SLACK, "the tasks went on for {took:?}");
    }

    /// Requires that another client's tasks are done at once.
    fn assert_free(&self) {
        let job = Job::sleeps(8, 50);
        let begun = Instant::now();
        self.cluster
            .run(&[], &job)
            .expect(0)
            .results()
            .assert_exactly_once(job.ids())
            .assert_first_attempts();
        let took = begun.elapsed();
        assert!(took < ORPHANED + SLACK, "the next client took {took:?}");
    }
}

fn kill(client: &Process, _: &Proxy) {
    client.signal(Signal::KILL);
}

fn stop(client: &Process, _: &Proxy) {
    client.signal(Signal::STOP);
}

#[test]
fn the_tasks_of_a_killed_client_stop() {
    let _alone = machine_alone();
    let mut scene = Scene::new();
    scene.assert_stopped(kill);
    scene.assert_free();
}

#[test]
fn the_client_that_comes_next_does_not_wait_for_a_killed_ones_tasks() {
    let _alone = machine_alone();
    let scene = Scene::new();
    kill(&scene.client, &scene.proxy);
    scene.assert_free();
}

#[test]
fn the_tasks_of_a_stopped_client_stop() {
    let _alone = machine_alone();
    let mut scene = Scene::new();
    scene.assert_stopped(stop);
    scene.assert_free();
}

#[test]
fn the_client_that_comes_next_does_not_wait_for_a_stopped_ones_tasks() {
    let _alone = machine_alone();
    let scene = Scene::new();
    stop(&scene.client, &scene.proxy);
    scene.assert_free();
}

#[test]
fn tasks_stop_when_the_connection_that_brought_them_is_reset() {
    let _alone = machine_alone();
    let mut scene = Scene::new();
    scene.assert_stopped(|_, proxy| {
        // It must not come back at once with the same tasks.
        proxy.refuse();
        proxy.reset();
    });
    scene.client.kill();
    scene.proxy.heal();
    scene.assert_free();
}

#[test]
fn tasks_stop_when_their_client_can_be_heard_no_more() {
    let _alone = machine_alone();
    for ways in [&Direction::BOTH[..], &[Direction::ToTarget]] {
        let mut scene = Scene::new();
        scene.assert_stopped(|_, proxy| proxy.swallow(ways));
        scene.client.kill();
        scene.proxy.heal();
        scene.assert_free();
    }
}

#[test]
fn a_client_that_was_stopped_for_long_goes_on_and_finishes_its_job() {
    const WORKERS: usize = 6;
    let _alone = machine_alone();
    let mut cluster = Cluster::start(WORKERS);
    let job = Job::sleeps(120, 100);
    let client = cluster.run_spawn(&[], &job);
    client.wait_lines(20);
    client.signal(Signal::STOP);
    // It has been silent for long enough to be given up, by all of them.
    for number in 1..=WORKERS {
        cluster.worker(&format!("w{number}")).wait_error_line(|line| line.contains("fallen silent"));
    }
    client.signal(Signal::CONT);
    let results = cluster.finish(client).expect(0).results();
    results.assert_exactly_once(job.ids()).assert_all_ok();
}
