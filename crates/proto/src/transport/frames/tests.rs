use super::*;
use crate::net::ByteStream;
use bytes::BufMut;
use proptest::prelude::*;
use std::future::poll_fn;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

fn pair(capacity: usize, limit: u64) -> (Frames, Frames) {
    let (ours, theirs) = duplex(capacity);
    let frames = |stream| Frames::new(Box::new(stream) as Box<dyn ByteStream>, limit);
    (frames(ours), frames(theirs))
}

async fn receive(frames: &mut Frames) -> io::Result<Option<Message>> {
    poll_fn(|cx| frames.poll_receive(cx)).await
}

async fn flush(frames: &mut Frames) {
    poll_fn(|cx| frames.poll_flush(cx)).await.unwrap();
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 31 + i / 251) as u8).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the sizes, and however the stream cuts them, messages arrive as they were sent.
    #[test]
    fn messages_arrive_whole(
        messages in proptest::collection::vec(
            (0usize..100_000, proptest::collection::vec(0usize..300_000, 0..4)), 1..6),
        capacity in 1usize..70_000,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (mut sender, mut receiver) = pair(capacity, u64::MAX);
            for (head, segments) in &messages {
                let segments = segments.iter().map(|&length| Buffer::from(pattern(length))).collect();
                sender.send(pattern(*head).into(), segments).unwrap();
            }
            let receive_all = async {
                let mut arrived = Vec::new();
                for _ in &messages {
                    let (head, segments) = receive(&mut receiver).await.unwrap().unwrap();
                    let lengths: Vec<usize> = segments.iter().map(Buffer::len).collect();
                    assert!(segments.iter().all(|segment| *segment.as_bytes() == pattern(segment.len())));
                    assert_eq!(&head[..], pattern(head.len()));
                    arrived.push((head.len(), lengths));
                }
                arrived
            };
            let (mut arrived, ()) = tokio::join!(receive_all, flush(&mut sender));
            let mut sent = messages.clone();
            // Small ones may overtake big ones.
            arrived.sort_unstable();
            sent.sort_unstable();
            assert_eq!(arrived, sent);
            assert_eq!(sender.unsent().bytes(), 0);
        });
    }

    /// No bytes make the receiver panic or wait for ever.
    #[test]
    fn garbage_is_an_error_or_an_end(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (mut ours, theirs) = duplex(1024);
            ours.write_all(&bytes).await.unwrap();
            drop(ours);
            let mut frames = Frames::new(Box::new(theirs), 1 << 20);
            while let Ok(Some(_)) = receive(&mut frames).await {}
        });
    }
}

#[tokio::test]
async fn a_small_message_overtakes_a_big_one_that_is_on_its_way() {
    let (mut sender, mut receiver) = pair(1024, u64::MAX);
    sender.send(Bytes::from_static(b"big"), vec![Buffer::from(pattern(4 << 20))]).unwrap();
    // Some of it is written; the stream takes no more.
    assert!(futures::poll!(poll_fn(|cx| sender.poll_flush(cx))).is_pending());
    sender.send(Bytes::from_static(b"small"), Vec::new()).unwrap();
    let arrivals = async {
        let first = receive(&mut receiver).await.unwrap().unwrap().0;
        let second = receive(&mut receiver).await.unwrap().unwrap().0;
        (first, second)
    };
    let ((first, second), ()) = tokio::join!(arrivals, flush(&mut sender));
    assert_eq!((&first[..], &second[..]), (&b"small"[..], &b"big"[..]));
}

#[tokio::test]
async fn numbers_arrive_ready_to_be_worked_on() {
    let (mut sender, mut receiver) = pair(64 * 1024, u64::MAX);
    let numbers: Vec<f64> = (0..200_000).map(f64::from).collect();
    sender.send(Bytes::new(), vec![Buffer::from_scalars(numbers.clone())]).unwrap();
    let (message, ()) = tokio::join!(receive(&mut receiver), flush(&mut sender));
    let segment = message.unwrap().unwrap().1.remove(0);
    let place = segment.as_bytes().as_ptr();
    let back = segment.into_scalars::<f64>().unwrap();
    assert_eq!(back.as_ptr().cast::<u8>(), place, "taking the numbers copied them");
    assert_eq!(back, numbers);
}

#[tokio::test]
async fn a_length_over_the_limit_is_refused_and_one_within_it_costs_nothing_until_bytes_come() {
    let open = |lengths: &[u64]| {
        let mut bytes = BytesMut::new();
        bytes.put_u32_le(8 + 8 * lengths.len() as u32);
        bytes.put_u32_le(OPEN);
        bytes.put_u32_le(0);
        bytes.put_u32_le(lengths.len() as u32);
        lengths.iter().for_each(|&length| bytes.put_u64_le(length));
        bytes
    };
    for (lengths, complaint) in
        [(vec![1 << 40], "limit"), (vec![u64::MAX, u64::MAX], "limit"), (vec![1 << 32], "within a message")]
    {
        let (mut ours, theirs) = duplex(1024);
        ours.write_all(&open(&lengths)).await.unwrap();
        drop(ours);
        let mut frames = Frames::new(Box::new(theirs), 1 << 33);
        let error = receive(&mut frames).await.unwrap_err();
        assert!(error.to_string().contains(complaint), "{lengths:?}: {error}");
    }
}

#[tokio::test]
async fn frames_out_of_place_are_errors() {
    for (length, kind) in
        [(5u32, CHUNK), (0, CHUNK), (u32::MAX, WHOLE), (3, WHOLE), (u32::MAX, OPEN), (8, 77)]
    {
        let (mut ours, theirs) = duplex(1024);
        ours.write_all(&[length.to_le_bytes(), kind.to_le_bytes()].concat()).await.unwrap();
        ours.write_all(&[0; 64]).await.unwrap();
        drop(ours);
        let mut frames = Frames::new(Box::new(theirs), 1 << 20);
        assert!(receive(&mut frames).await.is_err(), "{length} {kind}");
    }
}

#[tokio::test]
async fn a_message_with_too_many_segments_is_not_sent() {
    let (mut sender, _receiver) = pair(1024, 1024);
    let segments = vec![Buffer::from(Vec::new()); MAX_SEGMENTS + 1];
    assert_eq!(sender.send(Bytes::new(), segments).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    assert!(sender.outbox.is_empty());
}

#[tokio::test]
async fn closing_ends_the_stream_between_messages() {
    let (mut sender, mut receiver) = pair(1024, 1024);
    sender.send(Bytes::from_static(b"last"), Vec::new()).unwrap();
    poll_fn(|cx| sender.poll_close(cx)).await.unwrap();
    assert_eq!(&receive(&mut receiver).await.unwrap().unwrap().0[..], b"last");
    assert!(receive(&mut receiver).await.unwrap().is_none());
    let mut rest = Vec::new();
    drop(receiver);
    assert!(sender.stream.read_to_end(&mut rest).await.is_ok());
}
