//! Two sides over loopback sockets, each with a certificate that the test makes up.

mod authority;
mod crowd;
mod news;
mod strangers;

use super::{Tls, listener::MAX_FROM_ONE, verify::Judge};
use crate::{
    dial::{DialError, Dialled, dial, dial_worker},
    handshake::{HandshakeError, Service},
    id::WorkerId,
    identity::{Identity, Role, Who},
    name_server::WorkerInfo,
    net::{Network, Tcp},
    serve,
};
use authority::{Authority, Leaf};
use rcgen::ExtendedKeyUsagePurpose;
use rustls::{ClientConfig, crypto::ring, pki_types::ServerName, version::TLS13};
use std::{io, path::Path, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

/// Far beyond what anything here takes, and short of the client's own patience for a whole run.
const SOON: Duration = Duration::from_secs(20);

/// A service that greets and then only listens, and who has come to it.
struct Server {
    address: String,
    came: UnboundedReceiver<Who>,
    _stop: tokio_util::sync::DropGuard,
}

async fn serve(network: &dyn Network, listen: &str, service: Service) -> Server {
    let listener = network.listen(listen).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (tell, came) = unbounded_channel();
    let stop = CancellationToken::new();
    tokio::spawn(serve::connections(listener, service, stop.clone(), move |mut connection| {
        let tell = tell.clone();
        async move {
            drop(tell.send(connection.who));
            drop(connection.stream.read(&mut [0]).await);
        }
    }));
    Server { address, came, _stop: stop.drop_guard() }
}

async fn call(network: &dyn Network, server: &Server, service: Service) -> Result<(), DialError> {
    let dialled: Result<Dialled<(), ()>, _> =
        timeout(SOON, dial(network, &server.address, service, 1024)).await.expect("an answer");
    dialled.map(drop)
}

/// What a name server with one certificate and a client with another make of each other.
async fn meet(server: &dyn Network, client: &dyn Network) -> String {
    let server = serve(server, "127.0.0.1:0", Service::NameServer).await;
    match call(client, &server, Service::NameServer).await {
        Ok(()) => "ok".into(),
        Err(error) => {
            assert!(error.is_final(), "{error}");
            let text = error.to_string();
            text.strip_prefix(&format!("{}: ", server.address)).expect(&text).to_owned()
        }
    }
}

fn nameserver() -> Leaf {
    Leaf::of(Role::Nameserver, "ns")
}

fn client() -> Leaf {
    Leaf::of(Role::Client, "c")
}

/// Where others reach this machine, be that a network's address or a container's bridge; if they can.
fn own_address() -> Option<String> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent: this only asks which address would be used.
    socket.connect("192.0.2.1:9").ok()?;
    Some(format!("{}:0", socket.local_addr().ok()?.ip()))
}

#[tokio::test]
async fn both_sides_know_each_other_wherever_they_listen() {
    let ca = Authority::new("ca");
    let listen = ["127.0.0.1:0", "[::1]:0", "localhost:0", "0.0.0.0:0"].map(str::to_owned);
    for listen in listen.into_iter().chain(own_address()) {
        let mut server = serve(&ca.network(nameserver()), &listen, Service::NameServer).await;
        let network = ca.network(client());
        call(&network, &server, Service::NameServer).await.unwrap();
        let known = |role, name: &str| Who::Known(Identity { role, name: name.parse().unwrap() });
        assert_eq!(server.came.recv().await.unwrap(), known(Role::Client, "c"));
        let reached = network.connect(&server.address).await.unwrap().who;
        assert_eq!(reached, known(Role::Nameserver, "ns"));
    }
}

#[tokio::test]
async fn whoever_refuses_and_why_is_told() {
    let (ca, other) = (Authority::new("ca"), Authority::new("other"));
    let good = || ca.network(nameserver());
    let (server_only, client_only) =
        (ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth);
    let nobody = || client().with_uris(vec!["https://example.org".into()]);
    let two = || client().with_uris(vec!["sgdt://client/a".into(), "sgdt://admin/a".into()]);
    let cases: Vec<(Tls, Tls, [&str; 2])> = vec![
        (good(), other.network(client()), ["this side refused", "not issued by the CA in this side's"]),
        (
            good(),
            other.network_trusting(client(), &ca),
            ["the other side refused", "the CA that the other side trusts"],
        ),
        (good(), ca.network(client().expired()), ["the other side refused", "expired"]),
        (ca.network(nameserver().expired()), ca.network(client()), ["this side refused", "expired"]),
        (
            good(),
            ca.network(client().only(server_only)),
            ["the other side refused", "not for whoever connects"],
        ),
        (
            ca.network(nameserver().only(client_only)),
            ca.network(client()),
            ["this side refused", "not for a server"],
        ),
        (good(), ca.network(nobody()), ["the other side refused", "no identity"]),
        (good(), ca.network(two()), ["the other side refused", "no identity"]),
        (
            ca.network(nameserver().with_uris(vec![])),
            ca.network(client()),
            ["this side refused", "no identity"],
        ),
        (good(), good(), ["the other side refused", "may ask nothing of a name server"]),
        (
            ca.network(Leaf::of(Role::Worker, "w")),
            ca.network(client()),
            ["this side refused", "worker w, not for nameserver"],
        ),
        (ca.network(client()), ca.network(client()), ["this side refused", "client c, not for nameserver"]),
    ];
    for (server, client, expected) in cases {
        let told = meet(&server, &client).await;
        assert!(expected.iter().all(|part| told.contains(part)), "{expected:?}: {told}");
        assert!(!told.contains('\n'));
    }
}

