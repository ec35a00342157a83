//! Machines that have nothing but a token.

use harness::{
    binaries::programs,
    cluster::{Cluster, Run},
    job::Job,
    pki::Pki,
    process::{Process, Signal},
    proxy::{Direction, Proxy},
};
use rand::{SeedableRng, rngs::StdRng};
use sgdt_nameserver::ca::token;
use sgdt_proto::identity::Role;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Starts a worker that has this token, and will keep what it gets for it in this directory.
fn worker(cluster: &Cluster, token: &str, directory: &Path, args: &[&str]) -> Process {
    let mut command = cluster.command(&programs().worker);
    command.args(["--nameserver", &cluster.address().to_string(), "--join", token, "--tls", text(directory)]);
    command.args(["--listen", "127.0.0.1:0", "--slots", "2", "--diagnostics"]).args(args);
    cluster.spawn("newcomer", command)
}

/// Requires that a newcomer ends, with one line that says all of this, and leaves nothing behind.
fn assert_refused(mut newcomer: Process, directory: &Path, said: &[&str]) {
    newcomer.expect_exit(1);
    let lines = newcomer.error_lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].starts_with("worker: ") && said.iter().all(|part| lines[0].contains(part)),
        "{said:?}: {lines:?}"
    );
    assert!(
        fs::read_dir(directory).unwrap().next().is_none(),
        "something was left in {}",
        directory.display()
    );
}

fn client(cluster: &Cluster, directory: &Path, args: &[&str]) -> Run {
    cluster.client(&[&["--tls", text(directory)], args].concat())
}

