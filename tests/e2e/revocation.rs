//! Certificates that are taken back, and new ones, while everybody runs.

use harness::{cluster::Cluster, job::Job, process::Process};
use std::{fs, path::Path};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Waits until a daemon has told that it has read its directory again, so many times.
fn wait_read_again(daemon: &Process, times: usize) {
    let read = |line: &str| line.contains("certificates were read again");
    daemon.wait_error_lines(times, read);
}

#[test]
fn a_client_that_is_revoked_is_refused_by_whoever_knows() {
    let mut cluster = Cluster::builder().tls().workers(1).start();
    let [client, ns, w1] = [("client", "c"), ("nameserver", "ns"), ("worker", "w1")]
        .map(|(role, name)| cluster.pki().issued(role, name));
    let run = |cluster: &Cluster| cluster.client(&["--tls", text(&client), "ping", "w1"]);
    run(&cluster).expect(0);
    cluster.pki().revoke("c", &[&w1]);
    wait_read_again(cluster.worker("w1"), 1);
    let said = "the other side refused this side's certificate: it has been revoked; issue a new one with \
                `nameserver ca issue`";
    let refused = run(&cluster).expect(1);
    assert!(refused.stderr.lines().count() == 1 && refused.stderr.contains(said), "{}", refused.stderr);

    cluster.pki().revoke("c", &[&ns]);
    wait_read_again(cluster.nameserver(), 1);
    let refused = run(&cluster).expect(3);
    assert!(refused.stderr.lines().count() == 1 && refused.stderr.contains(said), "{}", refused.stderr);
    // Nobody else is.
    cluster.client(&["ping", "w1"]).expect(0);
}

#[test]
fn a_worker_that_is_revoked_loses_its_place_and_its_tasks_while_a_job_runs() {
    let mut cluster = Cluster::builder().tls().workers(2).start();
    let [root, ns] =
        [("admin", "root"), ("nameserver", "ns")].map(|(role, name)| cluster.pki().issued(role, name));
    let job = Job::sleeps(200, 40);
    let client = cluster.run_spawn(&[], &job);
    client.wait_lines(20);
    cluster.pki().revoke("w2", &[&ns, &root]);
    cluster.worker("w2").wait_error_line(|line| {
        line.contains("not registered") && line.contains("the other side refused") && line.contains("revoked")
    });
    cluster.wait_workers("w2 to be gone", |rows| rows.iter().all(|row| row.name == "w1"));
    let results = cluster.finish(client).expect(0).results();
    results.assert_exactly_once(job.ids()).assert_all_ok();
    // A client that comes now meets w1 alone.
    let job = Job::sleeps(4, 1);
    let results = cluster.run(&[], &job).expect(0).results();
    assert_eq!(results.by_worker().keys().collect::<Vec<_>>(), [&"w1"]);
}

#[test]
fn a_daemon_takes_a_new_certificate_without_a_restart_and_keeps_the_old_one_when_the_new_is_broken() {
    let mut cluster = Cluster::builder().tls().workers(1).start();
    let [root, ns, w1] = [("admin", "root"), ("nameserver", "ns"), ("worker", "w1")]
        .map(|(role, name)| cluster.pki().issued(role, name));
    let works = |cluster: &Cluster| {
        let job = Job::sleeps(4, 1);
        cluster.run(&[], &job).expect(0).results().assert_exactly_once(job.ids()).assert_first_attempts();
    };
    let id = cluster.wait_registered()[0].id.clone();

    let good = fs::read(w1.join("cert.pem")).unwrap();
    fs::write(w1.join("cert.pem"), "nonsense").unwrap();
    let told = cluster
        .worker("w1")
        .wait_error_line(|line| line.contains("cert.pem holds no certificate in PEM form"));
    assert!(told.contains("the files read before stay in use"), "{told}");
    works(&cluster);

    // The old one goes, the new one comes: whoever has both lists sees the same start of the same worker.
    fs::write(w1.join("cert.pem"), good).unwrap();
    let new = cluster.pki().issued_anew("worker", "w1", "w1-anew");
    for file in ["key.pem", "cert.pem"] {
        fs::copy(new.join(file), w1.join(file)).unwrap();
    }
    wait_read_again(cluster.worker("w1"), 1);
    let serial = cluster.pki().serials("w1")[0].clone();
    cluster.pki().revoke(&serial, &[&ns, &root]);
    wait_read_again(cluster.nameserver(), 1);
    works(&cluster);
    let rows = cluster.wait_registered();
    assert_eq!(rows[0].id, id);
}
