//! Registrations with a name server that does as the test says.

use super::{Fate, Heartbeat, Heartbeats};
use crate::{
    pool::Pool,
    testing::{memory::Memory, simulated},
};
use sgdt_proto::{
    handshake::Service,
    id::{Epoch, Revision, WorkerId, WorkerName},
    name_server::{
        Lease, Load, NameServer, RegisterError, RenewError, Snapshot, WorkerInfo, WorkerStatus,
        WrittenSnapshot, limits,
    },
    net::{Connection, Network},
    serve, transport,
};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tarpc::context::Context;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

const ADDRESS: &str = "127.0.0.1:7400";
const OTHER: &str = "127.0.0.1:7401";
const TTL: Duration = Duration::from_secs(3);

/// What a worker said, and when.
#[derive(Clone, PartialEq, Debug)]
enum Said {
    Register(WorkerInfo, Load),
    Renew(Load),
    Deregister,
}

/// What the next registrations and renewals are answered with; afterwards all is well.
#[derive(Default)]
struct Script {
    register: Vec<RegisterError>,
    renew: Vec<RenewError>,
}

#[derive(Clone)]
struct Fake {
    said: mpsc::UnboundedSender<(Instant, Said)>,
    script: Arc<Mutex<Script>>,
}

impl Fake {
    fn hear(&self, said: Said) {
        drop(self.said.send((Instant::now(), said)));
    }
}

impl NameServer for Fake {
    async fn register(self, _: Context, info: WorkerInfo, load: Load) -> Result<Lease, RegisterError> {
        self.hear(Said::Register(info, load));
        let answer = self.script.lock().unwrap().register.pop();
        answer.map_or(Ok(Lease { ttl_ms: TTL.as_millis() as u64 }), Err)
    }

    async fn renew(self, _: Context, _: WorkerId, load: Load) -> Result<(), RenewError> {
        self.hear(Said::Renew(load));
        self.script.lock().unwrap().renew.pop().map_or(Ok(()), Err)
    }

    async fn deregister(self, _: Context, _: WorkerId) {
        self.hear(Said::Deregister);
    }

    async fn watch(self, _: Context, _: Option<(Epoch, Revision)>) -> WrittenSnapshot {
        let (epoch, revision) = (Epoch(1), Revision(0));
        WrittenSnapshot::new(&Snapshot { epoch, revision, settled: true, members: Vec::new() })
    }

    async fn list(self, _: Context) -> Vec<WorkerStatus> {
        Vec::new()
    }

    async fn lookup(self, _: Context, _: WorkerName) -> Option<WorkerStatus> {
        None
    }

    async fn remove(self, _: Context, _: WorkerName) -> Option<WorkerStatus> {
        None
    }
}

/// A worker's heartbeat and the name server that it may find.
struct Scene {
    network: Memory,
    heard: mpsc::UnboundedReceiver<(Instant, Said)>,
    fake: Fake,
    pool: Arc<Pool>,
    draining: CancellationToken,
    leaving: CancellationToken,
}

fn info() -> WorkerInfo {
    WorkerInfo {
        id: WorkerId(5),
        name: "w".parse().unwrap(),
        address: "10.0.0.7:99".to_owned(),
        slots: 1,
        tags: Default::default(),
        kinds: Vec::new(),
    }
}

impl Scene {
    fn new(register: Vec<RegisterError>, renew: Vec<RenewError>) -> Self {
        let (said, heard) = mpsc::unbounded_channel();
        Self {
            network: Memory::default(),
            heard,
            fake: Fake { said, script: Arc::new(Mutex::new(Script { register, renew })) },
            pool: Arc::new(Pool::new(1)),
            draining: CancellationToken::new(),
            leaving: CancellationToken::new(),
        }
    }

    /// Starts the name server; it goes, with its connections, when the token is cancelled.
    async fn nameserver(&self) -> CancellationToken {
        self.nameserver_at(ADDRESS, self.fake.clone()).await
    }

    /// Starts another one, which answers all registrations like this.
    async fn refusing(&self, refusal: RegisterError) -> CancellationToken {
        let script = Script { register: vec![refusal; 1_000], renew: Vec::new() };
        let said = mpsc::unbounded_channel().0;
        self.nameserver_at(OTHER, Fake { said, script: Arc::new(Mutex::new(script)) }).await
    }

    async fn nameserver_at(&self, address: &str, fake: Fake) -> CancellationToken {
        let listener = self.network.listen(address).await.unwrap();
        let stop = CancellationToken::new();
        let gone = stop.clone();
        let handle = move |connection: Connection| {
            let fake = fake.clone();
            let gone = gone.clone();
            async move {
                let wire = transport::over(connection.stream, limits::REQUEST);
                serve::requests(wire, fake.serve(), serve::Limits { requests: 16, backlog: 1 << 20 }, gone)
                    .await;
            }
        };
        tokio::spawn(serve::connections(listener, Service::NameServer, stop.clone(), handle));
        stop
    }

