//! What it costs to pick a worker, by policy and by how many there are.

#![allow(missing_docs, reason = "a measurement has no public face")]

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use rand::{SeedableRng, rngs::SmallRng};
use sgdt_client::balance::{Balance, Balancer, Candidate};
use std::hint::black_box;

fn balancer(c: &mut Criterion) {
    let mut group = c.benchmark_group("pick");
    for balance in [Balance::RoundRobin, Balance::LeastLoaded, Balance::P2c] {
        for workers in [2, 32, 1024] {
            let loads = (0..workers).map(|worker| (worker, worker as u32 * 7 % 13));
            let candidates: Vec<_> =
                loads.map(|(worker, in_flight)| Candidate { worker, slots: 4, in_flight }).collect();
            let mut balancer = Balancer::new(balance, SmallRng::seed_from_u64(1));
            group.bench_with_input(
                BenchmarkId::new(balance.to_string(), workers),
                &candidates,
                |b, candidates| {
                    b.iter(|| balancer.pick(black_box(candidates)));
                },
            );
        }
    }
    group.finish();
}

criterion_group!(benches, balancer);
criterion_main!(benches);
