//! What is kept, for whom, and for how long.

use super::{Blobs, Holding, Incomplete};
use crate::{
    queue::SessionId,
    testing::{error, key, simulated, unhurried, word, worker},
};
use sgdt_proto::{
    blob::{BlobRef, Digest, LEAST, NeedBlobs, NotKept},
    buffer::Buffer,
    payload::{Format, Payload},
    task::{Assignment, ErrorCode},
    worker::MAX_MESSAGE,
};
use std::sync::Arc;

/// Room for three of the smallest.
const LIMIT: u64 = 3 * LEAST as u64;

/// The smallest blob of these bytes.
fn blob(byte: u8) -> (Digest, Buffer) {
    let buffer = Buffer::from(vec![byte; LEAST]).shared();
    (buffer.digest().unwrap(), buffer)
}

async fn keep(holding: &Holding, byte: u8) -> Result<(), NotKept> {
    let (digest, buffer) = blob(byte);
    holding.keep(digest, buffer).await
}

fn payload(places: usize) -> Payload {
    Payload { format: Format::Json, head: b"1".to_vec().into(), buffers: vec![Buffer::default(); places] }
}

/// A payload with these blobs.
fn with(holding: &Holding, bytes: &[u8]) -> Result<Payload, Incomplete> {
    let mut payload = payload(bytes.len());
    let refs: Vec<_> =
        (0..).zip(bytes).map(|(place, byte)| BlobRef { place, digest: blob(*byte).0 }).collect();
    holding.complete(&mut payload, &refs).map(|()| payload)
}

/// Which of these are here.
fn here(holding: &Holding, bytes: &[u8]) -> Vec<u8> {
    bytes.iter().copied().filter(|byte| with(holding, &[*byte]).is_ok()).collect()
}

fn pair() -> (Arc<Blobs>, Holding, Holding) {
    let blobs = Arc::new(Blobs::new(LIMIT));
    let (one, two) = (blobs.holding(SessionId(1)), blobs.holding(SessionId(2)));
    (blobs, one, two)
}

/// How many bytes are kept, and are being checked.
fn taken(blobs: &Blobs) -> (usize, usize) {
    let state = blobs.state();
    (state.bytes, state.checking)
}

#[tokio::test]
async fn what_was_not_used_for_longest_makes_room_and_stays_with_the_tasks_that_have_it() {
    let (blobs, holding, _) = pair();
    for byte in [1, 2, 3] {
        keep(&holding, byte).await.unwrap();
    }
    let task = with(&holding, &[2, 1]).unwrap();
    keep(&holding, 4).await.unwrap();
    assert_eq!(here(&holding, &[1, 2, 3, 4]), [1, 2, 4]);
    assert_eq!(with(&holding, &[3, 1]), Err(Incomplete::Missing(NeedBlobs(vec![blob(3).0]))));
    for byte in [5, 6, 7] {
        keep(&holding, byte).await.unwrap();
    }
    assert_eq!(here(&holding, &[1, 2, 4, 5, 6, 7]), [5, 6, 7]);
    assert_eq!(task.buffers, [blob(2).1, blob(1).1]);
    assert_eq!(taken(&blobs), (3 * LEAST, 0));
}

#[tokio::test]
async fn what_is_no_blob_is_not_kept_and_takes_no_room() {
    let (blobs, holding, _) = pair();
    keep(&holding, 1).await.unwrap();
    let (digest, _) = blob(2);
    assert_eq!(holding.keep(digest, blob(3).1).await, Err(NotKept::WrongDigest));
    assert_eq!(holding.keep(digest, Buffer::from(vec![2; LEAST - 1])).await, Err(NotKept::TooSmall));
    let large = Buffer::from(vec![2; LIMIT as usize + 1]);
    let refused = holding.keep(Digest::of(large.as_bytes()), large).await;
    assert_eq!(refused, Err(NotKept::NoRoom { limit: LIMIT }));
    assert_eq!(here(&holding, &[1, 2, 3]), [1], "nothing went for what was not kept");
    assert_eq!(taken(&blobs), (LEAST, 0));
}

