//! Peers without a certificate, where they are let in.

use super::{SOON, Server, authority::Authority, call, client, nameserver, serve};
use crate::{
    handshake::Service,
    identity::Who,
    join::token::Fingerprint,
    tls::{Tls, pinned::Pinned},
};
use tempfile::{TempDir, tempdir};
use tokio::time::timeout;

/// A name server that lets strangers in, and the hash of its CA.
async fn open_server() -> (Authority, TempDir, Server, Fingerprint) {
    let (ca, home) = (Authority::new("ca"), tempdir().unwrap());
    ca.write(nameserver(), home.path());
    let tls = Tls::load(home.path()).unwrap().admitting_strangers().unwrap();
    let server = serve(&tls, "127.0.0.1:0", Service::NameServer).await;
    ca.write(client(), home.path());
    let hash = Fingerprint::of_pem(&std::fs::read_to_string(home.path().join("ca.pem")).unwrap()).unwrap();
    (ca, home, server, hash)
}

#[tokio::test]
async fn a_stranger_is_served_what_is_for_strangers_and_nothing_else() {
    let (_ca, _home, mut server, hash) = open_server().await;
    let network = Pinned::new(hash);
    let told = call(&network, &server, Service::NameServer).await.unwrap_err().to_string();
    assert!(told.contains("a name server's desk for join tokens listens there"), "{told}");
    assert!(server.came.try_recv().is_err());
    call(&network, &server, Service::Join).await.unwrap();
    let came = timeout(SOON, server.came.recv()).await.unwrap().unwrap();
    assert_eq!(came, Who::Stranger);
}

#[tokio::test]
async fn whoever_has_a_certificate_is_known_there_as_everywhere_and_has_no_use_for_the_desk() {
    let (_ca, home, mut server, _) = open_server().await;
    let network = Tls::load(home.path()).unwrap();
    call(&network, &server, Service::NameServer).await.unwrap();
    let came = timeout(SOON, server.came.recv()).await.unwrap().unwrap();
    assert!(matches!(came, Who::Known(identity) if identity.to_string() == "client c"));
    let told = call(&network, &server, Service::Join).await.unwrap_err().to_string();
    assert!(told.contains("a name server listens there"), "{told}");
}

#[tokio::test]
async fn a_stranger_with_a_bad_certificate_is_not_let_in_for_that() {
    let (ca, _home, server, _) = open_server().await;
    let other = Authority::new("other");
    let told = call(&other.network_trusting(client(), &ca), &server, Service::NameServer)
        .await
        .unwrap_err()
        .to_string();
    assert!(told.contains("the other side refused this side's certificate"), "{told}");
}

#[tokio::test]
async fn nothing_is_said_to_a_server_of_another_ca() {
    let (_ca, _home, mut server, _) = open_server().await;
    let network = Pinned::new(Fingerprint::of(b"another"));
    let error = call(&network, &server, Service::Join).await.unwrap_err();
    assert!(error.is_final());
    let told = error.to_string();
    assert!(told.contains("its CA is not the one that the token was made for"), "{told}");
    // Not even a greeting.
    assert!(server.came.try_recv().is_err());
}

#[tokio::test]
async fn where_strangers_are_not_let_in_they_are_not() {
    let ca = Authority::new("ca");
    let server = serve(&ca.network(nameserver()), "127.0.0.1:0", Service::NameServer).await;
    let told =
        call(&Pinned::new(Fingerprint::of(b"any")), &server, Service::Join).await.unwrap_err().to_string();
    assert!(told.contains("is it started with --ca?"), "{told}");
}
