//! How long a product takes from the buffers of its factors to the buffer that holds it, on a cluster with one worker and, split,
//! on one with more: for `scripts/bench-split.sh`. Prints the median of each in milliseconds, and that of their ratio.
//!
//! ```text
//! split ONE MORE SIZE PIECES ROUNDS
//! ```
//!
//! ONE and MORE are name servers, of which the first knows one worker.

use mimalloc::MiMalloc;
use sgdt_client::{
    Client, ClientConfig,
    giant::{Hands, Limits, matmul::product},
};
use sgdt_proto::{
    buffer::Buffer,
    kind::matmul::{Element, Matrix, Real},
    net::Tcp,
};
use std::{env, error::Error, hint::black_box, sync::Arc};
use tokio::time::Instant;

/// As in the client.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [one, more, size, pieces, rounds] = args.as_slice() else {
        return Err("usage: split ONE MORE SIZE PIECES ROUNDS".into());
    };
    let (size, pieces, rounds): (u64, u32, usize) = (size.parse()?, pieces.parse()?, rounds.parse()?);
    let made = |seed| {
        let elements: Vec<f64> = (0..size * size).map(|index| f64::unit(seed, index)).collect();
        Matrix { element: Element::F64, rows: size, columns: size, elements: Buffer::from_scalars(elements) }
    };
    let (a, b) = (made(1), made(2));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let connect = async |name_server: &String| {
            let config = ClientConfig { name_servers: vec![name_server.clone()], ..ClientConfig::default() };
            Client::connect(config, Arc::new(Tcp)).await.map(Hands::Cluster)
        };
        let (one, more) = (connect(one).await?, connect(more).await?);
        let mut took = Vec::new();
        // The first is not counted: it finds everything cold.
        for _ in 0..=rounds {
            let mut pair = [0.0; 2];
            for (took, (hands, pieces)) in pair.iter_mut().zip([(&one, 1), (&more, pieces)]) {
                let begun = Instant::now();
                black_box(product(hands, &a, &b, pieces, Limits::default()).await?);
                *took = 1000.0 * begun.elapsed().as_secs_f64();
            }
            took.push(pair);
        }
        let counted = took.split_off(1);
        let median = |of: fn(&[f64; 2]) -> f64| {
            let mut values: Vec<f64> = counted.iter().map(of).collect();
            values.sort_unstable_by(f64::total_cmp);
            values.get(rounds / 2).copied().unwrap_or_default()
        };
        println!(
            "{:.0} {:.0} {:.2}",
            median(|pair| pair[0]),
            median(|pair| pair[1]),
            median(|pair| pair[0] / pair[1])
        );
        Ok(())
    })
}
