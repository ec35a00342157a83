//! Workers that come: in the middle of a job, back to a name server that knows nothing, and by a script.

use crate::machine_alone;
use harness::{
    binaries::programs,
    cluster::Cluster,
    job::Job,
    process::{Process, Signal},
};
use std::{path::Path, time::Duration};
use tokio::time::Instant;

/// For processes to be scheduled and lines to be read.
const SLACK: Duration = Duration::from_secs(2);

#[test]
fn a_worker_that_joins_in_mid_job_has_work_within_a_second() {
    let _alone = machine_alone();
    let mut cluster = Cluster::start(1);
    let job = Job::sleeps(300, 50);
    let client = cluster.run_spawn(&[], &job);
    client.wait_lines(10);
    cluster.add_worker("late");
    let begun = Instant::now();
    client.wait_line(|line| line.contains(r#""worker":"late""#));
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(1) + SLACK, "its first result came after {took:?}");
    cluster.finish(client).expect(0).results().assert_exactly_once(job.ids()).assert_first_attempts();
}

#[test]
fn after_a_name_server_restart_all_workers_are_listed_within_a_ttl() {
    let _alone = machine_alone();
    let mut cluster = Cluster::builder().workers(4).nameserver_args(&["--lease-ttl", "3s"]).start();
    cluster.kill_nameserver();
    cluster.restart_nameserver();
    let begun = Instant::now();
    assert_eq!(cluster.wait_registered().len(), 4);
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(3) + SLACK, "they were all back after {took:?}");
}

#[test]
fn the_cluster_script_starts_a_cluster_and_leaves_no_process() {
    let cluster = Cluster::builder().start();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    // As in a terminal: what runs in the background may have been started to ignore Ctrl-C, and a shell keeps to that.
    let mut bash = cluster.command(Path::new("env"));
    bash.args(["--default-signal=INT", "bash", "scripts/cluster.sh", "3"]).current_dir(root);
    bash.env("SGDT_BIN_DIR", programs().client.parent().unwrap());
    let mut script: Process = cluster.spawn("cluster.sh", bash);
    script.wait_line(|line| line.contains("Ctrl-C here ends it all"));
    let lines = script.lines();
    let after = |line: &String, mark: &str| Some(line.split_once(mark)?.1.trim_end_matches(')').to_owned());
    let address = lines.iter().find_map(|line| after(line, "SGDT_NAMESERVER=")).unwrap();
    let daemons: Vec<_> = lines.iter().filter_map(|line| after(line, "(process ")).collect();
    assert_eq!(daemons.len(), 4, "{lines:#?}");
    let is_alive = |id: &String| Path::new("/proc").join(id).exists();
    assert!(daemons.iter().all(is_alive), "{lines:#?}");

    let job = Job::sleeps(30, 10);
    let mut command = cluster.command(&programs().client);
    command.args(["--nameserver", &address, "run"]).arg(cluster.file("tasks.jsonl", job.lines()));
    let run = cluster.finish(cluster.spawn("client", command)).expect(0);
    run.results().assert_exactly_once(job.ids()).assert_first_attempts();

    script.signal(Signal::INT);
    script.expect_exit(130);
    let left: Vec<_> = daemons.into_iter().filter(is_alive).collect();
    assert!(left.is_empty(), "still alive: {left:?}");
}
