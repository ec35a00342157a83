//! What a plain tokio socket does on this machine: the ceilings that `scripts/bench.sh` compares SGDT with.
//!
//! `ceilings serve` prints its address and answers; `ceilings echo|pingpong|stream ADDRESS COUNT`, another
//! process, prints one number:
//!
//! - `echo`: frames a second, 32 bytes and their length each, 256 in flight on one connection. Every frame is a
//!   piece of memory by itself, as length-delimited codecs hand them out;
//! - `pingpong`: the median time in microseconds of a frame there and back, one after another;
//! - `stream`: MB a second of one-way traffic, in writes of 256 KiB; the count is in MB.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a measurement reports by failing"
)]

use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::{collections::VecDeque, env};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::Instant,
};

const BODY: usize = 32;
const FRAME: usize = 4 + BODY;
const IN_FLIGHT: u64 = 256;
const WRITE: usize = 256 * 1024;
const READ: usize = 8 * 1024;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve"] => serve().await,
        ["echo", address, count] => println!("{:.0}", echo(address, count.parse().unwrap()).await),
        ["pingpong", address, count] => println!("{:.2}", pingpong(address, count.parse().unwrap()).await),
        ["stream", address, count] => println!("{:.0}", stream(address, count.parse().unwrap()).await),
        _ => panic!("usage: ceilings serve | echo|pingpong|stream ADDRESS COUNT"),
    }
}

async fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        tokio::spawn(async move {
            match stream.read_u8().await.unwrap() {
                b'e' => answer(stream).await,
                _ => swallow(stream).await,
            }
        });
    }
}

/// Sends every whole frame back.
async fn answer(mut stream: TcpStream) {
    let mut frames = Frames::default();
    let mut out = BytesMut::new();
    while let Some(frame) = frames.next(&mut stream, &mut out).await {
        put(&mut out, &frame);
    }
}

/// Reads to the end and answers with one byte.
async fn swallow(mut stream: TcpStream) {
    let mut buffer = vec![0; WRITE];
    while stream.read(&mut buffer).await.unwrap() > 0 {}
    stream.write_u8(0).await.unwrap();
}

async fn connect(address: &str, mode: u8) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_u8(mode).await.unwrap();
    stream
}

fn frame(number: u64) -> [u8; BODY] {
    let mut frame = [0; BODY];
    frame[..8].copy_from_slice(&number.to_le_bytes());
    frame
}

fn put(out: &mut BytesMut, body: &[u8]) {
    out.reserve(FRAME);
    out.put_u32_le(BODY as u32);
    out.put_slice(body);
}

async fn echo(address: &str, count: u64) -> f64 {
    let mut stream = connect(address, b'e').await;
    let mut frames = Frames::default();
    let mut out = BytesMut::new();
    let began = Instant::now();
    for sent in 0..count.min(IN_FLIGHT) {
        put(&mut out, &frame(sent));
    }
    for done in 0..count {
        let came = frames.next(&mut stream, &mut out).await.expect("the server has ended");
        assert_eq!(came, frame(done)[..]);
        if done + IN_FLIGHT < count {
            put(&mut out, &frame(done + IN_FLIGHT));
        }
    }
    count as f64 / began.elapsed().as_secs_f64()
}

async fn pingpong(address: &str, count: u64) -> f64 {
    let mut stream = connect(address, b'e').await;
    let mut times = Vec::new();
    let (mut out, mut back) = (BytesMut::new(), [0; FRAME]);
    for number in 0..count {
        let began = Instant::now();
        out.clear();
        put(&mut out, &frame(number));
        stream.write_all(&out).await.unwrap();
        stream.read_exact(&mut back).await.unwrap();
        times.push(began.elapsed());
    }
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e6
}

async fn stream(address: &str, megabytes: u64) -> f64 {
    let mut stream = connect(address, b's').await;
    let block = vec![7; WRITE];
    let blocks = megabytes * 1_000_000 / WRITE as u64;
    let began = Instant::now();
    for _ in 0..blocks {
        stream.write_all(&block).await.unwrap();
    }
    stream.shutdown().await.unwrap();
    stream.read_u8().await.unwrap();
    (blocks * WRITE as u64) as f64 / 1e6 / began.elapsed().as_secs_f64()
}

/// Cuts a stream into frames.
#[derive(Default)]
struct Frames {
    bytes: BytesMut,
    whole: VecDeque<Bytes>,
}

impl Frames {
    /// The next frame. Before it waits for one, what there is to send is sent.
    async fn next(&mut self, stream: &mut TcpStream, out: &mut BytesMut) -> Option<Bytes> {
        while self.whole.is_empty() {
            stream.write_all_buf(out).await.unwrap();
            self.bytes.reserve(READ);
            if stream.read_buf(&mut self.bytes).await.unwrap() == 0 {
                return None;
            }
            while let Some(length) =
                self.bytes.first_chunk().map(|length| u32::from_le_bytes(*length) as usize)
                && self.bytes.len() >= 4 + length
            {
                self.bytes.advance(4);
                self.whole.push_back(self.bytes.split_to(length).freeze());
            }
        }
        self.whole.pop_front()
    }
}
