//! A plan in words.

use super::{Link, Place, Plan, Plans, Power, Rates, Task};
use crate::summary::Seconds;
use sgdt_proto::{size::ByteSize, worker::MAX_MESSAGE};
use std::{fmt, time::Duration};

/// What is going to be done, what else could be done, and why it is predicted to take so long.
#[derive(Clone, Copy, Debug)]
pub struct Explanation<'a> {
    /// What people call it, where there are others.
    pub name: Option<&'a str>,
    /// What is to be computed.
    pub task: &'a Task,
    /// What was measured.
    pub rates: &'a Rates,
    /// The ways there are.
    pub plans: &'a Plans,
    /// The way that is taken.
    pub chosen: Plan,
    /// Whether that is because the task is small, whatever is predicted.
    pub is_small: bool,
    /// How they could have a local run.
    pub local_run: LocalRun,
}

/// How people can have a task computed in their own process, if it is not already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LocalRun {
    /// By `--plan local`.
    Plan,
    /// By workers in this process.
    Workers,
    /// The workers are in this process.
    Here,
}

impl fmt::Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, task, rates, plans, chosen, is_small, local_run } = self;
        f.write_str("plan")?;
        if let Some(name) = name {
            write!(f, " for {name}")?;
        }
        writeln!(f, ": {}, predicted to take {}", way(chosen, rates), after(chosen.seconds))?;
        let all = plans.cluster.iter().flat_map(|(one, split)| [one, split]);
        let others = [&plans.local].into_iter().chain(all.clone());
        for plan in others.filter(|plan| (plan.place, plan.pieces) != (chosen.place, chosen.pieces)) {
            writeln!(f, "  {} would take {}", way(plan, rates), after(plan.seconds))?;
        }
        if *is_small {
            writeln!(
                f,
                "  it is small: --plan auto sends what usually takes so little to a worker, whatever is predicted"
            )?;
        }
        if chosen.place == Place::Cluster && plans.local.is_clearly_faster(chosen) {
            match local_run {
                LocalRun::Plan => writeln!(f, "  a local run is faster: try --plan local")?,
                LocalRun::Workers => {
                    let threads = rates.here.slots;
                    writeln!(
                        f,
                        "  a local run is faster: try --local {threads} in place of --nameserver and --tls"
                    )?;
                }
                LocalRun::Here => {}
            }
        }
        let stays = (chosen.place, plans.fastest().place) == (Place::Here, Place::Here);
        if stays && all.clone().any(|plan| plan.seconds < chosen.seconds) {
            writeln!(f, "  --plan auto leaves this process only for what is predicted to take a fifth less")?;
        }
        write!(f, "  measured: {} here", rate(task, rates.here))?;
        if let Some((power, Link { bytes, round_trip, .. })) = rates.cluster {
            let link = bytes / 1e6;
            let trip = round_trip * 1e3;
            write!(f, "; {} on a worker, {link:.0} MB/s and {trip:.1} ms there and back", rate(task, power))?;
            if rates.is_busy {
                f.write_str(", as some are busy")?;
            }
            if let Some(guide) = task.guide(power.rate, bytes).filter(|&guide| guide >= 1.0) {
                write!(f, "; more than {guide:.1} workers with a piece each would not pay")?;
            }
        }
        Ok(())
    }
}

/// What is going to be done with a file that does not fit in memory.
#[derive(Clone, Copy, Debug)]
pub struct Spilled<'a> {
    /// What is to be sorted; nothing where that is not known before it is read.
    pub task: Option<&'a Task>,
    /// What was measured here.
    pub here: Power,
    /// How much memory there may be, in bytes.
    pub memory: u64,
}

impl fmt::Display for Spilled<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { task, here, memory } = self;
        write!(f, "plan: local, on {}, through a temporary file", counted(here.slots, "thread"))?;
        match task {
            Some(task) => {
                writeln!(f, ", predicted to take {}", after(task.spilled(*here)))?;
                if task.is_one_message() {
                    writeln!(f, "  in memory it would take more than --memory {}", ByteSize(*memory))?;
                } else {
                    writeln!(f, "  no task takes so much at once: {} at the most", ByteSize(MAX_MESSAGE))?;
                }
                write!(f, "  measured: {} here", rate(task, *here))
            }
            None => write!(f, "\n  how much there is is not known before it is read"),
        }
    }
}

fn way(plan: &Plan, rates: &Rates) -> String {
    let slots = rates.cluster.map_or(0, |(power, _)| power.slots);
    match (plan.place, plan.pieces) {
        (Place::Here, 1) => format!("local, on {}", counted(rates.here.slots, "thread")),
        (Place::Here, pieces) => {
            format!("local, in {pieces} pieces on {}", counted(rates.here.slots, "thread"))
        }
        (Place::Cluster, 1) => "as a whole on one worker".to_owned(),
        (Place::Cluster, pieces) => format!("split into {pieces} pieces over {}", counted(slots, "slot")),
    }
}

fn counted(number: u32, what: &str) -> String {
    if number == 1 { format!("one {what}") } else { format!("{number} {what}s") }
}

fn after(seconds: f64) -> Seconds {
    Seconds(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}

fn rate(task: &Task, Power { rate, .. }: Power) -> String {
    match task {
        Task::Matmul { .. } => format!("{:.1} Gflop/s a thread", rate / 1e9),
        Task::Numbers { .. } | Task::Lines { .. } => format!("{:.0} MB/s a thread", rate / 1e6),
        Task::Factorial { .. } => format!("{rate:.2} times the usual speed a thread"),
    }
}
