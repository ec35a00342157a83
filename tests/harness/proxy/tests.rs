use super::*;
use crate::wait::eventually;
use socket2::SockRef;
use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
};
use tokio::time::Instant;

/// Long enough to be sure that nothing comes.
const SILENCE: Duration = Duration::from_millis(200);

/// A server that sends back what it gets, on each connection, until that ends. It ends with the test's
/// process.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || io::copy(&mut stream.try_clone().unwrap(), &mut &stream));
        }
    });
    address
}

fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.address()).unwrap();
    stream.set_read_timeout(Some(crate::wait::STEP)).unwrap();
    stream
}

/// Sends bytes, and reads as many back.
fn round_trip(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(bytes)?;
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back)?;
    Ok(back)
}

fn is_silent(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(SILENCE)).unwrap();
    let silent = stream.read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
    stream.set_read_timeout(Some(crate::wait::STEP)).unwrap();
    silent
}

fn is_reset(stream: &mut TcpStream) -> bool {
    stream.read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
}

#[test]
fn without_faults_bytes_and_ends_go_through() {
    let proxy = Proxy::to(echo());
    let mut stream = connect(&proxy);
    let bytes: Vec<u8> = (0..300_000u32).map(|i| i as u8).collect();
    let mut writer = stream.try_clone().unwrap();
    let sent = bytes.clone();
    let writer = thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let mut back = Vec::new();
    stream.read_to_end(&mut back).unwrap();
    writer.join().unwrap();
    assert!(back == bytes);
}

#[test]
fn without_a_target_connections_are_reset_and_a_target_may_come_later() {
    let proxy = Proxy::start();
    assert!(is_reset(&mut connect(&proxy)));
    proxy.set_target(echo());
    assert_eq!(round_trip(&mut connect(&proxy), b"hello").unwrap(), b"hello");
}

#[test]
fn a_delay_is_paid_each_way_by_every_byte_but_not_one_after_the_other() {
    let proxy = Proxy::to(echo());
    let mut stream = connect(&proxy);
    round_trip(&mut stream, b"warm").unwrap();
    let each_way = Duration::from_millis(100);
    proxy.delay(each_way);
    let begun = Instant::now();
    round_trip(&mut stream, &[7; 100_000]).unwrap();
    let took = begun.elapsed();
    assert!(took >= 2 * each_way, "{took:?}");
    // Seven chunks or more, each way: a delay for each would be seconds.
    assert!(took < 10 * each_way, "{took:?}");
    proxy.delay(Duration::from_secs(3600));
    stream.write_all(b"under way").unwrap();
    assert!(is_silent(&mut stream));
    proxy.heal();
    stream.read_exact(&mut [0; 9]).unwrap();
}

#[test]
fn a_throttled_stream_takes_its_time() {
    let proxy = Proxy::to(echo());
    let mut stream = connect(&proxy);
    proxy.throttle(40_000);
    let begun = Instant::now();
    assert_eq!(round_trip(&mut stream, &[7; 12_000]).unwrap(), [7; 12_000]);
    assert!(begun.elapsed() >= Duration::from_millis(250), "{:?}", begun.elapsed());
}

#[test]
fn swallowed_bytes_are_gone_and_neither_side_is_told() {
    for ways in [&Direction::BOTH[..], &[Direction::ToTarget], &[Direction::ToSource]] {
        let proxy = Proxy::to(echo());
        let mut stream = connect(&proxy);
        round_trip(&mut stream, b"before").unwrap();
        proxy.swallow(ways);
        stream.write_all(b"lost").unwrap();
        assert!(is_silent(&mut stream), "{ways:?}");
        let mut new = connect(&proxy);
        new.write_all(b"lost too").unwrap();
        assert!(is_silent(&mut new), "{ways:?}");
        proxy.heal();
        assert!(is_reset(&mut stream) && is_reset(&mut new), "{ways:?}");
        assert_eq!(round_trip(&mut connect(&proxy), b"after").unwrap(), b"after");
    }
}

