//! Peers that send whatever they like. Nobody else may notice.

use harness::{cluster::Cluster, job::Job, reference::word};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

/// Connections that say nothing, or not enough, and stay.
const HALF_OPEN: usize = 200;
/// Connections that say something and go.
const NOISY: u64 = 150;
/// How much a server's memory may grow by all of them.
const GROWTH: u64 = 64 << 20;
/// Longer than any answer to what is sent here takes.
const PATIENCE: Duration = Duration::from_secs(20);

const NAME_SERVER: u8 = 1;
const TASK: u8 = 2;

fn greeting(service: u8) -> Vec<u8> {
    [b"SGDT\x01\x00".as_slice(), &[service, 0]].concat()
}

/// Bytes that follow from a seed.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    (0..).flat_map(|k| word(seed, k).to_le_bytes()).take(length).collect()
}

/// What one hostile peer sends: noise, frames of all sizes cut off anywhere, and the beginnings of TLS.
fn hostile(service: u8, seed: u64) -> Vec<u8> {
    let frame = |length: u32, kind: u8| [&length.to_le_bytes()[..], &[kind, 0, 0, 0]].concat();
    let length = (word(seed, 0) % 4096) as usize;
    match seed % 6 {
        0 => noise(seed, length),
        1 => [greeting(service), noise(seed, length)].concat(),
        2 => [greeting(service), frame(u32::MAX, (seed / 6) as u8), noise(seed, length)].concat(),
        3 => [greeting(service), frame(length as u32, (seed / 6) as u8), noise(seed, length / 2)].concat(),
        4 => [&b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc"[..], &noise(seed, length)].concat(),
        _ => [greeting(service), vec![0xff; length]].concat(),
    }
}

/// Attacks a server; returns the connections that stay.
fn attack(server: SocketAddr, service: u8) -> Vec<TcpStream> {
    let connect = || TcpStream::connect(server).unwrap();
    let mut open = Vec::new();
    for n in 0..HALF_OPEN {
        let mut stream = connect();
        // Whoever is closed early is closed; that is the server's right.
        drop(stream.write_all(&greeting(service)[..n % 8]));
        open.push(stream);
    }
    for seed in 0..NOISY {
        let mut stream = connect();
        drop(stream.write_all(&hostile(service, seed)));
        if seed % 2 == 0 {
            stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
            drop(stream.read(&mut [0; 64]));
        }
    }
    open
}

fn job_goes_on(mut cluster: Cluster) {
    let workers = ["w1", "w2"].map(|name| (name, cluster.add_worker(name)));
    cluster.wait_registered();
    let before = [cluster.nameserver().rss_bytes()]
        .into_iter()
        .chain(workers.map(|(name, _)| cluster.worker(name).rss_bytes()))
        .collect::<Vec<_>>();
    let job = Job::sleeps(100, 40);
    let client = cluster.run_spawn(&[], &job);
    client.wait_lines(5);
    let attacks = [(cluster.address(), NAME_SERVER), (workers[0].1, TASK), (workers[1].1, TASK)]
        .map(|(server, service)| thread::spawn(move || attack(server, service)));
    let open = attacks.map(|attack| attack.join().unwrap());
    let results = cluster.finish(client).expect(0).results();
    results.assert_exactly_once(job.ids()).assert_first_attempts();
    // Also with the connections still there, others are served.
    cluster.run(&[], &Job::sleeps(4, 1)).expect(0);
    let after = [cluster.nameserver().rss_bytes()]
        .into_iter()
        .chain(workers.map(|(name, _)| cluster.worker(name).rss_bytes()));
    for (before, after) in before.into_iter().zip(after) {
        assert!(after < before + GROWTH, "from {before} to {after} bytes");
    }
    drop(open);
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
fn a_client_that_is_lied_to_says_so_in_one_line() {
    let cluster = Cluster::builder().tls().start();
    let good = cluster.pki().issued("client", "c");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for (stream, seed) in listener.incoming().zip(0..) {
            let Ok(mut stream) = stream else { return };
            drop(stream.write_all(&hostile(NAME_SERVER, seed)));
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
