//! `workers`: who is there, as a table or as JSON, once or whenever it changes.

use super::{CommandError, print, setup::Setup};
use crate::{cli::Workers, discovery::Discovery};
use serde::Serialize;
use sgdt_proto::{
    id::{Kind, WorkerId, WorkerName},
    name_server::{WorkerState, WorkerStatus},
    printable::Printable,
};
use std::collections::BTreeMap;

/// What `--json` prints.
#[derive(Serialize)]
struct Listing {
    workers: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    name: WorkerName,
    id: WorkerId,
    address: String,
    slots: u32,
    running: u32,
    queued: u32,
    state: WorkerState,
    tags: BTreeMap<String, String>,
    kinds: Vec<Kind>,
    age_ms: u64,
}

impl From<WorkerStatus> for Row {
    fn from(WorkerStatus { info, load, state, age_ms }: WorkerStatus) -> Self {
        Self {
            name: info.name,
            id: info.id,
            address: info.address,
            slots: info.slots,
            running: load.running,
            queued: load.queued,
            state,
            tags: info.tags,
            kinds: info.kinds,
            age_ms,
        }
    }
}

pub(super) async fn run(setup: &Setup, args: Workers) -> Result<(), CommandError> {
    let cluster = setup.cluster().await?;
    let mut shown = None;
    let mut show = |workers: Vec<WorkerStatus>| {
        // Several changes that came together are one list.
        let members: Vec<_> = workers.iter().map(|w| (w.info.id, w.load.draining)).collect();
        if shown.as_ref() == Some(&members) {
            return Ok(());
        }
        shown = Some(members);
        let rows: Vec<_> = workers.into_iter().map(Row::from).collect();
        print(if args.json { json(rows) } else { table(&rows) })
    };
    show(cluster.workers().await?)?;
    if args.watch {
        let discovery = Discovery::start(&cluster.config.name_servers, &cluster.network, 0);
        let mut membership = discovery.membership();
        while membership.changed().await.is_ok() {
            show(cluster.workers().await?)?;
        }
    }
    Ok(())
}

fn json(workers: Vec<Row>) -> String {
    // Nothing in it is a map with keys that JSON cannot express, which is all that can fail.
    serde_json::to_string(&Listing { workers }).unwrap_or_default() + "\n"
}

fn table(workers: &[Row]) -> String {
    let mut cells = vec![
        ["NAME", "ADDRESS", "SLOTS", "RUNNING", "QUEUED", "STATE", "SEEN", "TAGS", "KINDS"]
            .map(str::to_owned),
    ];
    cells.extend(workers.iter().map(|worker| {
        let tags: Vec<_> =
            worker.tags.iter().map(|(key, value)| Printable(format!("{key}={value}")).to_string()).collect();
        let kinds: Vec<_> = worker.kinds.iter().map(Kind::as_str).collect();
        [
            worker.name.to_string(),
            Printable(&worker.address).to_string(),
            worker.slots.to_string(),
            worker.running.to_string(),
            worker.queued.to_string(),
            state(worker.state).to_owned(),
            format!("{:.1} s ago", worker.age_ms as f64 / 1e3),
            tags.join(","),
            kinds.join(","),
        ]
    }));
    let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<_> = (0..cells[0].len()).map(width).collect();
    let mut text = String::new();
    for row in &cells {
        let padded: Vec<_> = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}")).collect();
        text.push_str(padded.join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn state(state: WorkerState) -> &'static str {
    match state {
        WorkerState::Healthy => "healthy",
        WorkerState::Suspect => "suspect",
        WorkerState::Draining => "draining",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, tags: &[(&str, &str)]) -> Row {
        Row {
            name: name.parse().unwrap(),
            id: WorkerId(0xab),
            address: "127.0.0.1:40123".into(),
            slots: 2,
            running: 1,
            queued: 17,
            state: WorkerState::Healthy,
            tags: tags.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect(),
            kinds: vec!["echo".parse().unwrap(), "sort".parse().unwrap()],
            age_ms: 1234,
        }
    }

    #[test]
    fn the_list_for_programs_is_what_is_promised() {
        let expected = concat!(
            r#"{"workers":[{"name":"w1","id":"00000000000000ab","address":"127.0.0.1:40123","slots":2,"running":1,"#,
            r#""queued":17,"state":"healthy","tags":{"rack":"7"},"kinds":["echo","sort"],"age_ms":1234}]}"#,
            "\n"
        );
        assert_eq!(json(vec![row("w1", &[("rack", "7")])]), expected);
        assert_eq!(json(Vec::new()), "{\"workers\":[]}\n");
    }

    #[test]
    fn the_list_for_people_is_aligned() {
        let text = table(&[row("w1", &[]), row("a-longer-name", &[("é", "7"), ("x", "y")])]);
        let expected = "\
NAME           ADDRESS          SLOTS  RUNNING  QUEUED  STATE    SEEN       TAGS     KINDS
w1             127.0.0.1:40123  2      1        17      healthy  1.2 s ago           echo,sort
a-longer-name  127.0.0.1:40123  2      1        17      healthy  1.2 s ago  x=y,é=7  echo,sort
";
        assert_eq!(text, expected);
    }
}
