//! Questions to name servers: who is there, and who is meant by a name.
//!
//! Each name server is asked, because each may know of workers that the others do not; one answer is enough.

use super::{CommandError, setup::Cluster};
use crate::{client::ConnectError, retry::denial};
use futures::future::join_all;
use sgdt_proto::{
    dial::{DialError, context, dial},
    handshake::Service,
    id::WorkerName,
    name_server::{NameServerClient, WorkerStatus, limits},
};
use std::{collections::BTreeMap, time::Duration};
use tarpc::{
    client::{Config, RpcError},
    context::Context,
};
use tokio::time::{Instant, sleep, timeout};

/// How long a name server may take over being reached and an answer, unless less is to be waited in all,
const CALL: Duration = Duration::from_secs(3);
/// and how long in any case.
const SHORTEST: Duration = Duration::from_millis(500);
/// The first and the longest wait before all are asked again. Whoever types a command is alone, and needs no jitter.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// The most workers that an error message names.
const NAMED: usize = 20;

/// No worker has this name.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no live worker is called {name:?}; {}", names(live))]
pub(crate) struct UnknownWorker {
    name: WorkerName,
    live: Vec<WorkerName>,
}

/// Why a name server gives no answer.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("{address}: {source}")]
    Call { address: String, source: RpcError },
    #[error("{address}: {why}")]
    Denied { address: String, why: String },
    #[error("{address}: no answer within {patience:?}")]
    Silent { address: String, patience: Duration },
}

/// Why no name server gives an answer.
enum Unanswered {
    /// None did in time.
    Late(String),
    /// None lets us in, or is one that we may trust.
    Refused(String),
    /// What was asked for is not for us.
    Denied(String),
}

impl Cluster {
    /// All live workers, by name.
    pub(super) async fn workers(&self) -> Result<Vec<WorkerStatus>, CommandError> {
        let lists = self.ask(async |client, context| client.list(context).await).await?;
        let mut workers = BTreeMap::new();
        for worker in lists.into_iter().flatten() {
            let known = workers.entry(worker.info.id).or_insert_with(|| worker.clone());
            // The one with the latest news.
            if worker.age_ms < known.age_ms {
                *known = worker;
            }
        }
        let mut workers: Vec<_> = workers.into_values().collect();
        workers.sort_by(|one, other| one.info.name.cmp(&other.info.name));
        Ok(workers)
    }

    /// The worker of this name.
    pub(super) async fn worker(&self, name: &WorkerName) -> Result<WorkerStatus, CommandError> {
        let found = self.ask(async |client, context| client.lookup(context, name.clone()).await).await?;
        self.known(name, found).await
    }

    /// Removes the worker of this name everywhere, and says what it was.
    pub(super) async fn remove(&self, name: &WorkerName) -> Result<WorkerStatus, CommandError> {
        let found = self.ask(async |client, context| client.remove(context, name.clone()).await).await?;
        self.known(name, found).await
    }

    async fn known(
        &self,
        name: &WorkerName,
        found: Vec<Option<WorkerStatus>>,
    ) -> Result<WorkerStatus, CommandError> {
        match found.into_iter().flatten().next() {
            Some(worker) => Ok(worker),
            None => {
                let live = self.workers().await?.into_iter().map(|worker| worker.info.name).collect();
                Err(UnknownWorker { name: name.clone(), live }.into())
            }
        }
    }

    /// Asks all name servers, again and again until one answers or it has taken too long.
    async fn ask<T>(
        &self,
        call: impl AsyncFn(NameServerClient, Context) -> Result<T, RpcError>,
    ) -> Result<Vec<T>, CommandError> {
        let waited = self.config.wait_workers;
        self.waiting("a name server", self.ask_all(&call)).await.map_err(|unanswered| match unanswered {
            Unanswered::Late(problem) => ConnectError::NoNameServer { waited, problem }.into(),
            Unanswered::Refused(problem) => ConnectError::Refused { problem }.into(),
            Unanswered::Denied(problem) => CommandError::Denied(problem),
        })
    }

