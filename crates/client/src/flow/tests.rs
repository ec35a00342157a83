//! Jobs on a cluster within the process, by the way that the program goes.

use super::*;
use crate::{
    client::{Client, ClientConfig},
    giant::plan::{Choice, LocalRun},
    job::{kinds::ClientKinds, writer::Order},
    local::LocalCluster,
};
use serde_json::{Value, json};
use sgdt_proto::net::Tcp;
use std::{
    collections::BTreeMap,
    io::{self, BufReader, Cursor, Read},
    num::{NonZeroU16, NonZeroU32},
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{sync::mpsc, time::timeout};

/// Longer than any of these jobs takes, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Results, as they are written: whoever holds the other end sees each write.
#[derive(Clone, Default)]
struct Shared {
    bytes: Arc<Mutex<Vec<u8>>>,
    watcher: Option<mpsc::UnboundedSender<usize>>,
    /// Fails when there would be more bytes than this.
    limit: Option<usize>,
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut all = self.bytes.lock().unwrap();
        if self.limit.is_some_and(|limit| all.len() + bytes.len() > limit) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        all.extend_from_slice(bytes);
        if let Some(watcher) = &self.watcher {
            let _ = watcher.send(all.len());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn watched() -> (Self, mpsc::UnboundedReceiver<usize>) {
        let (watcher, seen) = mpsc::unbounded_channel();
        (Self { watcher: Some(watcher), ..Self::default() }, seen)
    }

    fn results(&self) -> Vec<Value> {
        let text = String::from_utf8(self.bytes.lock().unwrap().clone()).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'), "{text:?}");
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn job(tasks: impl Read + Send + 'static, order: Order, on_failure: OnFailure, out: &Shared) -> Job {
    let input = BufReader::new(Box::new(tasks) as _);
    let tasks = TaskReader::new(input, "tasks", Path::new(""), ClientKinds::builtin());
    Job {
        tasks,
        results: ResultWriter::new(Box::new(out.clone()), "memory", order),
        task_timeout: None,
        verify: false,
        splitting: Splitting {
            plan: Choice::Auto,
            memory: 64 << 20,
            explain: None,
            local_run: LocalRun::Here,
        },
        on_failure,
    }
}

struct Fixture {
    _cluster: LocalCluster,
    client: Client,
    stop: CancellationToken,
    counters: Arc<Counters>,
}

impl Fixture {
    async fn new(workers: u16) -> Self {
        let cluster = LocalCluster::start(NonZeroU16::new(workers).unwrap()).await.unwrap();
        let config =
            ClientConfig { name_servers: vec![cluster.name_server().to_string()], ..Default::default() };
        let client = Client::connect(config, Arc::new(Tcp)).await.unwrap();
        Self { _cluster: cluster, client, stop: CancellationToken::new(), counters: Arc::default() }
    }

    async fn run(&self, job: Job) -> Outcome {
        timeout(PATIENCE, run(&self.client, job, &self.counters, &self.stop)).await.expect("the job ends")
    }
}

fn ids(results: &[Value]) -> Vec<&str> {
    results.iter().map(|result| result["id"].as_str().unwrap()).collect()
}

fn codes(results: &[Value]) -> BTreeMap<&str, usize> {
    let mut codes = BTreeMap::new();
    for result in results {
        *codes.entry(result["error"]["code"].as_str().unwrap_or("ok")).or_default() += 1;
    }
    codes
}

#[tokio::test]
async fn the_sample_job_has_one_good_result_a_task() {
    let tasks = include_str!("../../examples/mixed.jsonl");
    let wanted: Vec<Value> = tasks
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let (fixture, out) = (Fixture::new(2).await, Shared::default());
    let outcome = fixture.run(job(Cursor::new(tasks), Order::AsFinished, OnFailure::GoOn, &out)).await;
    assert!(outcome.read.is_ok() && outcome.written.is_ok() && !outcome.interrupted);
    let results = out.results();
    assert_eq!(codes(&results), [("ok", wanted.len())].into(), "{results:#?}");
    let by_id: BTreeMap<_, _> =
        results.iter().map(|result| (result["id"].as_str().unwrap(), result)).collect();
    assert_eq!(by_id.len(), wanted.len());
    assert_eq!(by_id["factorial-20"]["output"]["value"], "2432902008176640000");
    assert_eq!(by_id["sort-downwards"]["output"]["values"], serde_json::json!([3, 2, 1]));
    assert_eq!(by_id["matmul-2x2"]["output"]["c"], serde_json::json!([[19.0, 22.0], [43.0, 50.0]]));
    assert_eq!((outcome.tally.done, outcome.tally.failures()), (wanted.len() as u64, 0));
    assert_eq!(outcome.tally.shares.values().sum::<u64>(), wanted.len() as u64);
    assert_eq!(
        (fixture.counters.done(), fixture.counters.total(None)),
        (outcome.tally.done, Some(outcome.tally.done))
    );
}

#[tokio::test]
async fn lines_that_cannot_be_sent_have_their_results_in_their_places() {
    let mut tasks = Vec::new();
    for i in 0..2000 {
        let ms = if i % 97 == 0 { 20 } else { 0 };
        match i % 3 {
            0 => writeln!(tasks, r#"{{"id":"{i}","task":"sleep","ms":{ms}}}"#).unwrap(),
            1 => writeln!(tasks, r#"{{"id":"{i}","task":"factorial","n":-1}}"#).unwrap(),
            _ => writeln!(tasks, r#"{{"id":"{i}","task":"echo","value":{i}}}"#).unwrap(),
        }
    }
    let (fixture, out) = (Fixture::new(2).await, Shared::default());
    let outcome = fixture.run(job(Cursor::new(tasks), Order::AsRead, OnFailure::GoOn, &out)).await;
    assert!(outcome.written.is_ok());
    let results = out.results();
    let wanted: Vec<_> = (0..2000).map(|i| i.to_string()).collect();
    assert_eq!(ids(&results), wanted);
    assert_eq!(codes(&results), [("ok", 1333), ("invalid-input", 667)].into());
}

#[tokio::test]
async fn a_task_is_answered_before_the_next_one_is_written() {
    let (input, mut pipe) = io::pipe().unwrap();
    let (fixture, (out, mut seen)) = (Fixture::new(1).await, Shared::watched());
    let dialogue = async {
        for i in 0..5 {
            writeln!(pipe, "{{\"task\":\"echo\",\"value\":{i}}}\n\n").unwrap();
            seen.recv().await.unwrap();
        }
        drop(pipe);
    };
    let job = job(input, Order::AsFinished, OnFailure::GoOn, &out);
    let (outcome, ()) = tokio::join!(fixture.run(job), dialogue);
    assert_eq!((outcome.tally.done, out.results().len()), (5, 5));
}

#[tokio::test]
async fn after_a_failure_every_line_of_a_file_still_has_a_result() {
    let mut tasks = b"{\"id\":\"bad\",\"task\":\"panic\"}\n".to_vec();
    for i in 0..5000 {
        writeln!(tasks, r#"{{"id":"{i}","task":"sleep","ms":60000}}"#).unwrap();
    }
    let (fixture, out) = (Fixture::new(2).await, Shared::default());
    let outcome = fixture.run(job(Cursor::new(tasks), Order::AsRead, OnFailure::CancelAll, &out)).await;
    assert!(outcome.read.is_ok() && outcome.written.is_ok() && !outcome.interrupted);
    assert_eq!(codes(&out.results()), [("panicked", 1), ("cancelled", 5000)].into());
    assert_eq!(outcome.tally.failures(), 5001);
}

#[tokio::test]
async fn after_a_failure_a_pipe_is_not_waited_for() {
    let (input, mut pipe) = io::pipe().unwrap();
    writeln!(pipe, "{{\"task\":\"sleep\",\"ms\":60000}}\nnonsense").unwrap();
    let (fixture, out) = (Fixture::new(1).await, Shared::default());
    let outcome = fixture.run(job(input, Order::AsFinished, OnFailure::CancelRead, &out)).await;
    assert!(outcome.written.is_ok() && !outcome.interrupted);
    assert_eq!(codes(&out.results()), [("invalid-input", 1), ("cancelled", 1)].into());
    drop(pipe);
}

#[tokio::test]
async fn what_is_done_is_written_when_the_job_is_stopped() {
    let mut tasks = Vec::new();
    for i in 0..50 {
        writeln!(tasks, r#"{{"id":"{i}","task":"sleep","ms":{}}}"#, if i < 5 { 0 } else { 60_000 }).unwrap();
    }
    let (fixture, (out, mut seen)) = (Fixture::new(2).await, Shared::watched());
    let stop = async {
        while out.results().len() < 5 {
            seen.recv().await.unwrap();
        }
        fixture.stop.cancel();
    };
    let (outcome, ()) =
        tokio::join!(fixture.run(job(Cursor::new(tasks), Order::AsFinished, OnFailure::GoOn, &out)), stop);
    assert!(outcome.interrupted && outcome.written.is_ok());
    assert_eq!((codes(&out.results()), outcome.tally.done), ([("ok", 5)].into(), 5));
}

#[tokio::test]
async fn a_full_disk_ends_the_job_and_keeps_what_is_there() {
    let tasks = b"{\"task\":\"echo\",\"value\":1}\n".repeat(100_000);
    let fixture = Fixture::new(1).await;
    let out = Shared { limit: Some(200_000), ..Shared::default() };
    let outcome = fixture.run(job(Cursor::new(tasks), Order::AsFinished, OnFailure::GoOn, &out)).await;
    let error = outcome.written.unwrap_err().to_string();
    assert!(error.contains("cannot write results to memory"), "{error}");
    assert!(!outcome.interrupted && !out.results().is_empty());
}

#[tokio::test]
async fn a_file_that_breaks_off_has_results_up_to_there() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the cable is cut"))
        }
    }
    let tasks = Cursor::new(b"{\"task\":\"echo\",\"value\":1}\n".repeat(3)).chain(Broken);
    let (fixture, out) = (Fixture::new(1).await, Shared::default());
    let outcome = fixture.run(job(tasks, Order::AsFinished, OnFailure::GoOn, &out)).await;
    let error = outcome.read.unwrap_err().to_string();
    assert!(error.contains("after line 3: the cable is cut"), "{error}");
    assert_eq!(codes(&out.results()), [("ok", 3)].into());
}

#[tokio::test]
async fn lines_that_wait_for_their_turn_hold_back_reading() {
    /// Lines without end, but for the first, which takes long. Counts their bytes.
    struct Endless(Arc<AtomicU64>);
    const LINE: &[u8] = b"{\"task\":\"echo\",\"value\":1}\n";
    impl Read for Endless {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let mut at = self.0.load(Ordering::Relaxed) as usize;
            for byte in out.iter_mut() {
                *byte = LINE[at % LINE.len()];
                at += 1;
            }
            self.0.store(at as u64, Ordering::Relaxed);
            Ok(out.len())
        }
    }
    let read = Arc::new(AtomicU64::new(0));
    let tasks = Cursor::new(b"{\"task\":\"sleep\",\"ms\":3000}\n").chain(Endless(read.clone()));
    let (fixture, (out, mut seen)) = (Fixture::new(2).await, Shared::watched());
    let watch = async {
        seen.recv().await.unwrap();
        let lines = read.load(Ordering::Relaxed) / LINE.len() as u64;
        fixture.stop.cancel();
        lines
    };
    let (outcome, lines) = tokio::join!(fixture.run(job(tasks, Order::AsRead, OnFailure::GoOn, &out)), watch);
    assert!(outcome.interrupted);
    // The window, and what is in buffers.
    assert!((16_384..30_000).contains(&lines), "{lines} lines were read while the first was not done");
}

/// Large tasks among small ones: a list to be sorted, and a factorial.
fn large_and_small() -> String {
    let values: Vec<_> = (0..20_000).map(|index| index * 7_919 % 20_000).collect();
    let sort = json!({"id": "sort", "task": "sort", "values": values});
    let echo = |id: usize| json!({"id": format!("e{id}"), "task": "echo", "value": id});
    let mut lines: Vec<_> = (0..300).map(echo).collect();
    lines.insert(0, sort);
    lines.insert(150, json!({"id": "factorial", "task": "factorial", "n": 10_007}));
    lines.insert(150, json!({"id": "wrong", "task": "factorial", "n": -1}));
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[tokio::test]
async fn large_tasks_are_computed_in_pieces_and_every_line_has_its_own_result() {
    let (fixture, out) = (Fixture::new(2).await, Shared::default());
    let tasks = large_and_small();
    let mut job = job(Cursor::new(tasks.clone()), Order::AsRead, OnFailure::GoOn, &out);
    job.verify = true;
    job.splitting.plan = Choice::Split(NonZeroU32::new(4).unwrap());
    let outcome = fixture.run(job).await;
    assert!(outcome.written.is_ok() && outcome.tally.failures() == 1, "{outcome:?}");
    let results = out.results();
    assert_eq!(results.len(), tasks.lines().count());
    for (result, task) in results.iter().zip(tasks.lines()) {
        let task: Value = serde_json::from_str(task).unwrap();
        assert_eq!(result["id"], task["id"]);
        match result["id"].as_str().unwrap() {
            "sort" => {
                assert!(
                    result["output"]["values"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .eq((0..20_000).map(Value::from).collect::<Vec<_>>().iter())
                );
                assert!(result.get("worker").is_none() && result["verified"] == true, "{}", result["id"]);
            }
            "factorial" => {
                assert_eq!(result["output"]["digits"], 35_688);
                assert!(result.get("worker").is_none());
            }
            "wrong" => assert_eq!(result["error"]["code"], "invalid-input"),
            _ => assert!(result["output"]["value"] == task["value"] && result["worker"].is_string()),
        }
    }
}

#[tokio::test]
async fn a_large_task_is_planned_for_where_slots_are_idle() {
    static PLANNED: AtomicU64 = AtomicU64::new(0);
    let fixture = Fixture::new(1).await;
    let small = large_and_small().lines().take(2).collect::<Vec<_>>().join("\n");
    let large = r#"{"task":"factorial","n":5000000}"#;
    let busy = "{\"task\":\"sleep\",\"ms\":1000}\n";
    let slots = fixture.client.membership().borrow().members().values().map(|w| w.info.slots as usize).sum();
    for (tasks, planned) in [(small, 0), (busy.repeat(slots) + large, 0), (large.to_owned(), 1)] {
        let out = Shared::default();
        let mut job = job(Cursor::new(tasks.clone()), Order::AsFinished, OnFailure::GoOn, &out);
        job.splitting.explain = Some(|_| PLANNED.store(1, Ordering::Relaxed));
        let outcome = fixture.run(job).await;
        assert_eq!(
            (outcome.tally.failures(), out.results().len()),
            (0, tasks.lines().count()),
            "{outcome:?}"
        );
        assert_eq!(PLANNED.load(Ordering::Relaxed), planned);
    }
}
