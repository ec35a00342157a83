//! The first eight bytes each way: who speaks what, before anything is decoded.
//!
//! `"SGDT"`, the protocol version as two little-endian bytes, the service, and a status (zero from the side
//! that connects). Everything after them may change with the version; these eight never do.

use std::{io, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

/// The version that this build speaks. Messages are positional, so every change of one is a new version.
pub const PROTOCOL_VERSION: u16 = 3;

/// How long the other side may take over its eight bytes.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);

const MAGIC: [u8; 4] = *b"SGDT";
/// How the answer of a TLS listener to anything else begins; a three follows.
const ALERT: u8 = 21;

/// What a listener serves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Service {
    /// The registry of workers.
    NameServer = 1,
    /// A worker's tasks.
    Task = 2,
    /// What is for those who have no certificate yet.
    Join = 3,
}

impl Service {
    fn name(byte: u8) -> &'static str {
        match byte {
            1 => "a name server",
            2 => "a worker",
            3 => "a name server's desk for join tokens",
            _ => "a service that this build does not know",
        }
    }
}

/// A listener's answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Status {
    /// Go on.
    Welcome = 0,
    /// Another version is spoken here.
    Version = 1,
    /// Another service is served here.
    Service = 2,
    /// Too many connections.
    Full = 3,
    /// That was no greeting.
    NotSgdt = 4,
    /// There is nothing here that the peer's certificate allows.
    Forbidden = 5,
}

/// What a listener makes of a peer that has come to the right place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Go on.
    Welcome,
    /// Too many connections.
    Full,
    /// There is nothing here that its certificate allows.
    Forbidden,
}

/// Why two processes cannot talk.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The stream failed or ended.
    #[error("the connection ended during the handshake: {0}")]
    Io(#[from] io::Error),
    /// No eight bytes came.
    #[error("no handshake came within {HANDSHAKE_TIMEOUT:?}")]
    Timeout,
    /// Something else is spoken there.
    #[error("the other side does not speak SGDT; check the address")]
    NotSgdt,
    /// The versions differ.
    #[error(
        "the other side speaks protocol version {theirs} and this build {PROTOCOL_VERSION}; run the same release on both"
    )]
    Version {
        /// Theirs.
        theirs: u16,
    },
    /// It is some other service.
    #[error("{} listens there, not {}; check the address", Service::name(*.theirs), Service::name(*.wanted as u8))]
    Service {
        /// What listens.
        theirs: u8,
        /// What was sought.
        wanted: Service,
    },
    /// The other side speaks TLS.
    #[error("the other side uses TLS: pass --tls with a directory that `nameserver ca issue` has written")]
    Tls,
    /// There is nothing there that the certificate of the side that connects allows.
    #[error("the other side refused this side: a certificate with this role may ask nothing of {}", Service::name(*.0 as u8))]
    Forbidden(Service),
    /// Too many connections.
    #[error("the other side has as many connections as it takes; try again later")]
    Full,
}

fn greeting(service: Service, status: Status) -> [u8; 8] {
    let [v0, v1] = PROTOCOL_VERSION.to_le_bytes();
    let [m0, m1, m2, m3] = MAGIC;
    [m0, m1, m2, m3, v0, v1, service as u8, status as u8]
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), service: Service, status: Status) -> io::Result<()> {
    stream.write_all(&greeting(service, status)).await?;
    stream.flush().await
}

async fn read_greeting(stream: &mut (impl AsyncRead + Unpin)) -> Result<(u16, u8, u8), HandshakeError> {
    let read = timeout(HANDSHAKE_TIMEOUT, async {
        let (mut magic, mut rest) = ([0; 4], [0; 4]);
        stream.read_exact(&mut magic).await?;
        match magic {
            MAGIC => {}
            [ALERT, 3, ..] => return Err(HandshakeError::Tls),
            _ => return Err(HandshakeError::NotSgdt),
        }
        stream.read_exact(&mut rest).await?;
        let [v0, v1, service, status] = rest;
        Ok((u16::from_le_bytes([v0, v1]), service, status))
    });
    read.await.map_err(|_| HandshakeError::Timeout)?
}

