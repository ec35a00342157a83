//! Who the workers are: a watch on every name server, and the union of what they say.
//!
//! A name server's word is taken with its age in mind: one that has just started has not heard of everybody
//! yet, so until it is settled its silence removes nobody. While it cannot be reached, its last word stands.

use crate::retry::denial;
use rand::{SeedableRng, rngs::SmallRng};
use sgdt_proto::{
    backoff::Backoff,
    dial::{DialError, context, dial},
    handshake::Service,
    id::WorkerId,
    name_server::{InvalidSnapshot, Member, NameServerClient, Snapshot, WATCH_HOLD_MS, limits},
    net::Network,
    transport::codec::MAX_DEADLINE,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tarpc::client::{Config, RpcError};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, info, warn};

/// How long a watch may take before the name server is taken for hung: what it is held, and a grace.
const WATCH: Duration = Duration::from_millis(WATCH_HOLD_MS + 5_000);
const FIRST_DELAY: Duration = Duration::from_millis(50);
const MOST_DELAY: Duration = Duration::from_secs(1);

/// What the name servers say.
#[derive(Clone, Debug, Default)]
pub struct Membership {
    views: Vec<View>,
}

/// What one name server says.
#[derive(Clone, Debug, Default)]
struct View {
    snapshot: Option<Snapshot>,
    reachable: bool,
    problem: Option<String>,
    /// Whether that problem, while there is one, stays until somebody changes how one of the two sides is run.
    refused: bool,
}

impl Membership {
    /// The live workers.
    pub fn members(&self) -> BTreeMap<WorkerId, &Member> {
        let snapshots = self.views.iter().filter_map(|view| view.snapshot.as_ref());
        let members = snapshots.flat_map(|snapshot| &snapshot.members);
        let mut union = BTreeMap::<WorkerId, &Member>::new();
        for member in members {
            // Whoever says that it drains knows more than one who does not.
            let known = union.entry(member.info.id).or_insert(member);
            if member.draining {
                *known = member;
            }
        }
        union
    }

    /// Whether any name server says that this worker listens there: each sees it from where it is itself.
    pub(crate) fn has_at(&self, id: WorkerId, address: &str) -> bool {
        let snapshots = self.views.iter().filter_map(|view| view.snapshot.as_ref());
        let mut members = snapshots.flat_map(|snapshot| &snapshot.members);
        members.any(|member| member.info.id == id && member.info.address == address)
    }

    /// What name servers say that each know these workers.
    #[cfg(test)]
    pub(crate) fn of(views: Vec<Vec<Member>>) -> Self {
        let snapshot = |members| Snapshot {
            epoch: sgdt_proto::id::Epoch(1),
            revision: sgdt_proto::id::Revision(1),
            settled: true,
            members,
        };
        let view = |members| View { snapshot: Some(snapshot(members)), reachable: true, ..View::default() };
        Self { views: views.into_iter().map(view).collect() }
    }

    /// Whether any name server answers.
    pub fn is_reachable(&self) -> bool {
        self.views.iter().any(|view| view.reachable)
    }

    /// Why no name server answers, where none does.
    pub fn problem(&self) -> Option<String> {
        let problems: Vec<_> = self.views.iter().filter_map(|view| view.problem.as_deref()).collect();
        (!self.is_reachable() && !problems.is_empty()).then(|| problems.join("; "))
    }

    /// Why it is of no use to wait for a name server, where it is not.
    pub fn refusal(&self) -> Option<String> {
        self.problem().filter(|_| self.views.iter().all(|view| view.refused))
    }
}

impl View {
    /// Takes a snapshot in.
    fn learn(&mut self, mut news: Snapshot) {
        self.reachable = true;
        self.problem = None;
        if let Some(known) = self.snapshot.take().filter(|_| !news.settled) {
            let absent = |member: &Member| !news.members.iter().any(|other| other.info.id == member.info.id);
            let kept: Vec<_> = known.members.into_iter().filter(absent).collect();
            news.members.extend(kept);
        }
        self.snapshot = Some(news);
    }
}

/// A running watch on all name servers; ends when dropped.
#[derive(Debug)]
pub(crate) struct Discovery {
    membership: watch::Receiver<Membership>,
    _watches: Vec<AbortOnDropHandle<()>>,
}

impl Discovery {
    /// Starts watching the name servers at these addresses.
    pub(crate) fn start(name_servers: &[String], network: &Arc<dyn Network>, seed: u64) -> Self {
        let (sender, membership) =
            watch::channel(Membership { views: vec![View::default(); name_servers.len()] });
        let sender = Arc::new(sender);
        let watch = |(index, address): (usize, &String)| {
            let watch =
                Watch { index, address: address.clone(), network: network.clone(), sender: sender.clone() };
            AbortOnDropHandle::new(tokio::spawn(watch.run(seed.wrapping_add(index as u64))))
        };
        Self { membership, _watches: name_servers.iter().enumerate().map(watch).collect() }
    }

    pub(crate) fn membership(&self) -> watch::Receiver<Membership> {
        self.membership.clone()
    }
}

struct Watch {
    index: usize,
    address: String,
    network: Arc<dyn Network>,
    sender: Arc<watch::Sender<Membership>>,
}