    async fn ask_all<T>(
        &self,
        call: &impl AsyncFn(NameServerClient, Context) -> Result<T, RpcError>,
    ) -> Result<Vec<T>, Unanswered> {
        let began = Instant::now();
        let mut delay = PAUSE.0;
        loop {
            let asked = self.config.name_servers.iter().map(|address| self.ask_one(address, call));
            let (mut answers, mut troubles) = (Vec::new(), Vec::new());
            for answer in join_all(asked).await {
                match answer {
                    Ok(answer) => answers.push(answer),
                    Err(trouble) => troubles.push(trouble),
                }
            }
            if !answers.is_empty() {
                return Ok(answers);
            }
            if !troubles.is_empty() && troubles.iter().all(Trouble::is_final) {
                let denied = troubles.iter().any(|trouble| matches!(trouble, Trouble::Denied { .. }));
                let kind = if denied { Unanswered::Denied } else { Unanswered::Refused };
                return Err(kind(told(&troubles)));
            }
            let left = self.config.wait_workers.saturating_sub(began.elapsed());
            if left.is_zero() {
                return Err(Unanswered::Late(told(&troubles)));
            }
            sleep(delay.min(left)).await;
            delay = (delay * 2).min(PAUSE.1);
        }
    }

    async fn ask_one<T>(
        &self,
        address: &str,
        call: &impl AsyncFn(NameServerClient, Context) -> Result<T, RpcError>,
    ) -> Result<T, Trouble> {
        let patience = CALL.min(self.config.wait_workers.max(SHORTEST));
        let asked = timeout(patience, async {
            let dialled = dial(&*self.network, address, Service::NameServer, limits::ANSWER).await?;
            let client = NameServerClient::new(Config::default(), dialled.wire).spawn();
            let answer = call(client, context(CALL)).await;
            answer.map_err(|source| match denial(&source) {
                Some(why) => Trouble::Denied { address: address.to_owned(), why },
                None => Trouble::Call { address: address.to_owned(), source },
            })
        });
        asked.await.unwrap_or_else(|_| Err(Trouble::Silent { address: address.to_owned(), patience }))
    }
}

impl Trouble {
    /// Whether it stays until somebody changes how one of the two sides is run.
    fn is_final(&self) -> bool {
        match self {
            Self::Dial(error) => error.is_final(),
            Self::Denied { .. } => true,
            Self::Call { .. } | Self::Silent { .. } => false,
        }
    }
}

fn told(troubles: &[Trouble]) -> String {
    troubles.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn names(live: &[WorkerName]) -> String {
    if live.is_empty() {
        return "there is none at all".to_owned();
    }
    let named: Vec<_> = live.iter().take(NAMED).map(WorkerName::as_str).collect();
    let more = live.len() - named.len();
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("there are {}{rest}", named.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::setup::Setup;
    use super::*;
    use crate::cli::Cli;

    async fn cluster(line: &str) -> Cluster {
        let cli = Cli::read(format!("client workers {line}").split_whitespace()).unwrap();
        Setup::from(cli.global).cluster().await.unwrap()
    }

    #[tokio::test]
    async fn workers_are_found_by_name_and_an_unknown_name_is_told_the_live_ones() {
        let cluster = cluster("--local 2").await;
        let names = |workers: Vec<WorkerStatus>| -> Vec<_> {
            workers.iter().map(|worker| worker.info.name.to_string()).collect()
        };
        assert_eq!(names(cluster.workers().await.unwrap()), ["w1", "w2"]);
        assert_eq!(cluster.worker(&"w2".parse().unwrap()).await.unwrap().info.name.as_str(), "w2");
        assert_eq!(cluster.remove(&"w2".parse().unwrap()).await.unwrap().info.name.as_str(), "w2");
        let error = cluster.worker(&"w2".parse().unwrap()).await.unwrap_err();
        assert_eq!(error.to_string(), "no live worker is called \"w2\"; there are w1");
        assert_eq!(names(cluster.workers().await.unwrap()), ["w1"]);
    }

    #[tokio::test]
    async fn one_name_server_that_answers_is_enough() {
        let local = cluster("--local 1").await;
        let mut both = cluster("--nameserver 127.0.0.1:1 --wait-workers 1s").await;
        both.config.name_servers.extend(local.config.name_servers.iter().cloned());
        assert_eq!(both.workers().await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn when_none_answers_each_is_named_with_what_it_met() {
        let cluster = cluster("--nameserver 127.0.0.1:1,127.0.0.1:2 --wait-workers 100ms").await;
        let error = cluster.workers().await.unwrap_err();
        assert!(matches!(error, CommandError::Connect(_)));
        let error = error.to_string();
        assert!(
            error.contains("within 100ms")
                && error.contains("127.0.0.1:1: ")
                && error.contains("127.0.0.1:2: "),
            "{error}"
        );
    }

    #[test]
    fn not_every_name_of_many_is_told() {
        let live: Vec<WorkerName> = (0..1000).map(|n| format!("w{n}").parse().unwrap()).collect();
        assert!(names(&live).ends_with(", w19 and 980 more"), "{}", names(&live));
        assert_eq!(names(&[]), "there is none at all");
    }
}
