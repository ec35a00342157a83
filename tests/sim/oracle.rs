//! What must hold in every run, however bad the weather.
//!
//! The oracle keeps books of its own. It hears what clients say of each attempt (sent, ended, accepted), what the
//! workers' slots start, and which results the caller is given, and knows from the world who is dead, cut off or
//! drained. What it never does is ask the code under test what it believes.

mod attempts;

use crate::{jobs::Work, plan::Plan};
use attempts::{Books, Ended};
use sgdt_client::TaskResult;
use sgdt_proto::{
    id::{AttemptKey, WorkerId},
    task::ErrorCode,
};
use std::collections::{BTreeMap, BTreeSet};

/// How soon the tasks of a worker that cannot be reached are taken elsewhere.
const REDIRECT: u64 = 5_000;
/// How soon nobody works any more for a client that has vanished.
const ORPHANS: u64 = 3_000;
/// How long a disturbance may still be felt: what was sent in it, and calls that wait for an answer.
const AFTERMATH: u64 = 3_000;
/// A task is not given up before it has been lost so often.
const LEAST_LOSSES: usize = 3;
/// How long after a machine was last seen to stand still it may in truth have done so.
const STOOD_STILL: u64 = 102;
/// For how long a leaving worker goes on with what it runs.
pub(crate) const DRAIN_TIMEOUT: u64 = 10_000;
/// How long it may take until what was disturbed is over: a client waits this long for what it is owed, and a
/// leaving worker for clients to fetch it.
const PATIENCE: u64 = 8_000;
/// No more violations than this are kept.
const MOST: usize = 20;

/// One run's judge.
pub(crate) struct Oracle {
    clients: BTreeMap<usize, Client>,
    starts: BTreeMap<WorkerId, Start>,
    jobs: BTreeMap<String, usize>,
    /// When each machine last stood still, or a worker's way to a name server was not as it should be.
    disturbed: BTreeMap<usize, u64>,
    /// When each machine last had less than its core.
    starved: BTreeMap<usize, u64>,
    /// When the way between a client and a worker's machine was.
    strained: BTreeMap<(usize, usize), u64>,
    lease_ttl: u64,
    violations: Vec<String>,
    pub(crate) tally: Tally,
}

/// Numbers for the summary.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Tally {
    pub(crate) results: u64,
    pub(crate) cancelled: u64,
    pub(crate) attempts: u64,
    pub(crate) gave_up: u64,
    /// Innocent tasks that were given up because workers were killed from outside while they had them, or because
    /// every attempt that they had met with some other misfortune.
    pub(crate) unlucky: u64,
    /// Attempts that draining workers gave back, and workers that clients struck off.
    pub(crate) drained: u64,
    pub(crate) struck_off: u64,
    /// The same, because of another client's poison. Clients know nothing of each other.
    pub(crate) bystanders: u64,
}

struct Client {
    works: Vec<Work>,
    books: Books,
    delivered: BTreeSet<u64>,
    /// Tasks whose handles were dropped, and when.
    cancelled: BTreeMap<u64, u64>,
    gone: Option<u64>,
    finished: bool,
}

/// How a worker's process has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// It has left.
    Left,
    /// A task has killed it.
    Poisoned,
    /// The world has.
    Killed,
}

/// One start of a worker.
struct Start {
    machine: usize,
    drained: Option<u64>,
    /// The attempts that its slots have started, by client.
    started: BTreeSet<(usize, u64, u32)>,
    /// Whose poison it runs, or has run.
    poisoned: BTreeSet<usize>,
    /// Once its process has ended: whose poison did it, if any.
    killers: Option<BTreeSet<usize>>,
    /// Whether it ended against its will.
    killed: bool,
}

