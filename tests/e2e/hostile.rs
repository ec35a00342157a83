//! Peers that send whatever they like. Nobody else may notice.
//!
//! `SGDT_HOSTILE_SECONDS` has them go on for longer, and in greater numbers: `scripts/hostile.sh` does that.

use harness::{
    cluster::Cluster,
    hostile::{Footprint, Service, bytes, flood, half_open, question},
    job::Job,
    wait::{JOB, answer_within},
};
use std::{
    env,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};
use tokio::time::Instant;

/// How much a server's memory may grow by all of them.
const GROWTH: u64 = 64 << 20;
/// How many descriptors more than before a server may have once they are gone: those of its own connections that came
/// meanwhile.
const LEFT: usize = 16;
/// Longer than any answer to what is sent here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many there are, and for how long.
#[derive(Clone, Copy)]
struct Siege {
    /// Connections to each server that stay.
    half_open: usize,
    /// Connections to each server that go, in each round.
    noisy: u64,
    /// There is one round at least.
    seconds: u64,
}

impl Siege {
    fn from_environment() -> Self {
        let seconds = env::var("SGDT_HOSTILE_SECONDS").ok();
        match seconds.map(|text| text.parse().expect("SGDT_HOSTILE_SECONDS is a number")) {
            Some(seconds) => Self { half_open: 1000, noisy: 500, seconds },
            None => Self { half_open: 200, noisy: 150, seconds: 0 },
        }
    }

    /// Attacks a server, round after round, until there is nobody left to disturb.
    fn lay(self, server: SocketAddr, service: Service, over: &AtomicBool) {
        let mut held = Vec::new();
        for round in 0.. {
            // Those of the round before are closed by now, or are closed here.
            drop(held);
            held = half_open(server, service, self.half_open);
            flood(server, service, round * self.noisy..(round + 1) * self.noisy);
            if over.load(Ordering::Relaxed) {
                return;
            }
        }
    }
}

fn job_goes_on(mut cluster: Cluster) {
    let _alone = super::machine_alone();
    let siege = Siege::from_environment();
    let workers = ["w1", "w2"].map(|name| (name, cluster.add_worker(name)));
    cluster.wait_registered();
    let now = |cluster: &mut Cluster| {
        [
            Footprint::of(cluster.nameserver()),
            Footprint::of(cluster.worker("w1")),
            Footprint::of(cluster.worker("w2")),
        ]
    };
    let before = now(&mut cluster);
    let mut peak = before;
    let targets = [
        (cluster.address(), Service::NameServer),
        (workers[0].1, Service::Task),
        (workers[1].1, Service::Task),
    ];
    let over = &AtomicBool::new(false);
    thread::scope(|scope| {
        for (server, service) in targets {
            scope.spawn(move || siege.lay(server, service, over));
        }
        let began = Instant::now();
        loop {
            let job = Job::sleeps(100, 40);
            let client = cluster.run_spawn(&[], &job);
            client.wait_lines(50);
            let during = now(&mut cluster);
            peak = [0, 1, 2].map(|server| peak[server].max(during[server]));
            let results = cluster.finish(client).expect(0).results();
            results.assert_exactly_once(job.ids()).assert_first_attempts();
            if began.elapsed() >= Duration::from_secs(siege.seconds) {
                break;
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    // What they had is given back.
    let mut after = now(&mut cluster);
    answer_within(JOB, || {
        after = now(&mut cluster);
        (0..3).all(|server| after[server].descriptors <= before[server].descriptors + LEFT).then_some(())
    });
    for (server, name) in ["name server", "w1", "w2"].into_iter().enumerate() {
        let [before, peak, after] = [before, peak, after].map(|footprints| footprints[server]);
        println!("{name:12} before {before}, at most {peak}, after {after}");
        assert!(peak.memory < before.memory + GROWTH && after.memory < before.memory + GROWTH, "{name}");
        assert!(after.descriptors <= before.descriptors + LEFT, "{name}");
    }
}

#[test]
fn a_job_goes_on_among_hostile_peers() {
    job_goes_on(Cluster::builder().start());
}

#[test]
fn a_job_goes_on_among_hostile_peers_with_tls() {
    job_goes_on(Cluster::builder().tls().start());
}

#[test]
fn an_absurd_deadline_is_answered_like_any_other_and_nobody_else_notices() {
    let mut cluster = Cluster::builder().start();
    let worker = cluster.add_worker("w1");
    let job = Job::sleeps(50, 40);
    let client = cluster.run_spawn(&[], &job);
    client.wait_lines(3);
    for (server, service) in [(cluster.address(), Service::NameServer), (worker, Service::Task)] {
        for deadline_ms in [u64::MAX, u64::MAX - 1, 1 << 63, (1 << 36) + 1, 1 << 36] {
            let mut stream = TcpStream::connect(server).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(&question(service, deadline_ms)).unwrap();
            // The greeting, and the head of an answer.
            stream
                .read_exact(&mut [0; 16])
                .unwrap_or_else(|error| panic!("{service:?}, {deadline_ms} ms: {error}"));
        }
    }
    cluster.finish(client).expect(0).results().assert_exactly_once(job.ids()).assert_first_attempts();
}

#[test]
fn a_client_that_is_lied_to_says_so_in_one_line() {
    let cluster = Cluster::builder().tls().start();
    let good = cluster.pki().issued("client", "c");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for (stream, seed) in listener.incoming().zip(0..) {
            let Ok(mut stream) = stream else { return };
            drop(stream.write_all(&bytes(Service::NameServer, seed)));
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            drop(stream.read(&mut [0; 4096]));
        }
    });
    let client = &harness::binaries::programs().client;
    for tls in [false, true].into_iter().cycle().take(12) {
        let mut command = cluster.command(client);
        command.args(["--nameserver", &address, "--wait-workers", "200ms", "workers"]);
        if tls {
            command.arg("--tls").arg(&good);
        }
        let mut process = cluster.spawn("lied-to client", command);
        drop(process.take_stdin());
        let run = cluster.finish(process).expect(3);
        assert!(run.stderr.lines().count() == 1 && run.stderr.contains(&address), "{}", run.stderr);
    }
}
