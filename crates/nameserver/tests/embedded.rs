//! A name server inside another program, over loopback sockets.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use rand::{SeedableRng, rngs::StdRng};
use sgdt_nameserver::{BindError, Nameserver, config::Config};
use sgdt_proto::{
    dial::{Dialled, context, dial},
    handshake::Service,
    id::WorkerId,
    name_server::{Load, NameServerClient, RegisterError, WorkerInfo, limits},
    net::Tcp,
};
use std::{collections::BTreeSet, net::SocketAddr, time::Duration};
use tarpc::client;
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

const SOON: Duration = Duration::from_secs(20);

async fn bind(listen: &str, insecure: bool) -> Result<Nameserver, BindError> {
    let config = Config { listen: listen.to_owned(), insecure, ..Config::default() };
    Nameserver::bind(&config, &Tcp, &mut StdRng::seed_from_u64(1)).await
}

async fn start() -> (SocketAddr, CancellationToken, JoinHandle<()>) {
    let nameserver = bind("127.0.0.1:0", false).await.unwrap();
    let (address, stop) = (nameserver.local_addr(), CancellationToken::new());
    (address, stop.clone(), tokio::spawn(nameserver.run(stop)))
}

async fn connect(address: SocketAddr) -> NameServerClient {
    let address = address.to_string();
    let Dialled { wire, .. } = dial(&Tcp, &address, Service::NameServer, limits::ANSWER).await.unwrap();
    NameServerClient::new(client::Config::default(), wire).spawn()
}

fn info(id: u64) -> WorkerInfo {
    WorkerInfo {
        id: WorkerId(id),
        name: "w".parse().unwrap(),
        address: "127.0.0.1:1".into(),
        slots: 1,
        tags: Default::default(),
        kinds: vec!["sort".parse().unwrap()],
    }
}

#[tokio::test]
async fn a_worker_that_registers_reaches_a_client_that_watches() {
    let (address, stop, running) = start().await;
    let (worker, client) = (connect(address).await, connect(address).await);
    let before = client.watch(context(SOON), None).await.unwrap().read().unwrap();
    let watching = tokio::spawn({
        let client = client.clone();
        async move { client.watch(context(SOON), Some((before.epoch, before.revision))).await }
    });
    let lease = worker.register(context(SOON), info(1), Load::default()).await.unwrap().unwrap();
    assert_eq!(lease.ttl_ms, 5_000);
    let after = timeout(SOON, watching).await.unwrap().unwrap().unwrap().read().unwrap();
    assert_eq!(after.members[0].info, info(1));
    let refused = client.register(context(SOON), info(2), Load::default()).await.unwrap();
    assert!(matches!(refused, Err(RegisterError::NameTaken { .. })));
    stop.cancel();
    timeout(SOON, running).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_membership_of_thousands_travels_whole() {
    const WORKERS: u64 = 3_000;
    let (address, _stop, _running) = start().await;
    let client = connect(address).await;
    let joins = (0..WORKERS).map(|id| {
        let (client, worker) =
            (client.clone(), WorkerInfo { name: format!("w{id}").parse().unwrap(), ..info(id) });
        async move { client.register(context(SOON), worker, Load::default()).await.unwrap().unwrap() }
    });
    futures::future::join_all(joins).await;
    let snapshot = client.watch(context(SOON), None).await.unwrap().read().unwrap();
    let ids: BTreeSet<_> = snapshot.members.iter().map(|member| member.info.id.0).collect();
    assert_eq!(ids, (0..WORKERS).collect());
    assert_eq!(client.list(context(SOON)).await.unwrap().len(), WORKERS as usize);
}

#[tokio::test]
async fn stopping_does_not_wait_for_those_who_watch() {
    let (address, stop, running) = start().await;
    let client = connect(address).await;
    let here = client.watch(context(SOON), None).await.unwrap().read().unwrap();
    let watching =
        tokio::spawn(async move { client.watch(context(SOON), Some((here.epoch, here.revision))).await });
    tokio::task::yield_now().await;
    stop.cancel();
    timeout(Duration::from_secs(5), running).await.unwrap().unwrap();
    // An answer or the connection's end, whichever came first; but not nothing.
    drop(timeout(SOON, watching).await.unwrap().unwrap());
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "it still listens");
}

#[tokio::test]
async fn dropping_it_closes_its_connections() {
    let (address, _stop, running) = start().await;
    let client = connect(address).await;
    let here = client.watch(context(SOON), None).await.unwrap().read().unwrap();
    running.abort();
    let since = Some((here.epoch, here.revision));
    assert!(timeout(SOON, client.watch(context(SOON), since)).await.unwrap().is_err());
}

#[tokio::test]
async fn others_can_reach_it_only_where_that_is_meant() {
    let error = bind("0.0.0.0:0", false).await.unwrap_err();
    assert!(matches!(error, BindError::Exposed { .. }));
    assert!(error.to_string().contains("--insecure"), "{error}");
    assert_eq!(bind("0.0.0.0:0", true).await.unwrap().local_addr().ip().to_string(), "0.0.0.0");
    assert!(bind("localhost:0", false).await.is_ok());
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let first = bind("127.0.0.1:0", false).await.unwrap();
    let error = bind(&first.local_addr().to_string(), false).await.unwrap_err().to_string();
    assert!(error.contains(&first.local_addr().to_string()) && error.contains("--listen"), "{error}");
}