#[tokio::test]
async fn plain_and_tls_know_each_other_for_what_they_are() {
    let tls = Authority::new("ca");
    let told = meet(&tls.network(nameserver()), &Tcp).await;
    assert!(told.starts_with("the other side uses TLS: pass --tls"), "{told}");
    let told = meet(&Tcp, &tls.network(client())).await;
    assert!(told.starts_with("the other side does not use TLS"), "{told}");
}

#[tokio::test]
async fn whoever_has_no_certificate_is_told_that_it_takes_one() {
    let ca = Authority::new("ca");
    let server = serve(&ca.network(nameserver()), "127.0.0.1:0", Service::NameServer).await;
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Judge::new(ca.roots.clone(), Vec::new(), &provider)))
        .with_no_client_auth();
    let tcp = TcpStream::connect(&server.address).await.unwrap();
    let name = ServerName::try_from("any").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
    let error = crate::handshake::connect(&mut stream, Service::NameServer).await.unwrap_err();
    let HandshakeError::Io(error) = error else { panic!("{error}") };
    let refusal = super::refusal::Refusal::of(&error).unwrap().to_string();
    assert!(
        refusal.starts_with("the other side refused this side's certificate: there is none"),
        "{refusal}"
    );
}

#[tokio::test]
async fn a_worker_is_not_impersonated_at_its_address() {
    let ca = Authority::new("ca");
    let network = ca.network(client());
    let info = |server: &Server| WorkerInfo {
        id: WorkerId(1),
        name: "w1".parse().unwrap(),
        address: server.address.clone(),
        slots: 1,
        tags: Default::default(),
        kinds: Vec::new(),
    };
    let as_worker = |name| ca.network(Leaf::of(Role::Worker, name));
    let server = serve(&as_worker("w1"), "127.0.0.1:0", Service::Task).await;
    dial_worker(&network, &info(&server)).await.unwrap();
    for (impostor, named) in [
        (as_worker("w2"), "for worker w2, not for worker w1"),
        (ca.network(Leaf::of(Role::Client, "w1")), "for client w1, not for worker w1"),
    ] {
        let mut server = serve(&impostor, "127.0.0.1:0", Service::Task).await;
        let error = dial_worker(&network, &info(&server)).await.unwrap_err();
        assert!(error.is_final() && error.to_string().contains(named), "{error}");
        // It has learnt nothing but that somebody was there: no greeting was sent.
        assert!(server.came.try_recv().is_err());
    }
}

#[tokio::test]
async fn slow_and_broken_handshakes_hold_nobody_up() {
    let ca = Authority::new("ca");
    let mut server = serve(&ca.network(nameserver()), "127.0.0.1:0", Service::NameServer).await;
    let mut open = Vec::new();
    for n in 0..100 {
        let mut stream = TcpStream::connect(&server.address).await.unwrap();
        if n % 2 == 0 {
            stream.write_all(b"\x16\x03\x01\x02\x00\x01").await.unwrap();
        }
        open.push(stream);
    }
    call(&ca.network(client()), &server, Service::NameServer).await.unwrap();
    assert!(matches!(server.came.recv().await.unwrap(), Who::Known(_)));
}

#[tokio::test]
async fn one_address_does_not_take_all_places() {
    let ca = Authority::new("ca");
    let server = serve(&ca.network(nameserver()), "127.0.0.1:0", Service::NameServer).await;
    let mut open = Vec::new();
    for _ in 0..MAX_FROM_ONE {
        open.push(TcpStream::connect(&server.address).await.unwrap());
    }
    let mut one_more = TcpStream::connect(&server.address).await.unwrap();
    // Closed while the others still have their time.
    let read = timeout(SOON, one_more.read(&mut [0])).await.unwrap();
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    assert!(open.iter().all(|stream| {
        matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }));
}

#[tokio::test]
async fn what_is_sent_arrives_whole_also_when_it_is_big() {
    let ca = Authority::new("ca");
    let mut listener = ca.network(nameserver()).listen("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let echo = tokio::spawn(async move {
        let mut stream = listener.accept().await.unwrap().stream;
        let mut bytes = vec![0; 1 << 22];
        stream.read_exact(&mut bytes).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        stream.shutdown().await.unwrap();
    });
    let mut stream = ca.network(client()).connect(&address).await.unwrap().stream;
    let sent: Vec<u8> = (0..1u32 << 20).flat_map(u32::to_le_bytes).collect();
    stream.write_all(&sent).await.unwrap();
    stream.flush().await.unwrap();
    let mut back = Vec::new();
    stream.read_to_end(&mut back).await.unwrap();
    assert!(back == sent);
    echo.await.unwrap();
}

#[test]
fn a_directory_that_is_not_there_names_the_file() {
    let error = Tls::load(Path::new("/nowhere")).err().unwrap().to_string();
    assert!(
        error.starts_with("cannot read /nowhere/ca.pem: ") && error.contains("nameserver ca issue"),
        "{error}"
    );
}