#[derive(Debug, thiserror::Error)]
enum WatchError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("{0}")]
    Rpc(#[from] RpcError),
    #[error(transparent)]
    Invalid(#[from] InvalidSnapshot),
    #[error("{address}: {why}")]
    Denied { address: String, why: String },
    #[error("no answer within {WATCH:?}")]
    Silent,
}

impl WatchError {
    fn is_final(&self) -> bool {
        match self {
            Self::Dial(error) => error.is_final(),
            Self::Denied { .. } => true,
            Self::Rpc(_) | Self::Invalid(_) | Self::Silent => false,
        }
    }
}

impl Watch {
    async fn run(self, seed: u64) {
        let mut rng = SmallRng::seed_from_u64(seed);
        let Ok(mut backoff) = Backoff::new(FIRST_DELAY, MOST_DELAY) else { return };
        loop {
            let began = Instant::now();
            let Err(error) = self.watch().await;
            let mut was_reachable = false;
            self.update(|view| {
                view.problem = Some(error.to_string());
                view.refused = error.is_final();
                was_reachable = std::mem::take(&mut view.reachable);
            });
            if was_reachable {
                warn!(name_server = self.address, %error, "lost the name server; going on with the workers known");
            } else {
                debug!(name_server = self.address, %error, "cannot reach the name server");
            }
            if began.elapsed() > MOST_DELAY {
                backoff.reset();
            }
            sleep(backoff.next_delay(&mut rng)).await;
        }
    }

    fn update(&self, change: impl FnOnce(&mut View)) {
        self.sender.send_modify(|membership| {
            if let Some(view) = membership.views.get_mut(self.index) {
                change(view);
            }
        });
    }

    async fn watch(&self) -> Result<std::convert::Infallible, WatchError> {
        let dialled = dial(&*self.network, &self.address, Service::NameServer, limits::ANSWER).await?;
        let client = NameServerClient::new(Config::default(), dialled.wire).spawn();
        let mut since = None;
        loop {
            // tarpc's own deadlines look at the wall clock, which simulated time leaves behind.
            let answer = timeout(WATCH, client.watch(context(MAX_DEADLINE), since));
            let written =
                answer.await.map_err(|_| WatchError::Silent)?.map_err(|error| match denial(&error) {
                    Some(why) => WatchError::Denied { address: self.address.clone(), why },
                    None => error.into(),
                })?;
            let snapshot = written.read()?;
            if since.is_none_or(|(epoch, _)| epoch != snapshot.epoch) {
                info!(name_server = self.address, epoch = %snapshot.epoch, workers = snapshot.members.len(), "watching");
            }
            since = Some((snapshot.epoch, snapshot.revision));
            self.update(|view| view.learn(snapshot));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sgdt_proto::{
        id::{Epoch, Revision},
        name_server::WorkerInfo,
    };

    fn member(id: u64, draining: bool) -> Member {
        let info = WorkerInfo {
            id: WorkerId(id),
            name: format!("w{id}").parse().unwrap(),
            address: "127.0.0.1:1".into(),
            slots: 1,
            tags: BTreeMap::new(),
            kinds: Vec::new(),
        };
        Member { info, draining }
    }

    fn snapshot(epoch: u64, settled: bool, ids: &[u64]) -> Snapshot {
        let members = ids.iter().map(|&id| member(id, false)).collect();
        Snapshot { epoch: Epoch(epoch), revision: Revision(1), settled, members }
    }

    fn ids(view: &View) -> Vec<u64> {
        Membership { views: vec![view.clone()] }.members().keys().map(|id| id.0).collect()
    }

    #[test]
    fn a_young_name_servers_silence_removes_nobody() {
        let mut view = View::default();
        view.learn(snapshot(1, true, &[1, 2]));
        view.learn(snapshot(2, false, &[]));
        assert_eq!(ids(&view), [1, 2]);
        view.learn(snapshot(2, false, &[2, 3]));
        assert_eq!(ids(&view), [1, 2, 3]);
        view.learn(snapshot(2, true, &[2, 3]));
        assert_eq!(ids(&view), [2, 3]);
    }

    #[test]
    fn a_settled_name_servers_silence_does() {
        let mut view = View::default();
        view.learn(snapshot(1, true, &[1, 2]));
        view.learn(snapshot(1, true, &[2]));
        assert_eq!(ids(&view), [2]);
    }

    #[test]
    fn several_name_servers_are_one_membership() {
        let mut views = vec![View::default(), View::default(), View::default()];
        views[0].learn(snapshot(1, true, &[1, 2]));
        let mut draining = snapshot(2, true, &[2, 3]);
        draining.members[0].draining = true;
        views[1].learn(draining);
        views[2].problem = Some("refused".into());
        let membership = Membership { views };
        let members = membership.members();
        assert_eq!(members.keys().map(|id| id.0).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(members[&WorkerId(2)].draining);
        assert!(membership.is_reachable() && membership.problem().is_none());
    }

    #[test]
    fn only_when_every_name_server_refuses_there_is_nothing_to_wait_for() {
        let view =
            |problem: &str, refused| View { problem: Some(problem.into()), refused, ..View::default() };
        let refusal = |views: &[View]| Membership { views: views.to_vec() }.refusal();
        assert_eq!(refusal(&[view("a", true), view("b", true)]).as_deref(), Some("a; b"));
        assert_eq!(refusal(&[view("a", true), view("b", false)]), None);
        assert_eq!(refusal(&[view("a", true), View::default()]), None);
        let mut answers = view("a", true);
        answers.learn(snapshot(1, true, &[]));
        assert_eq!(refusal(&[answers]), None);
        assert_eq!(refusal(&[]), None);
    }
}