#[test]
fn a_machine_with_a_token_becomes_a_worker_and_stays_one() {
    let cluster = Cluster::builder().tls().issuing().start();
    let token = cluster.pki().token("worker", &["--ttl", "10m"]);
    let home = cluster.path("newcomer");
    let newcomer = worker(&cluster, &token, &home, &["--name", "w9"]);
    newcomer.wait_line(|line| line.starts_with("worker w9 listening on "));
    cluster.wait_workers("w9 to be registered", |rows| rows.iter().any(|row| row.name == "w9"));
    let job = Job::sleeps(6, 1);
    let results = cluster.run(&[], &job).expect(0).results();
    results.assert_exactly_once(job.ids()).assert_first_attempts();
    assert_eq!(results.by_worker().keys().collect::<Vec<_>>(), [&"w9"]);
    for file in ["key.pem", "cert.pem", "ca.pem"] {
        assert_eq!(fs::metadata(home.join(file)).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }
    assert_eq!(cluster.pki().serials("w9").len(), 1);

    // The same command line serves for the next start, though the token is used up.
    newcomer.signal(Signal::TERM);
    drop(newcomer);
    let again = worker(&cluster, &token, &home, &[]);
    again.wait_line(|line| line.starts_with("worker w9 listening on "));
    assert_eq!(cluster.pki().serials("w9").len(), 1);
}

#[test]
fn a_machine_that_was_ended_while_it_waited_to_join_joins_when_it_is_started_again() {
    let mut cluster = Cluster::builder().tls().issuing().start();
    let token = cluster.pki().token("worker", &["--name", "w9"]);
    let home = cluster.path("newcomer");
    cluster.kill_nameserver();
    let waiting = worker(&cluster, &token, &home, &[]);
    waiting.wait_error_line(|line| line.contains("trying on"));
    drop(waiting);
    let key = fs::read(home.join("key.pem")).unwrap();
    cluster.restart_nameserver();
    let again = worker(&cluster, &token, &home, &[]);
    again.wait_line(|line| line.starts_with("worker w9 listening on "));
    assert_eq!(fs::read(home.join("key.pem")).unwrap(), key);
}

#[test]
fn a_machine_whose_answer_was_lost_tries_again_and_is_told_what_became_of_its_token() {
    let mut cluster = Cluster::builder().tls().issuing().start();
    let proxy = Proxy::to(cluster.address());
    // More than the handshake, and less than that and the certificates.
    proxy.cut_after(Direction::ToSource, 1_900);
    let home = cluster.path("newcomer");
    let token = cluster.pki().token("client", &["--name", "me"]);
    let mut command = cluster.command(&programs().client);
    command.args(["--nameserver", &proxy.address().to_string(), "--tls", text(&home), "join", &token]);
    let mut newcomer = cluster.spawn("newcomer", command);
    newcomer.wait_error_line(|line| line.contains("broke off") && line.ends_with("trying on"));
    newcomer.wait_error_line(|line| line.contains("the token has been used already"));
    newcomer.expect_exit(1);
    assert_eq!(cluster.pki().serials("me").len(), 1);
    cluster.nameserver().wait_error_line(|line| line.contains("somebody has joined"));
}

#[test]
fn a_token_that_is_not_good_lets_nobody_in_and_says_why_in_one_line() {
    let cluster = Cluster::builder().tls().issuing().start();
    let pki = cluster.pki();
    let home = cluster.path("newcomer");
    let address = cluster.address().to_string();
    let refused = |token: &str, args: &[&str], said: &[&str]| {
        assert_refused(worker(&cluster, token, &home, args), &home, &[said, &[&address]].concat());
    };

    let used = pki.token("worker", &["--name", "w1"]);
    let elsewhere = cluster.path("elsewhere");
    worker(&cluster, &used, &elsewhere, &[]).wait_line(|line| line.starts_with("worker w1 listening on "));
    refused(&used, &[], &["refused", "the token has been used already"]);

    let (then, hour) = (UNIX_EPOCH + Duration::from_secs(1_600_000_000), Duration::from_secs(3600));
    let rng = &mut StdRng::seed_from_u64(1);
    let expired = token::create(&pki.authority(), Role::Worker, None, hour, then, rng).unwrap();
    refused(&expired.to_string(), &["--name", "w2"], &["refused", "the token has expired"]);

    let other = Pki::init(&programs().nameserver, cluster.path("other-pki"));
    let said = ["this side refused", "its CA is not the one that the token was made for"];
    refused(&other.token("worker", &["--name", "w2"]), &[], &said);

    // Whoever knows the hash of the CA, which is no secret, has no token yet.
    let good = pki.token("worker", &["--name", "w2"]);
    let (secret, hash) = good.split_at("sgdt1-".len() + 64);
    let guessed = format!("sgdt1-{}{hash}", "0".repeat(64));
    assert_ne!(secret, &guessed[..secret.len()]);
    refused(&guessed, &[], &["refused", "it knows of no such token"]);

    refused(
        &pki.token("client", &[]),
        &["--name", "w2"],
        &["refused", "the token is for a client, and not for a worker"],
    );
    refused(&good, &["--name", "w3"], &["refused", "the token is for the name w2, and not for w3"]);
    let nameless = pki.token("worker", &[]);
    refused(&nameless, &[], &["refused", "the token is for no name in particular: say --name"]);
    refused(&nameless, &["--name", "w1"], &["refused", "the name w1 has a certificate already"]);
    // What was refused has cost nothing.
    worker(&cluster, &good, &home, &[]).wait_line(|line| line.starts_with("worker w2 listening on "));
}

#[test]
fn a_client_joins_too_and_is_no_more_than_a_client() {
    let mut cluster = Cluster::builder().tls().issuing().workers(1).start();
    let home = cluster.path("me");
    let token = cluster.pki().token("client", &["--name", "me"]);
    client(&cluster, &home, &["join", &token]).expect(0);
    client(&cluster, &home, &["ping", "w1"]).expect(0);
    let denied = client(&cluster, &home, &["remove", "w1"]).expect(1);
    assert!(denied.stderr.contains("client me may not remove a worker"), "{}", denied.stderr);
    let again = client(&cluster, &cluster.path("again"), &["join", &token]).expect(1);
    assert!(again.stderr.lines().count() == 1 && again.stderr.contains("used already"), "{}", again.stderr);
    // It is revoked like any other.
    let ns = cluster.pki().issued("nameserver", "ns");
    cluster.pki().revoke("me", &[&ns]);
    cluster.nameserver().wait_error_line(|line| line.contains("certificates were read again"));
    let refused = client(&cluster, &home, &["workers"]).expect(3);
    assert!(refused.stderr.contains("it has been revoked"), "{}", refused.stderr);
}

#[test]
fn a_client_waits_no_longer_than_it_was_told_to() {
    let mut cluster = Cluster::builder().tls().issuing().start();
    let token = cluster.pki().token("client", &["--name", "me"]);
    cluster.kill_nameserver();
    let home = cluster.path("me");
    let waited = client(&cluster, &home, &["--wait-workers", "300ms", "join", &token]).expect(3);
    assert!(waited.stderr.contains("within 300ms (--wait-workers)"), "{}", waited.stderr);
    cluster.restart_nameserver();
    client(&cluster, &home, &["join", &token]).expect(0);
}

#[test]
fn a_name_server_does_not_issue_for_another_cluster() {
    let cluster = Cluster::builder().tls().start();
    let other = Pki::init(&programs().nameserver, cluster.path("other-pki"));
    let ns = cluster.pki().issued("nameserver", "ns");
    let mut command = cluster.command(&programs().nameserver);
    command.args(["--listen", "127.0.0.1:0", "--tls", text(&ns), "--ca", text(&other.authority())]);
    let mut refused = cluster.spawn("nameserver of two", command);
    refused.expect_exit(1);
    assert!(refused.error_lines()[0].contains("nobody could join by its tokens"));
}

#[test]
fn a_name_server_that_holds_no_ca_takes_no_tokens() {
    let cluster = Cluster::builder().tls().start();
    let home = cluster.path("newcomer");
    let token = cluster.pki().token("worker", &["--name", "w1"]);
    assert_refused(
        worker(&cluster, &token, &home, &[]),
        &home,
        &["this side refused", "is it started with --ca?"],
    );
    let plain = Cluster::start(0);
    assert_refused(worker(&plain, &token, &home, &[]), &home, &["the other side does not use TLS"]);
}
