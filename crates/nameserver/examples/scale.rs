//! What a name server does with thousands of workers and hundreds of clients: all of them are simulated here, the name
//! server is a process of its own. `scripts/bench-nameserver.sh` starts both.
//!
//! usage: `scale ADDRESS PID [WORKERS=2000] [WATCHERS=200] [JOINS=500]`

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use sgdt_proto::{
    descriptors,
    dial::{context, dial},
    handshake::Service,
    id::WorkerId,
    name_server::{Lease, Load, NameServerClient, WorkerInfo, limits},
    net::Tcp,
};
use std::{env, fs, time::Duration};
use tarpc::client;
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::{Instant, interval, sleep},
};

/// How many connections are opened at a time.
const AT_A_TIME: usize = 64;
/// How long a quiet cluster is watched.
const QUIET: Duration = Duration::from_secs(10);
/// How many workers join one after another.
const SINGLE: u64 = 5;
/// A deadline that plays no part.
const LONG: Duration = Duration::from_secs(600);

/// A watcher was told of so many workers.
type Told = UnboundedReceiver<(usize, usize)>;

#[tokio::main]
async fn main() -> Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [address, process, sizes @ ..] = &args[..] else {
        anyhow::bail!("usage: scale ADDRESS PID [WORKERS=2000] [WATCHERS=200] [JOINS=500]");
    };
    let size = |index: usize, default: u64| sizes.get(index).map_or(Ok(default), |size| size.parse());
    let (workers, watchers, joins) = (size(0, 2_000)?, size(1, 200)?, size(2, 500)?);
    descriptors::ask_for_more();

    let empty = Usage::of(process)?;
    let began = Instant::now();
    join(address, 0..workers).await?;
    println!("{workers} workers have joined in {:.1} s", began.elapsed().as_secs_f64());
    let (tell, mut told) = unbounded_channel();
    let watching = stream::iter(0..watchers as usize).map(|index| watch(address, index, tell.clone()));
    watching.buffer_unordered(AT_A_TIME).try_collect::<()>().await?;
    let mut counts = vec![0; watchers as usize];
    all_told(&mut told, &mut counts, workers).await?;

    let before = Usage::of(process)?;
    sleep(QUIET).await;
    let after = Usage::of(process)?;
    println!(
        "renewals of {workers}, watches of {watchers}: {:.1} % of a core, {} MiB (empty: {} MiB)",
        (after.seconds - before.seconds) / QUIET.as_secs_f64() * 100.0,
        after.mebibytes,
        empty.mebibytes
    );

    let mut times = Vec::new();
    for number in 0..SINGLE {
        let began = Instant::now();
        let id = workers + number;
        join(address, id..id + 1).await?;
        all_told(&mut told, &mut counts, id + 1).await?;
        times.push(began.elapsed().as_millis());
        // Long enough for the next to be told by itself.
        sleep(Duration::from_secs(1)).await;
    }
    times.sort_unstable();
    println!("one worker joins: all {watchers} watchers know after {} ms (median)", times[times.len() / 2]);

    let (before, began) = (Usage::of(process)?, Instant::now());
    let first = workers + SINGLE;
    join(address, first..first + joins).await?;
    let answers = all_told(&mut told, &mut counts, first + joins).await?;
    println!(
        "{joins} workers join at once: all watchers know all after {} ms, told {:.1} times each; {:.2} s of CPU, {} MiB",
        began.elapsed().as_millis(),
        answers as f64 / watchers as f64,
        Usage::of(process)?.seconds - before.seconds,
        Usage::of(process)?.mebibytes
    );
    Ok(())
}

/// What a process has used.
struct Usage {
    seconds: f64,
    mebibytes: u64,
}

impl Usage {
    fn of(process: &str) -> Result<Self> {
        /// Clock ticks a second, on every Linux.
        const TICKS: f64 = 100.0;
        let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
        // After the name, which may have spaces; user and system time are its 14th and 15th field.
        let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split(' ').collect();
        let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok());
        let used = ticks(12).zip(ticks(13)).context("no times in /proc/PID/stat")?;
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kibibytes: u64 = resident.trim().trim_end_matches(" kB").parse()?;
        Ok(Self { seconds: (used.0 + used.1) / TICKS, mebibytes: kibibytes / 1024 })
    }
}

async fn connect(address: &str) -> Result<NameServerClient> {
    let dialled = dial(&Tcp, address, Service::NameServer, limits::ANSWER).await?;
    Ok(NameServerClient::new(client::Config::default(), dialled.wire).spawn())
}

/// Has workers register, each over a connection of its own, and renew from then on.
async fn join(address: &str, ids: std::ops::Range<u64>) -> Result<()> {
    let joining = stream::iter(ids).map(async |id| -> Result<()> {
        let client = connect(address).await?;
        let kinds = ["factorial", "factorial-part", "matmul", "multiply", "decimal", "sort"];
        let info = WorkerInfo {
            id: WorkerId(id),
            name: format!("worker-{id}").parse()?,
            address: format!("10.0.{}.{}:40000", id / 256 % 256, id % 256),
            slots: 16,
            tags: [("rack".to_owned(), format!("r{}", id % 40))].into(),
            kinds: kinds.iter().map(|kind| kind.parse()).collect::<Result<_, _>>()?,
        };
        let Lease { ttl_ms } = client.register(context(LONG), info, Load::default()).await??;
        tokio::spawn(async move {
            let mut renewals = interval(Duration::from_millis(ttl_ms / 3));
            loop {
                renewals.tick().await;
                if !matches!(client.renew(context(LONG), WorkerId(id), Load::default()).await, Ok(Ok(()))) {
                    eprintln!("the lease of worker {id} was not renewed");
                    return;
                }
            }
        });
        Ok(())
    });
    joining.buffer_unordered(AT_A_TIME).try_collect().await
}

/// Has a client watch, and say how many workers it is told of.
async fn watch(address: &str, index: usize, tell: UnboundedSender<(usize, usize)>) -> Result<()> {
    let client = connect(address).await?;
    tokio::spawn(async move {
        let mut since = None;
        while let Ok(written) = client.watch(context(LONG), since).await {
            let Ok(snapshot) = written.read() else { return };
            since = Some((snapshot.epoch, snapshot.revision));
            if tell.send((index, snapshot.members.len())).is_err() {
                return;
            }
        }
    });
    Ok(())
}

/// Waits until every watcher has been told of so many workers, and says how many answers that took.
async fn all_told(told: &mut Told, counts: &mut [usize], workers: u64) -> Result<usize> {
    let mut answers = 0;
    while counts.iter().any(|&count| (count as u64) < workers) {
        let (index, count) = told.recv().await.context("no watcher is left")?;
        ensure!(count as u64 <= workers, "{count} workers, and there are only {workers}");
        counts[index] = count;
        answers += 1;
    }
    Ok(answers)
}
