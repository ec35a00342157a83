//! What a stranger's bytes reach first, each as a function of those bytes that must not panic.
//!
//! `tests/fuzz` looks for bytes that break one of these; the replay beside this file runs them on all that was found
//! worth keeping.

use futures::{FutureExt, StreamExt, stream};
use sgdt_client::job::{
    kinds::ClientKinds,
    npy::{self, header},
    reader::TaskReader,
};
use sgdt_proto::{
    handshake::{self, Service, Verdict},
    identity::Identity,
    kind::{matmul::Element, sort::Number},
    name_server::{NameServerRequest, NameServerResponse},
    tls,
    transport::{self, codec::Postcard},
    worker::{TaskRequest, TaskResponse},
};
use std::{fs, io, path::Path, sync::LazyLock};
use tarpc::{ClientMessage, Response};
use tempfile::TempDir;
use tokio::{
    io::{join, sink},
    runtime::{Builder, Runtime},
};
use tokio_serde::Deserializer;
use tokio_util::{bytes::Bytes, io::StreamReader};

/// More than any message here needs, and little enough for memory to be watched.
const MESSAGE: u64 = 1 << 20;
/// Task lines longer than this are passed over.
const LINE: u64 = 1 << 14;

/// An entry, and what its corpus is called.
pub(crate) type Entry = (&'static str, fn(&[u8]));

/// Each of them.
pub(crate) const ALL: [Entry; 5] =
    [("wire", wire), ("handshake", handshake), ("lines", lines), ("npy", npy), ("identity", identity)];

/// Frames and messages. The first byte chooses whose, the second in what pieces they come.
pub(crate) fn wire(bytes: &[u8]) {
    let [end, step, bytes @ ..] = bytes else { return };
    let step = usize::from(*step) + 1;
    match end % 4 {
        0 => decode::<ClientMessage<NameServerRequest>>(bytes, step, |message| {
            if let ClientMessage::Request(request) = message
                && let NameServerRequest::Register { info, .. } = request.message
                && info.validate().is_ok()
            {
                // What it says of itself is what it may take up in everybody's snapshots.
                assert!(postcard(&info).len() <= info.encoded_bound(), "{info:?}");
            }
        }),
        1 => decode::<ClientMessage<TaskRequest>>(bytes, step, drop),
        2 => decode::<Response<NameServerResponse>>(bytes, step, drop),
        _ => decode::<Response<TaskResponse>>(bytes, step, drop),
    }
}

fn decode<Item>(bytes: &[u8], step: usize, mut check: impl FnMut(Item))
where
    Postcard: Deserializer<Item, Error = io::Error>,
{
    let pieces: Vec<_> =
        bytes.chunks(step).map(|piece| io::Result::Ok(Bytes::copy_from_slice(piece))).collect();
    let stream = join(StreamReader::new(stream::iter(pieces)), sink());
    let mut wire = transport::over::<Item, ()>(Box::new(stream), MESSAGE);
    // Never pending: all that will come is there.
    while let Some(Some(Ok(message))) = wire.next().now_or_never() {
        check(message);
    }
}

fn postcard(value: &impl serde::Serialize) -> Vec<u8> {
    postcard::to_stdvec(value).unwrap()
}

/// A greeting, as either side gets it. The first byte chooses which.
pub(crate) fn handshake(bytes: &[u8]) {
    static RUNTIME: LazyLock<Runtime> =
        LazyLock::new(|| Builder::new_current_thread().enable_time().build().unwrap());
    let _inside = RUNTIME.enter();
    let [side, bytes @ ..] = bytes else { return };
    let mut stream = join(bytes, sink());
    let service = if side & 1 == 0 { Service::NameServer } else { Service::Task };
    let right = [&b"SGDT"[..], &handshake::PROTOCOL_VERSION.to_le_bytes(), &[service as u8]].concat();
    let begins_right = bytes.len() >= 8 && bytes.starts_with(&right);
    let (met, wanted) = if side & 2 == 0 {
        (handshake::accept(&mut stream, service, Verdict::Welcome).now_or_never(), begins_right)
    } else {
        (handshake::connect(&mut stream, service).now_or_never(), begins_right && bytes[7] == 0)
    };
    let met = met.expect("all that will come is there");
    assert_eq!(met.is_ok(), wanted, "{met:?}");
    if let Err(error) = met {
        assert!(!error.to_string().contains(char::is_control), "{error}");
    }
}

/// A task file.
pub(crate) fn lines(bytes: &[u8]) {
    let reader = TaskReader::new(bytes, "tasks", Path::new("/nonexistent"), ClientKinds::builtin());
    let mark = "\u{feff}".as_bytes();
    let told = reader.max_line(LINE).filter(Result::is_ok).count();
    let text = bytes.strip_prefix(mark).unwrap_or(bytes);
    let wanted = text.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count();
    assert!(told >= wanted, "{told} results for {wanted} lines");
}

/// An array's file: its header, and the whole.
pub(crate) fn npy(bytes: &[u8]) {
    if let Ok((header, _)) = header::read(&mut &*bytes) {
        let known =
            [header.dtype::<Element>().map(encoded(&header)), header.dtype::<Number>().map(encoded(&header))];
        for written in known.into_iter().flatten() {
            let (again, _) = header::read(&mut &*written).unwrap();
            assert_eq!((&again.shape, &again.descr), (&header.shape, &header.descr));
        }
    }
    static HOME: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());
    let path = HOME.path().join("x.npy");
    fs::write(&path, bytes).unwrap();
    if let Ok(matrix) = npy::read_matrix(&path) {
        assert!(matrix.is_whole(), "{matrix:?}");
    }
    drop(npy::read_list(&path));
}

/// Writes the header of an array of this type, as large as that one.
fn encoded<D: header::Dtype>(like: &header::Header) -> impl Fn(D) -> Vec<u8> {
    |dtype| header::encode(dtype, &like.shape)
}

/// A certificate, and the text of an identity.
pub(crate) fn identity(bytes: &[u8]) {
    let certified = tls::identity(Some(&[bytes.into()]));
    let text = str::from_utf8(bytes).map(|text| Identity::among([text]));
    for identity in certified.into_iter().chain(text.into_iter().flatten()) {
        assert_eq!(Identity::among([identity.uri().as_str()]).as_ref(), Ok(&identity));
        assert!(identity.to_string().bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '));
    }
}
