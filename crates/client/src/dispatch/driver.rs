//! The dispatcher's body: a single task that tells the core what happens and does what it says.

#[cfg(test)]
mod tests;

use super::{
    core::{Core, Effect},
    room::{Place, Room},
    task::{TaskResult, TaskSpec},
    worker::widest,
};
use crate::{
    discovery::Membership,
    endpoint::{Command as Order, Endpoint, Event},
    retry::Cause,
    unread::{Unread, Weight},
    verify::Check,
};
use rand::{Rng, rngs::SmallRng};
use rustc_hash::FxHashMap;
use sgdt_proto::{
    id::{AttemptKey, TaskId, WorkerId},
    name_server::Member,
    net::Network,
    payload::Payload,
    task::{Assignment, Completed, Reply},
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
        oneshot, watch,
    },
    task::{JoinError, JoinSet},
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, error, info, warn};

/// How often the core looks after what time alone changes.
const TICK: Duration = Duration::from_millis(50);
/// How many commands or events are taken in before what follows from them is done.
const TAKE: usize = 1024;

/// What clients ask for.
#[derive(Debug)]
pub(crate) enum Command {
    Submit(Vec<(TaskId, TaskSpec, Ticket)>),
    Cancel(TaskId),
    /// Nobody reads this stream of results any more.
    CancelStream(u64),
}

/// Where a result goes, and the room that its task takes up until somebody has it.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) to: Recipient,
    pub(crate) room: Place,
    /// Judges answers before one is accepted.
    pub(crate) check: Option<Check>,
}

/// An answer that has been judged.
type Judged = (WorkerId, AttemptKey, Completed, Result<(), String>);

#[derive(Debug)]
pub(crate) enum Recipient {
    Handle(oneshot::Sender<TaskResult>),
    Stream { index: u64, to: Arc<StreamEnd> },
}

/// Where the results of a stream go. It ends with the last task that holds this.
#[derive(Debug)]
pub(crate) struct StreamEnd {
    pub(crate) stream: u64,
    /// Unbounded: every delivery in it holds its room, until it is read.
    pub(crate) results: UnboundedSender<Vec<Delivery>>,
    pub(crate) unread: Arc<Unread>,
}

impl Recipient {
    /// Whether nobody waits for the result any more.
    fn is_gone(&self) -> bool {
        match self {
            Self::Handle(handle) => handle.is_closed(),
            Self::Stream { to, .. } => to.results.is_closed(),
        }
    }
}

/// A result on its way to a stream.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) index: u64,
    pub(crate) result: TaskResult,
    pub(crate) room: Place,
    pub(crate) weight: Weight,
}

/// A worker as the driver holds it.
struct Line {
    /// No other line had it: what an earlier endpoint has yet to say does not concern this one.
    number: u64,
    address: String,
    orders: UnboundedSender<Order>,
    draining: bool,
    /// Whether it is known to be connected or not to be.
    tried: bool,
    /// What it is to be sent when this round ends.
    outbox: Outbox,
    _endpoint: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct Outbox {
    execute: Vec<Assignment>,
    cancel: Vec<AttemptKey>,
    recall: Vec<AttemptKey>,
}

pub(crate) struct Driver {
    pub(crate) core: Core<Ticket>,
    /// Unbounded: every submission in it holds its room.
    pub(crate) commands: UnboundedReceiver<Command>,
    pub(crate) membership: watch::Receiver<Membership>,
    pub(crate) network: Arc<dyn Network>,
    pub(crate) room: Room,
    pub(crate) rng: SmallRng,
    /// How many lines there were.
    pub(crate) lines: u64,
    /// Answers that are being judged: each of a task that is live, and so as many as there is room for.
    pub(crate) judging: JoinSet<Judged>,
}

impl Driver {
    /// Runs until every client is gone.
    pub(crate) async fn run(mut self) {
        let (events_in, mut events) = unbounded_channel();
        let mut lines = FxHashMap::default();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut new_commands, mut new_events) = (Vec::new(), Vec::new());
        let (mut gathered, mut first_seen) = (false, None);
        self.reconcile(&mut lines, &events_in, Instant::now());
        loop {
            tokio::select! {
                // What is finished makes room for what is new.
                biased;
                _ = events.recv_many(&mut new_events, TAKE) => {}
                Ok(()) = self.membership.changed() => self.reconcile(&mut lines, &events_in, Instant::now()),
                Some(judged) = self.judging.join_next() => self.judged(judged, Instant::now()),
                _ = ticks.tick() => self.core.tick(Instant::now()),
                taken = self.commands.recv_many(&mut new_commands, TAKE) => if taken == 0 {
                    return;
                },
            }
            let now = Instant::now();
            for command in new_commands.drain(..) {
                self.obey(command);
            }
            for (worker, number, event) in new_events.drain(..) {
                if let Some(line) = lines.get_mut(&worker).filter(|line| line.number == number) {
                    line.tried = true;
                    self.learn(worker, event, now);
                }
            }
            // Those that are known when the client starts are all waited for, but not for longer than it takes
            // the clock to tick: else the first to be connected would get everything.
            if !gathered && !lines.is_empty() {
                let waited = now.duration_since(*first_seen.get_or_insert(now));
                gathered = waited >= TICK || lines.values().all(|line| line.tried);
            }
            if gathered {
                self.core.place(now);
            }
            self.act(&mut lines);
        }
    }

