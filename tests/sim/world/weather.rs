//! The state of the links, where several faults may be at work on one of them.

use crate::{machine::Machine, network::Links, plan::Plan};
use std::{collections::BTreeMap, net::IpAddr, time::Duration};
use turmoil::Sim;

/// All links between machines.
pub(super) struct Weather {
    ips: Vec<IpAddr>,
    wires: Links,
    links: BTreeMap<(usize, usize), Link>,
}

/// A link between two machines, the lower number first.
#[derive(Default)]
struct Link {
    /// How many faults lose what goes up, to the higher number, and what goes down.
    cut: [u32; 2],
    /// How many faults keep things back.
    held: u32,
    /// The latency that there is by nature, and what faults would have it be.
    latency: u64,
    lags: Vec<u64>,
    applied: Pass,
}

/// What gets through.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Pass {
    #[default]
    All,
    /// What goes down, or what goes up.
    Only(usize),
    Nothing,
    Later,
}

impl Link {
    fn pass(&self) -> Pass {
        match (self.cut[0] > 0, self.cut[1] > 0, self.held > 0) {
            (false, false, false) => Pass::All,
            (false, false, true) => Pass::Later,
            // Held and cut one way: turmoil cannot do both.
            (true, true, _) | (_, _, true) => Pass::Nothing,
            (true, false, false) => Pass::Only(1),
            (false, true, false) => Pass::Only(0),
        }
    }
}

impl Weather {
    pub(super) fn new(plan: &Plan, sim: &Sim<'_>, machines: &[Machine], wires: Links) -> Self {
        let ips: Vec<_> = machines.iter().map(|machine| machine.ip).collect();
        let mut links = BTreeMap::new();
        for b in 0..ips.len() {
            for a in 0..b {
                let latency = 1 + plan.distances[a] + plan.distances[b];
                // Always the same for a link: how often turmoil draws another must not decide anything.
                sim.set_link_latency(ips[a], ips[b], Duration::from_millis(latency));
                links.insert((a, b), Link { latency, ..Link::default() });
            }
        }
        Self { ips, wires, links }
    }

    /// Begins to lose, or (`end`) ceases to lose, what goes from one to the other.
    pub(super) fn cut(&mut self, sim: &Sim<'_>, from: usize, to: usize, end: bool) {
        self.change(sim, from, to, |link| count(&mut link.cut[usize::from(from > to)], end));
    }

    /// The same for everything from and to a machine.
    pub(super) fn isolate(&mut self, sim: &Sim<'_>, machine: usize, end: bool) {
        for other in (0..self.ips.len()).filter(|&other| other != machine) {
            self.cut(sim, machine, other, end);
            self.cut(sim, other, machine, end);
        }
    }

    /// Ends all connections between two machines.
    pub(super) fn reset(&mut self, a: usize, b: usize) {
        self.wires.resets.send_replace([Some(self.ips[a]), Some(self.ips[b])]);
    }

    /// Begins, or ceases, to keep things back.
    pub(super) fn hold(&mut self, sim: &Sim<'_>, a: usize, b: usize, end: bool) {
        self.change(sim, a, b, |link| count(&mut link.held, end));
    }

    /// Begins, or ceases, to take so long.
    pub(super) fn lag(&mut self, sim: &Sim<'_>, a: usize, b: usize, latency: u64, end: bool) {
        self.change(sim, a, b, |link| match end {
            false => link.lags.push(latency),
            true => link.lags.retain(|&lag| lag != latency),
        });
    }

    /// Whether everything gets through, both ways, in its usual time.
    pub(super) fn is_fine(&self, a: usize, b: usize) -> bool {
        self.links
            .get(&(a.min(b), a.max(b)))
            .is_none_or(|link| link.applied == Pass::All && link.lags.is_empty())
    }

    /// Whether something does not get through, at least one way.
    pub(super) fn is_blocked(&self, a: usize, b: usize) -> bool {
        self.links.get(&(a.min(b), a.max(b))).is_some_and(|link| link.applied != Pass::All)
    }

    fn change(&mut self, sim: &Sim<'_>, a: usize, b: usize, change: impl FnOnce(&mut Link)) {
        let (low, high) = (a.min(b), a.max(b));
        let Some(link) = self.links.get_mut(&(low, high)) else { return };
        change(link);
        let ends = [self.ips[low], self.ips[high]];
        let latency = link.lags.iter().copied().max().unwrap_or(link.latency);
        sim.set_link_latency(ends[0], ends[1], Duration::from_millis(latency));
        let pass = link.pass();
        if pass == link.applied {
            return;
        }
        link.applied = pass;
        // Ends whatever there was, and delivers what was held.
        sim.release(ends[0], ends[1]);
        let mut cuts = self.wires.cuts.lock().unwrap();
        for way in [0, 1] {
            let path = (ends[way], ends[1 - way]);
            if pass == Pass::Nothing || pass == Pass::Only(1 - way) {
                cuts.insert(path);
                sim.partition_oneway(path.0, path.1);
            } else {
                cuts.remove(&path);
            }
        }
        if pass == Pass::Later {
            sim.hold(ends[0], ends[1]);
        }
    }
}

fn count(faults: &mut u32, end: bool) {
    *faults = if end { faults.saturating_sub(1) } else { *faults + 1 };
}
