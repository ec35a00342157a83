//! What a batch of tiny tasks costs to encode and to decode, a task.

#![allow(clippy::unwrap_used, missing_docs, reason = "a measurement reports by failing")]

use bytes::BytesMut;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sgdt_proto::{
    dial::context,
    id::{Attempt, AttemptKey, JobId, TaskId},
    payload::{Format, Payload},
    task::{Assignment, Completed, Reply},
    transport::codec::{MAX_DEADLINE, Postcard},
};
use std::{hint::black_box, pin::Pin};
use tarpc::{ClientMessage, Request, Response};
use tokio_serde::{Deserializer, Serializer};

const TASKS: u64 = 512;

fn payload(task: u64) -> Payload {
    Payload::encode(Format::Json, &serde_json::json!({ "value": task })).unwrap()
}

fn assignment(task: u64) -> Assignment {
    let key = AttemptKey { job: JobId(7), task: TaskId(task), attempt: Attempt(1) };
    Assignment { key, kind: "echo".parse().unwrap(), payload: payload(task), timeout_ms: None }
}

fn codec(c: &mut Criterion) {
    let mut codec = Postcard::default();
    let batch: Vec<_> = (0..TASKS).map(assignment).collect();
    let request = ClientMessage::Request(Request { context: context(MAX_DEADLINE), id: 1, message: batch });
    let reply = |task| Reply::Done(Completed { run_us: 1, result: Ok(payload(task)) });
    let replies: Vec<_> = (0..TASKS).map(reply).collect();
    let response = Response { request_id: 1, message: Ok(replies) };

    let mut group = c.benchmark_group("codec");
    group.throughput(Throughput::Elements(TASKS));
    group.bench_function("encode a batch", |b| {
        b.iter(|| Pin::new(&mut codec).serialize(black_box(&request)).unwrap());
    });
    group.bench_function("encode its replies", |b| {
        b.iter(|| Pin::new(&mut codec).serialize(black_box(&response)).unwrap());
    });
    let bytes = BytesMut::from(&*Pin::new(&mut codec).serialize(&request).unwrap());
    group.bench_function("decode a batch", |b| {
        b.iter(|| -> ClientMessage<Vec<Assignment>> {
            Pin::new(&mut codec).deserialize(black_box(&bytes)).unwrap()
        });
    });
    let bytes = BytesMut::from(&*Pin::new(&mut codec).serialize(&response).unwrap());
    group.bench_function("decode its replies", |b| {
        b.iter(|| -> Response<Vec<Reply>> { Pin::new(&mut codec).deserialize(black_box(&bytes)).unwrap() });
    });
    group.finish();
}

criterion_group!(benches, codec);
criterion_main!(benches);