    /// Brings the lines in step with the membership.
    fn reconcile(
        &mut self,
        lines: &mut FxHashMap<WorkerId, Line>,
        events: &UnboundedSender<(WorkerId, u64, Event)>,
        now: Instant,
    ) {
        let membership = self.membership.borrow_and_update().clone();
        let members = membership.members();
        self.room.suit(members.values().map(|member| u64::from(widest(member.info.slots))).sum());
        let gone: Vec<_> = lines.keys().filter(|id| !members.contains_key(id)).copied().collect();
        for id in gone {
            lines.remove(&id);
            self.core.left(id, now);
            info!(worker = %id, "left");
        }
        for (id, Member { info, draining }) in members {
            if lines.get(&id).is_some_and(|line| !membership.has_at(id, &line.address)) {
                // It listens elsewhere now, and the way to it that we have may lead nowhere, or to another.
                info!(worker = %info.name, address = info.address, "moved");
                lines.remove(&id);
                self.core.lost(id, &Cause::ConnectionLost, now);
            }
            let known = lines.get_mut(&id).map(|line| &mut line.draining);
            match known {
                Some(known) if known == draining => {}
                Some(known) => {
                    *known = *draining;
                    self.core.joined(info.clone(), *draining);
                }
                None => {
                    info!(worker = %info.name, address = info.address, slots = info.slots, "joined");
                    self.core.joined(info.clone(), *draining);
                    let (orders, commands) = unbounded_channel();
                    let endpoint = Endpoint {
                        info: info.clone(),
                        network: self.network.clone(),
                        commands,
                        events: events.clone(),
                        number: self.lines,
                        seed: self.rng.random(),
                    };
                    let line = Line {
                        number: self.lines,
                        address: info.address.clone(),
                        orders,
                        draining: *draining,
                        tried: false,
                        outbox: Outbox::default(),
                        _endpoint: AbortOnDropHandle::new(tokio::spawn(endpoint.run())),
                    };
                    self.lines += 1;
                    lines.insert(id, line);
                }
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Submit(tasks) => {
                // Whoever dropped the results may have done so while their last tasks were on their way here.
                let wanted = tasks.into_iter().filter(|(.., ticket)| !ticket.to.is_gone());
                wanted.for_each(|(id, spec, ticket)| self.core.submit(id, spec, ticket));
            }
            Command::Cancel(id) => self.core.cancel(id),
            Command::CancelStream(unwanted) => self.core.cancel_where(
                |ticket| matches!(&ticket.to, Recipient::Stream { to, .. } if to.stream == unwanted),
            ),
        }
    }

    fn learn(&mut self, worker: WorkerId, event: Event, now: Instant) {
        match event {
            Event::Up => self.core.up(worker),
            Event::Unreached => {}
            Event::Pong { round_trip, draining } => {
                self.core.pong(worker, round_trip);
                if draining {
                    self.core.drains(worker);
                }
            }
            Event::Suspect => self.core.suspect(worker),
            Event::Lost(cause) => self.core.lost(worker, &cause, now),
            Event::Replies(replies) => {
                replies.into_iter().for_each(|(key, reply)| self.take(worker, key, reply, now));
            }
            Event::CallFailed(keys, cause) => {
                keys.into_iter().for_each(|key| self.core.call_failed(worker, key, &cause, now));
            }
            Event::Recalled(keys) => self.core.recalled(worker, &keys, now),
        }
    }

    /// Takes a reply in. An answer that is to be judged first is known to nobody until it has been.
    fn take(&mut self, worker: WorkerId, key: AttemptKey, reply: Reply, now: Instant) {
        let check = self.core.ticket(key.task).and_then(|ticket| ticket.check.clone());
        match (check, reply) {
            (Some(check), Reply::Done(completed @ Completed { result: Ok(_), .. })) => {
                self.judging.spawn_blocking(move || {
                    let verdict = completed.result.clone().map_err(|error| error.message);
                    // One that never came back would leave the task at this worker for ever.
                    let judged =
                        catch_unwind(AssertUnwindSafe(|| verdict.and_then(|output| check.judge(output))));
                    let verdict = judged.unwrap_or_else(|_| Err("its check panicked".to_owned()));
                    (worker, key, completed, verdict)
                });
            }
            (_, reply) => self.core.reply(worker, key, reply, now),
        }
    }

    fn judged(&mut self, judged: Result<Judged, JoinError>, now: Instant) {
        match judged {
            Ok((worker, key, completed, Ok(()))) => {
                self.core.reply(worker, key, Reply::Done(completed), now);
            }
            Ok((worker, key, _, Err(reason))) => {
                let name = self.core.name(worker).map(tracing::field::display);
                warn!(worker = name, task = %key.task, reason, "a wrong answer");
                self.core.call_failed(worker, key, &Cause::WrongAnswer(reason), now);
            }
            Err(error) => error!("a check failed: {error}"),
        }
    }

    /// Does what the core has decided.
    fn act(&mut self, lines: &mut FxHashMap<WorkerId, Line>) {
        let mut streams: Vec<(Arc<StreamEnd>, Vec<Delivery>)> = Vec::new();
        let mut busy: Vec<WorkerId> = Vec::new();
        for effect in self.core.take_effects() {
            match effect {
                Effect::Send { worker, assignment } => {
                    let AttemptKey { job, task, attempt } = assignment.key;
                    debug!(%job, %task, %attempt, %worker, "sent");
                    if let Some(outbox) = outbox(lines, &mut busy, worker) {
                        outbox.execute.push(assignment);
                    }
                }
                Effect::Cancel { worker, key } => {
                    if let Some(outbox) = outbox(lines, &mut busy, worker) {
                        outbox.cancel.push(key);
                    }
                }
                Effect::Recall { worker, keys } => {
                    if let Some(outbox) = outbox(lines, &mut busy, worker) {
                        outbox.recall.extend(&keys);
                    }
                }
                Effect::Finish { ticket: Ticket { to: Recipient::Handle(handle), .. }, result } => {
                    // Whoever dropped the handle does not want it.
                    let _ = handle.send(result);
                }
                Effect::Finish {
                    ticket: Ticket { to: Recipient::Stream { index, to }, room, .. },
                    result,
                } => {
                    let weight = to.unread.add(result.output.as_ref().map_or(0, Payload::size));
                    let delivery = Delivery { index, result, room, weight };
                    match streams.iter_mut().find(|(known, _)| known.stream == to.stream) {
                        Some((_, deliveries)) => deliveries.push(delivery),
                        None => streams.push((to, vec![delivery])),
                    }
                }
            }
        }
        for worker in busy {
            if let Some(line) = lines.get_mut(&worker) {
                line.send();
            }
        }
        for (to, deliveries) in streams {
            if to.results.send(deliveries).is_err() {
                debug!(stream = to.stream, "nobody reads these results any more");
            }
        }
    }
}

/// What a worker is to be sent; noted as `busy` with the first of it. One that has left is told nothing: its line is
/// gone, and with it the connection.
fn outbox<'a>(
    lines: &'a mut FxHashMap<WorkerId, Line>,
    busy: &mut Vec<WorkerId>,
    worker: WorkerId,
) -> Option<&'a mut Outbox> {
    let outbox = &mut lines.get_mut(&worker)?.outbox;
    if outbox.is_empty() {
        busy.push(worker);
    }
    Some(outbox)
}

impl Outbox {
    fn is_empty(&self) -> bool {
        self.execute.is_empty() && self.cancel.is_empty() && self.recall.is_empty()
    }
}

impl Line {
    fn send(&mut self) {
        let Outbox { execute, cancel, recall } = std::mem::take(&mut self.outbox);
        let orders = [
            (!execute.is_empty()).then_some(Order::Execute(execute)),
            (!cancel.is_empty()).then_some(Order::Cancel(cancel)),
            (!recall.is_empty()).then_some(Order::Recall(recall)),
        ];
        for order in orders.into_iter().flatten() {
            // An endpoint ends only when its line does.
            let _ = self.orders.send(order);
        }
    }
}
