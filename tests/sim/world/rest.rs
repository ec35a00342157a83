//! The end of a run: everybody has what they wanted, so nothing may be left over.

use super::World;
use crate::programs::Observed;

/// How long it may take until nothing runs any more.
const QUIET: u64 = 5_000;
/// How long connections may take to close, and workers that have nothing to do to leave.
const CLOSED: u64 = 4_000;

impl World<'_> {
    /// Has the world come to rest, one kind of thing after the other, and sees whether anything remains.
    pub(super) fn come_to_rest(&mut self) {
        if !self.stage.state().oracle.is_finished() {
            return;
        }
        // From here on nobody comes, nor comes back.
        self.due.clear();
        for running in self.workers.values_mut() {
            running.told = running.told.and(Some(None));
        }
        let busy = |observed: &Observed| observed.load.is_none_or(|load| load.running + load.queued > 0);
        let end = self.now + QUIET;
        let left = loop {
            let left: Vec<_> = self.observe().into_iter().filter(busy).collect();
            if left.is_empty() || self.now >= end {
                break left;
            }
        };
        for Observed { machine, load } in left {
            let name = self.machines[machine].name.clone();
            self.violation(&match load {
                Some(load) => format!("all jobs are done, and {name} still has {load:?}"),
                None => format!("all is well again, and {name} does not answer"),
            });
        }
        self.leave.cancel();
        let workers = self.plan.worker_machines();
        let connected =
            |world: &Self| workers.clone().find(|&machine| world.machines[machine].accepted() > 0);
        if let Some(machine) =
            self.pass_until(|world| connected(world).is_none()).then(|| connected(self)).flatten()
        {
            let open = self.machines[machine].accepted();
            self.violation(&format!(
                "all clients have left, and {} has {open} connections",
                self.machines[machine].name
            ));
        }
        for running in self.workers.values_mut() {
            running.told.get_or_insert(None);
            running.stop.drain();
        }
        if self.pass_until(|world| world.workers.is_empty()) {
            let names: Vec<_> = self.workers.keys().map(|&machine| &self.machines[machine].name).collect();
            self.violation(&format!("{names:?} have nothing to do and do not leave"));
        }
    }

    /// Lets time pass until this is so. Says whether it has not come to be.
    fn pass_until(&mut self, settled: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + CLOSED;
        while !settled(self) && self.now < end {
            self.step();
        }
        !settled(self)
    }

    /// Asks every worker how busy it is.
    fn observe(&mut self) -> Vec<Observed> {
        let observer = self.machines.len() - 1;
        let workers: Vec<_> = self.workers.keys().copied().collect();
        let asked = self.programs.observe(&mut self.machines[observer], &workers);
        while self.machines[observer].is_up() {
            self.step();
        }
        std::mem::take(&mut *asked.lock().unwrap())
    }
}
