//! A worker that is far away, so that everything it is told or says is on its way for a while.

use harness::{cluster::Cluster, job::Job, proxy::Proxy};
use std::time::Duration;

/// Each way.
const DELAY: Duration = Duration::from_millis(50);

/// A cluster of two workers of one slot, `near` and, behind the proxy, `far`.
fn near_and_far() -> (Cluster, Proxy) {
    let mut cluster = Cluster::builder().slots(1).start();
    let proxy = Proxy::start();
    cluster.add_worker("near");
    proxy.set_target(cluster.add_worker_with("far", &["--advertise", &proxy.address().to_string()]));
    proxy.delay(DELAY);
    cluster.wait_registered();
    (cluster, proxy)
}

#[test]
fn a_far_worker_is_kept_as_busy_as_a_near_one() {
    let _alone = super::machine_alone();
    let (cluster, _proxy) = near_and_far();
    // A way there and back takes as long as ten of them: with two at a time it would get a fifth of what the other gets. It
    // gets about two thirds, as it begins later and has fewer until it is known how far it is.
    let job = Job::sleeps(600, 10);
    let results = cluster.run(&[], &job).expect(0).results();
    results.assert_exactly_once(job.ids()).assert_first_attempts();
    let shares = results.by_worker();
    assert!(2 * shares["far"] >= shares["near"], "{shares:?}");
}

#[test]
fn a_far_worker_holds_nothing_back_from_one_that_appears() {
    let (mut cluster, _proxy) = near_and_far();
    // Half a minute for the first two.
    let job = Job::sleeps(300, 200);
    let client = cluster.run_spawn(&[], &job);
    client.wait_lines(4);
    cluster.add_worker_with("new", &["--slots", "16"]);
    let results = cluster.finish(client).expect(0).results();
    results.assert_exactly_once(job.ids()).assert_all_ok();
    // All but what the first two had by then, and did meanwhile.
    let shares = results.by_worker();
    assert!(shares["new"] >= job.len() / 2, "{shares:?}");
}
