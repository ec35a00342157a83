//! The driver and a network that only tells where it was asked to connect to.

use super::Driver;
use crate::{
    balance::{Balance, Balancer},
    discovery::Membership,
    dispatch::{core::Core, room::Room},
    retry::RetryPolicy,
};
use futures::future::BoxFuture;
use rand::{SeedableRng, rngs::SmallRng};
use sgdt_proto::{
    id::{JobId, WorkerId},
    name_server::{Member, WorkerInfo},
    net::{Connection, Listener, Network},
};
use std::{io, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::timeout,
};
use tokio_util::task::AbortOnDropHandle;

#[derive(Debug)]
struct Asked(mpsc::UnboundedSender<String>);

impl Network for Asked {
    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Connection>> {
        self.0.send(address.to_owned()).unwrap();
        Box::pin(std::future::pending())
    }

    fn listen<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(std::future::pending())
    }
}

fn at(address: &str, draining: bool) -> Vec<Member> {
    let info = WorkerInfo {
        id: WorkerId(7),
        name: "w".parse().unwrap(),
        address: address.to_owned(),
        slots: 1,
        tags: Default::default(),
        kinds: vec!["work".parse().unwrap()],
    };
    vec![Member { info, draining }]
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_listens_elsewhere_is_connected_to_there() {
    let rng = || SmallRng::seed_from_u64(1);
    let balancer = Balancer::new(Balance::RoundRobin, rng());
    let core = Core::new(JobId(1), RetryPolicy::default(), Duration::from_secs(30), balancer, rng());
    let (asked, mut connects) = mpsc::unbounded_channel();
    let (_commands, commands) = mpsc::unbounded_channel();
    let (told, membership) = watch::channel(Membership::of(vec![at("a:1", false)]));
    let network = Arc::new(Asked(asked));
    let driver = Driver {
        core,
        commands,
        membership,
        network,
        room: Room::default(),
        rng: rng(),
        lines: 0,
        judging: JoinSet::new(),
    };
    let _driver = AbortOnDropHandle::new(tokio::spawn(driver.run()));
    let mut next = async || timeout(Duration::from_secs(60), connects.recv()).await.ok().flatten();
    assert_eq!(next().await.as_deref(), Some("a:1"));
    told.send_replace(Membership::of(vec![at("b:1", false)]));
    assert_eq!(next().await.as_deref(), Some("b:1"));
    // Another name server sees it under another address; that it drains there moves it no more.
    told.send_replace(Membership::of(vec![at("b:1", false), at("c:1", true)]));
    assert_eq!(next().await, None);
}
