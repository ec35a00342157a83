//! A directory that changes while connections are open.

use super::{SOON, authority::Authority, call, client, nameserver};
use crate::{
    handshake::Service,
    identity::{Role, Who},
    net::{Connection, Network},
    tls::{Tls, refusal::Refusal, tests::Leaf},
};
use std::{fs, io, path::Path};
use tempfile::{TempDir, tempdir};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

/// A name server's directory and a client's, of one CA.
struct Place {
    ca: Authority,
    server: TempDir,
    client: TempDir,
}

impl Place {
    fn new() -> Self {
        let (ca, server, client_home) = (Authority::new("ca"), tempdir().unwrap(), tempdir().unwrap());
        ca.write(nameserver().numbered(1), server.path());
        ca.write(client().numbered(2), client_home.path());
        Self { ca, server, client: client_home }
    }
}

fn load(directory: &TempDir) -> Tls {
    Tls::load(directory.path()).unwrap()
}

fn renew(tls: &Tls) -> Result<Option<usize>, String> {
    tls.shared.renew().map_err(|error| error.to_string())
}

/// Both ends of a connection, the listening one first.
async fn joined(server: &Tls, client: &Tls) -> [Connection; 2] {
    let mut listener = server.listen("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (theirs, ours) = tokio::join!(listener.accept(), client.connect(&address));
    [theirs.unwrap(), ours.unwrap()]
}

/// What becomes of a stream on which nothing comes.
async fn end(connection: &mut Connection) -> io::Result<usize> {
    timeout(SOON, connection.stream.read(&mut [0])).await.expect("an end")
}

fn assert_revoked(ended: io::Result<usize>) {
    let refusal = Refusal::of(&ended.unwrap_err()).unwrap().to_string();
    assert!(
        refusal.starts_with("this side refused the other's certificate: it has been revoked"),
        "{refusal}"
    );
}

#[tokio::test]
async fn who_is_revoked_is_not_let_in_by_either_side_and_is_told() {
    let place = Place::new();
    place.ca.revoke(&[2], place.server.path());
    let server = super::serve(&load(&place.server), "127.0.0.1:0", Service::NameServer).await;
    let error = call(&load(&place.client), &server, Service::NameServer).await.unwrap_err();
    assert!(error.is_final());
    let told = error.to_string();
    assert!(
        told.ends_with(
            "the other side refused this side's certificate: it has been revoked; issue a new one with \
             `nameserver ca issue`"
        ),
        "{told}"
    );

    fs::remove_file(place.server.path().join("crl.pem")).unwrap();
    place.ca.revoke(&[1], place.client.path());
    let server = super::serve(&load(&place.server), "127.0.0.1:0", Service::NameServer).await;
    let error = call(&load(&place.client), &server, Service::NameServer).await.unwrap_err().to_string();
    assert!(error.contains("this side refused the other's certificate: it has been revoked"), "{error}");
}

#[tokio::test]
async fn a_connection_ends_when_its_peer_is_revoked_and_no_other_does() {
    let place = Place::new();
    let other = tempdir().unwrap();
    place.ca.write(Leaf::of(Role::Client, "other").numbered(3), other.path());
    let (server, client, other) = (load(&place.server), load(&place.client), load(&other));
    let [mut with_client, _client] = joined(&server, &client).await;
    let [mut with_other, mut other] = joined(&server, &other).await;

    place.ca.revoke(&[2], place.server.path());
    let (ended, renewed) = tokio::join!(end(&mut with_client), async { renew(&server) });
    assert_eq!(renewed, Ok(Some(1)));
    assert_revoked(ended);
    assert_eq!(with_client.stream.write(b"x").await.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    other.stream.write_all(b"x").await.unwrap();
    other.stream.flush().await.unwrap();
    assert_eq!(end(&mut with_other).await.unwrap(), 1);
    assert_eq!(renew(&server), Ok(None), "nothing has changed since");
}

#[tokio::test]
async fn a_server_that_is_revoked_loses_its_clients() {
    let place = Place::new();
    let (server, client) = (load(&place.server), load(&place.client));
    let [_server, mut with_server] = joined(&server, &client).await;
    place.ca.revoke(&[1], place.client.path());
    assert_eq!(renew(&client), Ok(Some(1)));
    assert_revoked(end(&mut with_server).await);
}

#[tokio::test]
async fn a_new_certificate_is_shown_to_whoever_comes_next() {
    let place = Place::new();
    let (server, client) = (load(&place.server), load(&place.client));
    place.ca.revoke(&[2], place.server.path());
    assert_eq!(renew(&server), Ok(Some(0)));
    place.ca.write(super::client().numbered(4), place.client.path());
    assert_eq!(renew(&client), Ok(Some(0)));
    let [theirs, _ours] = joined(&server, &client).await;
    assert_eq!(theirs.who, Who::Known(client.identity().clone()));
}

#[tokio::test]
async fn files_that_are_not_in_order_change_nothing() {
    let place = Place::new();
    let (server, client) = (load(&place.server), load(&place.client));
    let home = place.server.path();
    let write = |name: &str, text: &str| fs::write(home.join(name), text).unwrap();
    let stranger = Authority::new("stranger");
    place.ca.revoke(&[9], home);
    assert_eq!(renew(&server), Ok(Some(0)));

    type Spoil<'a> = &'a dyn Fn(&Path);
    let cases: [(Spoil<'_>, &str); 6] = [
        (&|_| write("cert.pem", "nonsense"), "cert.pem holds no certificate in PEM form"),
        (&|home| fs::remove_file(home.join("key.pem")).unwrap(), "cannot read"),
        (&|home| fs::remove_file(home.join("crl.pem")).unwrap(), "crl.pem"),
        (&|home| stranger.revoke(&[2], home), "it takes a list of each CA in ca.pem"),
        (&|_| write("crl.pem", ""), "crl.pem holds no revocation list in PEM form"),
        (
            &|home| place.ca.write(Leaf::of(Role::Nameserver, "another"), home),
            "is now for nameserver another, and this program is nameserver ns",
        ),
    ];
    let kept =
        ["ca.pem", "cert.pem", "key.pem", "crl.pem"].map(|name| (name, fs::read(home.join(name)).unwrap()));
    for (spoil, said) in cases {
        spoil(home);
        let error = renew(&server).unwrap_err();
        assert!(error.contains(said) && !error.contains('\n'), "{error}");
        joined(&server, &client).await;
        for (name, bytes) in &kept {
            fs::write(home.join(name), bytes).unwrap();
        }
        assert_eq!(renew(&server), Ok(None));
    }
}

#[tokio::test]
async fn whoever_is_let_in_by_older_keys_is_judged_by_the_later_ones() {
    let place = Place::new();
    let server = load(&place.server);
    let old = server.shared.keys();
    let chain = vec![place.ca.certificate_of(client().numbered(2))];
    place.ca.revoke(&[2], place.server.path());
    renew(&server).unwrap();
    let admitted =
        server.shared.admit(&old, Box::new(tokio::io::empty()), &chain, crate::tls::verify::End::Client);
    assert!(admitted.is_err());
}
