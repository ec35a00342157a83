//! Inputs that many tasks have: they go to each worker once, and whatever becomes of them there, the answers are right.

use futures::{StreamExt, future::BoxFuture, stream};
use harness::{
    cluster::Cluster,
    npy,
    reference::{Matrix, close},
};
use sgdt_client::{
    Client, ClientConfig, TaskResult, TaskSpec,
    giant::{self, Hands, Limits, matmul::Grid},
    job::{kinds::ClientKinds, reader::TaskReader},
};
use sgdt_proto::{
    buffer::Buffer,
    kind::matmul::{Element, Input, KIND, Matrix as Factor, Operand, Output},
    net::{ByteStream, Connection, Listener, Network, Tcp},
};
use std::{
    collections::BTreeSet,
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// More than all that is sent beside inputs.
const BESIDE: usize = 256 * 1024;

/// TCP that counts what is sent.
#[derive(Clone, Debug, Default)]
struct Counting(Arc<AtomicUsize>);

impl Counting {
    /// How many bytes were sent since it was last asked.
    fn take(&self) -> usize {
        self.0.swap(0, Ordering::Relaxed)
    }
}

impl Network for Counting {
    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Connection>> {
        Box::pin(async move {
            let connection = Tcp.connect(address).await?;
            let stream = Box::new(Counted { stream: connection.stream, sent: self.clone() });
            Ok(Connection { stream, ..connection })
        })
    }

    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Tcp.listen(address)
    }
}

struct Counted {
    stream: Box<dyn ByteStream>,
    sent: Counting,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, slices))?;
        self.sent.0.fetch_add(sent, Ordering::Relaxed);
        Poll::Ready(Ok(sent))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Workers of one slot with so much memory for blobs, and a client that counts what it sends.
async fn start(workers: usize, memory: &str) -> (Cluster, Client, Counting) {
    let cluster =
        Cluster::builder().workers(workers).slots(1).worker_args(&["--blob-memory", memory]).start();
    let network = Counting::default();
    let config =
        ClientConfig { name_servers: vec![cluster.address().to_string()], ..ClientConfig::default() };
    let client = Client::connect(config, Arc::new(network.clone())).await.unwrap();
    (cluster, client, network)
}

fn factor(matrix: &Matrix) -> Factor {
    let elements = Buffer::from_scalars(matrix.elements.clone()).shared();
    assert!(elements.digest().is_some());
    let (rows, columns) = (matrix.rows as u64, matrix.columns as u64);
    Factor { element: Element::F64, rows, columns, elements }
}

/// Matrices of 64 x 128 and 128 x 64, 64 KiB each, and all their products.
struct Work {
    left: Vec<Matrix>,
    right: Vec<Matrix>,
    specs: Vec<TaskSpec>,
}

impl Work {
    fn new(count: usize) -> Self {
        let matrices = |rows, columns, seed: u64| -> Vec<_> {
            (seed..).take(count).map(|seed| Matrix::random(rows, columns, seed)).collect()
        };
        let (left, right) = (matrices(64, 128, 1), matrices(128, 64, 101));
        let factors = |matrices: &[Matrix]| -> Vec<_> { matrices.iter().map(factor).collect() };
        let (a, b) = (factors(&left), factors(&right));
        let spec = |(a, b): (&Factor, &Factor)| {
            let [a, b] = [a, b].map(|factor| Operand::Dense(factor.clone()));
            TaskSpec::packed(KIND.parse().unwrap(), &Input { a, b, summary: false }).unwrap()
        };
        let specs = a.iter().flat_map(|a| b.iter().map(move |b| (a, b))).map(spec).collect();
        Self { left, right, specs }
    }

    /// Runs them all and looks at each product. Says which workers took part.
    async fn run(&self, client: &Client) -> BTreeSet<String> {
        let mut results = client.map(stream::iter(self.specs.clone()));
        let (mut workers, mut count) = (BTreeSet::new(), 0);
        while let Some((index, result)) = results.next().await {
            let (a, b) = (index as usize / self.right.len(), index as usize % self.right.len());
            assert_eq!(result.attempts, 1, "{result:?}");
            workers.insert(result.worker.as_ref().unwrap().to_string());
            assert_is_product(result, &self.left[a].times(&self.right[b]));
            count += 1;
        }
        assert_eq!(count, self.specs.len());
        workers
    }
}

fn assert_is_product(result: TaskResult, expected: &Matrix) {
    let Output::Product(c) = result.output.unwrap().decode().unwrap() else { panic!("a product") };
    let elements = c.elements.into_scalars::<f64>().unwrap();
    assert!(elements.iter().zip(&expected.elements).all(|(c, expected)| close(*c, *expected)));
}

