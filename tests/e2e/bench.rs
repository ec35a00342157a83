//! `client bench`, on a cluster that serves what it needs and on one that does not.

use harness::{binaries::programs, cluster::Cluster};
use serde_json::Value;

fn report(cluster: &Cluster, args: &[&str]) -> Value {
    let run = cluster.client(&[&["bench"], args, &["--json"]].concat()).expect(0);
    serde_json::from_str(&run.stdout).unwrap()
}

#[test]
fn each_measure_reports_what_applies_to_it() {
    let cluster = Cluster::builder().workers(2).slots(1).start();
    let throughput = report(&cluster, &["throughput", "--tasks", "20000"]);
    assert_eq!(throughput["tasks"], 20_000);
    assert!(throughput["tasks_per_s"].as_f64().unwrap() > 0.0 && throughput["latency_us"].is_null());
    let latency = report(&cluster, &["latency", "--tasks", "50"]);
    let at = |quantile: &str| latency["latency_us"][quantile].as_f64().unwrap();
    assert!(0.0 < at("p50") && at("p50") <= at("p99"), "{latency}");
    assert!(latency["mb_per_s"].is_null());
    let payload = report(&cluster, &["payload", "--tasks", "2", "--size", "3MiB"]);
    assert!(payload["mb_per_s"].as_f64().unwrap() > 0.0 && payload["seconds"].as_f64().unwrap() > 0.0);

    let text = cluster.client(&["bench", "latency", "--tasks", "5"]).expect(0).stdout;
    assert!(text.starts_with("5 tasks in ") && text.contains("p99"), "{text}");
}

#[test]
fn workers_without_diagnostics_cannot_be_measured_and_it_says_why() {
    let cluster = Cluster::start(0);
    let mut worker = cluster.command(&programs().worker);
    worker.args(["--nameserver", &cluster.address().to_string(), "--name", "plain"]);
    let worker = cluster.spawn("plain", worker);
    worker.wait_line(|line| line.contains("listening on"));
    let run = cluster.client(&["bench", "throughput", "--tasks", "10"]).expect(1);
    assert!(
        run.stderr.contains("no worker serves \"echo\"") && run.stderr.contains("--diagnostics"),
        "{}",
        run.stderr
    );
    assert_eq!((run.stdout.as_str(), run.stderr.lines().count()), ("", 1));
}