impl Oracle {
    pub(crate) fn new(plan: &Plan) -> Self {
        let client = |(machine, index): (usize, usize)| {
            let works = plan.clients[index].jobs.iter().map(|job| job.work.clone()).collect();
            let client = Client {
                works,
                books: Books::default(),
                delivered: BTreeSet::new(),
                cancelled: BTreeMap::new(),
                gone: None,
                finished: false,
            };
            (machine, client)
        };
        Self {
            clients: plan.client_machines().zip(0..).map(client).collect(),
            starts: BTreeMap::new(),
            jobs: BTreeMap::new(),
            disturbed: BTreeMap::new(),
            starved: BTreeMap::new(),
            strained: BTreeMap::new(),
            lease_ttl: plan.lease_ttl,
            violations: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// What was wrong, in the order in which it was noticed.
    pub(crate) fn violations(&self) -> &[String] {
        &self.violations
    }

    pub(crate) fn violation(&mut self, now: u64, text: impl AsRef<str>) {
        if self.violations.len() < MOST {
            self.violations.push(format!("at {:.3} s: {}", now as f64 / 1e3, text.as_ref()));
        }
    }

    /// Everybody who is to have all results has them.
    pub(crate) fn is_finished(&self) -> bool {
        self.clients.values().all(|client| client.finished || client.gone.is_some())
    }

    pub(crate) fn worker_started(&mut self, id: WorkerId, machine: usize) {
        let (started, poisoned) = (BTreeSet::new(), BTreeSet::new());
        let start = Start { machine, drained: None, started, poisoned, killers: None, killed: false };
        self.starts.insert(id, start);
    }

    pub(crate) fn worker_drains(&mut self, now: u64, id: WorkerId) {
        if let Some(start) = self.starts.get_mut(&id) {
            start.drained.get_or_insert(now);
        }
    }

    /// A worker's process has ended: by itself, by its own hand, or by force.
    pub(crate) fn worker_ended(&mut self, id: WorkerId, end: End) {
        if let Some(start) = self.starts.get_mut(&id) {
            let killers =
                if end == End::Poisoned { std::mem::take(&mut start.poisoned) } else { BTreeSet::new() };
            start.killers.get_or_insert(killers);
            start.killed = end != End::Left;
        }
    }

    pub(crate) fn client_gone(&mut self, now: u64, machine: usize) {
        if let Some(client) = self.clients.get_mut(&machine) {
            client.gone.get_or_insert(now);
        }
    }

    pub(crate) fn client_finished(&mut self, now: u64, machine: usize, outstanding: usize) {
        let Some(client) = self.clients.get_mut(&machine) else { return };
        client.finished = true;
        let open = client.books.open();
        if outstanding > 0 {
            self.violation(
                now,
                format!("machine {machine}: all results are there, and {outstanding} units of room are not"),
            );
        }
        for (task, attempt, _) in open {
            self.violation(
                now,
                format!(
                    "machine {machine}: the job is done, and attempt {attempt} at task {task} is still open"
                ),
            );
        }
    }

    /// A machine has, at this moment, less than its core. That is no excuse for giving its worker up.
    pub(crate) fn starved(&mut self, now: u64, machine: usize) {
        self.starved.insert(machine, now);
    }

    /// A machine is, at this moment, not as it should be.
    pub(crate) fn disturbed(&mut self, now: u64, machine: usize) {
        self.disturbed.insert(machine, now);
    }

    /// The way between a client and a worker's machine is, at this moment, not as it should be.
    pub(crate) fn strained(&mut self, now: u64, machine: usize, worker: usize) {
        self.strained.insert((machine, worker), now);
    }

    fn was_disturbed(&self, now: u64, machine: usize, within: u64) -> bool {
        self.disturbed.get(&machine).is_some_and(|&last| now - last <= within)
    }

    /// When it last stood still, or nearly did.
    fn last_slow(&self, machine: usize) -> Option<u64> {
        self.disturbed.get(&machine).max(self.starved.get(&machine)).copied()
    }

    /// A worker's slot has started a task: says which client's, and which of its tasks.
    pub(crate) fn runs(&mut self, now: u64, id: WorkerId, key: AttemptKey) -> Option<(usize, usize)> {
        let (task, attempt) = (key.task.0, key.attempt.0);
        let Some(&machine) = self.jobs.get(&key.job.to_string()) else {
            self.violation(now, format!("a task of a job that nobody has sent runs: {key:?}"));
            return None;
        };
        // A worker that stood still meanwhile has yet to hear of it.
        let stood_still =
            self.starts.get(&id).and_then(|start| self.last_slow(start.machine)).unwrap_or_default();
        let index = task.checked_sub(1)? as usize;
        let client = self.clients.get(&machine)?;
        let start = self.starts.get_mut(&id)?;
        let gone = client.gone.map(|gone| gone.max(stood_still));
        let mut wrong = Vec::new();
        if client.works.get(index) == Some(&Work::Poison) {
            start.poisoned.insert(machine);
        }
        if !start.started.insert((machine, task, attempt)) {
            wrong.push("runs twice");
        }
        // It may have been told while it stood still, and then hears of it when it goes on.
        let grace = if stood_still > 0 { STOOD_STILL } else { 1 };
        if start.drained.is_some_and(|drained| now > drained.max(stood_still) + grace) {
            wrong.push("is started by a worker that drains");
        }
        if gone.is_some_and(|gone| now > gone + ORPHANS) {
            wrong.push("is started for a client that is gone");
        }
        let cancelled = client.cancelled.get(&(task - 1)).copied();
        let strained =
            self.strained.get(&(machine, start.machine)).copied().unwrap_or_default().max(stood_still);
        if cancelled.is_some_and(|cancelled| now > cancelled.max(strained) + AFTERMATH) {
            wrong.push("is started though it was cancelled");
        }
        for what in wrong {
            self.violation(now, format!("machine {machine}: attempt {attempt} at task {task} {what}"));
        }
        Some((machine, index))
    }

    /// The caller has dropped a task's handle.
    pub(crate) fn cancels(&mut self, now: u64, machine: usize, index: u64) {
        self.tally.cancelled += 1;
        if let Some(client) = self.clients.get_mut(&machine) {
            client.cancelled.entry(index).or_insert(now);
        }
    }

    /// The caller is given a result.
    pub(crate) fn receives(&mut self, now: u64, machine: usize, index: u64, result: &TaskResult) {
        self.tally.results += 1;
        let Some(client) = self.clients.get_mut(&machine) else { return };
        let mut wrong = Vec::new();
        if !client.delivered.insert(index) {
            wrong.push("a second result".to_owned());
        }
        if client.cancelled.contains_key(&index) {
            wrong.push("a result though it was cancelled".to_owned());
        }
        let work = &client.works[index as usize];
        let task = client.books.task(index + 1);
        if task.counted != result.attempts {
            wrong.push(format!(
                "a result that tells of {} attempts where {} counted",
                result.attempts, task.counted
            ));
        }
        if let Err(problem) = work.check(result) {
            let killers = task.last_death().and_then(|worker| self.starts.get(&worker)?.killers.clone());
            // Each of the losses must have had its reason, or is a violation by itself.
            let given_up = result.output.as_ref().is_err_and(|error| error.code == ErrorCode::GaveUp);
            // But none may be blamed for what another task of the same client did: suspects run alone.
            let last = task.last_loss().and_then(|worker| self.starts.get(&worker)?.killers.as_ref());
            let blamed = last.is_some_and(|killers| killers.contains(&machine));
            let misfortunes = given_up && !blamed && task.losses() >= LEAST_LOSSES;
            match killers {
                None if misfortunes => self.tally.unlucky += 1,
                Some(killers) if task.deaths() >= 3 && killers.is_empty() => self.tally.unlucky += 1,
                Some(killers) if task.deaths() >= 3 && !killers.contains(&machine) => {
                    self.tally.bystanders += 1;
                }
                _ if misfortunes => self.tally.unlucky += 1,
                _ => wrong.push(format!("the wrong result: {problem}")),
            }
        } else if *work == Work::Poison {
            self.tally.gave_up += 1;
            if task.deaths() > 3 {
                wrong.push(format!("been let kill {} workers", task.deaths()));
            }
        }
        for what in wrong {
            self.violation(now, format!("machine {machine}: task {} has {what}", index + 1));
        }
    }

    /// Somebody has said something.
    pub(crate) fn hears(
        &mut self,
        now: u64,
        machine: usize,
        message: &str,
        fields: &BTreeMap<&'static str, String>,
    ) {
        let Some(client) = self.clients.get_mut(&machine) else { return };
        let number = |name: &str| fields.get(name).and_then(|value| value.parse::<u64>().ok());
        let worker = || fields.get("worker").and_then(|id| u64::from_str_radix(id, 16).ok()).map(WorkerId);
        let attempt = || Some((number("task")?, number("attempt")? as u32, worker()?));
        let outcome = match message {
            "sent" => {
                if let Some(job) = fields.get("job") {
                    self.jobs.insert(job.clone(), machine);
                }
                self.tally.attempts += 1;
                if let Some(problem) = worker().and_then(|id| self.misdirected(now, machine, id)) {
                    self.violation(now, format!("machine {machine}: {problem}: {fields:?}"));
                }
                let Some(client) = self.clients.get_mut(&machine) else { return };
                attempt().map(|(task, attempt, worker)| client.books.sent(now, task, attempt, worker))
            }
            "accepted" => attempt().map(|attempt| client.books.ended(now, attempt, Ended::Accepted)),
            "cancelled" => attempt().map(|attempt| client.books.ended(now, attempt, Ended::Cancelled)),
            "failed" => {
                let text = |name: &str| fields.get(name).map_or("", String::as_str);
                let is_dead =
                    |id: WorkerId| self.starts.get(&id).is_some_and(|start| start.killers.is_some());
                let how = Ended::of(text("blame"), text("cause"), worker().is_some_and(is_dead));
                self.tally.drained += u64::from(how == Ended::Draining);
                let wasted = attempt().and_then(|attempt| self.wasted(now, machine, attempt, how));
                if let Some(problem) = wasted {
                    self.violation(now, format!("machine {machine}: {problem}: {fields:?}"));
                }
                let Some(client) = self.clients.get_mut(&machine) else { return };
                attempt().map(|attempt| client.books.ended(now, attempt, how))
            }
            "given up" => {
                client.books.given_up();
                Some(Ok(()))
            }
            "left" => {
                self.tally.struck_off += 1;
                worker().map(|worker| self.left(now, worker))
            }
            _ => return,
        };
        match outcome {
            None => self.violation(
                now,
                format!("machine {machine} says {message:?} without saying of what: {fields:?}"),
            ),
            Some(Err(problem)) => self.violation(now, format!("machine {machine}: {problem}")),
            Some(Ok(())) => {}
        }
    }

    /// Something is sent: not to a worker that has long been leaving, if nothing has kept that from the client.
    fn misdirected(&self, now: u64, machine: usize, id: WorkerId) -> Option<&'static str> {
        let start = self.starts.get(&id)?;
        let excused = start.drained.is_none_or(|drained| now <= drained + AFTERMATH)
            || self.was_strained(now, machine, start.machine)
            || self.was_disturbed(now, start.machine, PATIENCE)
            || self.was_disturbed(now, machine, PATIENCE);
        (!excused).then_some("something is sent to a worker that has long been leaving")
    }

    /// An attempt ended without a result: something must have happened to the worker, or have come between it and
    /// the client. That it was busy, or left, is no reason.
    fn wasted(
        &self,
        now: u64,
        machine: usize,
        (task, attempt, id): (u64, u32, WorkerId),
        how: Ended,
    ) -> Option<&'static str> {
        let start = self.starts.get(&id)?;
        let within = PATIENCE.max(self.lease_ttl + AFTERMATH);
        let excused = start.killed
            || self.was_strained(now, machine, start.machine)
            || self.was_disturbed(now, start.machine, within)
            || self.was_disturbed(now, machine, PATIENCE);
        match how {
            Ended::Lost | Ended::Dead if !excused => Some("an attempt was wasted"),
            Ended::Draining
                if !excused
                    && start.started.contains(&(machine, task, attempt))
                    && start.drained.is_some_and(|drained| now < drained + DRAIN_TIMEOUT) =>
            {
                Some("what ran was thrown away by a drain")
            }
            _ => None,
        }
    }

