//! Scenario 4: the first three with TLS on, and everybody who is not let in.

use harness::{
    binaries::programs,
    cluster::{Cluster, Run},
    job::Job,
    pki::Pki,
    process::Signal,
    reference::factorial,
};
use rand::{SeedableRng, rngs::StdRng};
use serde_json::json;
use sgdt_nameserver::ca;
use sgdt_proto::identity::{Identity, Role};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, UNIX_EPOCH},
};
use tokio::time::Instant;

/// A refusal is told well before the thirty seconds that a client waits for a cluster.
const TOLD: Duration = Duration::from_secs(15);

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Runs a client with this directory, and requires that it ends with this code and one line that says all of this.
fn refused(cluster: &Cluster, directory: &Path, args: &[&str], code: i32, said: &[&str]) -> Run {
    let begun = Instant::now();
    let run = cluster.client(&[&["--tls", text(directory)], args].concat()).expect(code);
    assert!(begun.elapsed() < TOLD, "{:?}", begun.elapsed());
    assert_told(&run, said);
    run
}

fn assert_told(run: &Run, said: &[&str]) {
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    assert!(run.stderr.starts_with("client: ") && run.stdout.is_empty(), "{}", run.stderr);
    assert!(said.iter().all(|part| run.stderr.contains(part)), "{said:?}: {}", run.stderr);
}

/// Runs a client of the name server at that address and of no other.
fn at(cluster: &Cluster, address: &str, directory: Option<&Path>, args: &[&str]) -> Run {
    let mut command = cluster.command(&programs().client);
    command.args(["--nameserver", address]).args(args);
    if let Some(directory) = directory {
        command.arg("--tls").arg(directory);
    }
    let mut client = cluster.spawn("client", command);
    drop(client.take_stdin());
    cluster.finish(client)
}

/// A certificate of this cluster's that has expired years ago.
fn expired(cluster: &Cluster, role: Role, name: &str) -> PathBuf {
    let out = cluster.path(&format!("expired-{role}"));
    let identity = Identity { role, name: name.parse().unwrap() };
    let then = UNIX_EPOCH + Duration::from_secs(1_600_000_000);
    let mut rng = StdRng::seed_from_u64(1);
    ca::issue(&cluster.pki().authority(), identity, &[], &out, then, &mut rng).unwrap();
    out
}

fn stranger(cluster: &Cluster) -> Pki {
    Pki::init(&programs().nameserver, cluster.path("other-pki"))
}

#[test]
fn tasks_of_all_kinds_and_sizes_are_done_by_one_worker() {
    let cluster = Cluster::builder().tls().workers(1).start();
    let job = Job::of(60, |i| match i % 3 {
        0 => json!({"task": "factorial", "n": i}),
        1 => json!({"task": "echo", "value": "x".repeat(1 << (i / 3))}),
        _ => json!({"task": "matmul", "a": {"random": [200, 300], "seed": i},
                    "b": {"random": [300, 100], "seed": 1}}),
    });
    let results = cluster.run(&[], &job).expect(0).results();
    results.assert_exactly_once(job.ids()).assert_first_attempts();
    for i in (0..60).step_by(3) {
        assert_eq!(results.get(&format!("t{i}")).output["value"], factorial(i as u64));
        let echoed = results.get(&format!("t{}", i + 1)).output["value"].as_str().unwrap().len();
        assert_eq!(echoed, 1 << ((i + 1) / 3));
        let product = results.get(&format!("t{}", i + 2)).output["c"].as_array().unwrap();
        assert_eq!((product.len(), product[0].as_array().unwrap().len()), (200, 100));
    }
}

