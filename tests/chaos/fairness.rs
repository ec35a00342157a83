//! Many clients on the same workers.

use crate::machine_shared;
use harness::{cluster::Cluster, job::Job, process::Process};

#[test]
fn a_client_with_thousands_of_tasks_does_not_starve_one_with_ten() {
    let _shared = machine_shared();
    let cluster = Cluster::start(2);
    let many = Job::sleeps(3000, 10);
    let client = cluster.run_spawn(&[], &many);
    // By then all windows are full, and thousands wait.
    client.wait_lines(200);
    let few = Job::sleeps(10, 10);
    cluster.run(&[], &few).expect(0).results().assert_exactly_once(few.ids()).assert_first_attempts();
    let done = client.lines().len();
    assert!(done < many.len() / 2, "{done} of the many were done before the ten");
    cluster.finish(client).expect(0).results().assert_exactly_once(many.ids()).assert_first_attempts();
}

#[test]
fn long_tasks_of_one_client_do_not_keep_another_ones_short_tasks_waiting_for_all_of_them() {
    let _shared = machine_shared();
    let cluster = Cluster::start(2);
    let long = Job::sleeps(60, 400);
    let client = cluster.run_spawn(&[], &long);
    client.wait_lines(4);
    let short = Job::sleeps(10, 1);
    cluster.run(&[], &short).expect(0).results().assert_exactly_once(short.ids()).assert_first_attempts();
    let done = client.lines().len();
    assert!(done < long.len() / 2, "{done} of the long tasks were done before the short ones");
    cluster.finish(client).expect(0).results().assert_exactly_once(long.ids()).assert_first_attempts();
}

#[test]
fn many_clients_all_make_progress() {
    let _shared = machine_shared();
    let cluster = Cluster::start(2);
    let job = Job::sleeps(600, 10);
    let clients: Vec<Process> = (0..6).map(|_| cluster.run_spawn(&[], &job)).collect();
    let done = || clients.iter().map(|client| client.lines().len()).collect::<Vec<usize>>();
    // From when all of them are at work until one has no more to do.
    clients.iter().for_each(|client| client.wait_lines(1));
    let before = done();
    clients[0].wait_lines(job.len());
    let after = done();
    let progress: Vec<usize> = before.iter().zip(&after).map(|(before, after)| after - before).collect();
    assert!(progress[0] > 0, "the first was done before the last began: {before:?}");
    assert!(progress.iter().all(|own| 2 * own >= progress[0]), "not alike: {before:?}, and then {after:?}");
    for client in clients {
        cluster.finish(client).expect(0).results().assert_exactly_once(job.ids()).assert_first_attempts();
    }
}
