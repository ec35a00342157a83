//! How long a sort takes from the buffer that holds the keys to the buffer that holds them in order, on a live cluster: for
//! `scripts/bench.sh`. Prints the median in milliseconds.
//!
//! ```text
//! there_and_back NAMESERVER KEYS ROUNDS
//! ```

use mimalloc::MiMalloc;
use sgdt_client::{Client, ClientConfig, TaskSpec};
use sgdt_proto::{
    buffer::Buffer,
    kind::{
        random,
        sort::{Input, KIND, Keys, Number, Output},
    },
    net::Tcp,
};
use std::{env, error::Error, hint::black_box, sync::Arc};
use tokio::time::Instant;

/// As in the client.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [name_server, keys, rounds] = args.as_slice() else {
        return Err("usage: there_and_back NAMESERVER KEYS ROUNDS".into());
    };
    let (keys, rounds): (u64, usize) = (keys.parse()?, rounds.parse()?);
    let words: Vec<u64> = (0..keys).map(|index| random::word(1, index)).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let config = ClientConfig { name_servers: vec![name_server.clone()], ..ClientConfig::default() };
        let client = Client::connect(config, Arc::new(Tcp)).await?;
        let mut took = Vec::new();
        // The first is not counted: it finds everything cold.
        for _ in 0..=rounds {
            let keys = Keys::Numbers { number: Number::I64, buffer: Buffer::from_scalars(words.clone()) };
            let begun = Instant::now();
            let spec = TaskSpec::packed(KIND.parse()?, &Input { keys, descending: false, summary: false })?;
            let output: Output = client.submit(spec).await?.await?.output?.decode()?;
            took.push(begun.elapsed());
            black_box(output);
        }
        let mut counted = took.split_off(1);
        counted.sort_unstable();
        println!("{}", counted.get(rounds / 2).map_or(0.0, |median| 1000.0 * median.as_secs_f64()));
        Ok(())
    })
}