#[test]
fn a_worker_joins_and_one_is_drained_while_a_job_runs() {
    let mut cluster = Cluster::builder().tls().workers(2).start();
    let job = Job::sleeps(200, 40);
    let client = cluster.run_spawn(&[], &job);
    client.wait_lines(20);
    cluster.add_worker("w3");
    client.wait_line(|line| line.contains(r#""worker":"w3""#));
    cluster.client(&["drain", "w1"]).expect(0);
    cluster.worker("w1").expect_exit(0);
    let results = cluster.finish(client).expect(0).results();
    results.assert_exactly_once(job.ids()).assert_first_attempts();
    assert_eq!(results.by_worker().len(), 3);
}

#[test]
fn one_worker_is_killed_and_another_stopped() {
    let mut cluster = Cluster::builder().tls().workers(3).start();
    let job = Job::sleeps(100, 100);
    let client = cluster.run_spawn(&[], &job);
    client.wait_lines(15);
    cluster.kill("w1");
    cluster.signal("w2", Signal::STOP);
    let results = cluster.finish(client).expect(0).results();
    results.assert_exactly_once(job.ids()).assert_all_ok();
    let moved = results.moved();
    assert!(!moved.is_empty() && moved.iter().all(|result| result.attempts <= 3), "{moved:#?}");
}

#[test]
fn the_name_server_comes_back_and_everybody_finds_it_again() {
    let mut cluster = Cluster::builder().tls().workers(2).start();
    cluster.kill_nameserver();
    cluster.restart_nameserver();
    cluster.wait_registered();
    let job = Job::sleeps(10, 1);
    cluster.run(&[], &job).expect(0).results().assert_exactly_once(job.ids()).assert_first_attempts();
}

#[test]
fn with_tls_everybody_may_connect_and_insecure_is_not_needed() {
    let mut cluster = Cluster::builder().tls().start();
    cluster.add_worker_with("w1", &["--listen", "0.0.0.0:0"]);
    cluster.wait_registered();
    let job = Job::sleeps(4, 1);
    cluster.run(&[], &job).expect(0).results().assert_exactly_once(job.ids()).assert_first_attempts();
}

#[test]
fn a_certificate_of_another_ca_is_refused_by_whichever_side_sees_it() {
    let cluster = Cluster::builder().tls().start();
    let theirs = stranger(&cluster).issued("client", "c");
    let address = cluster.address().to_string();
    let said = ["this side refused the other's certificate", "not issued by the CA", &address];
    refused(&cluster, &theirs, &["workers"], 3, &said);
    refused(&cluster, &theirs, &["factorial", "3"], 3, &said);
    // Who trusts the cluster is not trusted by it for that.
    fs::copy(cluster.pki().authority().join("ca.pem"), theirs.join("ca.pem")).unwrap();
    let said =
        ["the other side refused this side's certificate", "the CA that the other side trusts", &address];
    refused(&cluster, &theirs, &["workers"], 3, &said);
    refused(&cluster, &theirs, &["factorial", "3"], 3, &said);
}

#[test]
fn an_expired_certificate_is_refused_by_whichever_side_sees_it() {
    let cluster = Cluster::builder().tls().start();
    let client = expired(&cluster, Role::Client, "c");
    let said = ["the other side refused this side's certificate", "expired"];
    refused(&cluster, &client, &["workers"], 3, &said);
    refused(&cluster, &client, &["run", "/dev/null"], 3, &said);

    let nameserver = expired(&cluster, Role::Nameserver, "ns");
    let mut command = cluster.command(&programs().nameserver);
    command.args(["--listen", "127.0.0.1:0", "--tls", text(&nameserver)]);
    let late = cluster.spawn("late", command);
    let line = late.wait_line(|line| line.contains("listening on"));
    let address = line.rsplit(' ').next().unwrap();
    let good = cluster.pki().issued("client", "c");
    let said = ["this side refused the other's certificate", "expired", address];
    assert_told(&at(&cluster, address, Some(&good), &["workers"]).expect(3), &said);
}

#[test]
fn a_role_allows_what_it_is_for_and_nothing_else() {
    let mut cluster = Cluster::builder().tls().workers(1).start();
    let (client, worker) = (cluster.pki().issued("client", "c"), cluster.pki().issued("worker", "w1"));
    for args in [&["workers"][..], &["lookup", "w1"], &["ping"], &["factorial", "3"]] {
        cluster.client(&[&["--tls", text(&client)], args].concat()).expect(0);
    }
    let said = ["the name server refused: client c may not remove a worker", "the role admin"];
    refused(&cluster, &client, &["remove", "w1"], 1, &said);
    let said = ["the worker refused: client c may not drain a worker", "the role admin"];
    refused(&cluster, &client, &["drain", "w1"], 1, &said);
    refused(&cluster, &worker, &["workers"], 2, &["cert.pem is for worker w1", "a client's role is client"]);
    cluster.client(&["remove", "w1"]).expect(0);
    cluster.worker("w1").expect_exit(0);
}

#[test]
fn a_daemon_is_what_its_certificate_says() {
    let cluster = Cluster::builder().tls().start();
    let programs = programs();
    let (client, w1) = (cluster.pki().issued("client", "c"), cluster.pki().issued("worker", "w1"));
    let address = cluster.address().to_string();
    for (program, args, said) in [
        (
            &programs.nameserver,
            vec!["--tls", text(&w1)],
            "is for worker w1; a name server's role is nameserver",
        ),
        (&programs.worker, vec!["--tls", text(&client)], "is for client c; a worker's role is worker"),
        (&programs.worker, vec!["--tls", text(&w1), "--name", "w2"], "--name w2 is not the name in"),
    ] {
        let mut command = cluster.command(program);
        command.args(["--listen", "127.0.0.1:0"]).args(args);
        let mut process = cluster.spawn("misfit", command);
        process.expect_exit(2);
        let lines = process.error_lines();
        assert!(lines.len() == 1 && lines[0].contains(said), "{lines:?}");
    }
    // Without a name of its own, a worker has that in its certificate.
    let mut command = cluster.command(&programs.worker);
    command.args(["--nameserver", &address, "--tls", text(&w1)]);
    let worker = cluster.spawn("unnamed", command);
    worker.wait_line(|line| line.starts_with("worker w1 listening on "));
    cluster.wait_workers("w1 to be registered", |rows| rows.iter().any(|row| row.name == "w1"));
}

#[test]
fn files_that_are_missing_or_broken_are_named() {
    let cluster = Cluster::builder().tls().start();
    let programs = programs();
    let good = cluster.pki().issued("client", "c");
    for (program, args) in
        [(&programs.nameserver, &[][..]), (&programs.worker, &[]), (&programs.client, &["workers"])]
    {
        for (file, spoil) in [
            ("ca.pem", "gone"),
            ("cert.pem", "gone"),
            ("key.pem", "gone"),
            ("cert.pem", "nonsense"),
            ("key.pem", "pipe"),
        ] {
            let directory = tempfile::tempdir().unwrap();
            for name in ["ca.pem", "cert.pem", "key.pem"] {
                fs::copy(good.join(name), directory.path().join(name)).unwrap();
            }
            let path = directory.path().join(file);
            fs::remove_file(&path).unwrap();
            match spoil {
                "nonsense" => fs::write(&path, spoil).unwrap(),
                // Whoever opens it waits for somebody to write.
                "pipe" => assert!(Command::new("mkfifo").arg(&path).status().unwrap().success()),
                _ => {}
            }
            let mut command = cluster.command(program);
            command.args(["--tls", text(directory.path())]).args(args);
            let mut process = cluster.spawn("unreadable", command);
            process.expect_exit(2);
            let lines = process.error_lines();
            assert!(lines.len() == 1 && lines[0].contains(text(&path)), "{lines:?}");
            assert!(lines[0].matches("os error").count() <= 1, "told twice: {lines:?}");
        }
    }
    // A key that is another certificate's.
    let mixed = cluster.pki().issued("client", "mixed");
    fs::copy(good.join("key.pem"), mixed.join("key.pem")).unwrap();
    refused(&cluster, &mixed, &["workers"], 2, &["do not belong together", text(&mixed)]);
}

#[test]
fn plain_and_tls_do_not_mix_and_say_so() {
    let encrypted = Cluster::builder().tls().start();
    let plain = Cluster::start(0);
    let begun = Instant::now();
    let address = encrypted.address().to_string();
    for args in [&["workers"][..], &["factorial", "3"]] {
        let run = at(&plain, &address, None, args).expect(3);
        assert_told(&run, &["the other side uses TLS: pass --tls", &address]);
    }
    let (address, good) = (plain.address().to_string(), encrypted.pki().issued("client", "c"));
    for args in [&["workers"][..], &["factorial", "3"]] {
        let run = at(&encrypted, &address, Some(&good), args).expect(3);
        assert_told(&run, &["the other side does not use TLS", &address]);
    }
    assert!(begun.elapsed() < 2 * TOLD);

    // Workers go on trying, because a name server may be restarted otherwise; and say what they meet.
    let programs = programs();
    let mut command = plain.command(&programs.worker);
    command.args(["--nameserver", &encrypted.address().to_string(), "--name", "w1"]);
    let worker = plain.spawn("plain worker", command);
    worker
        .wait_error_line(|line| line.contains("not registered") && line.contains("the other side uses TLS"));
}

#[test]
fn a_worker_that_gives_anothers_address_as_its_own_gets_nothing() {
    let mut cluster = Cluster::builder().tls().start();
    let honest = cluster.add_worker("honest").to_string();
    cluster.add_worker_with("thief", &["--advertise", &honest]);
    cluster.wait_registered();
    let run = cluster.client(&["ping", "thief"]).expect(1);
    assert_told(&run, &["its certificate is for worker honest, not for worker thief"]);
    let job = Job::sleeps(20, 1);
    let results = cluster.run(&[], &job).expect(0).results();
    results.assert_exactly_once(job.ids()).assert_first_attempts();
    assert_eq!(results.by_worker().keys().collect::<Vec<_>>(), [&"honest"]);
}
