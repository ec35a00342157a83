//! The measurements, on a cluster within the process.

use super::*;
use crate::cli::Cli;

#[tokio::test]
async fn every_measure_gets_back_what_it_sends() {
    let setup = Setup::from(Cli::read(["client", "--local", "2", "bench", "latency"]).unwrap().global);
    let cluster = setup.cluster().await.unwrap();
    let client = cluster.connect().await.unwrap();
    let kind = parse(KIND).unwrap();
    check_served(&client, &kind).await.unwrap();
    throughput::measure(&client, &kind, 5_000).await.unwrap();
    latency::measure(&client, &kind, 10).await.unwrap();
    for size in [1, 1001, 1 << 20] {
        payload::measure(&client, &kind, 2, size).await.unwrap();
    }
    assert_eq!(client.outstanding(), 0);
}

#[tokio::test]
async fn a_size_that_does_not_fit_in_a_message_is_refused_before_a_cluster_is_sought() {
    for size in ["0B", "4GiB"] {
        let cli = Cli::read(["client", "bench", "payload", "--size", size]).unwrap();
        let crate::cli::Command::Bench(args) = cli.command else { panic!() };
        let error = run(&Setup::from(cli.global), args).await.unwrap_err().to_string();
        assert!(error.contains("--size takes"), "{error}");
    }
}
