//! The plan's faults as they begin and end, and what they excuse.

use super::{Due, World};
use crate::{faults::Fault, oracle::End};
use sgdt_worker::Stop;

impl World<'_> {
    /// A fault of the plan begins.
    pub(super) fn begin(&mut self, number: usize) {
        let fault = self.plan.faults[number].1.clone();
        self.stage.note(&format!("{fault:?}"));
        *self.faults.entry(fault.name()).or_default() += 1;
        if fault.lasts() > 0 && !matches!(fault, Fault::Drain { .. } | Fault::Crash { .. }) {
            self.at(self.now + fault.lasts(), Due::End(number));
        }
        match fault {
            Fault::Crash { machine, back } => {
                self.kill(machine);
                match back {
                    Some(back) => self.at(self.now + back, Due::Start(machine)),
                    None => self.retired.push(machine),
                }
            }
            Fault::PowerLoss { machine, back } => {
                self.weather.isolate(&self.sim, machine, false);
                self.kill(machine);
                self.at(self.now + back, Due::Start(machine));
            }
            Fault::Drain { machine, back } => {
                if let Some(running) = self.workers.get_mut(&machine) {
                    running.told.get_or_insert(back);
                    running.stop.drain();
                    self.stage.state().oracle.worker_drains(self.now, running.id);
                }
            }
            Fault::Vanish { machine, silently } => {
                if silently {
                    self.weather.isolate(&self.sim, machine, false);
                }
                self.kill(machine);
                self.stage.state().oracle.client_gone(self.now, machine);
            }
            Fault::Reset { a, b } => {
                self.weather.reset(a, b);
                self.stage.state().oracle.strained(self.now, a.max(b), a.min(b));
            }
            lasting => self.turn(&lasting, false),
        }
    }

    /// It ends.
    pub(super) fn end(&mut self, number: usize) {
        let fault = self.plan.faults[number].1.clone();
        self.stage.note(&format!("ended: {fault:?}"));
        self.turn(&fault, true);
    }

    /// Begins or ends what lasts.
    fn turn(&mut self, fault: &Fault, end: bool) {
        let Self { weather, sim, machines, programs, cut_off, .. } = self;
        match *fault {
            Fault::Hang { machine, .. } => {
                machines[machine].stopped = !end;
                // It answers what it had heard before, be it stopped again, or deaf on one side, a moment later.
                cut_off.retain(|&(_, worker), _| worker != machine);
            }
            Fault::Cut { from, to, both_ways, .. } => {
                weather.cut(sim, from, to, end);
                if both_ways {
                    weather.cut(sim, to, from, end);
                }
            }
            Fault::Isolate { machine, .. } | Fault::PowerLoss { machine, .. } => {
                weather.isolate(sim, machine, end);
            }
            Fault::Hold { a, b, .. } => weather.hold(sim, a, b, end),
            Fault::Lag { a, b, latency, .. } => weather.lag(sim, a, b, latency, end),
            Fault::Slow { machine, factor, .. } => programs.slow_down(machine, if end { 1 } else { factor }),
            Fault::Starve { machine, share, .. } => {
                let share = if end { 1 } else { share };
                machines[machine].share = share;
                programs.slow_down(machine, share);
            }
            Fault::Crash { .. } | Fault::Drain { .. } | Fault::Vanish { .. } | Fault::Reset { .. } => {}
        }
    }

    fn kill(&mut self, machine: usize) {
        if self.machines[machine].kill()
            && let Some(running) = self.workers.remove(&machine)
        {
            self.stage.state().oracle.worker_ended(running.id, End::Killed);
        }
    }

    /// Tells the oracle what is wrong at this moment, and has it look at who is cut off from whom.
    pub(super) fn look(&mut self) {
        let (now, plan) = (self.now, self.plan);
        let mut state = self.stage.state();
        for machine in 0..self.machines.len() {
            let is_worker = plan.worker_machines().contains(&machine);
            let unheard = |server| !self.weather.is_fine(machine, server);
            if self.machines[machine].share > 1 {
                state.oracle.starved(now, machine);
            }
            if self.machines[machine].stopped || (is_worker && plan.name_server_machines().any(unheard)) {
                state.oracle.disturbed(now, machine);
            }
        }
        for client in plan.client_machines() {
            for worker in plan.worker_machines() {
                if !self.weather.is_fine(client, worker) {
                    state.oracle.strained(now, client, worker);
                }
                let lost = self.weather.is_blocked(client, worker) || self.machines[worker].stopped;
                if !lost {
                    self.cut_off.remove(&(client, worker));
                    continue;
                }
                let since = *self.cut_off.entry((client, worker)).or_insert(now);
                state.oracle.cut_off(now, client, worker, since);
            }
        }
    }
}

/// A worker that runs, and whether it has been told to leave: then, after how long it is to come back.
pub(super) struct Running {
    pub(super) id: sgdt_proto::id::WorkerId,
    pub(super) stop: Stop,
    pub(super) told: Option<Option<u64>>,
}