    fn worker(&self, nameservers: &[&str]) -> Heartbeats {
        let heartbeat = Heartbeat {
            network: Arc::new(self.network.clone()),
            pool: self.pool.clone(),
            info: info(),
            advertised: false,
            listens: "0.0.0.0:40123".parse().unwrap(),
            draining: self.draining.clone(),
            leaving: self.leaving.clone(),
        };
        heartbeat.start(&simulated(), nameservers.iter().map(ToString::to_string).collect()).unwrap()
    }

    async fn next(&mut self) -> (Instant, Said) {
        let heard = timeout(Duration::from_secs(60), self.heard.recv()).await;
        heard.expect("the worker said nothing").unwrap()
    }

    async fn registers(&mut self) -> Instant {
        match self.next().await {
            (at, Said::Register(..)) => at,
            other => panic!("{other:?}"),
        }
    }

    async fn renews(&mut self) -> (Instant, Load) {
        match self.next().await {
            (at, Said::Renew(load)) => (at, load),
            other => panic!("{other:?}"),
        }
    }
}

fn taken() -> RegisterError {
    taken_for(TTL)
}

/// Taken by a worker whose lease lives for so long without a renewal.
fn taken_for(ttl: Duration) -> RegisterError {
    let ttl_ms = ttl.as_millis() as u64;
    RegisterError::NameTaken { name: "w".parse().unwrap(), address: "10.0.0.8:1".to_owned(), ttl_ms }
}

