//! What a client reads: tasks, one a line.

use serde_json::{Value, json};

/// Tasks in the order in which they are given, named `t0`, `t1`, ... unless they bring names of their own.
#[derive(Clone, Default, Debug)]
pub struct Job {
    tasks: Vec<Value>,
}

impl Job {
    /// A job without tasks.
    pub fn new() -> Self {
        Self::default()
    }

    /// So many tasks, each made from its number.
    pub fn of(count: usize, task: impl FnMut(usize) -> Value) -> Self {
        let mut job = Self::new();
        (0..count).map(task).for_each(|task| job.add(task));
        job
    }

    /// So many tasks that each take so many milliseconds of wall time.
    pub fn sleeps(count: usize, ms: u64) -> Self {
        Self::of(count, |_| json!({"task": "sleep", "ms": ms}))
    }

    /// Adds a task.
    pub fn add(&mut self, mut task: Value) {
        if task.get("id").is_none() {
            task["id"] = format!("t{}", self.tasks.len()).into();
        }
        self.tasks.push(task);
    }

    /// How many tasks there are.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether there is no task.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// The tasks' names, in order.
    pub fn ids(&self) -> Vec<&str> {
        self.tasks.iter().filter_map(|task| task["id"].as_str()).collect()
    }

    /// The tasks, one JSON object a line.
    pub fn lines(&self) -> String {
        self.tasks.iter().map(|task| format!("{task}\n")).collect()
    }
}
