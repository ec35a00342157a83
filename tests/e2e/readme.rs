//! The README's commands, run as they stand there, one after the other.
//!
//! What differs from a reader's terminals: the programs are those of this test's build, daemons get free ports, and
//! certificates are made in a directory of the test's.

use harness::{
    binaries::{pi_worker, programs},
    cluster::Cluster,
    process::Process,
};
use std::{fs, path::Path, process::Command};

/// The lines of the README's `sh` blocks.
fn commands(readme: &str) -> Vec<&str> {
    let mut commands = Vec::new();
    let mut inside = false;
    for line in readme.lines() {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            _ if inside => commands.push(line),
            _ => {}
        }
    }
    commands
}

#[test]
fn every_command_does_what_the_readme_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let check = fs::read_to_string(root.join("scripts/check.sh")).unwrap();
    let commands = commands(&readme);
    assert!(commands.len() >= 19, "the README has lost its commands: {commands:?}");

    let cluster = Cluster::builder().workers(0).start();
    let mut address = String::new();
    let mut daemons: Vec<Process> = Vec::new();
    for line in commands {
        if line.starts_with("cargo build") {
            // The harness has built the programs and the example.
            continue;
        }
        if line.starts_with("cargo test") {
            assert!(check.contains(line), "the checks run other tests than {line:?}");
            continue;
        }
        let line = with_programs(line).replace(" pki", &format!(" {}", cluster.path("pki").display()));
        let line = line.replace(":7400", ":0").replace("127.0.0.1:0", &address);
        // `exec`, so that a signal reaches the program and not the shell.
        let is_pipe = line.contains('|');
        let mut bash = cluster.command(Path::new("bash"));
        bash.arg("-c").arg(if is_pipe { line.clone() } else { format!("exec {line}") }).current_dir(root);
        let is_command = line.contains(" ca ") || line.contains(" token ");
        let is_daemon = !line.contains(&*programs().client.to_string_lossy()) && !is_command;
        if !address.is_empty() {
            bash.env("SGDT_NAMESERVER", &address);
        }
        if !is_daemon {
            expect_success(&cluster, bash, &line);
            continue;
        }
        bash.env("SGDT_LISTEN", "127.0.0.1:0");
        let daemon = cluster.spawn(&line, bash);
        let ready = daemon.wait_line(|line| line.contains(" listening on "));
        if ready.starts_with("nameserver") {
            // The latest is the one that is meant from here on.
            address = ready.rsplit(' ').next().unwrap().replace("0.0.0.0", "127.0.0.1");
        }
        daemons.push(daemon);
    }
    assert_eq!(
        daemons.len(),
        7,
        "a name server, two workers, a worker with a kind of its own, two with TLS, and a name server that issues"
    );
}

/// A command, with the programs that the harness has built where the README names them.
fn with_programs(line: &str) -> String {
    let programs = programs();
    let line = line.replace("cargo run --release --bin client --", "target/release/client");
    let words = line.split(' ').map(|word| match word {
        "target/release/nameserver" => programs.nameserver.to_string_lossy(),
        "target/release/worker" => programs.worker.to_string_lossy(),
        "target/release/client" => programs.client.to_string_lossy(),
        "target/release/examples/pi" => pi_worker().to_string_lossy().into_owned().into(),
        word => word.into(),
    });
    words.collect::<Vec<_>>().join(" ")
}

fn expect_success(cluster: &Cluster, command: Command, line: &str) {
    let mut process = cluster.spawn(line, command);
    drop(process.take_stdin());
    process.expect_exit(0);
}