#[tokio::test(start_paused = true)]
async fn a_worker_started_before_its_name_server_waits_for_it() {
    let mut scene = Scene::new(Vec::new(), Vec::new());
    let _heartbeats = scene.worker(&[ADDRESS]);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let start = Instant::now();
    let _nameserver = scene.nameserver().await;
    assert!(scene.registers().await - start <= Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_renewed_every_third_of_its_time_and_out_of_step() {
    let mut scene = Scene::new(Vec::new(), Vec::new());
    let _nameserver = scene.nameserver().await;
    let _heartbeats = scene.worker(&[ADDRESS]);
    let mut last = scene.registers().await;
    let mut pauses = Vec::new();
    for _ in 0..20 {
        let (at, _) = scene.renews().await;
        pauses.push(at - last);
        last = at;
    }
    let third = TTL / 3;
    // Timers fire up to a millisecond late.
    let bounds = third.mul_f64(0.9)..third.mul_f64(1.1) + Duration::from_millis(5);
    assert!(pauses.iter().all(|pause| bounds.contains(pause)), "{pauses:?}");
    assert!(pauses.iter().any(|pause| pause.abs_diff(third) > third / 50), "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_listens_everywhere_announces_where_the_name_server_sees_it() {
    let mut scene = Scene::new(Vec::new(), Vec::new());
    let _nameserver = scene.nameserver().await;
    let _heartbeats = scene.worker(&[ADDRESS]);
    let (_, Said::Register(told, _)) = scene.next().await else { panic!() };
    assert_eq!(told, WorkerInfo { address: "127.0.0.9:40123".to_owned(), ..info() });
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_not_known_is_registered_anew_at_once() {
    let mut scene = Scene::new(Vec::new(), vec![RenewError::Unknown]);
    let _nameserver = scene.nameserver().await;
    let _heartbeats = scene.worker(&[ADDRESS]);
    scene.registers().await;
    let (asked, _) = scene.renews().await;
    assert!(scene.registers().await - asked < Duration::from_millis(10));
    scene.renews().await;
}

#[tokio::test(start_paused = true)]
async fn a_name_server_that_restarts_is_found_again() {
    let mut scene = Scene::new(Vec::new(), Vec::new());
    let nameserver = scene.nameserver().await;
    let _heartbeats = scene.worker(&[ADDRESS]);
    scene.registers().await;
    nameserver.cancel();
    tokio::time::sleep(Duration::from_secs(30)).await;
    while scene.heard.try_recv().is_ok() {}
    let start = Instant::now();
    let nameserver = scene.nameserver().await;
    assert!(scene.registers().await - start <= TTL / 3 + Duration::from_millis(5), "within one renewal");

    // A short absence is noticed at the next renewal, and the waits begin anew.
    nameserver.cancel();
    let start = Instant::now();
    let _nameserver = scene.nameserver().await;
    assert!(scene.registers().await - start <= TTL.mul_f64(1.1 / 3.0) + Duration::from_millis(150));
}

#[tokio::test(start_paused = true)]
async fn every_name_server_is_told() {
    let mut scene = Scene::new(Vec::new(), Vec::new());
    let _nameserver = scene.nameserver().await;
    let _heartbeats = scene.worker(&["127.0.0.1:1", ADDRESS, ADDRESS]);
    scene.registers().await;
    scene.registers().await;
}

#[tokio::test(start_paused = true)]
async fn a_crashed_predecessors_name_is_waited_for() {
    let mut scene = Scene::new(vec![taken(); 4], Vec::new());
    let _nameserver = scene.nameserver().await;
    let mut heartbeats = scene.worker(&[ADDRESS]);
    for _ in 0..5 {
        scene.registers().await;
    }
    scene.renews().await;
    assert!(timeout(Duration::from_secs(30), heartbeats.fate()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_name_that_stays_taken_is_an_error_that_says_what_to_do() {
    let scene = Scene::new(vec![taken(); 1_000], Vec::new());
    let _nameserver = scene.nameserver().await;
    let start = Instant::now();
    let fate = scene.worker(&[ADDRESS]).fate().await;
    let Fate::Refused { nameserver, source } = fate else { panic!("{fate:?}") };
    assert!((15..18).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    assert_eq!(nameserver, ADDRESS);
    assert!(source.to_string().contains("choose another --name"), "{source}");
}

#[tokio::test(start_paused = true)]
async fn a_name_is_waited_for_until_its_holders_lease_has_run_out_twice() {
    let scene = Scene::new(vec![taken_for(Duration::from_secs(60)); 1_000], Vec::new());
    let _nameserver = scene.nameserver().await;
    let start = Instant::now();
    let fate = scene.worker(&[ADDRESS]).fate().await;
    assert!(matches!(fate, Fate::Refused { .. }), "{fate:?}");
    assert!((120..123).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn one_name_server_s_refusal_does_not_end_a_worker_that_another_holds() {
    for refusal in [taken(), RegisterError::Invalid { message: "too odd".to_owned() }] {
        let mut scene = Scene::new(Vec::new(), Vec::new());
        let nameserver = scene.nameserver().await;
        let mut heartbeats = scene.worker(&[ADDRESS, OTHER]);
        scene.registers().await;
        let _refusing = scene.refusing(refusal).await;
        assert!(timeout(Duration::from_secs(60), heartbeats.fate()).await.is_err());
        // It is alone with the one that does not let it in.
        nameserver.cancel();
        let start = Instant::now();
        let fate = heartbeats.fate().await;
        assert!(matches!(fate, Fate::Refused { .. }), "{fate:?}");
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn an_announcement_that_is_no_good_is_not_repeated_and_a_full_name_server_is_asked_again() {
    let mut scene = Scene::new(vec![RegisterError::Full { workers: 9 }; 20], Vec::new());
    let _nameserver = scene.nameserver().await;
    let _heartbeats = scene.worker(&[ADDRESS]);
    for _ in 0..21 {
        scene.registers().await;
    }
    scene.renews().await;

    let scene = Scene::new(vec![RegisterError::Invalid { message: "too odd".to_owned() }], Vec::new());
    let _nameserver = scene.nameserver().await;
    let fate = scene.worker(&[ADDRESS]).fate().await;
    assert!(matches!(fate, Fate::Refused { .. }), "{fate:?}");
}

#[tokio::test(start_paused = true)]
async fn a_removed_worker_is_told_so() {
    for (register, renew) in [(vec![RegisterError::Removed], vec![]), (vec![], vec![RenewError::Removed])] {
        let scene = Scene::new(register, renew);
        let _nameserver = scene.nameserver().await;
        let fate = scene.worker(&[ADDRESS]).fate().await;
        assert!(matches!(fate, Fate::Removed { .. }), "{fate:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_is_told_at_once_and_a_leave_ends_the_lease() {
    let mut scene = Scene::new(Vec::new(), Vec::new());
    let _nameserver = scene.nameserver().await;
    let heartbeats = scene.worker(&[ADDRESS]);
    scene.registers().await;
    drop(scene.pool.drain());
    let start = Instant::now();
    scene.draining.cancel();
    let (at, load) = scene.renews().await;
    assert!(load.draining && at - start < Duration::from_millis(10));
    let (at, _) = scene.renews().await;
    assert!(at - start > Duration::from_millis(800), "and then at the usual pace");
    scene.leaving.cancel();
    assert_eq!(scene.next().await.1, Said::Deregister);
    heartbeats.ended().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_leaves_even_when_its_name_server_does_not_answer() {
    let scene = Scene::new(Vec::new(), Vec::new());
    // Takes connections and says nothing.
    let _listener = scene.network.listen(ADDRESS).await.unwrap();
    let heartbeats = scene.worker(&[ADDRESS, "127.0.0.1:1"]);
    tokio::time::sleep(Duration::from_secs(5)).await;
    scene.leaving.cancel();
    timeout(Duration::from_secs(3), heartbeats.ended()).await.unwrap();
}