    fn was_strained(&self, now: u64, machine: usize, worker: usize) -> bool {
        self.strained.get(&(machine, worker)).is_some_and(|&last| now - last <= PATIENCE)
    }

    /// A client has struck a worker off: a live one only if something has come between it and the name servers.
    fn left(&mut self, now: u64, id: WorkerId) -> Result<(), String> {
        let Some(start) = self.starts.get(&id) else { return Err(format!("{id} left and never was")) };
        let within = self.lease_ttl + AFTERMATH;
        let excused = start.killers.is_some()
            || start.drained.is_some()
            || self.last_slow(start.machine).is_some_and(|last| now - last <= within);
        if excused { Ok(()) } else { Err(format!("struck worker {id} off, which is alive and well")) }
    }

    /// Nothing has got through between this client and this worker's machine since then: tasks are not left there.
    pub(crate) fn cut_off(&mut self, now: u64, machine: usize, worker: usize, since: u64) {
        let Some(client) = self.clients.get(&machine) else { return };
        if client.gone.is_some() || self.was_disturbed(now, machine, now - since) {
            return;
        }
        let there = |id: &WorkerId| self.starts.get(id).is_some_and(|start| start.machine == worker);
        let late = client
            .books
            .open()
            .into_iter()
            .find(|(_, _, open)| there(&open.worker) && now - open.sent.max(since) > REDIRECT);
        if let Some((task, attempt, open)) = late {
            let waited = now - open.sent.max(since);
            self.violation(now, format!(
                "machine {machine}: attempt {attempt} at task {task} has been left with a worker that cannot be reached for {waited} ms"
            ));
        }
    }
}