#[tokio::test]
async fn a_product_in_pieces_sends_each_block_once_to_each_worker() {
    let (_cluster, client, network) = start(2, "1GiB").await;
    let [a, b] = [1, 2].map(|seed| Matrix::random(512, 512, seed));
    let hands = Hands::Cluster(client);
    let mut product = Vec::new();
    let mut sent = [0; 2];
    for (pieces, sent) in [2, 16].into_iter().zip(&mut sent) {
        network.take();
        let limits = Limits { memory: 1 << 30, ..Limits::default() };
        let c = giant::matmul::product(&hands, &factor(&a), &factor(&b), pieces, limits).await.unwrap();
        product = c.into_scalars::<f64>().unwrap();
        *sent = network.take();
    }
    assert!(product.iter().zip(&a.times(&b).elements).all(|(c, expected)| close(*c, *expected)));
    // Two pieces: half of one factor to each worker, and all of the other. 16 pieces: of 32 blocks each worker gets 8.
    let matrix = 512 * 512 * 8;
    assert!((2 * matrix..3 * matrix + BESIDE).contains(&sent[0]), "{sent:?}");
    assert!((2 * matrix..4 * matrix + BESIDE).contains(&sent[1]), "{sent:?}");
    // And about what is predicted, which does not know where tiles go: to a worker every other tile, or some by chance.
    for (pieces, sent) in [2, 16].into_iter().zip(sent) {
        let predicted = 8.0 * Grid::of([512; 3], pieces, 1 << 30).delivered([512; 3], 2);
        assert!((0.7..1.2).contains(&(sent as f64 / predicted)), "{pieces} pieces: {sent} of {predicted}");
    }
}

#[tokio::test]
async fn tasks_with_the_same_inputs_send_them_once_to_each_worker_and_anew_to_one_that_has_restarted() {
    let (mut cluster, client, network) = start(2, "1GiB").await;
    let work = Work::new(6);
    work.run(&client).await;
    // 12 inputs of 64 KiB to two workers, and not 72 of them.
    let once = 12 * 64 * 1024;
    let sent = network.take();
    assert!((once..2 * once + BESIDE).contains(&sent), "{sent}");
    work.run(&client).await;
    let missing = (2 * once).saturating_sub(sent);
    assert!(network.take() <= missing + 2 * BESIDE, "they are there already");

    for name in ["w1", "w2"] {
        cluster.kill(name);
    }
    cluster.add_worker("w3");
    let mut membership = client.membership();
    let is_there = |known: &sgdt_client::discovery::Membership| {
        known.members().values().any(|member| member.info.name.as_str() == "w3")
    };
    drop(membership.wait_for(is_there).await.unwrap());
    network.take();
    assert_eq!(work.run(&client).await, BTreeSet::from(["w3".to_owned()]));
    let sent = network.take();
    assert!((once..once + BESIDE).contains(&sent), "{sent}");
}

#[tokio::test]
async fn workers_that_keep_little_or_nothing_give_the_same_answers_in_one_attempt() {
    // Room for none, for fewer than a task has, for those of one task.
    for memory in ["0", "64KiB", "128KiB"] {
        let (_cluster, client, network) = start(2, memory).await;
        let work = Work::new(5);
        work.run(&client).await;
        let sent = network.take();
        let inline = work.specs.len() * 2 * 64 * 1024;
        // What is lost is delivered anew twice at the most, to either worker.
        let most = inline + 2 * 3 * 10 * 64 * 1024 + BESIDE;
        assert!(sent < most, "{memory}: {sent} of {most}");
    }
}

#[tokio::test]
async fn a_file_that_many_lines_name_is_sent_once_to_each_worker() {
    let (cluster, client, network) = start(2, "1GiB").await;
    let (a, b) = (Matrix::random(100, 200, 1), Matrix::random(200, 150, 2));
    for (name, matrix) in [("a.npy", &a), ("b.npy", &b)] {
        let elements = matrix.elements.iter().map(|x| x.to_le_bytes());
        cluster.file(name, npy::encode("<f8", &[matrix.rows, matrix.columns], elements));
    }
    let line = r#"{"task":"matmul","a":{"npy":"a.npy"},"b":{"npy":"b.npy"}}"#;
    let job = cluster.file("job.jsonl", format!("{line}\n").repeat(40));
    let reader = TaskReader::open(&job, ClientKinds::builtin()).unwrap();
    let specs = reader.map(|line| {
        let (kind, payload) = line.unwrap().request.unwrap();
        TaskSpec { kind, payload, timeout: None, check: None }
    });
    let expected = a.times(&b);
    let mut results = client.map(stream::iter(specs.collect::<Vec<_>>()));
    while let Some((_, result)) = results.next().await {
        assert_eq!(result.attempts, 1);
        assert_is_product(result, &expected);
    }
    let both = (a.elements.len() + b.elements.len()) * 8;
    let sent = network.take();
    assert!((both..2 * both + BESIDE / 4).contains(&sent), "{sent} of {both}");
}
