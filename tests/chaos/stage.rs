//! A cluster with seats, to which the events of a [`plan`](crate::plan) happen.

use crate::{
    feed::Feed,
    fences::Fences,
    plan::{Event, Fault},
};
use harness::{cluster::Cluster, process::Signal, proxy::Proxy};
use serde_json::Value;
use std::net::SocketAddr;

/// Leases short enough that a name is soon free again.
const LEASE: [&str; 2] = ["--lease-ttl", "1s"];

/// A task may be unlucky often: what is counted against it has tests of its own.
const PATIENT: [&str; 2] = ["--max-attempts", "1000"];

/// A worker in a seat.
struct Seat {
    name: String,
    /// Where it says that it listens.
    address: SocketAddr,
    proxy: Option<Proxy>,
}

/// A cluster, and what has been done to it.
pub(crate) struct Stage {
    pub(crate) cluster: Cluster,
    seats: Vec<Seat>,
    links: usize,
    fences: Fences,
    /// Workers that were asked to leave and may still be about it.
    leaving: Vec<String>,
    /// How many workers there have been.
    pub(crate) hired: usize,
}

impl Stage {
    /// That many workers, the last `links` of them behind proxies.
    pub(crate) fn new(seats: usize, links: usize) -> Self {
        let cluster = Cluster::builder().nameserver_args(&LEASE).start();
        let mut stage = Self {
            cluster,
            seats: Vec::new(),
            links,
            fences: Fences::default(),
            leaving: Vec::new(),
            hired: 0,
        };
        for seat in 0..seats {
            let proxy = (seat + links >= seats).then(Proxy::start);
            stage.seats.push(Seat { name: String::new(), address: stage.cluster.address(), proxy });
            stage.hire(seat, None);
        }
        stage.cluster.wait_registered();
        stage
    }

    /// Starts a worker in a seat, under this name or a new one.
    fn hire(&mut self, seat: usize, name: Option<String>) {
        self.hired += 1;
        let name = name.unwrap_or_else(|| format!("w{}", self.hired));
        let Seat { proxy, .. } = &self.seats[seat];
        let address = match proxy {
            None => self.cluster.add_worker(&name),
            Some(proxy) => {
                let advertised = proxy.address();
                let address = self.cluster.add_worker_with(&name, &["--advertise", &advertised.to_string()]);
                proxy.set_target(address);
                advertised
            }
        };
        self.seats[seat].name = name;
        self.seats[seat].address = address;
    }

    fn link(&self, link: usize) -> &Proxy {
        self.seats[self.seats.len() - self.links + link].proxy.as_ref().expect("the last seats have one")
    }

    /// Has something happen to it, while a job runs.
    pub(crate) fn apply(&mut self, event: &Event, feed: &Feed) {
        match event {
            Event::Kill { seat, same_name } => {
                self.fences.wait(feed);
                let name = self.seats[*seat].name.clone();
                self.cluster.kill(&name);
                self.fences.happened(feed);
                self.hire(*seat, same_name.then_some(name));
            }
            Event::Stop { seat } => self.cluster.signal(&self.seats[*seat].name, Signal::STOP),
            Event::Continue { seat } => self.cluster.signal(&self.seats[*seat].name, Signal::CONT),
            Event::Leave { seat } => {
                self.reap();
                self.cluster.signal(&self.seats[*seat].name, Signal::TERM);
                self.leaving.push(self.seats[*seat].name.clone());
                self.hire(*seat, None);
            }
            Event::NameServerDies => {
                self.wait_listed();
                self.cluster.kill_nameserver();
            }
            Event::NameServerReturns => self.cluster.restart_nameserver(),
            Event::Fault { link, fault } => {
                if fault.breaks() {
                    self.fences.wait(feed);
                    self.fences.begin();
                }
                let link = self.link(*link);
                match *fault {
                    Fault::Delay(each_way) => link.delay(each_way),
                    Fault::Throttle(rate) => link.throttle(rate),
                    Fault::Swallow(ways) => link.swallow(ways),
                    Fault::Hold(ways) => link.hold(ways),
                    Fault::Reset => link.reset(),
                    Fault::Cut(way, bytes) => link.cut_after(way, bytes),
                }
            }
            Event::Heal { link } => {
                self.link(*link).heal();
                self.fences.end(feed);
            }
        }
    }

    /// Waits until all workers are known but one, which may be stopped.
    fn wait_listed(&self) {
        self.cluster.wait_workers("all workers but one to be listed", |rows| {
            let listed = self.seats.iter().filter(|seat| rows.iter().any(|row| row.address == seat.address));
            listed.count() + 1 >= self.seats.len()
        });
    }

    /// Whoever was asked to leave must have left, and well.
    fn reap(&mut self) {
        for name in std::mem::take(&mut self.leaving) {
            self.cluster.worker(&name).expect_exit(0);
            self.cluster.kill(&name);
        }
    }

    /// Starts a job of `most` tasks at most.
    pub(crate) fn feed(&self, most: usize, task: fn(usize) -> Value) -> Feed {
        Feed::start(&self.cluster, &PATIENT, most, task)
    }

    /// Waits until whoever was asked to leave has left, and the others are there and idle.
    pub(crate) fn settle(&mut self) {
        self.reap();
        self.cluster.wait_workers("everybody to be there, and idle", |rows| {
            let idle = |seat: &Seat| {
                let row = rows.iter().find(|row| row.name == seat.name);
                row.is_some_and(|row| row.state == "healthy" && row.running + row.queued == 0)
            };
            self.seats.iter().all(idle)
        });
    }
}
