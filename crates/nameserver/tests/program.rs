//! The program itself: its line, its errors, its exit codes.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking, its helpers too")]

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

fn nameserver(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nameserver"));
    for name in [
        "SGDT_LISTEN",
        "SGDT_LEASE_TTL",
        "SGDT_INSECURE",
        "SGDT_TLS",
        "SGDT_LOG",
        "SGDT_LOG_FORMAT",
        "RUST_LOG",
    ] {
        command.env_remove(name);
    }
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Killed when a test ends, however it ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// What `what` returns, unless it takes absurdly long.
fn in_time<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(what()));
    receiver.recv_timeout(Duration::from_secs(20)).expect("within 20 s")
}

fn refused(mut command: Command) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = in_time(move || command.output().unwrap());
    assert!(stdout.is_empty(), "standard output is for the ready line");
    (status.code(), String::from_utf8(stderr).unwrap())
}

#[test]
fn it_says_where_it_listens_and_leaves_with_0_on_either_signal() {
    for signal in ["-TERM", "-INT"] {
        let mut running = Running(nameserver(&["--listen", "127.0.0.1:0"]).spawn().unwrap());
        let mut stdout = BufReader::new(running.0.stdout.take().unwrap());
        let line = in_time(move || {
            let mut line = String::new();
            stdout.read_line(&mut line).unwrap();
            line
        });
        let address = line.trim_end().strip_prefix("nameserver listening on ").expect(&line);
        assert_ne!(address.parse::<std::net::SocketAddr>().unwrap().port(), 0);
        let id = running.0.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        let status = in_time(move || running.0.wait().unwrap());
        assert_eq!(status.code(), Some(0), "after {signal}");
    }
}

#[test]
fn an_address_that_others_can_reach_is_bad_usage_without_insecure() {
    let (code, message) = refused(nameserver(&["--listen", "0.0.0.0:0"]));
    assert_eq!(code, Some(2));
    assert_eq!(message.lines().count(), 1, "{message}");
    assert!(message.starts_with("nameserver: refusing to listen on 0.0.0.0:"), "{message}");
}

#[test]
fn bad_values_are_bad_usage_wherever_they_come_from() {
    let mut from_env = nameserver(&[]);
    from_env.env("SGDT_LEASE_TTL", "2h");
    for (command, expected) in [
        (from_env, "a lease of 2h is not between 100ms and 1h"),
        (nameserver(&["--lease-ttl", "1ms"]), "a lease of 1ms is not between"),
        (nameserver(&["--log-format", "xml"]), "\"xml\" is neither"),
        (nameserver(&["--nonsense"]), "--nonsense"),
    ] {
        let (code, message) = refused(command);
        assert_eq!(code, Some(2), "{message}");
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn what_cannot_be_listened_on_is_one_line_and_1_and_what_is_no_address_2() {
    for (listen, expected) in [("256.0.0.1:1", 1), ("192.0.2.1:0", 1), ("127.0.0.1", 2), ("nowhere", 2)] {
        let (code, message) = refused(nameserver(&["--listen", listen]));
        assert_eq!(code, Some(expected), "{message}");
        assert!(message.lines().count() == 1 && message.contains(listen), "{message}");
    }
}

#[test]
fn the_certificate_authority_says_what_it_does_and_does_nothing_twice() {
    let home = tempfile::tempdir().unwrap();
    let run = |line: &str| {
        let mut command = nameserver(&["ca"]);
        command.args(line.split_whitespace()).current_dir(home.path()).env("SGDT_NAME", "somebody");
        let Output { status, stdout, stderr } = in_time(move || command.output().unwrap());
        (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
    };
    assert_eq!(run("init pki").0, Some(0));
    let (code, stdout, stderr) = run("issue pki --role worker --name w1 --host ::1 -o w1");
    assert_eq!((code, stdout.as_str()), (Some(0), ""), "{stderr}");
    assert!(stderr.starts_with("w1 is ready for --tls: worker w1, until "), "{stderr}");
    let (code, stdout, _) = run("list pki");
    assert!(
        code == Some(0) && stdout.starts_with("worker     w1 ") && stdout.lines().count() == 1,
        "{stdout}"
    );
    for (line, code, said) in [
        ("init pki", 1, "pki/ca.pem exists already and is not overwritten"),
        ("issue pki --role worker --name w1 -o w1", 1, "w1/ca.pem exists already"),
        ("issue nowhere --role worker --name w1 -o w2", 1, "make one with `nameserver ca init nowhere`"),
        ("issue pki --role root --name w1 -o w2", 2, "\"root\" is no role"),
        ("issue pki --role worker --name ../w1 -o w2", 2, "\"../w1\" is not a valid name"),
        ("issue pki --role worker --name w1 --host a/b -o w2", 2, "\"a/b\" is neither"),
        // Identities are not taken from the environment.
        ("issue pki --role worker -o w2", 2, "--name"),
    ] {
        let (status, stdout, stderr) = run(line);
        assert_eq!((status, stdout.as_str()), (Some(code), ""), "{line}: {stderr}");
        assert!(stderr.contains(said) && (code == 2 || stderr.lines().count() == 1), "{line}: {stderr}");
        assert!(!home.path().join("w2").exists(), "{line}");
    }
}
