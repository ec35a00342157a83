//! `ping`: the way to workers and back, past the name server.

use super::{CommandError, print, setup::Setup};
use crate::retry::denial;
use futures::future::join_all;
use sgdt_proto::{
    dial::{DialError, context, dial_worker},
    id::WorkerName,
    name_server::{Load, WorkerInfo},
    net::Network,
    worker::TaskClient,
};
use std::time::Duration;
use tarpc::{
    client::{Config, RpcError},
    context::Context,
};
use tokio::time::{Instant, timeout};

/// How long a worker may take over being reached and an answer.
const CALL: Duration = Duration::from_secs(3);

/// Why a worker gives no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("{address}: {source}")]
    Call { address: String, source: RpcError },
    #[error("{address}: {why}")]
    Denied { address: String, why: String },
    #[error("{address}: no answer within {CALL:?}")]
    Silent { address: String },
    #[error(
        "{address}: another start of a worker answers there; ask again when the name server has heard of it"
    )]
    Restarted { address: String },
}

pub(super) async fn run(setup: &Setup, name: Option<&WorkerName>) -> Result<(), CommandError> {
    let cluster = setup.cluster().await?;
    let workers = match name {
        Some(name) => vec![cluster.worker(name).await?.info],
        None => cluster.workers().await?.into_iter().map(|worker| worker.info).collect(),
    };
    if workers.is_empty() {
        return Err(CommandError::NoWorker(cluster.config.name_servers.join(",")));
    }
    let pings = join_all(workers.iter().map(|worker| ping(&*cluster.network, worker))).await;
    let mut silent = Vec::new();
    for (WorkerInfo { name, address, .. }, answer) in workers.iter().zip(pings) {
        match answer {
            Ok((round_trip, load)) => {
                let (ms, Load { running, queued, .. }) = (round_trip.as_secs_f64() * 1e3, load);
                print(format!("{name} {address} {ms:.3} ms, {running} running, {queued} queued\n"))?;
            }
            Err(trouble) => silent.push(format!("{name} at {trouble}")),
        }
    }
    if silent.is_empty() { Ok(()) } else { Err(CommandError::Unanswered(silent.join("; "))) }
}

async fn ping(network: &dyn Network, worker: &WorkerInfo) -> Result<(Duration, Load), Trouble> {
    let call = async |client: TaskClient, context| {
        // The first one finds caches cold, and a connection that has not carried anything yet.
        client.ping(context).await?;
        let sent = Instant::now();
        let pong = client.ping(context).await?;
        Ok((sent.elapsed(), pong))
    };
    let (round_trip, pong) = ask(network, worker, call).await?;
    if pong.id == worker.id {
        Ok((round_trip, pong.load))
    } else {
        Err(Trouble::Restarted { address: worker.address.clone() })
    }
}

/// Asks a worker something, over a connection of its own.
pub(super) async fn ask<T>(
    network: &dyn Network,
    worker: &WorkerInfo,
    call: impl AsyncFnOnce(TaskClient, Context) -> Result<T, RpcError>,
) -> Result<T, Trouble> {
    let address = || worker.address.clone();
    let asked = timeout(CALL, async {
        let dialled = dial_worker(network, worker).await?;
        let client = TaskClient::new(Config::default(), dialled.wire).spawn();
        call(client, context(CALL)).await.map_err(|source| match denial(&source) {
            Some(why) => Trouble::Denied { address: address(), why },
            None => Trouble::Call { address: address(), source },
        })
    });
    asked.await.unwrap_or_else(|_| Err(Trouble::Silent { address: address() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;

    #[tokio::test]
    async fn a_worker_answers_and_an_earlier_start_of_it_does_not() {
        let cli = Cli::read(["client", "--local", "1", "ping"]).unwrap();
        let cluster = Setup::from(cli.global).cluster().await.unwrap();
        let mut worker = cluster.worker(&"w1".parse().unwrap()).await.unwrap().info;
        let (_, load) = ping(&*cluster.network, &worker).await.unwrap();
        assert_eq!((load.running, load.queued, load.draining), (0, 0, false));
        worker.id.0 ^= 1;
        let trouble = ping(&*cluster.network, &worker).await.unwrap_err();
        assert!(trouble.to_string().starts_with(&format!("{}: another start", worker.address)), "{trouble}");
        worker.address = cluster.config.name_servers[0].clone();
        let trouble = ping(&*cluster.network, &worker).await.unwrap_err();
        assert!(trouble.to_string().contains("a name server listens there"), "{trouble}");
    }
}