/// Greets a listener and learns whether it serves `wanted`.
///
/// # Errors
/// It does not, or it cannot be told.
pub async fn connect(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    wanted: Service,
) -> Result<(), HandshakeError> {
    // Whoever has closed the connection may have said why: that is worth more than that nothing can be sent.
    drop(send(stream, wanted, Status::Welcome).await);
    let (version, service, status) = read_greeting(stream).await?;
    if version != PROTOCOL_VERSION {
        Err(HandshakeError::Version { theirs: version })
    } else if service != wanted as u8 {
        Err(HandshakeError::Service { theirs: service, wanted })
    } else if status == Status::Forbidden as u8 {
        Err(HandshakeError::Forbidden(wanted))
    } else if status != Status::Welcome as u8 {
        Err(HandshakeError::Full)
    } else {
        Ok(())
    }
}

/// Answers a peer's greeting, with this verdict if it has come to the right place.
///
/// # Errors
/// The peer is not for us; it has been told why.
pub async fn accept(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    served: Service,
    verdict: Verdict,
) -> Result<(), HandshakeError> {
    let (version, service, _) = match read_greeting(stream).await {
        Err(HandshakeError::NotSgdt) => {
            // Tells a peer that began with TLS, at once, that nobody will answer in it.
            timeout(HANDSHAKE_TIMEOUT, send(stream, served, Status::NotSgdt))
                .await
                .map_err(|_| HandshakeError::Timeout)??;
            return Err(HandshakeError::NotSgdt);
        }
        greeting => greeting?,
    };
    let (status, outcome) = if version != PROTOCOL_VERSION {
        (Status::Version, Err(HandshakeError::Version { theirs: version }))
    } else if service != served as u8 {
        (Status::Service, Err(HandshakeError::Service { theirs: service, wanted: served }))
    } else {
        match verdict {
            Verdict::Welcome => (Status::Welcome, Ok(())),
            Verdict::Full => (Status::Full, Err(HandshakeError::Full)),
            Verdict::Forbidden => (Status::Forbidden, Err(HandshakeError::Forbidden(served))),
        }
    };
    timeout(HANDSHAKE_TIMEOUT, send(stream, served, status)).await.map_err(|_| HandshakeError::Timeout)??;
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::duplex;

    async fn meet(wanted: Service, served: Service, verdict: Verdict) -> (String, String) {
        let (mut ours, mut theirs) = duplex(64);
        let (client, server) = tokio::join!(connect(&mut ours, wanted), accept(&mut theirs, served, verdict));
        let text =
            |result: Result<(), HandshakeError>| result.map_or_else(|e| e.to_string(), |()| "ok".into());
        (text(client), text(server))
    }

    #[tokio::test]
    async fn the_right_service_is_welcome_and_others_are_told_why() {
        assert_eq!(meet(Service::Task, Service::Task, Verdict::Welcome).await, ("ok".into(), "ok".into()));
        let (client, _) = meet(Service::NameServer, Service::Task, Verdict::Welcome).await;
        assert_eq!(client, "a worker listens there, not a name server; check the address");
        assert!(meet(Service::Task, Service::Task, Verdict::Full).await.0.contains("as many connections"));
        let (client, server) = meet(Service::Task, Service::Task, Verdict::Forbidden).await;
        assert!(client.contains("may ask nothing of a worker"), "{client}");
        assert_eq!(client, server);
    }

    #[tokio::test]
    async fn another_version_and_another_protocol_are_named() {
        let (mut ours, mut theirs) = duplex(64);
        ours.write_all(b"SGDT\x07\x00\x02\x00").await.unwrap();
        let error = accept(&mut theirs, Service::Task, Verdict::Welcome).await.unwrap_err();
        assert!(matches!(error, HandshakeError::Version { theirs: 7 }));
        ours.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        let error = accept(&mut theirs, Service::Task, Verdict::Welcome).await.unwrap_err();
        assert!(matches!(error, HandshakeError::NotSgdt));
    }

    #[tokio::test]
    async fn who_sends_something_else_is_told_that_this_is_sgdt_and_who_meets_tls_knows_it() {
        let (mut ours, mut theirs) = duplex(64);
        ours.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01").await.unwrap();
        assert!(accept(&mut theirs, Service::Task, Verdict::Welcome).await.is_err());
        let mut answer = [0; 8];
        ours.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, greeting(Service::Task, Status::NotSgdt));

        let (mut ours, mut theirs) = duplex(64);
        theirs.write_all(b"\x15\x03\x03\x00\x02\x02\x32").await.unwrap();
        drop(theirs);
        assert!(matches!(connect(&mut ours, Service::Task).await, Err(HandshakeError::Tls)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_peer_is_not_waited_for() {
        let (_ours, mut theirs) = duplex(64);
        let error = accept(&mut theirs, Service::Task, Verdict::Welcome).await.unwrap_err();
        assert!(matches!(error, HandshakeError::Timeout));
    }
}