#[test]
fn one_way_loss_leaves_the_other_way_open() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::to(listener.local_addr().unwrap());
    let mut source = connect(&proxy);
    let (mut target, _) = listener.accept().unwrap();
    proxy.swallow(&[Direction::ToTarget]);
    source.write_all(b"lost").unwrap();
    target.write_all(b"through").unwrap();
    source.read_exact(&mut [0; 7]).unwrap();
    assert!(is_silent(&mut target));
}

#[test]
fn the_death_of_one_side_is_not_seen_through_a_way_that_swallows() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    for abrupt in [false, true] {
        let proxy = Proxy::to(listener.local_addr().unwrap());
        let mut source = connect(&proxy);
        let (target, _) = listener.accept().unwrap();
        proxy.swallow(&Direction::BOTH);
        if abrupt {
            SockRef::from(&target).set_linger(Some(Duration::ZERO)).unwrap();
        }
        drop(target);
        assert!(is_silent(&mut source), "abrupt: {abrupt}");
        proxy.heal();
        assert!(is_reset(&mut source), "abrupt: {abrupt}");
    }
}

#[test]
fn a_connection_that_lost_nothing_survives_an_outage() {
    let proxy = Proxy::to(echo());
    let mut stream = connect(&proxy);
    round_trip(&mut stream, b"before").unwrap();
    proxy.swallow(&Direction::BOTH);
    proxy.heal();
    assert_eq!(round_trip(&mut stream, b"after").unwrap(), b"after");
}

#[test]
fn held_bytes_arrive_after_the_heal() {
    let proxy = Proxy::to(echo());
    let mut stream = connect(&proxy);
    proxy.hold(&Direction::BOTH);
    stream.write_all(b"patience").unwrap();
    assert!(is_silent(&mut stream));
    proxy.heal();
    let mut back = [0; 8];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"patience");
}

#[test]
fn a_reset_reaches_both_sides_and_spares_later_connections() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::to(listener.local_addr().unwrap());
    let mut source = connect(&proxy);
    let (mut target, _) = listener.accept().unwrap();
    proxy.reset();
    assert!(is_reset(&mut source));
    assert!(is_reset(&mut target));
    let mut source = connect(&proxy);
    let (mut target, _) = listener.accept().unwrap();
    source.write_all(b"on").unwrap();
    target.read_exact(&mut [0; 2]).unwrap();
}

#[test]
fn a_cut_lets_exactly_so_many_bytes_through() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::to(listener.local_addr().unwrap());
    let mut source = connect(&proxy);
    let (mut target, _) = listener.accept().unwrap();
    proxy.cut_after(Direction::ToTarget, 5);
    source.write_all(b"123").unwrap();
    target.read_exact(&mut [0; 3]).unwrap();
    source.write_all(b"4567890").unwrap();
    let mut rest = Vec::new();
    target.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"45");
    assert!(matches!(source.read(&mut [0]), Ok(0) | Err(_)));
    let mut source = connect(&proxy);
    let (mut target, _) = listener.accept().unwrap();
    source.write_all(b"1234567890").unwrap();
    target.read_exact(&mut [0; 10]).unwrap();
}

#[test]
fn refused_connections_are_refused_by_the_system_and_open_ones_go_on() {
    let proxy = Proxy::to(echo());
    let mut open = connect(&proxy);
    round_trip(&mut open, b"first").unwrap();
    proxy.refuse();
    let refused = TcpStream::connect(proxy.address()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(round_trip(&mut open, b"still").unwrap(), b"still");
    proxy.heal();
    assert_eq!(round_trip(&mut connect(&proxy), b"again").unwrap(), b"again");
    assert_eq!(round_trip(&mut open, b"also").unwrap(), b"also");
}

#[test]
fn a_dropped_proxy_leaves_nothing_behind() {
    let proxy = Proxy::to(echo());
    let mut stream = connect(&proxy);
    round_trip(&mut stream, b"hello").unwrap();
    let address = proxy.address();
    drop(proxy);
    assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)));
    eventually("the port to be closed", || TcpStream::connect(address).err());
}
