//! One way through one connection.
//!
//! ```text
//! one side ─► take ─► chunks ─► give ─► the other
//!             lost? cut?        delay, hold, throttle
//! ```
//!
//! The news that a side has ended, or is gone, travels as its bytes would: nothing of it passes a way that
//! swallows or holds.

use super::{
    Direction,
    link::{Lane, Link, Losses, Rules, Severed},
};
use std::{io::ErrorKind, sync::atomic::Ordering, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::tcp::{ReadHalf, WriteHalf},
    select,
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until},
};

const CHUNK: usize = 16 * 1024;

/// How many chunks may be on their way: what a long pipe holds.
const CHUNKS: usize = 256;

enum Chunk {
    Bytes { arrived: Instant, bytes: Vec<u8> },
    Cut,
}

/// Carries bytes until they end.
pub(super) async fn pump(
    link: &Link,
    way: Direction,
    from: ReadHalf<'_>,
    to: WriteHalf<'_>,
    lost: &Losses,
) -> Result<(), Severed> {
    let (chunks, queue) = mpsc::channel(CHUNKS);
    tokio::try_join!(take(link, way, from, chunks, lost), give(link, way, to, queue, lost)).map(drop)
}

/// Reads from one side, and decides what is lost.
async fn take(
    link: &Link,
    way: Direction,
    mut from: ReadHalf<'_>,
    chunks: mpsc::Sender<Chunk>,
    lost: &Losses,
) -> Result<(), Severed> {
    let mut rules = link.rules.subscribe();
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = match from.read(&mut buffer).await {
            // The end goes behind the bytes: the end of the queue tells it.
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => {
                passable(&mut rules, way, lost).await;
                return Err(Severed::Reset);
            }
        };
        // Read on, so that the sender never feels that nobody listens.
        if lane(&mut rules, way, lost) == Lane::Swallowed {
            continue;
        }
        let (count, cut) = link.allowance(way, count);
        let bytes = Chunk::Bytes { arrived: Instant::now(), bytes: buffer[..count].to_vec() };
        if chunks.send(bytes).await.is_err() {
            return Ok(());
        }
        if cut {
            let _other_half_gone = chunks.send(Chunk::Cut).await;
            return Ok(());
        }
    }
}

/// Writes to the other side, when it is time to.
async fn give(
    link: &Link,
    way: Direction,
    mut to: WriteHalf<'_>,
    mut chunks: mpsc::Receiver<Chunk>,
    lost: &Losses,
) -> Result<(), Severed> {
    let mut rules = link.rules.subscribe();
    while let Some(chunk) = chunks.recv().await {
        let Chunk::Bytes { arrived, mut bytes } = chunk else { return Err(Severed::Closed) };
        due(&mut rules, arrived).await;
        while !bytes.is_empty() {
            passable(&mut rules, way, lost).await;
            let rate = rules.borrow().rate;
            // A twentieth of a second's worth at a time keeps a throttled stream even, and soon to heal.
            let piece = rate.map_or(bytes.len(), |rate| bytes.len().min((rate / 20).max(1) as usize));
            if to.write_all(&bytes[..piece]).await.is_err() {
                passable(&mut rules, way.back(), lost).await;
                return Err(Severed::Reset);
            }
            bytes.drain(..piece);
            if let Some(rate) = rate {
                sleep(Duration::from_secs_f64(piece as f64 / rate as f64)).await;
            }
        }
    }
    passable(&mut rules, way, lost).await;
    let _already_closed = to.shutdown().await;
    Ok(())
}

/// Waits until a chunk that arrived then has been under way for as long as the rules say, even if they
/// change.
async fn due(rules: &mut watch::Receiver<Rules>, arrived: Instant) {
    loop {
        let due = arrived + rules.borrow_and_update().delay;
        select! {
            () = sleep_until(due) => return,
            Ok(()) = rules.changed() => {}
        }
    }
}

/// Waits until something may go that way. What would go is lost if the way swallows it: the heal will reset
/// the connection, and end this wait with it.
pub(super) async fn passable(rules: &mut watch::Receiver<Rules>, way: Direction, lost: &Losses) {
    while lane(rules, way, lost) != Lane::Open {
        if rules.changed().await.is_err() {
            return;
        }
    }
}

/// What happens now to something that goes that way. A way that has lost something stays shut to this
/// connection, so that nothing can slip through between a heal and the reset that it brings.
fn lane(rules: &mut watch::Receiver<Rules>, way: Direction, lost: &Losses) -> Lane {
    let lost = &lost[way as usize];
    let lane = rules.borrow_and_update().lanes[way as usize];
    if lane == Lane::Swallowed {
        lost.store(true, Ordering::Relaxed);
    }
    if lost.load(Ordering::Relaxed) { Lane::Swallowed } else { lane }
}