#[tokio::test]
async fn those_that_are_being_checked_take_room_until_they_are_given_up() {
    let (blobs, holding, _) = pair();
    keep(&holding, 1).await.unwrap();
    let mut checked: Vec<_> = (2..5).map(|byte| Box::pin(keep(&holding, byte))).collect();
    for check in &mut checked {
        assert!(futures::poll!(check).is_pending());
    }
    assert_eq!(taken(&blobs), (0, 3 * LEAST));
    assert_eq!(keep(&holding, 5).await, Err(NotKept::NoRoom { limit: LIMIT }));
    checked.pop().unwrap().await.unwrap();
    drop(checked);
    assert_eq!(taken(&blobs), (LEAST, 0));
}

#[tokio::test]
async fn a_blob_is_for_those_who_brought_it_and_goes_with_the_last_of_them() {
    let (blobs, one, two) = pair();
    keep(&one, 1).await.unwrap();
    keep(&one, 2).await.unwrap();
    assert_eq!(here(&two, &[1, 2]), [0u8; 0], "whoever knows a hash does not have what it is of");
    keep(&two, 2).await.unwrap();
    keep(&two, 2).await.unwrap();
    assert_eq!(taken(&blobs), (2 * LEAST, 0), "the same bytes are here once");
    drop(one);
    assert_eq!((here(&two, &[1, 2]), taken(&blobs)), (vec![2], (LEAST, 0)));
    drop(two);
    let state = blobs.state();
    assert_eq!((state.bytes, state.kept.len(), state.uses.len()), (0, 0, 0));
}

#[tokio::test]
async fn references_that_make_no_sense_are_an_invalid_input() {
    let (_, holding, _) = pair();
    keep(&holding, 1).await.unwrap();
    let (digest, buffer) = blob(1);
    let refused = |mut payload: Payload, places: &[u32]| {
        let refs: Vec<_> = places.iter().map(|&place| BlobRef { place, digest }).collect();
        match holding.complete(&mut payload, &refs) {
            Err(Incomplete::Invalid(error)) => error.message,
            other => panic!("{other:?}"),
        }
    };
    assert!(refused(payload(1), &[1]).contains("no place for the blob"));
    assert!(refused(payload(2), &[0, 0]).contains("no place for the blob"), "named twice");
    assert!(refused(payload(1), &[0, 1]).contains("2 blobs for 1 places"));
    let taken = Payload { buffers: vec![buffer], ..payload(0) };
    assert!(refused(taken, &[0]).contains("no place for the blob"));

    // The same blob in many places: more bytes than a message may have, though none was sent.
    let blobs = Arc::new(Blobs::new(4 << 20));
    let holding = blobs.holding(SessionId(1));
    let large = Buffer::from(vec![1; 4 << 20]);
    let digest = Digest::of(large.as_bytes());
    holding.keep(digest, large).await.unwrap();
    let places = (MAX_MESSAGE / (4 << 20)) as u32 + 1;
    let refs: Vec<_> = (0..places).map(|place| BlobRef { place, digest }).collect();
    let refused = holding.complete(&mut payload(places as usize), &refs);
    assert!(matches!(refused, Err(Incomplete::Invalid(_))), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_has_a_blob_kept_and_names_it_in_its_tasks() {
    let running = worker(simulated(), |config| config.blob_memory = LIMIT).await;
    let client = running.client().await;
    let (digest, buffer) = blob(1);
    let task = |number| Assignment {
        key: key(number),
        kind: "echo".parse().unwrap(),
        payload: payload(1),
        timeout_ms: None,
    };
    let refs = |place| vec![BlobRef { place, digest }];
    let missing = client.execute_with(unhurried(), task(1), refs(0)).await.unwrap();
    assert_eq!(missing.unwrap_err(), NeedBlobs(vec![digest]));
    client.keep(unhurried(), digest, buffer).await.unwrap().unwrap();
    // The same attempt: that it was not taken before left nothing behind.
    let reply = client.execute_with(unhurried(), task(1), refs(0)).await.unwrap().unwrap();
    assert_eq!(word(&reply), "ok");
    let reply = client.execute_with(unhurried(), task(2), refs(7)).await.unwrap().unwrap();
    assert_eq!(error(&reply).0, ErrorCode::InvalidInput);

    let other = running.client().await;
    assert!(other.execute_with(unhurried(), task(1), refs(0)).await.unwrap().is_err());
}
